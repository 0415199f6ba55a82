//! Files that appear when they are complete.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use cap_std::fs::{Dir, OpenOptions};
use outrigger_door::{Failure, Reason};

use super::Place;
use super::errors::{self, io_failure};
use super::quota::Usage;

/// How the names of incomplete files begin.
const TEMPORARY: &str = ".outrigger-";
/// How the names of incomplete files end.
const PARTIAL: &str = ".partial";

/// Whether a name is that of an incomplete file, which no listing shows.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY) && name.ends_with(PARTIAL)
}

/// A file in the making. It lies under another name in the folder that it is for; dropped without
/// [`FileWriter::commit`], it is removed. Everything here blocks.
#[derive(Debug)]
pub struct FileWriter {
    file: std::fs::File,
    parent: Dir,
    temporary: String,
    name: String,
    shown: String,
    size: u64,
    usage: Arc<Usage>,
    committed: bool,
}

impl FileWriter {
    pub(super) fn create(place: &Place<'_>, shown: &str, size: u64, usage: Arc<Usage>) -> Result<Self, Failure> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let failed = |error: &io::Error| place.failure("create", shown, error);
        let (folder, name) = place.rest.rsplit_once('/').unwrap_or((".", &place.rest));
        let parent = match place.dir.open_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                place.dir.create_dir_all(folder).and_then(|()| place.dir.open_dir(folder))
            }
            opened => opened,
        }
        .map_err(|error| failed(&error))?;

        usage.reserve(size, 1)?;
        let temporary = format!("{TEMPORARY}{}-{}{PARTIAL}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        match parent.open_with(&temporary, &options) {
            Ok(file) => Ok(Self {
                file: file.into_std(),
                parent,
                temporary,
                name: name.to_owned(),
                shown: shown.to_owned(),
                size,
                usage,
                committed: false,
            }),
            Err(error) => {
                usage.release(size, 1);
                Err(failed(&error))
            }
        }
    }

    /// Bytes that the file will have.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes at a place. Calls from several threads do not disturb each other.
    pub fn write_at(&self, offset: u64, content: &[u8]) -> Result<(), Failure> {
        let end = offset.saturating_add(content.len() as u64);
        if end > self.size {
            return Err(Failure::new(
                Reason::Internal,
                format!("{} was to have {} bytes, and gets at least {end}", self.shown, self.size),
            ));
        }
        self.file.write_all_at(content, offset).map_err(|error| io_failure("write", &self.shown, &error))
    }

    /// Reads at a place; the number of bytes is 0 at the end.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Failure> {
        self.file.read_at(buffer, offset).map_err(|error| io_failure("read", &self.shown, &error))
    }

    /// Gives the file its modification time and its name. What had the name before is replaced.
    pub fn commit(mut self, modified: Option<SystemTime>) -> Result<(), Failure> {
        let failed = |error: io::Error| io_failure("create", &self.shown, &error);
        if let Some(modified) = modified {
            self.file.set_modified(modified).map_err(failed)?;
        }
        let replaced = match self.parent.symlink_metadata(&self.name) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(Failure::new(
                    Reason::Conflict,
                    format!("cannot create {}: a folder has this name", self.shown),
                ));
            }
            Ok(metadata) => Some(metadata.len()),
            Err(_) => None,
        };
        self.parent.rename(&self.temporary, &self.parent, &self.name).map_err(|error| {
            if errors::is_escape(&error) {
                return Failure::new(Reason::AccessDenied, format!("cannot create {}: {error}", self.shown));
            }
            failed(error)
        })?;
        self.committed = true;
        if let Some(size) = replaced {
            self.usage.release(size, 1);
        }
        Ok(())
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if !self.committed {
            self.usage.release(self.size, 1);
            if let Err(error) = self.parent.remove_file(&self.temporary) {
                tracing::warn!(file = %self.temporary, %error, "an incomplete file was not removed");
            }
        }
    }
}
