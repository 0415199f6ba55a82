//! Components that are refused before anything of them runs, each with a message that says why and what to do.

use outrigger_hostile::{Raw, Scene, foreign};
use outrigger_runtime::{EngineLimits, LARGEST, RuntimeError};

async fn scene() -> Scene {
    Scene::new(EngineLimits { memory_bytes: 64 * 1024 * 1024, guests: 4 }).await
}

/// A component with one import of its own making, and the exports of a job step.
fn importing(package: &str, interface: &str, function: &str) -> Vec<u8> {
    let step = std::fs::read_to_string(outrigger_hostile::workspace_root().join("wit/outrigger-step/step.wit"))
        .expect("the contract")
        .replacen("package outrigger:step@0.1.0;", "package outrigger:step@0.1.0 {", 1);
    let (package_name, version) = package.split_once('@').expect("a version");
    let wit = format!(
        "package test:guest;\n{step}\n}}\npackage {package_name}@{version} {{ interface {interface} {{ {function}: func(); }} }}\n\
         world guest {{ import {package_name}/{interface}@{version}; export outrigger:step/job-step@0.1.0; }}"
    );
    let module = format!(
        r#"(module (import "{package_name}/{interface}@{version}" "{function}" (func))
             (memory (export "memory") 1)
             (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
             (func (export "outrigger:step/job-step@0.1.0#describe") (result i32) i32.const 16)
             (func (export "outrigger:step/job-step@0.1.0#run") (param i32 i32) (result i32) i32.const 512))"#
    );
    foreign(&wit, "guest", &module)
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_with_a_reason() {
    let good = Raw::default().component();
    let core = b"\0asm\x01\0\0\0".to_vec();
    let mut future = good.clone();
    future[4] = 0x7f;
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped.truncate(middle + 64);
    flipped[middle..].fill(0xff);
    let world = "package a:b; world guest { export go: func(); }";
    let no_world = foreign(world, "guest", r#"(module (func (export "go")))"#);
    let mut too_large = good.clone();
    too_large.resize(LARGEST + 1, 0);

    let scene = scene().await;
    for (title, bytes, parts) in [
        ("nothing", Vec::new(), vec!["it does not begin with the bytes of WebAssembly"]),
        ("a text", b"#!/bin/sh\nrm -rf /\n".to_vec(), vec!["is not a WebAssembly component", "does not begin"]),
        ("three bytes", b"\0as".to_vec(), vec!["does not begin"]),
        ("only the magic number", b"\0asm".to_vec(), vec!["is not a WebAssembly component"]),
        ("a core module", core, vec!["it is a core module", "wasm-component-ld"]),
        ("another version", future, vec!["its version is not one that this host knows"]),
        ("one that is too large", too_large, vec!["67108865 bytes", "at most 67108864 are loaded"]),
        ("a truncated component", good[..good.len() / 2].to_vec(), vec!["does not compile"]),
        ("a damaged component", flipped, vec!["does not compile"]),
        (
            "the empty component",
            b"\0asm\x0d\0\x01\0".to_vec(),
            vec!["exports no world", "outrigger:step/job-step@0.1.0", "it exports nothing"],
        ),
        ("one without a known world", no_world, vec!["exports no world", "it exports go"]),
        (
            "an unknown import",
            importing("acme:tools@1.0.0", "shell", "exec"),
            vec!["imports acme:tools/shell@1.0.0#exec", "does not offer"],
        ),
        (
            "WASI",
            importing("wasi:sockets@0.2.6", "instance-network", "open"),
            vec!["imports wasi:sockets/instance-network@0.2.6#open", "wasm32-unknown-unknown"],
        ),
        (
            "a version of the contract that is not there",
            importing("outrigger:run@7.0.0", "clock", "now"),
            vec!["imports outrigger:run/clock@7.0.0#now", "another version of the contract"],
        ),
        (
            "an unknown function of a known interface",
            importing("outrigger:run@0.1.0", "clock", "rewind"),
            vec!["imports outrigger:run/clock@0.1.0#rewind", "another version of the contract"],
        ),
        (
            "a known function of another type",
            importing("outrigger:run@0.1.0", "clock", "now"),
            vec!["does not fit this host's contract", "now"],
        ),
    ] {
        let error = scene.plugins().examine("x.wasm", &bytes, false).await.expect_err(title).to_string();
        for part in parts.iter().chain(["x.wasm"].iter()) {
            assert!(error.contains(part), "{title}: {error}");
        }
        assert!(error.len() < 600 && !error.contains('\u{1b}'), "{title}: {error}");
    }
    let info = scene.plugins().examine("x.wasm", &good, false).await.expect("the same without a defect");
    assert_eq!((info.provider.as_str(), info.imports.len(), info.size), ("raw-step", 0, good.len()));
}

#[tokio::test]
async fn a_component_whose_file_was_changed_is_not_run() {
    let scene = scene().await;
    let plugin = scene.agree_to(&Raw::default().component());
    let file = scene.folder().join(format!("{}.wasm", plugin.info().provider));
    let other = Raw { run: "unreachable", ..Raw::default() }.component();
    std::fs::write(&file, other).expect("the file");
    let error = scene.plugins().prepare(&plugin).await.expect_err("another digest");
    assert!(matches!(&error, RuntimeError::OtherDigest { pinned, .. } if *pinned == plugin.info().digest), "{error}");
    let message = error.to_string();
    assert!(message.contains("was added with sha256:") && message.contains("outrigger plugin add"), "{message}");
    std::fs::remove_file(&file).expect("the file");
    let message = scene.plugins().prepare(&plugin).await.expect_err("no file").to_string();
    assert!(message.starts_with("failed to read "), "{message}");
}

#[tokio::test]
async fn compiled_code_that_somebody_put_into_the_cache_is_not_loaded() {
    let scene = scene().await;
    let plugin = scene.agree_to(&Raw::default().component());
    scene.plugins().prepare(&plugin).await.expect("it compiles");
    let cache = scene.folder().join("cache");
    let mut changed = 0;
    for entry in std::fs::read_dir(&cache).expect("the cache") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "cwasm") {
            let mut bytes = std::fs::read(&path).expect("compiled code");
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(&path, bytes).expect("the file");
            changed += 1;
        }
    }
    assert_eq!(changed, 1);
    // Another agreement to the same bytes asks the cache again: what it holds is made anew, and the step runs.
    let again = scene.agree_to(&Raw::default().component());
    let seen = scene.run(&again, &outrigger_hostile::Plan::default()).await;
    assert_eq!(seen.ended.text(), "succeeds");
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }
}

#[tokio::test]
async fn changed_components_are_described_or_refused_and_nothing_else() {
    let scene = scene().await;
    let good = Raw::with_schema(r#"{"properties":{"a":{"type":"string"}}}"#).component();
    let mut numbers = Numbers(1);
    let (mut described, mut refused) = (0, 0);
    for _ in 0..2_000 {
        let mut bytes = good.clone();
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(bytes.len());
            match numbers.below(4) {
                0 => bytes[at] ^= 1 << numbers.below(8),
                1 => bytes[at] = u8::try_from(numbers.below(256)).unwrap_or(0),
                2 => drop(bytes.splice(at..(at + numbers.below(8)).min(bytes.len()), [])),
                _ => {
                    let from = numbers.below(bytes.len());
                    let piece = bytes[from..(from + 16).min(bytes.len())].to_vec();
                    drop(bytes.splice(at..at, piece));
                }
            }
        }
        match scene.plugins().examine("x.wasm", &bytes, false).await {
            Ok(info) => {
                described += 1;
                assert!(info.input_schema.is_object() && !info.provider.is_empty());
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("x.wasm"), "{error}");
            }
        }
    }
    assert!(described > 0 && refused > 100, "{described} described, {refused} refused");
}
