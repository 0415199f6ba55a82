//! Local files that guests may name: the run's workspace, and folders that the operator allows.
//!
//! Every path is resolved component by component beneath an open folder (`openat2` with `RESOLVE_BENEATH`, through
//! `cap-std`), so that neither `..` nor a symbolic link leaves it, also when somebody swaps a link in between.
//! The functions block: call them through [`Workspace::run`] or on a thread that may block.

mod errors;
mod list;
mod path;
mod quota;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions, OpenOptionsExt};
use outrigger_door::{Failure, Reason};

pub use list::{ListPage, MOST_ENTRIES};
pub use quota::Quota;
pub use writer::FileWriter;

use errors::io_failure;
use path::GuestPath;
use quota::Usage;

/// What an entry is, after following symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A device, a socket or a pipe.
    Other,
}

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path below the folder that was listed, with `/` between the parts; empty for the thing itself.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes; 0 for what is no regular file.
    pub size: u64,
    /// Modification time in milliseconds since 1970-01-01T00:00:00Z; 0 before that.
    pub modified: u64,
}

/// A regular file that is open for reading.
#[derive(Debug)]
pub struct OpenedFile {
    /// The file, opened without waiting.
    pub file: std::fs::File,
    /// Bytes it had when it was opened.
    pub size: u64,
    /// Modification time when it was opened, in milliseconds since 1970-01-01T00:00:00Z.
    pub modified: u64,
}

/// A folder below which paths are resolved.
#[derive(Debug)]
struct Root {
    path: PathBuf,
    /// Whether it is the run's own folder, which is made when it is first needed.
    own: bool,
    dir: OnceLock<Dir>,
}

impl Root {
    fn new(path: PathBuf, own: bool) -> Self {
        Self { path, own, dir: OnceLock::new() }
    }

    fn dir(&self) -> Result<&Dir, Failure> {
        if let Some(dir) = self.dir.get() {
            return Ok(dir);
        }
        let open = || {
            if self.own {
                use std::os::unix::fs::DirBuilderExt;
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
            }
            Dir::open_ambient_dir(&self.path, ambient_authority())
        };
        let dir = open().map_err(|error| io_failure("open the folder", &self.path.to_string_lossy(), &error))?;
        Ok(self.dir.get_or_init(|| dir))
    }
}

/// A guest's path, resolved to a folder and the rest below it.
struct Place<'a> {
    root: &'a Root,
    dir: &'a Dir,
    /// Relative, without `.`, `..` or empty parts; `.` for the folder itself.
    rest: String,
}

/// Local files that one run may name.
#[derive(Debug)]
pub struct Workspace {
    /// The run's folder, and then the allowed ones.
    roots: Vec<Root>,
    usage: Arc<Usage>,
    walks: Mutex<Vec<list::Paused>>,
}

impl Workspace {
    /// Relative paths lie in `root`, which is made when it is first needed; absolute ones in one of `allowed`.
    /// `quota` bounds what is written below any of them.
    pub fn new(root: PathBuf, allowed: Vec<PathBuf>, quota: Quota) -> Self {
        let roots = std::iter::once(Root::new(root, true))
            .chain(allowed.into_iter().map(|path| Root::new(path, false)))
            .collect();
        Self { roots, usage: Arc::new(Usage::new(quota)), walks: Mutex::default() }
    }

    /// Runs one of the functions that block on a thread of its own.
    pub async fn run<R, F>(self: &Arc<Self>, work: F) -> Result<R, Failure>
    where
        R: Send + 'static,
        F: FnOnce(&Self) -> Result<R, Failure> + Send + 'static,
    {
        let workspace = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&workspace))
            .await
            .unwrap_or_else(|error| Err(Failure::new(Reason::Internal, format!("a file operation ended: {error}"))))
    }

    /// Bytes and files that were written and are still there.
    pub fn used(&self) -> Quota {
        self.usage.used()
    }

    fn resolve(&self, path: &str) -> Result<Place<'_>, Failure> {
        let parsed = GuestPath::parse(path)?;
        let (root, parts) = if parsed.absolute {
            // The longest folder wins, so that an allowed folder inside another one is its own.
            self.roots
                .iter()
                .filter_map(|root| Some((root, parsed.below(&root.path)?)))
                .min_by_key(|(_, rest)| rest.len())
                .ok_or_else(|| path::refusal(path))?
        } else {
            let root = self.roots.first().ok_or_else(|| path::refusal(path))?;
            (root, parsed.parts.as_slice())
        };
        let rest = if parts.is_empty() { ".".to_owned() } else { parts.join("/") };
        Ok(Place { root, dir: root.dir()?, rest })
    }

    /// Looks at one path; follows symbolic links that stay inside. `path` of the answer is empty.
    pub fn stat(&self, path: &str) -> Result<Entry, Failure> {
        let place = self.resolve(path)?;
        let metadata = place.dir.metadata(&place.rest).map_err(|error| place.failure("look at", path, &error))?;
        Ok(entry_of(String::new(), &metadata))
    }

    /// Opens a regular file for reading. Devices, sockets and pipes are refused before they are opened.
    pub fn open(&self, path: &str) -> Result<OpenedFile, Failure> {
        let place = self.resolve(path)?;
        let refuse = |kind| {
            let what = if kind == EntryKind::Directory { "a folder" } else { "a device, a socket or a pipe" };
            Failure::new(Reason::InvalidInput, format!("{path} is {what}, no regular file"))
        };
        let failed = |error: &io::Error| place.failure("open", path, error);
        let kind = kind_of(&place.dir.metadata(&place.rest).map_err(|error| failed(&error))?);
        if kind != EntryKind::File {
            return Err(refuse(kind));
        }
        let mut options = OpenOptions::new();
        // Whoever swaps the file for a pipe now does not make this wait for a writer.
        let nonblock = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOCTTY;
        options.read(true).custom_flags(nonblock.bits());
        let file = place.dir.open_with(&place.rest, &options).map_err(|error| failed(&error))?;
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        let entry = entry_of(String::new(), &metadata);
        if entry.kind != EntryKind::File {
            return Err(refuse(entry.kind));
        }
        Ok(OpenedFile { file: file.into_std(), size: entry.size, modified: entry.modified })
    }

    /// Begins a file of `size` bytes that appears under its name with [`FileWriter::commit`]. Missing folders are made.
    pub fn create(&self, path: &str, size: u64) -> Result<FileWriter, Failure> {
        let place = self.resolve(path)?;
        if place.rest == "." {
            return Err(Failure::new(Reason::InvalidInput, format!("{path:?} is a folder: name a file in it")));
        }
        FileWriter::create(&place, path, size, Arc::clone(&self.usage))
    }

    /// Writes a whole small file, as [`Workspace::create`] does.
    pub fn write_file(&self, path: &str, content: &[u8], modified: Option<SystemTime>) -> Result<(), Failure> {
        let writer = self.create(path, content.len() as u64)?;
        writer.write_at(0, content)?;
        writer.commit(modified)
    }

    /// Lists the regular files below a folder, in the order of the bytes of their paths. Memory does not grow with their
    /// number. `most` is 1 to [`MOST_ENTRIES`]; `token` is `next` of the page before.
    pub fn list_files(
        &self,
        path: &str,
        follow_symlinks: bool,
        most: Option<u32>,
        token: Option<&str>,
    ) -> Result<ListPage, Failure> {
        list::list(self, path, follow_symlinks, most, token)
    }

    /// Removes files; one that is gone already is no failure. A symbolic link is removed itself.
    pub fn remove_files<P: AsRef<str>>(&self, paths: &[P]) -> Result<(), Failure> {
        for path in paths {
            let path = path.as_ref();
            let place = self.resolve(path)?;
            let failed = |error: &io::Error| place.failure("remove", path, error);
            let size = match place.dir.symlink_metadata(&place.rest) {
                Ok(metadata) if metadata.is_dir() => {
                    return Err(Failure::new(
                        Reason::InvalidInput,
                        format!("{path} is a folder; only files are removed"),
                    ));
                }
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&error)),
            };
            match place.dir.remove_file(&place.rest) {
                Ok(()) => self.usage.release(size, 1),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(())
    }

    fn paused(&self) -> std::sync::MutexGuard<'_, Vec<list::Paused>> {
        self.walks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    fn failure(&self, action: &str, path: &str, error: &io::Error) -> Failure {
        if errors::is_escape(error) {
            return errors::escape(path, &self.root.path);
        }
        io_failure(action, path, error)
    }
}

fn kind_of(metadata: &Metadata) -> EntryKind {
    if metadata.is_file() {
        EntryKind::File
    } else if metadata.is_dir() {
        EntryKind::Directory
    } else {
        EntryKind::Other
    }
}

fn entry_of(path: String, metadata: &Metadata) -> Entry {
    let kind = kind_of(metadata);
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.into_std().duration_since(UNIX_EPOCH).ok())
        .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let size = if kind == EntryKind::File { metadata.len() } else { 0 };
    Entry { path, kind, size, modified }
}
