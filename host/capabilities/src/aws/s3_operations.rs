//! Amazon S3: the operations of the table, made of the transfer engine.

use std::error::Error;
use std::sync::Arc;

use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use outrigger_door::Failure;
use tokio_util::sync::CancellationToken;

use super::AwsCall;
use super::s3::copy::{CopyItem, CopyRequest};
use super::s3::download::{DownloadItem, DownloadRequest};
use super::s3::objects::{self, ListRequest};
use super::s3::options::WriteOptions;
use super::s3::upload::{UploadItem, UploadRequest};
use super::s3::{BucketRegions, Control, ItemResult, Progress, S3Access, TransferSettings, tune};
use crate::bindings::outrigger::aws_s3::objects::{
    DeleteError, DeleteObjectsInput, DeleteObjectsOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object,
};
use crate::bindings::outrigger::aws_s3::transfer::{self, CopyInput, DownloadInput, TransferOutput, UploadInput};

impl S3Access for AwsCall {
    fn client(&self, region: Option<&str>) -> aws_sdk_s3::Client {
        let path_style = self.clients().endpoints().s3_path_style;
        self.clients().client(self.identity(), region.unwrap_or(self.region()), "s3", |config| {
            let builder = aws_sdk_s3::config::Builder::from(config).force_path_style(path_style);
            aws_sdk_s3::Client::from_conf(tune(builder).build())
        })
    }

    fn attempts(&self) -> impl Intercept + 'static {
        Self::attempts(self)
    }

    fn failure<E>(&self, error: SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        Self::failure(self, error)
    }

    fn regions(&self) -> &BucketRegions {
        self.clients().bucket_regions()
    }
}

/// Reports progress to the step, and stops with the call.
fn control(call: &AwsCall, verb: &'static str, cancel: &CancellationToken) -> Control {
    let sink = call.sink().clone();
    Control {
        cancel: cancel.clone(),
        progress: Arc::new(move |progress: Progress| {
            sink.progress(progress.items, Some(progress.all_items), verb);
        }),
    }
}

fn options(options: transfer::WriteOptions) -> WriteOptions {
    WriteOptions {
        storage_class: options.storage_class,
        acl: options.acl,
        server_side_encryption: options.server_side_encryption,
        ssekms_key_id: options.ssekms_key_id,
        content_type: options.content_type,
        cache_control: options.cache_control,
        content_disposition: options.content_disposition,
        content_encoding: options.content_encoding,
        metadata: options.metadata.into_iter().map(|entry| (entry.name, entry.value)).collect(),
        checksum_algorithm: options.checksum_algorithm,
    }
}

fn output(results: Vec<ItemResult>) -> TransferOutput {
    TransferOutput {
        results: results
            .into_iter()
            .map(|result| transfer::ItemResult {
                index: result.index,
                bytes: result.bytes,
                failure: result.failure.map(Into::into),
            })
            .collect(),
    }
}

/// ListObjectsV2, one page.
pub async fn list_objects_v2(call: AwsCall, input: ListObjectsV2Input) -> Result<ListObjectsV2Output, Failure> {
    let request = ListRequest {
        bucket: input.bucket,
        prefix: input.prefix,
        delimiter: input.delimiter,
        max_keys: input.max_keys,
        continuation_token: input.continuation_token,
        start_after: input.start_after,
    };
    let page = objects::list_objects_v2(&call, request).await?;
    Ok(ListObjectsV2Output {
        contents: page
            .contents
            .into_iter()
            .map(|object| Object {
                key: object.key,
                size: object.size,
                last_modified: object.last_modified,
                e_tag: object.e_tag,
                storage_class: object.storage_class,
            })
            .collect(),
        common_prefixes: page.common_prefixes,
        next_continuation_token: page.next_continuation_token,
    })
}

/// HeadObject.
pub async fn head_object(call: AwsCall, input: HeadObjectInput) -> Result<HeadObjectOutput, Failure> {
    let head = objects::head_object(&call, &input.bucket, &input.key, input.version_id).await?;
    Ok(HeadObjectOutput {
        content_length: head.content_length,
        last_modified: head.last_modified,
        e_tag: head.e_tag,
        content_type: head.content_type,
        version_id: head.version_id,
        storage_class: head.storage_class,
    })
}

/// DeleteObjects.
pub async fn delete_objects(call: AwsCall, input: DeleteObjectsInput) -> Result<DeleteObjectsOutput, Failure> {
    let deleted = objects::delete_objects(&call, &input.bucket, input.keys).await?;
    Ok(DeleteObjectsOutput {
        deleted: deleted.deleted,
        errors: deleted
            .errors
            .into_iter()
            .map(|error| DeleteError { key: error.key, code: error.code, message: error.message })
            .collect(),
    })
}

/// Uploads files.
pub async fn upload(call: AwsCall, input: UploadInput) -> Result<TransferOutput, Failure> {
    let cancel = CancellationToken::new();
    let _stop_when_dropped = cancel.clone().drop_guard();
    let items = input.items.into_iter().map(|item| UploadItem { path: item.path, key: item.key }).collect();
    let request = UploadRequest { bucket: input.bucket, items, options: options(input.options) };
    let control = control(&call, "files", &cancel);
    super::s3::upload::upload(&call, call.workspace(), request, &TransferSettings::default(), &control)
        .await
        .map(output)
}

/// Downloads objects.
pub async fn download(call: AwsCall, input: DownloadInput) -> Result<TransferOutput, Failure> {
    let cancel = CancellationToken::new();
    let _stop_when_dropped = cancel.clone().drop_guard();
    let items = input
        .items
        .into_iter()
        .map(|item| DownloadItem { key: item.key, path: item.path, size: item.size, modified: item.modified })
        .collect();
    let request = DownloadRequest { bucket: input.bucket, items };
    let control = control(&call, "objects", &cancel);
    super::s3::download::download(&call, call.workspace(), request, &TransferSettings::default(), &control)
        .await
        .map(output)
}

/// Copies objects.
pub async fn copy(call: AwsCall, input: CopyInput) -> Result<TransferOutput, Failure> {
    let cancel = CancellationToken::new();
    let _stop_when_dropped = cancel.clone().drop_guard();
    let items = input
        .items
        .into_iter()
        .map(|item| CopyItem { source_key: item.source_key, key: item.key, size: item.size })
        .collect();
    let request = CopyRequest {
        source_bucket: input.source_bucket,
        bucket: input.bucket,
        items,
        options: options(input.options),
    };
    let control = control(&call, "objects", &cancel);
    super::s3::copy::copy(&call, request, &TransferSettings::default(), &control).await.map(output)
}
