//! Compiled components on disk.
//!
//! An artifact is native code, so whoever can write one can run code as the host. The folder is private (0700), files are
//! named by the component's digest and the engine's, and each carries a MAC of a key that lies in the same folder (0600). The
//! MAC is checked on the very bytes that are then loaded.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::RuntimeError;

type Signature = Hmac<Sha256>;

/// Length of the MAC before the content.
const MAC_BYTES: usize = 32;

/// A private folder of authenticated files.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    key: [u8; 32],
}

impl Cache {
    /// Opens the folder; makes it and its key where they are missing.
    pub fn open(folder: &Path) -> Result<Self, RuntimeError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| RuntimeError::io("create", folder, error))?;
        let mode = fs::metadata(folder).map_err(|error| RuntimeError::io("read", folder, error))?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
                .map_err(|error| RuntimeError::io("make private", folder, error))?;
        }
        let path = folder.join("key");
        let key = match fs::read(&path) {
            Ok(key) => key,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut key = [0; 32];
                getrandom::fill(&mut key)
                    .map_err(|error| RuntimeError::Engine(format!("no random numbers for a key: {error}")))?;
                write_new(&path, &key).map_err(|error| RuntimeError::io("write", &path, error))?;
                // Another process may have been first: its key is the one.
                fs::read(&path).map_err(|error| RuntimeError::io("read", &path, error))?
            }
            Err(error) => return Err(RuntimeError::io("read", &path, error)),
        };
        let key = key.try_into().map_err(|_| RuntimeError::Damaged {
            path: path.clone(),
            problem: "it is not 32 bytes long; remove the folder, it is made anew".to_owned(),
        })?;
        Ok(Self { folder: folder.to_owned(), key })
    }

    fn mac(&self, name: &str, content: &[u8]) -> Option<Signature> {
        let mut mac = Signature::new_from_slice(&self.key).ok()?;
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name.as_bytes());
        mac.update(content);
        Some(mac)
    }

    /// Reads a file whose MAC is right; anything else counts as missing.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.folder.join(name)).ok()?;
        let content = bytes.split_off_checked(MAC_BYTES)?;
        if self.mac(name, &content)?.verify_slice(&bytes).is_err() {
            tracing::warn!(name, "a cached file was changed by somebody else; it is made anew");
            return None;
        }
        Some(content)
    }

    /// Writes a file under a temporary name and renames it, so that readers see it whole or not at all.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), RuntimeError> {
        let path = self.folder.join(name);
        let fail = |error| RuntimeError::io("write", &path, error);
        let mac = self
            .mac(name, content)
            .ok_or_else(|| RuntimeError::Engine("the key of the cache has a wrong length".to_owned()))?
            .finalize()
            .into_bytes();
        let mut suffix = [0; 8];
        getrandom::fill(&mut suffix).map_err(|error| RuntimeError::Engine(error.to_string()))?;
        let temporary = self.folder.join(format!("{name}.{}", hex::encode(suffix)));
        let written = (|| {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(&mac)?;
            file.write_all(content)?;
            fs::rename(&temporary, &path)
        })();
        if written.is_err() {
            // What is left over is of no use to anybody; that it cannot be removed changes nothing.
            drop(fs::remove_file(&temporary));
        }
        written.map_err(fail)
    }
}

trait SplitOffChecked {
    fn split_off_checked(&mut self, at: usize) -> Option<Vec<u8>>;
}

impl SplitOffChecked for Vec<u8> {
    fn split_off_checked(&mut self, at: usize) -> Option<Vec<u8>> {
        (self.len() >= at).then(|| self.split_off(at))
    }
}

fn write_new(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|_| std::io::Error::other("no random numbers"))?;
    let temporary = path.with_extension(hex::encode(suffix));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    // A link fails where the file exists, so two processes agree on one key.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_or_moved_file_counts_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("cache");
        let cache = Cache::open(&folder).unwrap();
        cache.write("a", b"native code").unwrap();
        assert_eq!(cache.read("a").as_deref(), Some(&b"native code"[..]));
        assert_eq!(Cache::open(&folder).unwrap().read("a").as_deref(), Some(&b"native code"[..]));

        fs::copy(folder.join("a"), folder.join("b")).unwrap();
        assert_eq!(cache.read("b"), None);
        let mut bytes = fs::read(folder.join("a")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(folder.join("a"), bytes).unwrap();
        assert_eq!(cache.read("a"), None);
        fs::write(folder.join("a"), b"short").unwrap();
        assert_eq!(cache.read("a"), None);
        assert_eq!(cache.read("missing"), None);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(folder.join("key")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
