//! The contract, read from its files.

use std::path::{Path, PathBuf};

use wit_parser::{PackageId, Resolve, WorldItem};

/// The packages, what others need first.
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

/// The folder of the contract.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("wit")
}

/// All packages, with their names in the order of [`PACKAGES`].
pub fn read() -> (Resolve, Vec<(&'static str, PackageId)>) {
    let mut resolve = Resolve::default();
    let mut packages = Vec::new();
    for name in PACKAGES {
        let folder = folder().join(format!("outrigger-{name}"));
        let (package, _) = resolve.push_dir(&folder).unwrap_or_else(|error| panic!("{}: {error:#}", folder.display()));
        packages.push((name, package));
    }
    (resolve, packages)
}

/// The functions that a world imports, as `interface#function`, sorted.
pub fn imported_functions(resolve: &Resolve, world: &str) -> Vec<String> {
    let (_, world) = resolve
        .worlds
        .iter()
        .find(|(_, found)| {
            found.name == world && found.package.is_some_and(|package| resolve.packages[package].name.name == "plugin")
        })
        .expect("the world");
    let mut functions = Vec::new();
    for (_, item) in &world.imports {
        match item {
            WorldItem::Interface { id, .. } => {
                let interface = resolve.id_of(*id).expect("interfaces of packages have names");
                functions
                    .extend(resolve.interfaces[*id].functions.keys().map(|function| format!("{interface}#{function}")));
            }
            WorldItem::Function(function) => functions.push(function.name.clone()),
            WorldItem::Type { .. } => {}
        }
    }
    functions.sort();
    functions
}
