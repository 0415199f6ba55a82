//! The master key: where it comes from, and how its file is made and replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use super::KeyError;
use super::cipher::{Key, random};
use crate::file::MasterKeySource;

/// First line of a master key file.
const HEADER: &str = "# Outrigger master key. Keep a copy in a safe place: without it the stored keys are lost.";

impl MasterKeySource {
    /// The source in a few words, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::File(path) => format!("file {}", path.display()),
            Self::Environment(name) => format!("environment variable {name}"),
            Self::Command(words) => format!("command `{}`", words.first().map_or("", String::as_str)),
        }
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io { action, path, source }
}

/// Reads the master key; `None` if there is no such file or variable.
pub(super) fn load(source: &MasterKeySource) -> Result<Option<Key>, KeyError> {
    match source {
        MasterKeySource::File(path) => load_file(path),
        MasterKeySource::Environment(name) => match std::env::var(name) {
            Ok(text) => parse(&Zeroizing::new(text), source).map(Some),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(KeyError::MasterKeyForm { source_name: source.describe(), problem: "it is not UTF-8".to_owned() })
            }
        },
        MasterKeySource::Command(words) => run(words, source).map(Some),
    }
}

fn load_file(path: &Path) -> Result<Option<Key>, KeyError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("read", path)(error)),
    };
    let mode = fs::metadata(path).map_err(io("read", path))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::MasterKeyOpen { path: path.to_owned(), mode });
    }
    parse(&text, &MasterKeySource::File(path.to_owned())).map(Some)
}

fn run(words: &[String], source: &MasterKeySource) -> Result<Key, KeyError> {
    let (program, arguments) = words.split_first().ok_or_else(|| KeyError::MasterKeyForm {
        source_name: source.describe(),
        problem: "the command is empty".to_owned(),
    })?;
    let failed = |problem: String| KeyError::MasterKeyCommand { program: program.clone(), problem };
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    let bytes = Zeroizing::new(output.stdout);
    let text = std::str::from_utf8(&bytes).map_err(|_| failed("what it printed is not UTF-8".to_owned()))?;
    parse(text, source)
}

/// 64 hexadecimal digits; blank lines and lines that begin with `#` do not count.
fn parse(text: &str, source: &MasterKeySource) -> Result<Key, KeyError> {
    let form = |problem: &str| KeyError::MasterKeyForm { source_name: source.describe(), problem: problem.to_owned() };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().ok_or_else(|| form("it is empty"))?;
    if lines.next().is_some() {
        return Err(form("it has more than one line"));
    }
    if line.len() != 64 {
        return Err(form("it has not 64 digits"));
    }
    let mut key = Key([0; 32]);
    for (byte, digits) in key.0.iter_mut().zip(line.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        *byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok()).ok_or_else(|| form("it has other characters"))?;
    }
    Ok(key)
}

/// The file that holds the next master key until the storage was sealed anew.
pub(super) fn next_file(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".next");
    path.with_file_name(name)
}

/// Makes a folder and its parents; new ones are private.
pub(super) fn make_folder(path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("make the folder", path))
}

/// Writes a key to a new file beside `path` and gives the temporary name. The bytes are on the disk when this returns.
fn write_beside(path: &Path, key: &Key) -> Result<PathBuf, KeyError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let suffix: String = random::<8>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let temporary = folder.join(format!(".master-key-{suffix}"));
    let mut text = Zeroizing::new(String::with_capacity(256));
    text.push_str(HEADER);
    text.push('\n');
    for byte in key.0 {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text.push('\n');
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(io("write", &temporary))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io("write", &temporary))?;
    Ok(temporary)
}

fn sync_folder(path: &Path) -> Result<(), KeyError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|file| file.sync_all()).map_err(io("write", folder))
}

/// Makes a master key file. If another process was faster, its key is taken; the flag says whether this one made it.
pub(super) fn create(path: &Path) -> Result<(Key, bool), KeyError> {
    let key = Key::generate()?;
    let temporary = write_beside(path, &key)?;
    // A link, unlike a rename, never replaces a file that is there.
    let linked = fs::hard_link(&temporary, path);
    let removed = fs::remove_file(&temporary);
    match linked {
        Ok(()) => {
            removed.map_err(io("remove", &temporary))?;
            sync_folder(path)?;
            Ok((key, true))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match load_file(path)? {
            Some(key) => Ok((key, false)),
            None => Err(io("read", path)(error)),
        },
        Err(error) => Err(io("write", path)(error)),
    }
}

/// Writes a key to `path`, replacing what is there.
pub(super) fn replace(path: &Path, key: &Key) -> Result<(), KeyError> {
    let temporary = write_beside(path, key)?;
    fs::rename(&temporary, path).map_err(io("write", path))?;
    sync_folder(path)
}

/// Puts the next master key file in the place of the present one.
pub(super) fn promote(path: &Path) -> Result<(), KeyError> {
    let next = next_file(path);
    match fs::rename(&next, path) {
        Ok(()) => sync_folder(path),
        // Another process has done it.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("rename", &next)(error)),
    }
}
