//! `plugin new`: a project for a plugin that builds with plain cargo, wherever it lies.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{done, sources};
use crate::output::stdout;
use crate::trouble::{Outcome, Trouble};

/// Arguments of `plugin new`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger plugin new restart-web
  outrigger plugin new restart-web --dir plugins/restart-web

The project holds the guest library and the contract, so that it needs nothing of this program to build.")]
pub(crate) struct Arguments {
    /// Name of the project, and provider id of its step: lower-case letters, digits and hyphens
    #[arg(value_name = "NAME")]
    name: String,
    /// Folder of the project; ./NAME without it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Where the guest library goes.
const SDK: &str = "vendor/outrigger-plugin-sdk";

/// Files that are the same for every project, or differ by its name.
const TEMPLATES: [(&str, &str); 8] = [
    (".cargo/config.toml", include_str!("../../templates/plugin/config.toml.txt")),
    (".gitignore", include_str!("../../templates/plugin/gitignore.txt")),
    ("Cargo.toml", include_str!("../../templates/plugin/Cargo.toml.txt")),
    ("README.md", include_str!("../../templates/plugin/README.md.txt")),
    ("job.yaml", include_str!("../../templates/plugin/job.yaml.txt")),
    ("rust-toolchain.toml", include_str!("../../../../rust-toolchain.toml")),
    ("src/lib.rs", include_str!("../../templates/plugin/lib.rs.txt")),
    ("vendor/outrigger-plugin-sdk/Cargo.toml", include_str!("../../templates/plugin/sdk.toml.txt")),
];

/// Carries the command out.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let name = Name::new(&arguments.name)?;
    let folder = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(&name.name));
    make(&name, &folder)?;
    let mut out = stdout();
    writeln!(out, "made {}; go on with\n", folder.display())?;
    writeln!(out, "  cd {}", folder.display())?;
    writeln!(out, "  cargo build --release")?;
    writeln!(out, "  outrigger plugin add target/wasm32-unknown-unknown/release/{}.wasm", name.file())?;
    writeln!(out, "  outrigger run job.yaml")?;
    out.flush()?;
    done()
}

/// The name of a project, in the forms that its files need.
struct Name {
    name: String,
}

/// Names that are keywords of Rust, or crates that every project has.
const TAKEN: [&str; 20] = [
    "alloc",
    "async",
    "await",
    "const",
    "core",
    "crate",
    "dyn",
    "enum",
    "extern",
    "impl",
    "mod",
    "outrigger-plugin-sdk",
    "schemars",
    "self",
    "serde",
    "static",
    "std",
    "super",
    "test",
    "trait",
];

impl Name {
    fn new(name: &str) -> Result<Self, Trouble> {
        let good = name.len() <= 64
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !name.ends_with('-')
            && !name.contains("--");
        if !good {
            return Err(Trouble::input(
                format!("`{name}` is no name for a plugin"),
                "take at most 64 lower-case letters, digits and single hyphens, a letter first, such as `restart-web`",
            ));
        }
        if TAKEN.contains(&name) {
            return Err(Trouble::input(
                format!("`{name}` means something else in Rust"),
                format!("take a longer name, such as `{name}-step`"),
            ));
        }
        Ok(Self { name: name.to_owned() })
    }

    /// The words of the name, each with a large first letter.
    fn words(&self) -> Vec<String> {
        let large =
            |word: &str| word.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(word.chars().skip(1)).collect();
        self.name.split('-').map(large).collect()
    }

    /// Name of the file that cargo makes, without its ending.
    fn file(&self) -> String {
        self.name.replace('-', "_")
    }

    fn fill(&self, template: &str) -> String {
        template
            .replace("{{name}}", &self.name)
            .replace("{{file}}", &self.file())
            .replace("{{title}}", &self.words().join(" "))
            .replace("{{type}}", &self.words().concat())
            .replace("{{version}}", env!("CARGO_PKG_VERSION"))
    }
}

/// Writes the project into a folder that is empty or not there.
fn make(name: &Name, folder: &Path) -> Result<(), Trouble> {
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(Trouble::input(
                    format!("{} is not empty; nothing was written", folder.display()),
                    "name another folder with --dir",
                ));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Trouble::file("read", folder, &error)),
    }
    for (path, template) in TEMPLATES {
        write(&folder.join(path), &name.fill(template))?;
    }
    let sdk = folder.join(SDK);
    for (path, text) in sources::SDK {
        write(&sdk.join("src").join(path), text)?;
    }
    for (path, text) in sources::WIT {
        write(&sdk.join("wit").join(path), text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Trouble> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| Trouble::file("create", parent, &error))?;
    }
    // A file that appeared meanwhile is somebody else's.
    let mut file = fs::File::create_new(path).map_err(|error| Trouble::file("create", path, &error))?;
    file.write_all(text.as_bytes()).map_err(|error| Trouble::file("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::{Table, Value};

    #[test]
    fn names_are_good_for_cargo_and_for_job_files() {
        let name = Name::new("restart-web2").unwrap();
        assert_eq!(name.words(), ["Restart", "Web2"]);
        assert_eq!(name.file(), "restart_web2");
        for bad in ["", "Restart", "2fast", "a_b", "a--b", "a-", "../x", "a b", "test", "self", &"a".repeat(65)] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_left_unfilled_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("one");
        let name = Name::new("restart-web").unwrap();
        make(&name, &project).unwrap();
        for (path, _) in TEMPLATES {
            let text = fs::read_to_string(project.join(path)).unwrap();
            assert!(!text.contains("{{") && !text.contains("}}"), "{path}: {text}");
        }
        fs::write(project.join("src/lib.rs"), "mine").unwrap();
        assert!(format!("{:?}", make(&name, &project).unwrap_err()).contains("is not empty"));
        assert_eq!(fs::read_to_string(project.join("src/lib.rs")).unwrap(), "mine");
    }

    #[test]
    fn the_library_is_built_with_the_packages_that_it_is_tested_with() {
        let ours: Table = include_str!("../../../../Cargo.toml").parse().unwrap();
        let ours = ours["workspace"]["dependencies"].as_table().unwrap().clone();
        let theirs: Table = include_str!("../../templates/plugin/sdk.toml.txt").parse().unwrap();
        let used: Table = include_str!("../../../../plugins/sdk/Cargo.toml").parse().unwrap();
        let theirs = theirs["dependencies"].as_table().unwrap();
        let names = |table: &Table| table.keys().cloned().collect::<Vec<String>>();
        assert_eq!(names(theirs), names(used["dependencies"].as_table().unwrap()));
        for (name, dependency) in theirs {
            let full = |value: &Value| match value {
                Value::String(version) => Table::from_iter([("version".to_owned(), Value::String(version.clone()))]),
                other => other.as_table().cloned().unwrap_or_default(),
            };
            assert_eq!(full(dependency), full(&ours[name]), "{name}");
        }
    }
}
