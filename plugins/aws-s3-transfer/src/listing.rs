//! Listings of both kinds of places, page by page, in the order of the bytes of the paths.

use outrigger_plugin_sdk::aws::{Credentials, s3};
use outrigger_plugin_sdk::{Failure, Reason, files, pages, warn};

use crate::{Filters, LocalPath, Place, S3Place};

/// A file or an object below a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the place, with `/` between the parts.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Modification time in milliseconds since 1970-01-01T00:00:00Z.
    pub modified: u64,
}

type Entries<'a> = Box<dyn Iterator<Item = Result<Entry, Failure>> + 'a>;

/// Everything below a place that the filters include, as a folder.
///
/// Objects that stand for folders (no bytes, a key that ends with `/`) are left out, as the AWS CLI does. Where `as_files` is
/// set, so are objects whose keys cannot be paths of files, with a warning.
pub fn list<'a>(
    credentials: &'a Credentials,
    place: &'a Place,
    filters: &'a Filters,
    follow_symlinks: bool,
    page_size: Option<i32>,
    as_files: bool,
) -> Entries<'a> {
    let entries: Entries<'a> = match place {
        Place::Local(folder) => list_local(folder, follow_symlinks),
        Place::S3(folder) => list_s3(credentials, folder.as_folder(), page_size, as_files),
    };
    Box::new(entries.filter(|entry| entry.as_ref().map_or(true, |entry| filters.includes(&entry.path))))
}

/// The same, where a place that does not exist is an empty one.
pub fn list_or_empty<'a>(entries: Entries<'a>) -> Entries<'a> {
    let mut first = true;
    Box::new(entries.filter(move |entry| {
        let missing = matches!(entry, Err(failure) if failure.reason == Reason::NotFound);
        !(std::mem::take(&mut first) && missing)
    }))
}

fn list_local<'a>(folder: &'a LocalPath, follow_symlinks: bool) -> Entries<'a> {
    let entries = pages(move |next_token| {
        let input = files::ListFilesInput {
            path: folder.path().to_owned(),
            follow_symlinks,
            max_entries: Some(1_000),
            next_token,
        };
        let page = files::list_files(&input)?;
        Ok((page.entries, page.next_token))
    });
    Box::new(
        entries.map(|entry| entry.map(|entry| Entry { path: entry.path, size: entry.size, modified: entry.modified })),
    )
}

fn list_s3(credentials: &Credentials, folder: S3Place, page_size: Option<i32>, as_files: bool) -> Entries<'_> {
    let place = folder.clone();
    let objects = pages(move |continuation_token| {
        let input = s3::ListObjectsV2Input {
            bucket: folder.bucket.clone(),
            prefix: (!folder.key.is_empty()).then(|| folder.key.clone()),
            delimiter: None,
            max_keys: page_size,
            continuation_token,
            start_after: None,
        };
        let page = s3::list_objects_v2(credentials, &input)?;
        Ok((page.contents, page.next_continuation_token))
    });
    Box::new(objects.filter_map(move |object| {
        let object = match object {
            Ok(object) => object,
            Err(failure) => return Some(Err(failure)),
        };
        // The key of the folder itself is below it only as an object that stands for a folder.
        let path = object.key.strip_prefix(&place.key).unwrap_or(&object.key);
        if path.is_empty() || (object.size == 0 && path.ends_with('/')) {
            return None;
        }
        if as_files && !is_file_path(path) {
            warn!("warning: skipping {}: its key cannot be the path of a file", place.uri(&object.key));
            return None;
        }
        Some(Ok(Entry { path: path.to_owned(), size: object.size, modified: object.last_modified }))
    }))
}

/// Whether the rest of a key is the path of a file below a folder: no empty part, none that is `.` or `..`.
fn is_file_path(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_would_leave_the_folder_are_no_paths() {
        for path in ["../a", "a/../../b", "/etc/passwd", "a//b", "a/", "./a", "a\0"] {
            assert!(!is_file_path(path), "{path}");
        }
        for path in ["a", "a/b.c", "..a/b..", "a b/é"] {
            assert!(is_file_path(path), "{path}");
        }
    }

    #[test]
    fn a_missing_destination_is_empty_but_later_failures_count() {
        let entry = || Ok(Entry { path: "a".to_owned(), size: 0, modified: 0 });
        let listed = |entries: Vec<Result<Entry, Failure>>| list_or_empty(Box::new(entries.into_iter())).count();
        assert_eq!(listed(vec![Err(Failure::not_found("no folder"))]), 0);
        assert_eq!(listed(vec![Err(Failure::remote("no"))]), 1);
        assert_eq!(listed(vec![entry(), Err(Failure::not_found("vanished"))]), 2);
    }
}
