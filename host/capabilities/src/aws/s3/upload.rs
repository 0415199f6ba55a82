//! Files to objects.

use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::CompletedPart;
use bytes::Bytes;
use outrigger_door::{Failure, Reason};
use tokio::task::JoinSet;

use super::access::{Bucket, S3Access, send};
use super::multipart::Multipart;
use super::options::{ChecksumAlgorithm, WriteOptions, header_options, media_type, storage_options};
use super::settings::{Control, TransferSettings, part_size};
use super::source::{changed, read_exact, read_failure, streamed};
use super::transfer::{ItemResult, Shared, check_count, run_all};
use crate::workspace::{OpenedFile, Workspace};

/// Files up to this size are read where they are opened, which saves changing threads twice.
const READ_AT_ONCE: u64 = 128 * 1024;

/// A file to upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadItem {
    /// A guest's path.
    pub path: String,
    /// Key.
    pub key: String,
}

/// What to upload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadRequest {
    /// Bucket name.
    pub bucket: String,
    /// At most 10,000 files.
    pub items: Vec<UploadItem>,
    /// How objects are written.
    pub options: WriteOptions,
}

struct Upload<A> {
    bucket: Arc<Bucket<A>>,
    workspace: Arc<Workspace>,
    options: WriteOptions,
    checksum: Option<ChecksumAlgorithm>,
}

/// Uploads files: small ones with PutObject, others in parts. One item's failure does not stop the others.
///
/// # Errors
/// `invalid-input` for too many items and unknown options; everything else stands in the items' results.
pub async fn upload<A: S3Access>(
    access: &A,
    workspace: &Arc<Workspace>,
    request: UploadRequest,
    settings: &TransferSettings,
    control: &Control,
) -> Result<Vec<ItemResult>, Failure> {
    check_count(request.items.len())?;
    let checksum = request.options.checksum()?.or_else(|| settings.checksum.clone());
    let upload = Arc::new(Upload {
        bucket: Arc::new(Bucket::new(access, &request.bucket)),
        workspace: Arc::clone(workspace),
        options: request.options,
        checksum,
    });
    let work = move |shared: Arc<Shared>, items: Arc<Vec<UploadItem>>, index: usize| {
        let upload = Arc::clone(&upload);
        async move {
            match items.get(index) {
                Some(item) => upload.one(&shared, item).await,
                None => Err(Failure::new(Reason::Internal, "an item is missing")),
            }
        }
    };
    Ok(run_all(settings, control, request.items, work).await)
}

impl<A: S3Access> Upload<A> {
    async fn one(&self, shared: &Arc<Shared>, item: &UploadItem) -> Result<u64, Failure> {
        if item.key.is_empty() {
            return Err(Failure::new(Reason::InvalidInput, format!("the key for {} is empty", item.path)));
        }
        let path = item.path.clone();
        let (opened, content) = self
            .workspace
            .run(move |workspace| {
                let opened = workspace.open(&path)?;
                let content = if opened.size <= READ_AT_ONCE {
                    let content = read_exact(&opened.file, 0, opened.size);
                    Some(content.map_err(|error| read_failure(&path, &error))?)
                } else {
                    None
                };
                Ok((opened, content))
            })
            .await?;
        let size = opened.size;
        if let Some(content) = content {
            self.put(shared, item, content).await?;
        } else if size < shared.settings.multipart_threshold {
            let room = shared.room(size).await?;
            let content = self.read(Arc::new(opened.file), &item.path, 0, size).await?;
            self.put(shared, item, content).await?;
            drop(room);
        } else {
            self.in_parts(shared, item, opened).await?;
        }
        Ok(size)
    }

    async fn read(&self, file: Arc<std::fs::File>, path: &str, offset: u64, length: u64) -> Result<Bytes, Failure> {
        let path = path.to_owned();
        self.workspace
            .run(move |_| read_exact(&file, offset, length).map_err(|error| read_failure(&path, &error)))
            .await
    }

    fn content_type(&self, item: &UploadItem) -> Option<String> {
        self.options.content_type.clone().or_else(|| media_type(&item.path).map(str::to_owned))
    }

    async fn put(&self, shared: &Shared, item: &UploadItem, content: Bytes) -> Result<(), Failure> {
        let size = content.len() as u64;
        shared
            .unthrottled(async || {
                send!(
                    &*self.bucket,
                    |client| {
                        let request = client
                            .put_object()
                            .bucket(&self.bucket.name)
                            .key(&item.key)
                            .set_checksum_algorithm(self.checksum.clone())
                            .body(ByteStream::from(content.clone()));
                        let request = storage_options!(request, &self.options);
                        header_options!(request, &self.options, self.content_type(item))
                    },
                    // The checksum, which is signed, vouches for the body.
                    |customized| customized.disable_payload_signing()
                )
            })
            .await?;
        shared.moved(size);
        Ok(())
    }

    async fn in_parts(&self, shared: &Arc<Shared>, item: &UploadItem, opened: OpenedFile) -> Result<(), Failure> {
        let begun = shared
            .unthrottled(async || {
                send!(&*self.bucket, |client| {
                    let request = client
                        .create_multipart_upload()
                        .bucket(&self.bucket.name)
                        .key(&item.key)
                        .set_checksum_algorithm(self.checksum.clone());
                    let request = storage_options!(request, &self.options);
                    header_options!(request, &self.options, self.content_type(item))
                })
            })
            .await?;
        let upload = Multipart::begun(shared, &self.bucket, &item.key, begun.upload_id)?;

        let size = opened.size;
        let file = Arc::new(opened.file);
        let part = part_size(shared.settings.part_size, size);
        let mut offsets = (0..size).step_by(usize::try_from(part).unwrap_or(usize::MAX)).zip(1..);
        let mut parts = Vec::new();
        // Declared after the upload, so that its tasks end before the upload is aborted.
        let mut sending = JoinSet::new();
        loop {
            while sending.len() < shared.settings.parts_in_flight.max(1) {
                let Some((offset, number)) = offsets.next() else {
                    break;
                };
                let piece = Piece {
                    file: Arc::clone(&file),
                    path: item.path.clone(),
                    number,
                    offset,
                    length: part.min(size - offset),
                };
                let (bucket, workspace) = (Arc::clone(&self.bucket), Arc::clone(&self.workspace));
                let (key, id, checksum) = (item.key.clone(), upload.id.clone(), self.checksum.clone());
                let shared = Arc::clone(shared);
                sending.spawn(async move { piece.send(&shared, &bucket, &workspace, &key, &id, checksum).await });
            }
            match sending.join_next().await {
                Some(Ok(sent)) => parts.push(sent?),
                Some(Err(error)) => {
                    return Err(Failure::new(Reason::Internal, format!("a part of {} ended: {error}", item.key)));
                }
                None => break,
            }
        }

        let path = item.path.clone();
        let modified = opened.modified;
        let now = self.workspace.run(move |workspace| workspace.stat(&path)).await?;
        if (now.size, now.modified) != (size, modified) {
            return Err(changed(&item.path));
        }
        upload.complete(parts, size).await
    }
}

/// A part of a file.
struct Piece {
    file: Arc<std::fs::File>,
    path: String,
    number: i32,
    offset: u64,
    length: u64,
}

impl Piece {
    async fn send<A: S3Access>(
        self,
        shared: &Shared,
        bucket: &Bucket<A>,
        workspace: &Arc<Workspace>,
        key: &str,
        upload: &str,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<CompletedPart, Failure> {
        let Self { file, path, number, offset, length } = self;
        let buffered = length <= shared.settings.most_buffered_part;
        // What is streamed holds little more than one read.
        let _room = shared.room(if buffered { length } else { 2 * 1024 * 1024 }).await?;
        let content = if buffered {
            let (file, path) = (Arc::clone(&file), path.clone());
            let read =
                move |_: &Workspace| read_exact(&file, offset, length).map_err(|error| read_failure(&path, &error));
            Some(workspace.run(read).await?)
        } else {
            None
        };
        let body = || match &content {
            Some(content) => ByteStream::from(content.clone()),
            None => streamed(Arc::clone(&file), offset, length),
        };
        let sent = shared
            .unthrottled(async || {
                send!(
                    bucket,
                    |client| client
                        .upload_part()
                        .bucket(&bucket.name)
                        .key(key)
                        .upload_id(upload)
                        .part_number(number)
                        .set_checksum_algorithm(checksum.clone())
                        .set_content_length(i64::try_from(length).ok())
                        .body(body()),
                    |customized| customized.disable_payload_signing()
                )
            })
            .await?;
        shared.moved(length);
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .set_checksum_crc32_c(sent.checksum_crc32_c)
            .set_checksum_crc64_nvme(sent.checksum_crc64_nvme)
            .set_checksum_sha1(sent.checksum_sha1)
            .set_checksum_sha256(sent.checksum_sha256)
            .build())
    }
}
