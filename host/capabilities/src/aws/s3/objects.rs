//! Objects, one request each.

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use outrigger_door::{Failure, Reason};

use super::access::{Bucket, S3Access, send};

/// Keys of one DeleteObjects request.
pub const MOST_DELETED: usize = 1_000;

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Modification time in milliseconds since 1970-01-01T00:00:00Z.
    pub last_modified: u64,
    /// Entity tag, with its quotation marks.
    pub e_tag: Option<String>,
    /// Storage class.
    pub storage_class: Option<String>,
}

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Bucket name, or the ARN of an access point.
    pub bucket: String,
    /// Only keys that begin with this.
    pub prefix: Option<String>,
    /// Group keys up to this text.
    pub delimiter: Option<String>,
    /// Keys of one page, at most 1,000.
    pub max_keys: Option<i32>,
    /// Token of the page before.
    pub continuation_token: Option<String>,
    /// Only keys after this one.
    pub start_after: Option<String>,
}

/// A page of objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectPage {
    /// The objects.
    pub contents: Vec<Object>,
    /// Prefixes up to the delimiter.
    pub common_prefixes: Vec<String>,
    /// Present where there is more.
    pub next_continuation_token: Option<String>,
}

/// What HeadObject tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    /// Bytes.
    pub content_length: u64,
    /// Modification time in milliseconds since 1970-01-01T00:00:00Z.
    pub last_modified: u64,
    /// Entity tag.
    pub e_tag: Option<String>,
    /// Media type.
    pub content_type: Option<String>,
    /// Version id.
    pub version_id: Option<String>,
    /// Storage class; none for `STANDARD`.
    pub storage_class: Option<String>,
}

/// A key that was not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteError {
    /// Key.
    pub key: String,
    /// The service's code.
    pub code: String,
    /// Why.
    pub message: String,
}

/// What came of DeleteObjects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Keys that are gone.
    pub deleted: Vec<String>,
    /// Keys that are not.
    pub errors: Vec<DeleteError>,
}

/// Milliseconds since 1970; 0 for what is missing or before.
pub(super) fn milliseconds(time: Option<&DateTime>) -> u64 {
    time.and_then(|time| time.to_millis().ok()).and_then(|time| u64::try_from(time).ok()).unwrap_or(0)
}

/// A length as S3 gives it: signed, and never negative.
pub(super) fn length(length: Option<i64>) -> u64 {
    length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0)
}

/// ListObjectsV2, one page.
///
/// # Errors
/// S3's own.
pub async fn list_objects_v2<A: S3Access>(access: &A, request: ListRequest) -> Result<ObjectPage, Failure> {
    let bucket = Bucket::new(access, &request.bucket);
    let page = send!(&bucket, |client| client
        .list_objects_v2()
        .bucket(&request.bucket)
        .set_prefix(request.prefix.clone())
        .set_delimiter(request.delimiter.clone())
        .set_max_keys(request.max_keys)
        .set_continuation_token(request.continuation_token.clone())
        .set_start_after(request.start_after.clone()))?;
    let objects = page.contents.unwrap_or_default().into_iter();
    Ok(ObjectPage {
        contents: objects
            .map(|object| Object {
                size: length(object.size),
                last_modified: milliseconds(object.last_modified.as_ref()),
                e_tag: object.e_tag,
                storage_class: object.storage_class.map(|class| class.as_str().to_owned()),
                key: object.key.unwrap_or_default(),
            })
            .collect(),
        common_prefixes: page
            .common_prefixes
            .unwrap_or_default()
            .into_iter()
            .filter_map(|common| common.prefix)
            .collect(),
        next_continuation_token: page.next_continuation_token,
    })
}

/// HeadObject.
///
/// # Errors
/// S3's own. HEAD answers have no body, so a missing object has no code but its status.
pub async fn head_object<A: S3Access>(
    access: &A,
    bucket: &str,
    key: &str,
    version_id: Option<String>,
) -> Result<ObjectHead, Failure> {
    let bucket = Bucket::new(access, bucket);
    let head =
        send!(&bucket, |client| client.head_object().bucket(&bucket.name).key(key).set_version_id(version_id.clone()))?;
    Ok(ObjectHead {
        content_length: length(head.content_length),
        last_modified: milliseconds(head.last_modified.as_ref()),
        e_tag: head.e_tag,
        content_type: head.content_type,
        version_id: head.version_id,
        storage_class: head.storage_class.map(|class| class.as_str().to_owned()),
    })
}

/// DeleteObjects, with an answer for each key.
///
/// # Errors
/// S3's own for the request as a whole, and `invalid-input` for another number of keys than 1 to 1,000.
pub async fn delete_objects<A: S3Access>(access: &A, bucket: &str, keys: Vec<String>) -> Result<Deleted, Failure> {
    let invalid = |message: String| Failure::new(Reason::InvalidInput, message);
    if !(1..=MOST_DELETED).contains(&keys.len()) {
        return Err(invalid(format!("DeleteObjects takes 1 to {MOST_DELETED} keys, not {}", keys.len())));
    }
    let objects = keys
        .into_iter()
        .map(|key| ObjectIdentifier::builder().key(key).build())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| invalid(format!("a key cannot be sent: {error}")))?;
    let delete = Delete::builder()
        .set_objects(Some(objects))
        .quiet(false)
        .build()
        .map_err(|error| invalid(format!("the keys cannot be sent: {error}")))?;
    let bucket = Bucket::new(access, bucket);
    let answer = send!(&bucket, |client| client.delete_objects().bucket(&bucket.name).delete(delete.clone()))?;
    Ok(Deleted {
        deleted: answer.deleted.unwrap_or_default().into_iter().filter_map(|object| object.key).collect(),
        errors: answer
            .errors
            .unwrap_or_default()
            .into_iter()
            .map(|error| DeleteError {
                key: error.key.unwrap_or_default(),
                code: error.code.unwrap_or_default(),
                message: error.message.unwrap_or_default(),
            })
            .collect(),
    })
}
