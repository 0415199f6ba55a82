//! Objects to files.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::config::ResponseChecksumValidation;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumMode;
use bytes::Bytes;
use crc_fast::Digest;
use outrigger_door::{Failure, Reason};
use tokio::task::JoinSet;

use super::access::{Bucket, S3Access, send};
use super::checksum::{Expected, mismatch};
use super::objects::{length, milliseconds};
use super::settings::{Control, TransferSettings, part_size};
use super::transfer::{ItemResult, Shared, back_off, check_count, run_all};
use crate::workspace::{FileWriter, Workspace};

/// Bytes that are written to disk at once.
const WRITE: usize = 1024 * 1024;
/// Objects up to this size are written by one call.
const WRITE_AT_ONCE: u64 = 128 * 1024;

/// An object to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadItem {
    /// Key.
    pub key: String,
    /// A guest's path.
    pub path: String,
    /// Bytes, where a listing told them.
    pub size: Option<u64>,
    /// Modification time for the file in milliseconds since 1970; the object's own where it is none.
    pub modified: Option<u64>,
}

/// What to download.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DownloadRequest {
    /// Bucket name.
    pub bucket: String,
    /// At most 10,000 objects.
    pub items: Vec<DownloadItem>,
}

struct Download<A> {
    bucket: Arc<Bucket<A>>,
    workspace: Arc<Workspace>,
}

/// An object as it is now.
struct Version {
    size: u64,
    e_tag: Option<String>,
    modified: u64,
    expected: Expected,
}

/// What became of the attempt to get an object with one request.
enum Got {
    Written(u64),
    TooLarge(Version),
}

/// Downloads objects: small ones with one GetObject, others in ranges of one version. A file appears under its name when
/// it is complete and its checksum, where S3 has one of the whole object, is right.
///
/// # Errors
/// `invalid-input` for too many items; everything else stands in the items' results.
pub async fn download<A: S3Access>(
    access: &A,
    workspace: &Arc<Workspace>,
    request: DownloadRequest,
    settings: &TransferSettings,
    control: &Control,
) -> Result<Vec<ItemResult>, Failure> {
    check_count(request.items.len())?;
    let download =
        Arc::new(Download { bucket: Arc::new(Bucket::new(access, &request.bucket)), workspace: Arc::clone(workspace) });
    let work = move |shared: Arc<Shared>, items: Arc<Vec<DownloadItem>>, index: usize| {
        let download = Arc::clone(&download);
        async move {
            match items.get(index) {
                Some(item) => download.one(&shared, item).await,
                None => Err(Failure::new(Reason::Internal, "an item is missing")),
            }
        }
    };
    Ok(run_all(settings, control, request.items, work).await)
}

fn file_time(milliseconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

/// Every version's headers name the checksums alike.
macro_rules! version {
    ($answer:expr) => {
        Version {
            size: length($answer.content_length),
            e_tag: $answer.e_tag.clone(),
            modified: milliseconds($answer.last_modified.as_ref()),
            expected: Expected::from_headers(
                $answer.checksum_type.as_ref(),
                $answer.checksum_sha256.as_deref(),
                $answer.checksum_sha1.as_deref(),
                $answer.checksum_crc64_nvme.as_deref(),
                $answer.checksum_crc32_c.as_deref(),
                $answer.checksum_crc32.as_deref(),
            ),
        }
    };
}

impl<A: S3Access> Download<A> {
    async fn one(&self, shared: &Arc<Shared>, item: &DownloadItem) -> Result<u64, Failure> {
        if item.key.is_empty() {
            return Err(Failure::new(Reason::InvalidInput, format!("the key for {} is empty", item.path)));
        }
        let mut tries = 1;
        loop {
            match self.attempt(shared, item).await {
                // A body that broke off, or one that is not what S3 has: the SDK repeats neither.
                Err(Broken(failure, true)) if tries < shared.settings.tries => {
                    tracing::debug!(key = %item.key, %failure, "a download is repeated");
                    tokio::time::sleep(back_off(tries)).await;
                    tries += 1;
                }
                answer => return answer.map_err(|broken| broken.0),
            }
        }
    }

    async fn attempt(&self, shared: &Arc<Shared>, item: &DownloadItem) -> Result<u64, Broken> {
        let large = |size| size >= shared.settings.multipart_threshold;
        let version = match item.size {
            Some(size) if large(size) => self.head(shared, item).await?,
            _ => match self.get(shared, item).await? {
                Got::Written(bytes) => return Ok(bytes),
                Got::TooLarge(version) => version,
            },
        };
        self.in_ranges(shared, item, version).await
    }

    async fn head(&self, shared: &Shared, item: &DownloadItem) -> Result<Version, Failure> {
        let head = shared
            .unthrottled(async || {
                send!(&*self.bucket, |client| client
                    .head_object()
                    .bucket(&self.bucket.name)
                    .key(&item.key)
                    .checksum_mode(ChecksumMode::Enabled))
            })
            .await?;
        Ok(version!(head))
    }

    /// Gets a whole object; the SDK compares its checksum where S3 sends one.
    async fn get(&self, shared: &Shared, item: &DownloadItem) -> Result<Got, Broken> {
        let answer = shared
            .unthrottled(async || {
                send!(&*self.bucket, |client| client
                    .get_object()
                    .bucket(&self.bucket.name)
                    .key(&item.key)
                    .checksum_mode(ChecksumMode::Enabled))
            })
            .await?;
        let version = version!(answer);
        let size = version.size;
        if size >= shared.settings.multipart_threshold {
            return Ok(Got::TooLarge(version));
        }
        let modified = file_time(item.modified.unwrap_or(version.modified));
        let path = item.path.clone();
        let body = Incoming { body: answer.body, silence: shared.settings.silence, key: &item.key };
        if size <= WRITE_AT_ONCE {
            let content = body.collect(size).await?;
            shared.moved(size);
            let write = move |workspace: &Workspace| {
                let writer = workspace.create(&path, size)?;
                let mut offset = 0;
                for piece in content {
                    writer.write_at(offset, &piece)?;
                    offset += piece.len() as u64;
                }
                writer.commit(modified)
            };
            self.workspace.run(write).await?;
        } else {
            let writer = Arc::new(self.workspace.run(move |workspace| workspace.create(&path, size)).await?);
            body.write(&self.workspace, shared, &writer, 0, size, None).await?;
            commit(&self.workspace, writer, modified).await?;
        }
        Ok(Got::Written(size))
    }

    async fn in_ranges(&self, shared: &Arc<Shared>, item: &DownloadItem, version: Version) -> Result<u64, Broken> {
        let Version { size, e_tag, modified, expected } = version;
        let path = item.path.clone();
        let writer = Arc::new(self.workspace.run(move |workspace| workspace.create(&path, size)).await?);
        let part = part_size(shared.settings.part_size, size);
        let mut offsets = (0..size).step_by(usize::try_from(part).unwrap_or(usize::MAX)).enumerate();
        let mut digests: Vec<Option<Digest>> = Vec::new();
        let mut receiving = JoinSet::new();
        loop {
            while receiving.len() < shared.settings.parts_in_flight.max(1) {
                let Some((index, offset)) = offsets.next() else {
                    break;
                };
                digests.push(None);
                let range = Range {
                    bucket: Arc::clone(&self.bucket),
                    workspace: Arc::clone(&self.workspace),
                    writer: Arc::clone(&writer),
                    key: item.key.clone(),
                    e_tag: e_tag.clone(),
                    offset,
                    length: part.min(size - offset),
                    digest: expected.digest(),
                };
                let shared = Arc::clone(shared);
                receiving.spawn(async move { (index, range.receive(&shared).await) });
            }
            match receiving.join_next().await {
                Some(Ok((index, digest))) => {
                    if let Some(place) = digests.get_mut(index) {
                        *place = digest?;
                    }
                }
                Some(Err(error)) => {
                    return Err(
                        Failure::new(Reason::Internal, format!("a range of {} ended: {error}", item.key)).into()
                    );
                }
                None => break,
            }
        }
        let digests: Vec<Digest> = digests.into_iter().flatten().collect();
        // The whole is fetched again when it is wrong: nobody can tell which range is.
        let again = |failure| {
            shared.unmoved(size);
            Broken(failure, true)
        };
        expected.check_ranges(&item.key, &digests).map_err(again)?;
        if let Some(mut checksum) = expected.sequential() {
            let reader = Arc::clone(&writer);
            let computed = self
                .workspace
                .run(move |_| {
                    let mut buffer = vec![0; WRITE];
                    let mut offset = 0;
                    loop {
                        let read = reader.read_at(offset, &mut buffer)?;
                        match buffer.get(..read) {
                            Some(bytes) if read > 0 => checksum.update(bytes),
                            _ => return Ok(checksum.finalize()),
                        }
                        offset += read as u64;
                    }
                })
                .await?;
            expected.check_sequential(&item.key, &computed).map_err(again)?;
        }
        commit(&self.workspace, writer, file_time(item.modified.unwrap_or(modified))).await?;
        Ok(size)
    }
}

async fn commit(
    workspace: &Arc<Workspace>,
    writer: Arc<FileWriter>,
    modified: Option<SystemTime>,
) -> Result<(), Failure> {
    let writer = Arc::into_inner(writer)
        .ok_or_else(|| Failure::new(Reason::Internal, "a file is still written to after its download"))?;
    workspace.run(move |_| writer.commit(modified)).await
}

/// A failure, and whether another try may help.
struct Broken(Failure, bool);

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self(failure, false)
    }
}

/// A range of an object that is fetched.
struct Range<A> {
    bucket: Arc<Bucket<A>>,
    workspace: Arc<Workspace>,
    writer: Arc<FileWriter>,
    key: String,
    e_tag: Option<String>,
    offset: u64,
    length: u64,
    digest: Option<Digest>,
}

impl<A: S3Access> Range<A> {
    async fn receive(self, shared: &Shared) -> Result<Option<Digest>, Failure> {
        let mut tries = 1;
        loop {
            match self.attempt(shared).await {
                Err(Broken(failure, true)) if tries < shared.settings.tries => {
                    tracing::debug!(key = %self.key, offset = self.offset, %failure, "a range is repeated");
                    tokio::time::sleep(back_off(tries)).await;
                    tries += 1;
                }
                answer => return answer.map_err(|broken| broken.0),
            }
        }
    }

    async fn attempt(&self, shared: &Shared) -> Result<Option<Digest>, Broken> {
        let (first, last) = (self.offset, self.offset + self.length - 1);
        // Some servers send the checksum of the whole object with a range of it, which the SDK would compare.
        let unchecked = || {
            aws_sdk_s3::config::Builder::new().response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        };
        let answer = shared
            .unthrottled(async || {
                send!(
                    &*self.bucket,
                    |client| client
                        .get_object()
                        .bucket(&self.bucket.name)
                        .key(&self.key)
                        .range(format!("bytes={first}-{last}"))
                        .set_if_match(self.e_tag.clone()),
                    |customized| customized.config_override(unchecked())
                )
            })
            .await
            .map_err(|failure| match failure.code.as_deref() {
                Some("PreconditionFailed" | "InvalidRange") => Failure {
                    message: format!("{} changed while it was downloaded: {}", self.key, failure.message),
                    reason: Reason::Conflict,
                    ..failure
                },
                _ => failure,
            })?;
        let wanted = format!("bytes {first}-{last}/");
        if !answer.content_range.as_deref().is_some_and(|range| range.starts_with(&wanted)) {
            return Err(Failure::new(
                Reason::Remote,
                format!("{} was asked for {wanted} and answered with {:?}", self.key, answer.content_range),
            )
            .into());
        }
        let body = Incoming { body: answer.body, silence: shared.settings.silence, key: &self.key };
        body.write(&self.workspace, shared, &self.writer, first, self.length, self.digest).await
    }
}

/// A body that arrives.
struct Incoming<'a> {
    body: ByteStream,
    silence: Duration,
    key: &'a str,
}

impl Incoming<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        match tokio::time::timeout(self.silence, self.body.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(Some(Err(error))) => {
                let cause = chain(&error);
                let failure = if cause.contains("checksum mismatch") {
                    mismatch(self.key, &cause)
                } else {
                    Failure::new(Reason::Connection, format!("{} broke off while it arrived: {cause}", self.key))
                        .retryable()
                };
                Err(Broken(failure, true))
            }
            Err(_) => Err(Broken(
                Failure::new(
                    Reason::Connection,
                    format!("{} stopped arriving for {} seconds", self.key, self.silence.as_secs_f32()),
                )
                .retryable(),
                true,
            )),
        }
    }

    fn wrong_length(&self, expected: u64, received: u64) -> Broken {
        let message = format!("{} was to have {expected} bytes, and {received} arrived", self.key);
        Broken(Failure::new(Reason::Connection, message).retryable(), true)
    }

    /// All of a small body.
    async fn collect(mut self, size: u64) -> Result<Vec<Bytes>, Broken> {
        let mut pieces = Vec::new();
        let mut received = 0;
        while let Some(bytes) = self.next().await? {
            received += bytes.len() as u64;
            if received > size {
                break;
            }
            pieces.push(bytes);
        }
        if received == size { Ok(pieces) } else { Err(self.wrong_length(size, received)) }
    }

    /// Writes a body into a file, and computes a checksum on the way.
    async fn write(
        mut self,
        workspace: &Arc<Workspace>,
        shared: &Shared,
        writer: &Arc<FileWriter>,
        offset: u64,
        size: u64,
        mut digest: Option<Digest>,
    ) -> Result<Option<Digest>, Broken> {
        let answer = self.write_all(workspace, shared, writer, offset, size, &mut digest).await;
        match answer {
            Ok(()) => Ok(digest),
            Err((counted, broken)) => {
                shared.unmoved(counted);
                Err(broken)
            }
        }
    }

    async fn write_all(
        &mut self,
        workspace: &Arc<Workspace>,
        shared: &Shared,
        writer: &Arc<FileWriter>,
        offset: u64,
        size: u64,
        digest: &mut Option<Digest>,
    ) -> Result<(), (u64, Broken)> {
        let mut received = 0;
        let mut counted = 0;
        let mut pieces = Vec::new();
        let mut waiting = 0;
        loop {
            let next = self.next().await.map_err(|broken| (counted, broken))?;
            let ended = next.is_none();
            if let Some(bytes) = next {
                received += bytes.len() as u64;
                waiting += bytes.len();
                if received > size {
                    return Err((counted, self.wrong_length(size, received)));
                }
                pieces.push(bytes);
            }
            if waiting >= WRITE || ended && waiting > 0 {
                let (batch, writer, mut state) = (std::mem::take(&mut pieces), Arc::clone(writer), *digest);
                let mut at = offset + received - waiting as u64;
                let work = move |_: &Workspace| {
                    for piece in &batch {
                        if let Some(digest) = &mut state {
                            digest.update(piece);
                        }
                        writer.write_at(at, piece)?;
                        at += piece.len() as u64;
                    }
                    Ok(state)
                };
                *digest = workspace.run(work).await.map_err(|failure| (counted, failure.into()))?;
                shared.moved(waiting as u64);
                counted += waiting as u64;
                waiting = 0;
            }
            if ended {
                return if received == size { Ok(()) } else { Err((counted, self.wrong_length(size, received))) };
            }
        }
    }
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let message = cause.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        next = cause.source();
    }
    text
}
