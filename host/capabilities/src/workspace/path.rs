//! Paths as guests write them.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use outrigger_door::{Failure, Reason};

/// Bytes of a path, as Linux has it (`PATH_MAX` without the final NUL).
const LONGEST_PATH: usize = 4_095;
/// Bytes of one part of a path (`NAME_MAX`).
const LONGEST_NAME: usize = 255;
/// Parts of a path: deeper trees are made by accident or malice.
pub(super) const MOST_PARTS: usize = 128;

/// A path that holds nothing forbidden.
pub(super) struct GuestPath<'a> {
    /// Whether it began with a slash.
    pub(super) absolute: bool,
    /// Its parts, without empty ones and `.`.
    pub(super) parts: Vec<&'a str>,
}

impl<'a> GuestPath<'a> {
    pub(super) fn parse(path: &'a str) -> Result<Self, Failure> {
        let refuse = |why: &str| Err(Failure::new(Reason::InvalidInput, format!("the path {} {why}", shown(path))));
        if path.len() > LONGEST_PATH {
            return refuse(&format!("has {} bytes; a path has at most {LONGEST_PATH}", path.len()));
        }
        if path.contains('\0') {
            return refuse("holds a NUL character");
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return refuse("holds `..`: write the path without it");
        }
        if parts.iter().any(|part| part.len() > LONGEST_NAME) {
            return refuse(&format!("has a part of more than {LONGEST_NAME} bytes"));
        }
        if parts.len() > MOST_PARTS {
            return refuse(&format!("has {} parts; at most {MOST_PARTS} are resolved", parts.len()));
        }
        Ok(Self { absolute: path.starts_with('/'), parts })
    }

    /// The parts below a folder; none for a path that lies elsewhere.
    pub(super) fn below(&self, folder: &Path) -> Option<&[&'a str]> {
        let mut parts = self.parts.as_slice();
        for component in folder.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => {
                    let (first, rest) = parts.split_first()?;
                    if first.as_bytes() != name.as_bytes() {
                        return None;
                    }
                    parts = rest;
                }
                Component::ParentDir | Component::Prefix(_) => return None,
            }
        }
        Some(parts)
    }
}

/// A path for a message: control characters escaped, and not endless.
pub(super) fn shown(path: &str) -> String {
    const LONGEST: usize = 200;
    let cut = path.get(..path.floor_char_boundary(LONGEST)).unwrap_or_default();
    format!("{cut:?}{}", if cut.len() < path.len() { "..." } else { "" })
}

/// An absolute path in no allowed folder; names the folder to allow.
pub(super) fn refusal(path: &str) -> Failure {
    let parent = Path::new(path).parent().filter(|parent| parent.parent().is_some()).unwrap_or(Path::new(path));
    let parent = parent.to_string_lossy();
    Failure::new(
        Reason::AccessDenied,
        format!(
            "{} is not in the run's workspace or an allowed folder: pass --allow-dir {parent} or add it to [workspace] \
             allow-dirs",
            shown(path)
        ),
    )
}
