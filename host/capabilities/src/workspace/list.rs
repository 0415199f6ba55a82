//! Listings of whole trees, a page at a time.

use std::collections::{BinaryHeap, VecDeque};
use std::io;

use cap_std::fs::{Dir, MetadataExt};
use outrigger_door::{Failure, Reason};

use super::path::MOST_PARTS;
use super::writer::is_temporary;
use super::{Entry, EntryKind, Place, Workspace, entry_of, errors};

/// Entries of one page at most.
pub const MOST_ENTRIES: u32 = 10_000;
/// Entries of one page where nothing is said.
const DEFAULT_ENTRIES: u32 = 1_000;
/// Names of one folder that are held at once. A folder that has more is read again for the next ones.
const WINDOW: usize = if cfg!(test) { 8 } else { 65_536 };
/// Listings that wait for the request of their next page.
const MOST_PAUSED: usize = 4;
/// Warnings of one page.
const MOST_WARNINGS: usize = 100;

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Regular files, in the order of the bytes of their paths.
    pub entries: Vec<Entry>,
    /// Present where there is more.
    pub next: Option<String>,
    /// What was skipped, and why.
    pub warnings: Vec<String>,
}

/// A listing between two pages.
#[derive(Debug)]
pub(super) struct Paused {
    path: String,
    follow: bool,
    token: String,
    walk: Walk,
}

pub(super) fn list(
    workspace: &Workspace,
    path: &str,
    follow: bool,
    most: Option<u32>,
    token: Option<&str>,
) -> Result<ListPage, Failure> {
    let most = most.unwrap_or(DEFAULT_ENTRIES);
    if !(1..=MOST_ENTRIES).contains(&most) {
        return Err(Failure::new(Reason::InvalidInput, format!("max-entries is {most}; it is 1 to {MOST_ENTRIES}")));
    }
    let place = workspace.resolve(path)?;
    let waiting = token.and_then(|token| {
        let mut paused = workspace.paused();
        let found = paused.iter().position(|one| one.token == token && one.path == path && one.follow == follow)?;
        Some(paused.remove(found).walk)
    });
    let mut walk = match waiting {
        Some(walk) => walk,
        None => {
            let metadata = place.dir.metadata(&place.rest).map_err(|error| place.failure("list", path, &error))?;
            let itself = entry_of(String::new(), &metadata);
            match itself.kind {
                EntryKind::Directory => Walk::begin(&place, path, follow, token)?,
                EntryKind::File if token.is_none() => {
                    return Ok(ListPage { entries: vec![itself], ..ListPage::default() });
                }
                EntryKind::File => return Ok(ListPage::default()),
                EntryKind::Other => {
                    return Err(Failure::new(Reason::InvalidInput, format!("{path} is no folder and no regular file")));
                }
            }
        }
    };

    let mut page = ListPage::default();
    let most = most as usize;
    while page.entries.len() < most {
        match walk.next(&place)? {
            Some(entry) => page.entries.push(entry),
            None => break,
        }
    }
    if page.entries.len() == most {
        walk.ahead = walk.next(&place)?;
    }
    page.warnings = std::mem::take(&mut walk.warnings);
    if walk.ahead.is_some()
        && let Some(last) = page.entries.last()
    {
        page.next = Some(last.path.clone());
        let mut paused = workspace.paused();
        if paused.len() >= MOST_PAUSED {
            paused.remove(0);
        }
        paused.push(Paused { path: path.to_owned(), follow, token: last.path.clone(), walk });
    }
    Ok(page)
}

/// A name in a folder: folders end with a slash, so that their order is that of the paths in them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    key: String,
    link: bool,
}

impl Name {
    fn is_folder(&self) -> bool {
        self.key.ends_with('/')
    }
}

/// A folder on the way.
#[derive(Debug)]
struct Level {
    dir: Dir,
    /// Path below the listed folder, with a slash at the end; empty for that folder.
    prefix: String,
    /// Device and inode: what tells that a link leads back.
    id: (u64, u64),
    names: VecDeque<Name>,
    /// The last name that was taken.
    last: Option<String>,
    /// Whether there are names that `names` had no room for, or none was read yet.
    more: bool,
    /// Whether what is wrong with names was said.
    warned: bool,
}

#[derive(Debug)]
struct Walk {
    shown: String,
    follow: bool,
    /// Only paths after this one.
    after: Option<String>,
    stack: Vec<Level>,
    ahead: Option<Entry>,
    warnings: Vec<String>,
}

impl Walk {
    fn begin(place: &Place<'_>, shown: &str, follow: bool, after: Option<&str>) -> Result<Self, Failure> {
        let mut walk = Self {
            shown: shown.to_owned(),
            follow,
            after: after.map(str::to_owned),
            stack: Vec::new(),
            ahead: None,
            warnings: Vec::new(),
        };
        let (dir, id) = open_folder(place, "").map_err(|error| place.failure("list", shown, &error))?;
        walk.stack.push(Level::new(dir, String::new(), id));
        Ok(walk)
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(warning);
        }
    }

    fn next(&mut self, place: &Place<'_>) -> Result<Option<Entry>, Failure> {
        if let Some(entry) = self.ahead.take() {
            return Ok(Some(entry));
        }
        loop {
            let Some(level) = self.stack.last_mut() else {
                return Ok(None);
            };
            let Some(name) = level.names.pop_front() else {
                if level.more {
                    self.read(place)?;
                } else {
                    self.stack.pop();
                }
                continue;
            };
            let path = format!("{}{}", level.prefix, name.key);
            level.last = Some(name.key.clone());
            if name.is_folder() {
                self.enter(place, path)?;
                continue;
            }
            let metadata =
                if name.link { place.dir.metadata(below(place, &path)) } else { level.dir.symlink_metadata(&name.key) };
            match metadata {
                Ok(metadata) if metadata.is_file() => return Ok(Some(entry_of(path, &metadata))),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(place.failure("look at", &self.full(&path), &error)),
            }
        }
    }

    fn full(&self, path: &str) -> String {
        if self.shown.is_empty() { path.to_owned() } else { format!("{}/{path}", self.shown.trim_end_matches('/')) }
    }

    fn enter(&mut self, place: &Place<'_>, prefix: String) -> Result<(), Failure> {
        let path = prefix.trim_end_matches('/');
        if self.stack.len() >= MOST_PARTS {
            let warning = format!("{} is skipped: it lies deeper than {MOST_PARTS} folders", self.full(path));
            self.warn(warning);
            return Ok(());
        }
        match open_folder(place, path) {
            Ok((_, id)) if self.stack.iter().any(|level| level.id == id) => {
                let warning = format!("{} is skipped: it leads back to a folder that it lies in", self.full(path));
                self.warn(warning);
            }
            Ok((dir, id)) => self.stack.push(Level::new(dir, prefix, id)),
            // Removed, or replaced by a file, since its name was read.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(place.failure("list", &self.full(path), &error)),
        }
        Ok(())
    }

    /// Reads the next names of the innermost folder.
    fn read(&mut self, place: &Place<'_>) -> Result<(), Failure> {
        let Some(mut level) = self.stack.pop() else {
            return Ok(());
        };
        let result = self.fill(place, &mut level);
        self.stack.push(level);
        result
    }

    fn fill(&mut self, place: &Place<'_>, level: &mut Level) -> Result<(), Failure> {
        let failed = |walk: &Self, error: &io::Error| {
            place.failure("list", &walk.full(level.prefix.trim_end_matches('/')), error)
        };
        let mut smallest: BinaryHeap<Name> = BinaryHeap::new();
        level.more = false;
        for found in level.dir.entries().map_err(|error| failed(self, &error))? {
            let found = found.map_err(|error| failed(self, &error))?;
            let mut key = match found.file_name().into_string() {
                Ok(name) if is_temporary(&name) => continue,
                Ok(name) => name,
                Err(name) => {
                    if !level.warned {
                        let path = self.full(&format!("{}{}", level.prefix, name.to_string_lossy()));
                        self.warn(format!("{path} is skipped: its name is not UTF-8"));
                    }
                    continue;
                }
            };
            let kind = found.file_type().map_err(|error| failed(self, &error))?;
            let mut folder = kind.is_dir();
            let link = kind.is_symlink();
            if link {
                let path = format!("{}{key}", level.prefix);
                match place.dir.metadata(below(place, &path)) {
                    Err(error) if errors::is_escape(&error) => {
                        return Err(errors::escape(&self.full(&path), &place.root.path));
                    }
                    _ if !self.follow => continue,
                    Ok(metadata) if metadata.is_dir() => folder = true,
                    Ok(metadata) if metadata.is_file() => {}
                    Ok(_) => continue,
                    Err(error) => {
                        if !level.warned {
                            let path = self.full(&path);
                            self.warn(format!("{path} is skipped: the symbolic link leads nowhere: {error}"));
                        }
                        continue;
                    }
                }
            } else if !folder && !kind.is_file() {
                continue;
            }
            if folder {
                key.push('/');
            }
            if level.last.as_ref().is_some_and(|last| key <= *last) || !self.is_after(&level.prefix, &key, folder) {
                continue;
            }
            smallest.push(Name { key, link });
            if smallest.len() > WINDOW {
                smallest.pop();
                level.more = true;
            }
        }
        level.warned = true;
        level.names = smallest.into_sorted_vec().into();
        Ok(())
    }

    /// Whether anything at or below this name comes after the token.
    fn is_after(&self, prefix: &str, key: &str, folder: bool) -> bool {
        let Some(after) = &self.after else {
            return true;
        };
        let path = format!("{prefix}{key}");
        path > *after || folder && after.starts_with(&path)
    }
}

impl Level {
    fn new(dir: Dir, prefix: String, id: (u64, u64)) -> Self {
        Self { dir, prefix, id, names: VecDeque::new(), last: None, more: true, warned: false }
    }
}

/// The path of something in the listed folder, below the folder that all paths are resolved in.
fn below(place: &Place<'_>, path: &str) -> String {
    match (place.rest.as_str(), path) {
        (rest, "") => rest.to_owned(),
        (".", path) => path.to_owned(),
        (rest, path) => format!("{rest}/{path}"),
    }
}

fn open_folder(place: &Place<'_>, path: &str) -> io::Result<(Dir, (u64, u64))> {
    let dir = place.dir.open_dir(below(place, path))?;
    let metadata = dir.dir_metadata()?;
    Ok((dir, (metadata.dev(), metadata.ino())))
}
