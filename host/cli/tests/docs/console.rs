//! Runs the commands of a page in a home of their own, and compares what they print.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::blocks::{Block, root};

/// A shell that finds the built program, with a home that nobody else uses.
pub struct Shell {
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl Shell {
    /// A shell with these variables in its environment, and few others.
    pub fn new(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { home: tempfile::tempdir().expect("a folder"), variables }
    }

    /// Runs a command line in the root of the repository. Gives its exit code and all that it printed.
    pub fn command(&self, line: &str) -> (Option<i32>, String) {
        self.command_in(&root(), line)
    }

    fn command_in(&self, place: &Path, line: &str) -> (Option<i32>, String) {
        let program = Path::new(env!("CARGO_BIN_EXE_outrigger"));
        let folder = program.parent().expect("the program is in a folder");
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("{{ {line}\n}} 2>&1"))
            .current_dir(place)
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display()))
            .env("HOME", self.home.path())
            .env("OUTRIGGER_HOME", self.home.path())
            // Compiled components are the same for all; making them for each page would take most of the time.
            .env("OUTRIGGER_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("documentation-cache"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .expect("there is a shell");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs the commands of a block. Gives how many there were.
    pub fn run(&self, block: &Block) -> usize {
        let wanted_code: i32 = block.value("exit").map_or(0, |code| code.parse().expect("a number"));
        let mut commands = 0;
        let mut lines = block.text.lines().peekable();
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("{}: no command: {line}", block.at));
            let mut expected = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                expected.push(line);
            }
            let place = if block.has("elsewhere") { self.home.path().to_owned() } else { root() };
            let (code, output) = self.command_in(&place, command);
            assert_eq!(code, Some(wanted_code), "{}: $ {command}\n{output}", block.at);
            let printed: Vec<&str> = output.lines().collect();
            assert!(
                matches(&expected, &printed),
                "{}: $ {command}\nshould print\n{}\nand prints\n{output}",
                block.at,
                expected.join("\n")
            );
            commands += 1;
        }
        commands
    }

    /// Checks a job file or folder.
    pub fn check(&self, path: &Path, at: &str) {
        let (code, output) = self.command(&format!("outrigger job check --strict '{}'", path.display()));
        assert_eq!(code, Some(0), "{at}:\n{output}");
    }
}

/// Whether lines are as expected: `...` stands for any lines, also none. Indentation does not count.
fn matches(expected: &[&str], printed: &[&str]) -> bool {
    match (expected.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((&"...", rest)), _) => {
            (0..=printed.len()).any(|skipped| matches(rest, printed.get(skipped..).unwrap_or_default()))
        }
        (Some((line, rest)), Some((found, others))) => fits(line.trim(), found.trim()) && matches(rest, others),
        _ => false,
    }
}

/// Whether a line is as expected: `[..]` stands for any text.
fn fits(expected: &str, found: &str) -> bool {
    match expected.split_once("[..]") {
        None => expected == found,
        Some((start, rest)) => found.strip_prefix(start).is_some_and(|found| {
            found
                .char_indices()
                .map(|(at, _)| at)
                .chain([found.len()])
                .any(|at| fits(rest, found.get(at..).unwrap_or_default()))
        }),
    }
}

#[test]
fn lines_are_compared() {
    assert!(matches(&["a", "...", "c"], &["a", "b", "b", "  c "]));
    assert!(matches(&["..."], &[]));
    assert!(!matches(&["a"], &["a", "b"]));
    assert!(!matches(&["...", "c"], &["c", "d"]));
    assert!(matches(&["took [..] ms"], &["took 12 ms"]) && !matches(&["took [..] ms"], &["took 12 s"]));
}
