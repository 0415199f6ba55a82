//! Carries out what a step planned, a batch at a time, and says what came of it in the words of the AWS CLI.

use std::fmt::Write as _;

use outrigger_plugin_sdk::aws::Credentials;
use outrigger_plugin_sdk::aws::s3::{self, DeleteObjectsInput};
use outrigger_plugin_sdk::aws::s3_transfer::{
    self as host, CopyInput as HostCopy, CopyItem, DownloadInput, DownloadItem, ItemResult, UploadInput, UploadItem,
    WriteOptions,
};
use outrigger_plugin_sdk::log::{self, Level};
use outrigger_plugin_sdk::{Failure, Reason, files, outputs};
use schemars::JsonSchema;
use serde::Serialize;

use crate::place::shown;
use crate::{CopyInput, Place, WriteInput};

/// Files of one call of the host, and keys of one DeleteObjects.
const BATCH: usize = 1_000;

/// Failed files that the failure itself names.
const NAMED_FAILURES: usize = 3;

/// Records of single files that the outputs hold at most; the counters go on.
const MOST_RECORDS: usize = 1_000;

/// From so many files on, a batch of which all were refused ends the step, since the rest would be refused too.
const HOPELESS: usize = 10;

/// Bytes of one write to the log.
const LOG_CHUNK: usize = 32 * 1024;

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Files become objects.
    Upload,
    /// Objects become files.
    Download,
    /// Objects become objects.
    Copy,
}

impl Direction {
    fn word(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::Copy => "copy",
        }
    }
}

/// What came of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileOutput {
    /// `upload`, `download`, `copy` or `delete`.
    pub action: String,
    /// Path or URI that was read; for `delete`, that was removed.
    pub source: String,
    /// Path or URI that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Bytes that were transferred.
    pub bytes: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What came of all files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Files that were uploaded.
    pub uploaded: u64,
    /// Objects that were downloaded.
    pub downloaded: u64,
    /// Objects that were copied.
    pub copied: u64,
    /// Files or objects that were deleted.
    pub deleted: u64,
    /// Files that both sides had already.
    pub unchanged: u64,
    /// Files and objects that failed.
    pub failed: u64,
    /// Bytes that were transferred.
    pub bytes: u64,
    /// Whether nothing was done, only said. The counters then tell what would have been done.
    pub dryrun: bool,
    /// The first 1,000 files with what came of them.
    pub files: Vec<FileOutput>,
    /// Whether there are more than `files` holds.
    pub files_truncated: bool,
    /// The files of `files` that failed, and up to 100 more.
    pub failures: Vec<FileOutput>,
}

/// A file that waits for its batch.
struct Pending {
    /// Path or key.
    source: String,
    /// Path or key.
    destination: String,
    size: u64,
    modified: u64,
}

/// A transfer between two places.
///
/// `DELETES` says whether it may remove anything: a step that never does must not import the functions for it.
pub struct Transfer<'a, const DELETES: bool> {
    credentials: &'a Credentials,
    source: &'a Place,
    destination: &'a Place,
    direction: Direction,
    options: WriteOptions,
    mode: CopyInput,
    transfers: Vec<Pending>,
    deletes: Vec<String>,
    record: Record,
}

/// What was done so far.
#[derive(Default)]
struct Record {
    outputs: Outputs,
    first_failure: Option<Failure>,
    lines: Vec<(Level, String)>,
}

impl<'a, const DELETES: bool> Transfer<'a, DELETES> {
    /// A transfer between these places.
    ///
    /// # Errors
    /// `invalid-input` where both places are local or an option has another form.
    pub fn new(
        credentials: &'a Credentials,
        source: &'a Place,
        destination: &'a Place,
        mode: &CopyInput,
        write: &WriteInput,
    ) -> Result<Self, Failure> {
        let direction = match (source, destination) {
            (Place::Local(_), Place::S3(_)) => Direction::Upload,
            (Place::S3(_), Place::Local(_)) => Direction::Download,
            (Place::S3(_), Place::S3(_)) => Direction::Copy,
            (Place::Local(_), Place::Local(_)) => return Err(Failure::invalid_input("both places are local")),
        };
        let record = Record { outputs: Outputs { dryrun: mode.dryrun, ..Outputs::default() }, ..Record::default() };
        Ok(Self {
            credentials,
            source,
            destination,
            direction,
            options: write.options()?,
            mode: mode.clone(),
            transfers: Vec::new(),
            deletes: Vec::new(),
            record,
        })
    }

    /// Runs a plan to its end, sets the outputs, also where it failed, and fails where a file did.
    ///
    /// # Errors
    /// What the plan gives, or a failure that names the first files that failed.
    pub fn run(mut self, plan: impl FnOnce(&mut Self) -> Result<(), Failure>) -> Result<(), Failure> {
        let ended = plan(&mut self).and_then(|()| self.flush());
        let set = outputs(&self.record.outputs);
        ended?;
        set?;
        self.record.summary(self.mode.quiet || self.mode.only_show_errors);
        self.record.end()
    }

    /// Puts a file on the list: path or key on both sides, bytes, modification time. A full list is worked off.
    ///
    /// # Errors
    /// What the host gives for the whole batch. A file that fails alone is no failure yet.
    pub fn add(&mut self, source: String, destination: String, size: u64, modified: u64) -> Result<(), Failure> {
        self.transfers.push(Pending { source, destination, size, modified });
        if self.transfers.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Counts a file that both sides have.
    pub fn unchanged(&mut self) {
        self.record.outputs.unchanged += 1;
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let transfers = std::mem::take(&mut self.transfers);
        let deletes = std::mem::take(&mut self.deletes);
        let ended =
            self.flush_transfers(&transfers).and_then(|()| if DELETES { self.flush_deletes(&deletes) } else { Ok(()) });
        self.record.print();
        let done = &self.record.outputs;
        let files = done.uploaded + done.downloaded + done.copied + done.deleted + done.failed;
        if files > 0 && !self.mode.dryrun {
            log::progress(files, None, "files");
        }
        ended
    }

    fn flush_transfers(&mut self, items: &[Pending]) -> Result<(), Failure> {
        if items.is_empty() {
            return Ok(());
        }
        let results = if self.mode.dryrun { all_done(items) } else { self.transfer(items)? };
        let mut refused = 0;
        for result in results {
            let Some(item) = usize::try_from(result.index).ok().and_then(|index| items.get(index)) else {
                return Err(Failure::internal("the host answered for a file that it was not given"));
            };
            if let Some(failure) = result.failure.as_ref().filter(|failure| failure.ends_step()) {
                return Err(failure.clone());
            }
            refused += usize::from(result.failure.as_ref().is_some_and(is_refusal));
            let source = address(self.source, &item.source);
            let destination = address(self.destination, &item.destination);
            self.record.transferred(self.direction, &self.mode, (source, destination), result.bytes, result.failure);
        }
        self.record.check_hope(refused, items.len())
    }

    fn transfer(&self, items: &[Pending]) -> Result<Vec<ItemResult>, Failure> {
        let output = match (self.source, self.destination) {
            (_, Place::S3(place)) if self.direction == Direction::Upload => {
                let items =
                    items.iter().map(|item| UploadItem { path: item.source.clone(), key: item.destination.clone() });
                let input =
                    UploadInput { bucket: place.bucket.clone(), items: items.collect(), options: self.options.clone() };
                host::upload(self.credentials, &input)?
            }
            (Place::S3(from), Place::S3(to)) => {
                let items = items.iter().map(|item| CopyItem {
                    source_key: item.source.clone(),
                    key: item.destination.clone(),
                    size: Some(item.size),
                });
                let input = HostCopy {
                    source_bucket: from.bucket.clone(),
                    bucket: to.bucket.clone(),
                    items: items.collect(),
                    options: self.options.clone(),
                };
                host::copy(self.credentials, &input)?
            }
            (Place::S3(place), _) => {
                let items = items.iter().map(|item| DownloadItem {
                    key: item.source.clone(),
                    path: item.destination.clone(),
                    size: Some(item.size),
                    modified: Some(item.modified),
                });
                host::download(
                    self.credentials,
                    &DownloadInput { bucket: place.bucket.clone(), items: items.collect() },
                )?
            }
            (Place::Local(_), _) => return Err(Failure::internal("both places are local")),
        };
        Ok(output.results)
    }

    fn flush_deletes(&mut self, names: &[String]) -> Result<(), Failure> {
        if names.is_empty() {
            return Ok(());
        }
        let mut failed: Vec<(String, Failure)> = Vec::new();
        if !self.mode.dryrun {
            match self.destination {
                Place::Local(_) => {
                    if let Err(failure) = files::remove_files(names) {
                        if failure.ends_step() {
                            return Err(failure);
                        }
                        failed.extend(names.iter().map(|name| (name.clone(), failure.clone())));
                    }
                }
                Place::S3(place) => {
                    let input = DeleteObjectsInput { bucket: place.bucket.clone(), keys: names.to_vec() };
                    let output = s3::delete_objects(self.credentials, &input)?;
                    failed.extend(output.errors.into_iter().map(|error| {
                        let reason = if error.code == "AccessDenied" { Reason::AccessDenied } else { Reason::Remote };
                        let failure = Failure::new(reason, format!("{}: {}", error.code, error.message));
                        (error.key, failure.with_code(error.code))
                    }));
                }
            }
        }
        for name in names {
            let failure = failed.iter().find(|(failed, _)| failed == name).map(|(_, failure)| failure.clone());
            self.record.deleted(&self.mode, address(self.destination, name), failure);
        }
        let refused = failed.iter().filter(|(_, failure)| is_refusal(failure)).count();
        self.record.check_hope(refused, names.len())
    }
}

impl Transfer<'_, true> {
    /// Puts a path or key of the destination on the list of what is removed.
    ///
    /// # Errors
    /// As [`Transfer::add`].
    pub fn remove(&mut self, destination: String) -> Result<(), Failure> {
        self.deletes.push(destination);
        if self.deletes.len() >= BATCH { self.flush() } else { Ok(()) }
    }
}

/// A path or key as the AWS CLI prints it, on one line whatever it holds.
fn address(place: &Place, name: &str) -> String {
    let address = match place {
        Place::Local(_) => shown(name),
        Place::S3(place) => place.uri(name),
    };
    if !address.contains(char::is_control) {
        return address;
    }
    address.chars().fold(String::new(), |mut line, c| {
        let _ = if c.is_control() { write!(line, "{}", c.escape_default()) } else { write!(line, "{c}") };
        line
    })
}

fn all_done(items: &[Pending]) -> Vec<ItemResult> {
    let done = |(index, item): (u32, &Pending)| ItemResult { index, bytes: item.size, failure: None };
    (0..).zip(items).map(done).collect()
}

fn is_refusal(failure: &Failure) -> bool {
    matches!(failure.reason, Reason::AccessDenied | Reason::Authentication) || failure.is("NoSuchBucket")
}

impl Record {
    fn transferred(
        &mut self,
        direction: Direction,
        mode: &CopyInput,
        (source, destination): (String, String),
        bytes: u64,
        failure: Option<Failure>,
    ) {
        let what = format!("{source} to {destination}");
        if failure.is_none() {
            let outputs = &mut self.outputs;
            outputs.bytes += bytes;
            match direction {
                Direction::Upload => outputs.uploaded += 1,
                Direction::Download => outputs.downloaded += 1,
                Direction::Copy => outputs.copied += 1,
            }
        }
        let bytes = if failure.is_none() { bytes } else { 0 };
        let action = direction.word();
        let file = FileOutput { action: action.to_owned(), source, destination: Some(destination), bytes, error: None };
        self.ended(mode, action, &what, file, failure);
    }

    fn deleted(&mut self, mode: &CopyInput, what: String, failure: Option<Failure>) {
        self.outputs.deleted += u64::from(failure.is_none());
        let file =
            FileOutput { action: "delete".to_owned(), source: what.clone(), destination: None, bytes: 0, error: None };
        self.ended(mode, "delete", &what, file, failure);
    }

    fn ended(&mut self, mode: &CopyInput, action: &str, what: &str, mut file: FileOutput, failure: Option<Failure>) {
        match failure {
            None => {
                if !mode.quiet && !mode.only_show_errors {
                    let dryrun = if mode.dryrun { "(dryrun) " } else { "" };
                    self.lines.push((Level::Info, format!("{dryrun}{action}: {what}")));
                }
            }
            Some(failure) => {
                if !mode.quiet {
                    self.lines.push((Level::Error, format!("{action} failed: {what} {}", failure.message)));
                }
                file.error = Some(failure.message.clone());
                self.outputs.failed += 1;
                if self.outputs.failures.len() < 100 {
                    self.outputs.failures.push(file.clone());
                }
                self.first_failure.get_or_insert(failure);
            }
        }
        if self.outputs.files.len() < MOST_RECORDS {
            self.outputs.files.push(file);
        } else {
            self.outputs.files_truncated = true;
        }
    }

    /// Writes the lines of a batch with few calls.
    fn print(&mut self) {
        let mut chunk = String::new();
        let mut level = Level::Info;
        for (own, line) in self.lines.drain(..) {
            let differs = (own as u8) != (level as u8);
            if !chunk.is_empty() && (differs || chunk.len() + line.len() >= LOG_CHUNK) {
                log::write(level, &chunk);
                chunk.clear();
            }
            level = own;
            if !chunk.is_empty() {
                chunk.push('\n');
            }
            chunk.push_str(&line);
        }
        if !chunk.is_empty() {
            log::write(level, &chunk);
        }
    }

    fn check_hope(&self, refused: usize, of: usize) -> Result<(), Failure> {
        match &self.first_failure {
            Some(failure) if refused == of && of >= HOPELESS => {
                Err(failure.clone().context(format!("all of {of} files were refused, so the others were not tried")))
            }
            _ => Ok(()),
        }
    }

    fn summary(&self, quiet: bool) {
        if quiet {
            return;
        }
        let outputs = &self.outputs;
        let mut parts = Vec::new();
        for (count, word) in [
            (outputs.uploaded, "uploaded"),
            (outputs.downloaded, "downloaded"),
            (outputs.copied, "copied"),
            (outputs.deleted, "deleted"),
            (outputs.unchanged, "unchanged"),
            (outputs.failed, "failed"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {word}"));
            }
        }
        let counts = if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") };
        let dryrun = if outputs.dryrun { "(dryrun) " } else { "" };
        log::write(Level::Verbose, &format!("{dryrun}{counts}, {} bytes", outputs.bytes));
    }

    fn end(self) -> Result<(), Failure> {
        let Some(first) = self.first_failure else { return Ok(()) };
        let failed = self.outputs.failed;
        let named = self.outputs.failures.iter().take(NAMED_FAILURES).map(|file| {
            let destination =
                file.destination.as_ref().map(|destination| format!(" to {destination}")).unwrap_or_default();
            format!("{} {}{destination}: {}", file.action, file.source, file.error.as_deref().unwrap_or_default())
        });
        let named = named.collect::<Vec<_>>().join("; ");
        let more = usize::try_from(failed).unwrap_or(usize::MAX).saturating_sub(NAMED_FAILURES);
        let more = if more > 0 { format!("; and {more} more, see the log") } else { String::new() };
        let files = if failed == 1 { "file" } else { "files" };
        Err(Failure { message: format!("{failed} {files} failed: {named}{more}"), ..first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    fn mode(dryrun: bool) -> CopyInput {
        CopyInput { quiet: false, only_show_errors: false, dryrun, follow_symlinks: true, page_size: None }
    }

    fn lines(record: &Record) -> Vec<&str> {
        record.lines.iter().map(|(_, line)| line.as_str()).collect()
    }

    #[test]
    fn messages_are_those_of_the_aws_cli() {
        let (local, bucket) = places(".", "s3://b/p/").unwrap();
        let mut record = Record::default();
        let names = |source: &str, key: &str| (address(&local, source), address(&bucket, key));
        record.transferred(Direction::Upload, &mode(false), names("a.txt", "p/a.txt"), 3, None);
        record.transferred(Direction::Upload, &mode(true), names("d/a", "p/d/a"), 3, None);
        record.transferred(Direction::Upload, &mode(false), names("x", "p/x"), 0, Some(Failure::remote("no luck")));
        record.deleted(&mode(false), address(&bucket, "p/old"), None);
        record.deleted(&mode(true), address(&local, "old"), None);
        assert_eq!(
            lines(&record),
            [
                "upload: ./a.txt to s3://b/p/a.txt",
                "(dryrun) upload: d/a to s3://b/p/d/a",
                "upload failed: ./x to s3://b/p/x no luck",
                "delete: s3://b/p/old",
                "(dryrun) delete: ./old",
            ]
        );
        assert_eq!((record.outputs.uploaded, record.outputs.failed, record.outputs.bytes), (2, 1, 6));
    }

    #[test]
    fn quiet_says_nothing_and_only_show_errors_says_errors() {
        let mut record = Record::default();
        let names = || ("s3://a/x".to_owned(), "s3://b/x".to_owned());
        let quiet = CopyInput { quiet: true, ..mode(false) };
        let errors = CopyInput { only_show_errors: true, ..mode(false) };
        record.transferred(Direction::Copy, &quiet, names(), 1, Some(Failure::remote("no")));
        record.transferred(Direction::Copy, &errors, names(), 1, None);
        record.transferred(Direction::Copy, &errors, names(), 1, Some(Failure::remote("no")));
        assert_eq!(lines(&record), ["copy failed: s3://a/x to s3://b/x no"]);
    }

    #[test]
    fn failures_are_named_at_the_end_with_the_first_ones_class() {
        let mut record = Record::default();
        for number in 0..5 {
            let names = (format!("./{number}"), format!("s3://b/{number}"));
            let failure = Failure::new(Reason::AccessDenied, "denied").with_code("AccessDenied");
            record.transferred(Direction::Upload, &mode(false), names, 1, Some(failure));
        }
        assert!(record.check_hope(5, 5).is_ok());
        assert!(record.check_hope(1_000, 1_000).unwrap_err().message.contains("not tried"));
        let failure = record.end().unwrap_err();
        assert_eq!(failure.reason, Reason::AccessDenied);
        assert!(failure.is("AccessDenied"));
        assert!(failure.message.starts_with("5 files failed: upload ./0 to s3://b/0: denied; "), "{}", failure.message);
        assert!(failure.message.ends_with("; and 2 more, see the log"), "{}", failure.message);
        assert!(Record::default().end().is_ok());
    }

    #[test]
    fn names_stay_on_one_line() {
        let (_, bucket) = places("a", "s3://b").unwrap();
        assert_eq!(address(&bucket, "a\nupload: x"), "s3://b/a\\nupload: x");
    }

    #[test]
    fn records_of_files_are_limited_and_counters_are_not() {
        let mut record = Record::default();
        for _ in 0..MOST_RECORDS + 5 {
            record.deleted(&mode(false), "s3://b/x".to_owned(), None);
        }
        assert_eq!(record.outputs.files.len(), MOST_RECORDS);
        assert!(record.outputs.files_truncated);
        assert_eq!(record.outputs.deleted, 1_005);
    }
}
