//! A home of its own for every test.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_outrigger");

/// What a command printed and ended with. Paths of the test are `[HOME]`.
#[derive(Debug)]
pub struct Printed {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A home, and a working folder in it.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// An empty home. Compiled components are shared between tests: making them takes seconds.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Self { folder };
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("component-cache");
        std::fs::create_dir_all(&cache).expect("a cache");
        std::fs::create_dir_all(place.path("home/.outrigger")).expect("a home");
        std::os::unix::fs::symlink(cache, place.path("home/.outrigger/cache")).expect("a link");
        place
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path("user"))
            .env("TZ", "UTC")
            .env("OUTRIGGER_HOME", self.path("home"));
        command
    }

    /// Runs a command without a terminal.
    pub fn run(&self, line: &str) -> Printed {
        self.fed(line, "")
    }

    /// Runs a command that reads this on standard input.
    pub fn fed(&self, line: &str, input: &str) -> Printed {
        self.finish(self.command(line), input)
    }

    pub fn finish(&self, mut command: Command, input: &str) -> Printed {
        let mut child = self.start(&mut command);
        let mut pipe = child.stdin.take().expect("a pipe");
        // A command that does not read is gone before this is written.
        drop(pipe.write_all(input.as_bytes()));
        drop(pipe);
        self.printed(child)
    }

    pub fn start(&self, command: &mut Command) -> Child {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program")
    }

    pub fn printed(&self, child: Child) -> Printed {
        let output = child.wait_with_output().expect("an end");
        let here = self.folder.path().display().to_string();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").replace(&here, "[HOME]");
        Printed { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Printed {
    /// Ends the test unless the command ended with this.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

/// Compares with a file in `snapshots/`; `SNAPSHOTS=overwrite` writes it anew.
#[track_caller]
pub fn snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/snapshots").join(name);
    snapbox::assert_data_eq!(text.to_owned(), snapbox::Data::read_from(&path, None).raw());
}
