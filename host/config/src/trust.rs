//! The user's record of configurations that were found by walking up and are trusted.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::home::make_private;
use crate::write::write_private;

/// Canonical paths, and the SHA-256 of what was trusted.
#[derive(Debug, Default)]
pub(crate) struct TrustFile {
    files: BTreeMap<String, String>,
}

/// SHA-256 as hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn name(path: &Path) -> Option<String> {
    // A path that is no UTF-8 has no place in the record and so is never trusted.
    path.canonicalize().ok()?.to_str().map(str::to_owned)
}

impl TrustFile {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(Error::io("read", path, source)),
        };
        // A damaged record trusts nothing; the next `trust` writes it anew.
        let files = serde_json::from_str::<Json>(&text)
            .ok()
            .and_then(|json| {
                json.get("files")?.as_object().map(|files| {
                    files
                        .iter()
                        .filter_map(|(path, digest)| Some((path.clone(), digest.as_str()?.to_owned())))
                        .collect()
                })
            })
            .unwrap_or_default();
        Ok(Self { files })
    }

    /// Whether exactly these bytes at this path are trusted.
    pub(crate) fn trusts(&self, path: &Path, bytes: &[u8]) -> bool {
        name(path).and_then(|name| self.files.get(&name)).is_some_and(|trusted| *trusted == digest(bytes))
    }

    pub(crate) fn trusts_file(&self, path: &Path) -> Result<bool, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::io("read", path, source))?;
        Ok(self.trusts(path, &bytes))
    }

    /// Adds a file as it is now; false if there is none.
    pub(crate) fn add(&mut self, path: &Path) -> Result<bool, Error> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(Error::io("read", path, source)),
        };
        let Some(name) = name(path) else { return Ok(false) };
        self.files.insert(name, digest(&bytes));
        Ok(true)
    }

    pub(crate) fn remove(&mut self, path: &Path) -> bool {
        name(path).is_some_and(|name| self.files.remove(&name).is_some())
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            make_private(folder)?;
        }
        let files: Map<String, Json> =
            self.files.iter().map(|(path, digest)| (path.clone(), Json::String(digest.clone()))).collect();
        let json = serde_json::json!({ "version": 1, "files": files });
        write_private(path, format!("{json:#}\n").as_bytes())
    }
}
