//! Multipart uploads that leave no parts behind.

use std::sync::Arc;

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use outrigger_door::{Failure, Reason};

use super::access::{Bucket, S3Access, send};
use super::transfer::Shared;

/// A multipart upload that was begun. Dropped without [`Multipart::complete`], it is aborted on a task of its own.
pub(super) struct Multipart<A: S3Access> {
    pub(super) bucket: Arc<Bucket<A>>,
    pub(super) key: String,
    pub(super) id: String,
    shared: Arc<Shared>,
    open: bool,
}

impl<A: S3Access> Multipart<A> {
    pub(super) fn begun(
        shared: &Arc<Shared>,
        bucket: &Arc<Bucket<A>>,
        key: &str,
        id: Option<String>,
    ) -> Result<Self, Failure> {
        let id = id.filter(|id| !id.is_empty()).ok_or_else(|| {
            Failure::new(Reason::Remote, format!("CreateMultipartUpload of {key} was answered without an upload id"))
        })?;
        Ok(Self { bucket: Arc::clone(bucket), key: key.to_owned(), id, shared: Arc::clone(shared), open: true })
    }

    /// Puts the parts together.
    pub(super) async fn complete(mut self, mut parts: Vec<CompletedPart>, size: u64) -> Result<(), Failure> {
        parts.sort_unstable_by_key(|part| part.part_number);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let size = i64::try_from(size).ok();
        let answer = send!(&*self.bucket, |client| client
            .complete_multipart_upload()
            .bucket(&self.bucket.name)
            .key(&self.key)
            .upload_id(&self.id)
            .set_mpu_object_size(size)
            .multipart_upload(parts.clone()));
        match answer {
            Ok(_) => {
                self.open = false;
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}

impl<A: S3Access> Drop for Multipart<A> {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (bucket, key, id) = (Arc::clone(&self.bucket), self.key.clone(), self.id.clone());
        let abort = async move {
            // A part that was on its way may arrive after the first abort; the second one finds it.
            // Source: Amazon S3 API reference, AbortMultipartUpload.
            for wait in [0, 500] {
                tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
                let answer = send!(&*bucket, |client| client
                    .abort_multipart_upload()
                    .bucket(&bucket.name)
                    .key(&key)
                    .upload_id(&id));
                match answer {
                    Ok(_) => {}
                    Err(failure) if failure.reason == Reason::NotFound => return,
                    Err(failure) => tracing::warn!(%key, upload = %id, %failure, "a begun upload was not aborted"),
                }
            }
        };
        self.shared.clean_up.spawn_on(abort, &runtime);
    }
}
