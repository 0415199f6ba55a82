//! Key storage: secrets by path, sealed under a master key.

mod cipher;
mod master;
mod store;
mod view;

use std::path::PathBuf;

use serde::Serialize;

pub use store::{KeyMetadata, KeyStore, Rotation, Stored};
pub use view::ProjectKeys;

/// What kind of secret an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyType {
    /// A password, token or secret access key.
    Password,
    /// A private key.
    PrivateKey,
    /// A public key.
    PublicKey,
}

impl KeyType {
    /// The word for it: `password`, `private-key` or `public-key`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::PrivateKey => "private-key",
            Self::PublicKey => "public-key",
        }
    }
}

impl std::fmt::Display for KeyType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl std::str::FromStr for KeyType {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        [Self::Password, Self::PrivateKey, Self::PublicKey]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| KeyError::Type(text.to_owned()))
    }
}

/// Whose keys may be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyScope {
    /// All of them.
    System,
    /// Those of this project, and those that the system shares.
    Project(String),
}

/// What can go wrong with key storage. No message holds a value.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The path breaks the rules for paths.
    #[error("`{path}` is no path of key storage: {problem}")]
    Path {
        /// What was given.
        path: String,
        /// Which rule it breaks.
        problem: &'static str,
    },
    /// The type is none of the three.
    #[error("`{0}` is no type of key; use password, private-key or public-key")]
    Type(String),
    /// The value is too long.
    #[error("the value for `{path}` has {bytes} bytes, but key storage takes at most {limit}")]
    TooLong {
        /// The entry.
        path: String,
        /// Size of the value.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The value is empty.
    #[error("the value for `{0}` is empty")]
    Empty(String),
    /// No such entry.
    #[error("there is no key `{path}`{}; add it with `outrigger keys put {path}`", .nearest.as_ref().map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default())]
    NotFound {
        /// The entry.
        path: String,
        /// The existing entry with the nearest path.
        nearest: Option<String>,
    },
    /// The project may not read it, whether it exists or not.
    #[error(
        "project `{project}` finds no key `{path}`: a project reads keys/project/{project}/... and what the system file shares by `[keys] share`"
    )]
    NotVisible {
        /// The entry.
        path: String,
        /// Who asked.
        project: String,
    },
    /// The entry exists already.
    #[error("the key `{0}` exists already; say --overwrite to replace it")]
    Exists(String),
    /// The master key is not the one that the storage was made with.
    #[error(
        "wrong master key: {} was not sealed with the key from {source_name}; use the key that it was made with, or restore both from one backup",
        store.display()
    )]
    WrongMasterKey {
        /// The storage.
        store: PathBuf,
        /// Where the key came from.
        source_name: String,
    },
    /// The master key is not there.
    #[error(
        "the master key is missing: {source_name} {problem}; without it the keys in {} cannot be read; restore it from its backup",
        store.display()
    )]
    MasterKeyMissing {
        /// The storage.
        store: PathBuf,
        /// Where the key should come from.
        source_name: String,
        /// What is wrong there.
        problem: String,
    },
    /// The master key is not in the form that is expected.
    #[error(
        "the master key from {source_name} cannot be used: {problem}; it is 64 hexadecimal digits, as `openssl rand -hex 32` prints them"
    )]
    MasterKeyForm {
        /// Where the key came from.
        source_name: String,
        /// What is wrong.
        problem: String,
    },
    /// The command that prints the master key failed.
    #[error("the command for the master key, `{program}`, failed: {problem}")]
    MasterKeyCommand {
        /// The program.
        program: String,
        /// What happened.
        problem: String,
    },
    /// Others can read the master key file.
    #[error(
        "the master key file {} can be read by others (mode {mode:03o}); run `chmod 600` on it",
        path.display()
    )]
    MasterKeyOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The entry does not open although the master key is right.
    #[error(
        "the key `{path}` is damaged, or was moved from another path, in {}: {part} does not open; store it again with `outrigger keys put {path} --overwrite`",
        store.display()
    )]
    Damaged {
        /// The entry.
        path: String,
        /// The storage.
        store: PathBuf,
        /// Which part of it.
        part: &'static str,
    },
    /// The storage is newer than this program, or no key storage.
    #[error("{} is no key storage that this version reads: {problem}", store.display())]
    Format {
        /// The storage.
        store: PathBuf,
        /// Why.
        problem: String,
    },
    /// The database reported an error.
    #[error("key storage {} failed: {source}", store.display())]
    Database {
        /// The storage.
        store: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Random(String),
}

/// Longest path, in bytes.
pub(crate) const PATH_LIMIT: usize = 512;

/// Checks a path: `keys/` and one or more parts of letters, digits and `-_.@+=` and blanks inside.
///
/// # Errors
/// [`KeyError::Path`].
pub fn check_key_path(path: &str) -> Result<(), KeyError> {
    match path_problem(path) {
        None => Ok(()),
        Some(problem) => Err(KeyError::Path { path: path.escape_debug().to_string(), problem }),
    }
}

/// What is wrong with a path.
pub(crate) fn path_problem(path: &str) -> Option<&'static str> {
    let Some(rest) = path.strip_prefix("keys/") else { return Some("it must begin with `keys/`") };
    if path.len() > PATH_LIMIT {
        return Some("it is longer than 512 bytes");
    }
    if rest.is_empty() || rest.ends_with('/') {
        return Some("it names a folder, not a key");
    }
    for part in rest.split('/') {
        if part.is_empty() {
            return Some("it has an empty part");
        }
        if part == "." || part == ".." {
            return Some("it has a part `.` or `..`");
        }
        if part.trim() != part {
            return Some("a part begins or ends with a blank");
        }
        if !part.chars().all(|c| c.is_alphanumeric() || " -_.@+=".contains(c)) {
            return Some("a part has a character that is no letter, digit, blank or one of `-_.@+=`");
        }
    }
    None
}
