//! Components from the text of their core module: what no compiler would make.

use std::fmt::Write as _;
use std::sync::OnceLock;

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{Resolve, WorldId};

/// A component of the world `job-step` that is put together by hand.
#[derive(Clone, Debug)]
pub struct Raw {
    /// What it says of itself: provider id, title, summary, and its two schemas.
    pub description: [String; 5],
    /// Fields of the module: imports first.
    pub imports: &'static str,
    /// Further fields.
    pub items: &'static str,
    /// Instructions before `describe` answers.
    pub describe: &'static str,
    /// Instructions before `run` answers that all went well.
    pub run: &'static str,
    /// Instructions before `cabi_realloc` answers.
    pub realloc: &'static str,
    /// Pages of memory.
    pub pages: u32,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            description: ["raw-step", "Raw", "Made by hand.", "{}", "{}"].map(str::to_owned),
            imports: "",
            items: "",
            describe: "",
            run: "",
            realloc: "",
            pages: 2,
        }
    }
}

/// Where the texts of the description begin.
const TEXTS: usize = 1024;

impl Raw {
    /// One that says `input` is its input schema.
    pub fn with_schema(input: impl Into<String>) -> Self {
        let mut raw = Self::default();
        raw.description[3] = input.into();
        raw
    }

    /// The module's text.
    fn text(&self) -> String {
        let (mut data, mut record, mut next) = (String::new(), String::new(), TEXTS);
        for text in &self.description {
            for number in [next, text.len()] {
                for byte in u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes() {
                    let _ = write!(record, "\\{byte:02x}");
                }
            }
            for byte in text.bytes() {
                let _ = write!(data, "\\{byte:02x}");
            }
            next += text.len();
        }
        let heap = next.next_multiple_of(16);
        let pages = (heap / 65_536 + 1).max(self.pages as usize);
        let Self { imports, items, describe, run, realloc, .. } = self;
        // Offset 16 holds the description, offset 512 an answer of zeros: success.
        format!(
            r#"(module
  {imports}
  (memory (export "memory") {pages})
  (global $next (mut i32) (i32.const {heap}))
  (data (i32.const 16) "{record}")
  (data (i32.const {TEXTS}) "{data}")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    {realloc}
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "outrigger:step/job-step@0.1.0#describe") (result i32) {describe} (i32.const 16))
  (func (export "outrigger:step/job-step@0.1.0#run") (param i32 i32) (result i32) {run} (i32.const 512))
  {items})"#
        )
    }

    /// The component's bytes.
    ///
    /// # Panics
    /// Where the text is no module, or the module is no guest.
    pub fn component(&self) -> Vec<u8> {
        let (resolve, world) = contract();
        encode(&self.text(), resolve, *world)
    }
}

/// The contract, and its world `job-step`.
fn contract() -> &'static (Resolve, WorldId) {
    static CONTRACT: OnceLock<(Resolve, WorldId)> = OnceLock::new();
    CONTRACT.get_or_init(|| {
        let mut resolve = Resolve::default();
        for package in PACKAGES {
            let folder = crate::build::workspace_root().join("wit").join(format!("outrigger-{package}"));
            resolve.push_dir(&folder).unwrap_or_else(|error| panic!("{}: {error:#}", folder.display()));
        }
        let (package, _) = resolve.packages.iter().next_back().expect("packages");
        let world = resolve.packages[package].worlds["job-step"];
        (resolve, world)
    })
}

/// The packages of the contract, what others need first.
const PACKAGES: [&str; 16] = [
    "step",
    "run",
    "workspace",
    "secrets",
    "http",
    "credential-provider",
    "aws",
    "aws-sts",
    "aws-ec2",
    "aws-autoscaling",
    "aws-s3",
    "aws-ssm",
    "aws-athena",
    "aws-logs",
    "aws-lambda",
    "plugin",
];

/// A component of a world of our own making, from the text of its module.
///
/// # Panics
/// Where one of the texts is wrong.
pub fn foreign(wit: &str, world: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("foreign.wit", wit).expect("the WIT is right");
    let world = resolve.packages[package].worlds[world];
    encode(module, &resolve, world)
}

fn encode(module: &str, resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let mut bytes = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    wit_component::embed_component_metadata(&mut bytes, resolve, world, StringEncoding::UTF8).expect("metadata");
    ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode())
        .unwrap_or_else(|error| panic!("{error:#}"))
}
