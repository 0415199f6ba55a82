//! A bucket of its own for each test, behind a proxy that can misbehave.

use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_s3::types::ChecksumAlgorithm;
use aws_smithy_http_client::{Builder as HttpBuilder, tls};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use outrigger_capabilities::aws::s3::download::{DownloadItem, DownloadRequest, download};
use outrigger_capabilities::aws::s3::upload::{UploadItem, UploadRequest, upload};
use outrigger_capabilities::aws::s3::{BucketRegions, Control, ItemResult, S3Access, TransferSettings, tune};
use outrigger_capabilities::workspace::{Quota, Workspace};
use outrigger_door::{Failure, Reason};
use outrigger_endpoints::{FaultProxy, Ministack};
use tempfile::TempDir;

pub const MIB: u64 = 1024 * 1024;

/// S3 without anything around it.
#[derive(Clone)]
pub struct Access {
    pub client: Client,
    pub regions: Arc<BucketRegions>,
}

#[derive(Debug)]
struct Unseen;

#[dyn_dispatch_hint]
impl Intercept for Unseen {
    fn name(&self) -> &'static str {
        "Unseen"
    }
}

impl Access {
    pub fn new(endpoint: &str, key: &str) -> Self {
        let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .http_client(HttpBuilder::new().tls_provider(ring).build_https())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(key, "root", None, None, "test"))
            .retry_config(RetryConfig::standard().with_initial_backoff(std::time::Duration::from_millis(20)))
            .endpoint_url(endpoint)
            .force_path_style(true);
        Self { client: Client::from_conf(tune(config).build()), regions: Arc::default() }
    }
}

impl S3Access for Access {
    fn client(&self, region: Option<&str>) -> Client {
        let Some(region) = region else {
            return self.client.clone();
        };
        Client::from_conf(self.client.config().to_builder().region(Region::new(region.to_owned())).build())
    }

    fn attempts(&self) -> impl Intercept + 'static {
        Unseen
    }

    fn failure<E>(&self, error: SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let reason = match status {
            0 => Reason::Connection,
            403 => Reason::AccessDenied,
            404 => Reason::NotFound,
            409 | 412 => Reason::Conflict,
            503 => Reason::Throttled,
            400..=499 => Reason::InvalidInput,
            _ => Reason::Remote,
        };
        let code = error.code().map(str::to_owned);
        Failure { reason, code, message: DisplayErrorContext(&error).to_string(), retryable: status >= 500 }
    }

    fn regions(&self) -> &BucketRegions {
        &self.regions
    }
}

/// A bucket, a workspace, and the proxy between them.
pub struct Fixture {
    pub proxy: FaultProxy,
    pub access: Access,
    pub bucket: String,
    pub folder: TempDir,
    pub workspace: Arc<Workspace>,
    pub settings: TransferSettings,
    _endpoint: Arc<Ministack>,
}

impl Fixture {
    pub async fn new(name: &str) -> Self {
        let endpoint = Ministack::shared().await.unwrap();
        let proxy = FaultProxy::start(&endpoint.url()).unwrap();
        let access = Access::new(&proxy.url(), endpoint.new_account().id());
        let bucket = format!("transfers-{name}");
        access.client.create_bucket().bucket(&bucket).send().await.unwrap();
        let folder = TempDir::new().unwrap();
        let workspace = Arc::new(Workspace::new(folder.path().to_owned(), Vec::new(), Quota::UNLIMITED));
        let settings = TransferSettings {
            multipart_threshold: 5 * MIB,
            part_size: 5 * MIB,
            // The endpoint computes CRC64NVME in an interpreter: a second for two mebibytes.
            checksum: Some(ChecksumAlgorithm::Crc32),
            ..TransferSettings::default()
        };
        Self { proxy, access, bucket, folder, workspace, settings, _endpoint: endpoint }
    }

    /// A file with bytes that nothing else has.
    pub fn file(&self, path: &str, size: u64) -> Vec<u8> {
        let mut state = size.wrapping_add(path.len() as u64) | 1;
        let content: Vec<u8> = (0..size)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        self.workspace.write_file(path, &content, None).unwrap();
        content
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(path)).unwrap()
    }

    pub async fn upload(&self, items: &[(&str, &str)]) -> Vec<ItemResult> {
        let items = items.iter().map(|(path, key)| UploadItem { path: (*path).into(), key: (*key).into() }).collect();
        let request = UploadRequest { bucket: self.bucket.clone(), items, ..UploadRequest::default() };
        upload(&self.access, &self.workspace, request, &self.settings, &Control::default()).await.unwrap()
    }

    pub async fn download(&self, items: &[(&str, &str)]) -> Vec<ItemResult> {
        let items = items
            .iter()
            .map(|(key, path)| DownloadItem { key: (*key).into(), path: (*path).into(), size: None, modified: None })
            .collect();
        let request = DownloadRequest { bucket: self.bucket.clone(), items };
        download(&self.access, &self.workspace, request, &self.settings, &Control::default()).await.unwrap()
    }

    /// Begun multipart uploads that nobody ended.
    pub async fn begun_uploads(&self) -> usize {
        let answer = self.access.client.list_multipart_uploads().bucket(&self.bucket).send().await.unwrap();
        answer.uploads().len()
    }

    /// Incomplete files and others that nobody asked for.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// All went well.
pub fn fine(results: &[ItemResult]) {
    for result in results {
        assert_eq!(result.failure, None, "item {}", result.index);
    }
}

/// The failure of the only item.
pub fn failed(results: &[ItemResult]) -> &Failure {
    assert_eq!(results.len(), 1);
    results[0].failure.as_ref().expect("the item should have failed")
}
