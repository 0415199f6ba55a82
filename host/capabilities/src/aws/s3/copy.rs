//! Objects to objects, inside S3.

use std::sync::Arc;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::{CompletedPart, MetadataDirective};
use outrigger_door::{Failure, Reason};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::task::JoinSet;

use super::access::{Bucket, S3Access, send};
use super::multipart::Multipart;
use super::objects::length;
use super::options::{ChecksumAlgorithm, WriteOptions, header_options, storage_options};
use super::settings::{Control, TransferSettings, part_size};
use super::transfer::{ItemResult, Shared, check_count, run_all};

/// What `x-amz-copy-source` keeps as it is. Source: RFC 3986, "unreserved", and the slash between bucket and key.
const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// An object to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyItem {
    /// Key to read.
    pub source_key: String,
    /// Key to write.
    pub key: String,
    /// Bytes, where a listing told them.
    pub size: Option<u64>,
}

/// What to copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyRequest {
    /// Bucket to read.
    pub source_bucket: String,
    /// Bucket to write.
    pub bucket: String,
    /// At most 10,000 objects.
    pub items: Vec<CopyItem>,
    /// How objects are written. A media type, another header or user metadata replaces all that the source has.
    pub options: WriteOptions,
}

struct Copy<A> {
    source: Arc<Bucket<A>>,
    bucket: Arc<Bucket<A>>,
    options: WriteOptions,
    checksum: Option<ChecksumAlgorithm>,
}

/// Copies objects: with CopyObject, and in parts above [`TransferSettings::copy_threshold`].
///
/// # Errors
/// `invalid-input` for too many items and unknown options; everything else stands in the items' results.
pub async fn copy<A: S3Access>(
    access: &A,
    request: CopyRequest,
    settings: &TransferSettings,
    control: &Control,
) -> Result<Vec<ItemResult>, Failure> {
    check_count(request.items.len())?;
    let copy = Arc::new(Copy {
        source: Arc::new(Bucket::new(access, &request.source_bucket)),
        bucket: Arc::new(Bucket::new(access, &request.bucket)),
        // S3 keeps the source's checksum where none is chosen.
        checksum: request.options.checksum()?,
        options: request.options,
    });
    let work = move |shared: Arc<Shared>, items: Arc<Vec<CopyItem>>, index: usize| {
        let copy = Arc::clone(&copy);
        async move {
            match items.get(index) {
                Some(item) => copy.one(&shared, item).await,
                None => Err(Failure::new(Reason::Internal, "an item is missing")),
            }
        }
    };
    Ok(run_all(settings, control, request.items, work).await)
}

/// Bucket and key as a header has them. An access point's ARN is followed by `/object/`.
/// Source: Amazon S3 API reference, CopyObject.
fn copy_source(bucket: &str, key: &str) -> String {
    let between = if bucket.starts_with("arn:") { "/object/" } else { "/" };
    utf8_percent_encode(&format!("{bucket}{between}{key}"), &KEPT).to_string()
}

impl<A: S3Access> Copy<A> {
    async fn one(&self, shared: &Arc<Shared>, item: &CopyItem) -> Result<u64, Failure> {
        if item.key.is_empty() || item.source_key.is_empty() {
            return Err(Failure::new(Reason::InvalidInput, "the key of a copy is empty"));
        }
        let (size, head) = match item.size {
            Some(size) if size <= shared.settings.copy_threshold => (size, None),
            _ => {
                let head = self.head(shared, item).await?;
                (length(head.content_length), Some(head))
            }
        };
        match head {
            Some(head) if size > shared.settings.copy_threshold => self.in_parts(shared, item, size, head).await?,
            _ => self.whole(shared, item, size).await?,
        }
        Ok(size)
    }

    async fn head(&self, shared: &Shared, item: &CopyItem) -> Result<HeadObjectOutput, Failure> {
        shared
            .unthrottled(async || {
                send!(&*self.source, |client| client.head_object().bucket(&self.source.name).key(&item.source_key))
            })
            .await
    }

    async fn whole(&self, shared: &Shared, item: &CopyItem, size: u64) -> Result<(), Failure> {
        let directive = self.options.replaces_metadata().then_some(MetadataDirective::Replace);
        shared
            .unthrottled(async || {
                send!(&*self.bucket, |client| {
                    let request = client
                        .copy_object()
                        .bucket(&self.bucket.name)
                        .key(&item.key)
                        .copy_source(copy_source(&self.source.name, &item.source_key))
                        .set_metadata_directive(directive.clone())
                        .set_checksum_algorithm(self.checksum.clone());
                    let request = storage_options!(request, &self.options);
                    header_options!(request, &self.options, self.options.content_type.clone())
                })
            })
            .await?;
        shared.moved(size);
        Ok(())
    }

    /// The tags of the source as a header has them. CopyObject copies them, a multipart copy does not.
    async fn tags(&self, shared: &Shared, item: &CopyItem, head: &HeadObjectOutput) -> Result<Option<String>, Failure> {
        if head.tag_count.unwrap_or(0) == 0 {
            return Ok(None);
        }
        let answer = shared
            .unthrottled(async || {
                send!(&*self.source, |client| client
                    .get_object_tagging()
                    .bucket(&self.source.name)
                    .key(&item.source_key))
            })
            .await?;
        let mut tags = url::form_urlencoded::Serializer::new(String::new());
        for tag in &answer.tag_set {
            tags.append_pair(&tag.key, &tag.value);
        }
        Ok(Some(tags.finish()))
    }

    async fn in_parts(
        &self,
        shared: &Arc<Shared>,
        item: &CopyItem,
        size: u64,
        head: HeadObjectOutput,
    ) -> Result<(), Failure> {
        let tags = self.tags(shared, item, &head).await?;
        let begun = shared
            .unthrottled(async || {
                send!(&*self.bucket, |client| {
                    let request = client
                        .create_multipart_upload()
                        .bucket(&self.bucket.name)
                        .key(&item.key)
                        .set_tagging(tags.clone())
                        .set_checksum_algorithm(self.checksum.clone());
                    let request = storage_options!(request, &self.options);
                    if self.options.replaces_metadata() {
                        header_options!(request, &self.options, self.options.content_type.clone())
                    } else {
                        request
                            .set_content_type(head.content_type.clone())
                            .set_cache_control(head.cache_control.clone())
                            .set_content_disposition(head.content_disposition.clone())
                            .set_content_encoding(head.content_encoding.clone())
                            .set_content_language(head.content_language.clone())
                            .set_metadata(head.metadata.clone())
                    }
                })
            })
            .await?;
        let upload = Multipart::begun(shared, &self.bucket, &item.key, begun.upload_id)?;
        let source = copy_source(&self.source.name, &item.source_key);
        let part = part_size(shared.settings.copy_part_size, size);
        let mut offsets = (0..size).step_by(usize::try_from(part).unwrap_or(usize::MAX)).zip(1..);
        let mut parts = Vec::new();
        let mut copying = JoinSet::new();
        loop {
            while copying.len() < shared.settings.parts_in_flight.max(1) {
                let Some((offset, number)) = offsets.next() else {
                    break;
                };
                let piece = Piece {
                    bucket: Arc::clone(&self.bucket),
                    source: source.clone(),
                    e_tag: head.e_tag.clone(),
                    key: item.key.clone(),
                    upload: upload.id.clone(),
                    number,
                    offset,
                    length: part.min(size - offset),
                };
                let shared = Arc::clone(shared);
                copying.spawn(async move { piece.copy(&shared).await });
            }
            match copying.join_next().await {
                Some(Ok(copied)) => parts.push(copied?),
                Some(Err(error)) => {
                    return Err(Failure::new(Reason::Internal, format!("a part of {} ended: {error}", item.key)));
                }
                None => break,
            }
        }
        upload.complete(parts, size).await
    }
}

/// A part of an object that is copied.
struct Piece<A> {
    bucket: Arc<Bucket<A>>,
    source: String,
    e_tag: Option<String>,
    key: String,
    upload: String,
    number: i32,
    offset: u64,
    length: u64,
}

impl<A: S3Access> Piece<A> {
    async fn copy(self, shared: &Shared) -> Result<CompletedPart, Failure> {
        let range = format!("bytes={}-{}", self.offset, self.offset + self.length - 1);
        let answer = shared
            .unthrottled(async || {
                send!(&*self.bucket, |client| client
                    .upload_part_copy()
                    .bucket(&self.bucket.name)
                    .key(&self.key)
                    .upload_id(&self.upload)
                    .part_number(self.number)
                    .copy_source(&self.source)
                    .copy_source_range(&range)
                    .set_copy_source_if_match(self.e_tag.clone()))
            })
            .await?;
        shared.moved(self.length);
        let copied = answer.copy_part_result.ok_or_else(|| {
            Failure::new(Reason::Remote, format!("UploadPartCopy of {} was answered without a result", self.key))
        })?;
        Ok(CompletedPart::builder()
            .part_number(self.number)
            .set_e_tag(copied.e_tag)
            .set_checksum_crc32(copied.checksum_crc32)
            .set_checksum_crc32_c(copied.checksum_crc32_c)
            .set_checksum_crc64_nvme(copied.checksum_crc64_nvme)
            .set_checksum_sha1(copied.checksum_sha1)
            .set_checksum_sha256(copied.checksum_sha256)
            .build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_encoded() {
        for (bucket, key, expected) in [
            ("b", "a b/ü+?#%.txt", "b/a%20b/%C3%BC%2B%3F%23%25.txt"),
            (
                "arn:aws:s3:eu-west-1:111122223333:accesspoint/x",
                "k",
                "arn%3Aaws%3As3%3Aeu-west-1%3A111122223333%3Aaccesspoint/x/object/k",
            ),
        ] {
            assert_eq!(copy_source(bucket, key), expected);
        }
    }
}
