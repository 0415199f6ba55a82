//! Regions, partitions and endpoint addresses.

use std::collections::BTreeMap;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::retry::RetryConfig;
use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::config::{BehaviorVersion, IdentityCache, Region};
use std::time::Duration;

use crate::context::ProvidersContext;
use crate::env::Env;
use crate::error::{Cause, CredentialsError};

/// Where AWS services are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Endpoint for every service.
    pub endpoint_url: Option<String>,
    /// Endpoint per service (`sts`, `s3`, ...); wins over `endpoint_url`.
    pub endpoint_urls: BTreeMap<String, String>,
    /// FIPS endpoints; `None` asks `AWS_USE_FIPS_ENDPOINT`.
    pub use_fips: Option<bool>,
    /// Dual-stack endpoints; `None` asks `AWS_USE_DUALSTACK_ENDPOINT`.
    pub use_dual_stack: Option<bool>,
}

impl EndpointSettings {
    /// The configured endpoint of `service` (its lower-case name, `sts`), if any: the setting for the service, the one for
    /// all, `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL`. `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true` switches the
    /// variables off, after the
    /// [SDK reference](https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html).
    pub fn url(&self, service: &str, env: &Env) -> Option<String> {
        if let Some(url) = self.endpoint_urls.get(service).or(self.endpoint_url.as_ref()) {
            return Some(url.clone());
        }
        if env.is_true("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") {
            return None;
        }
        let name = format!("AWS_ENDPOINT_URL_{}", service.to_ascii_uppercase().replace(['-', ' '], "_"));
        env.get(&name).or_else(|| env.get("AWS_ENDPOINT_URL"))
    }

    /// Whether to use FIPS endpoints.
    pub fn fips(&self, env: &Env) -> bool {
        self.use_fips.unwrap_or_else(|| env.is_true("AWS_USE_FIPS_ENDPOINT"))
    }

    /// Whether to use dual-stack endpoints.
    pub fn dual_stack(&self, env: &Env) -> bool {
        self.use_dual_stack.unwrap_or_else(|| env.is_true("AWS_USE_DUALSTACK_ENDPOINT"))
    }
}

/// A group of regions with accounts, ARNs and credentials of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Partition {
    /// `aws`
    Aws,
    /// `aws-cn`
    China,
    /// `aws-us-gov`
    GovCloud,
    /// `aws-iso`
    Iso,
    /// `aws-iso-b`
    IsoB,
    /// `aws-iso-e`
    IsoE,
    /// `aws-iso-f`
    IsoF,
    /// `aws-eusc`
    EuropeanSovereign,
}

impl Partition {
    /// The partition of a region, by its prefix.
    pub fn of_region(region: &str) -> Self {
        const PREFIXES: [(&str, Partition); 7] = [
            ("cn-", Partition::China),
            ("us-gov-", Partition::GovCloud),
            ("us-iso-", Partition::Iso),
            ("us-isob-", Partition::IsoB),
            ("eu-isoe-", Partition::IsoE),
            ("us-isof-", Partition::IsoF),
            ("eusc-", Partition::EuropeanSovereign),
        ];
        PREFIXES
            .iter()
            .find(|(prefix, _)| region.starts_with(prefix))
            .map_or(Partition::Aws, |(_, partition)| *partition)
    }

    /// The partition that an ARN names, if it is a known one.
    pub fn of_arn(arn: &str) -> Option<Self> {
        let name = arn.strip_prefix("arn:")?.split(':').next()?;
        Self::ALL.into_iter().find(|partition| partition.name() == name)
    }

    /// The word in ARNs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::China => "aws-cn",
            Self::GovCloud => "aws-us-gov",
            Self::Iso => "aws-iso",
            Self::IsoB => "aws-iso-b",
            Self::IsoE => "aws-iso-e",
            Self::IsoF => "aws-iso-f",
            Self::EuropeanSovereign => "aws-eusc",
        }
    }

    /// The region whose STS is asked when no region is set.
    pub fn default_region(self) -> &'static str {
        match self {
            Self::Aws => "us-east-1",
            Self::China => "cn-north-1",
            Self::GovCloud => "us-gov-west-1",
            Self::Iso => "us-iso-east-1",
            Self::IsoB => "us-isob-east-1",
            Self::IsoE => "eu-isoe-west-1",
            Self::IsoF => "us-isof-south-1",
            Self::EuropeanSovereign => "eusc-de-east-1",
        }
    }

    const ALL: [Self; 8] = [
        Self::Aws,
        Self::China,
        Self::GovCloud,
        Self::Iso,
        Self::IsoB,
        Self::IsoE,
        Self::IsoF,
        Self::EuropeanSovereign,
    ];
}

/// The region whose STS is asked for `role_arn`.
///
/// # Errors
/// If region and role lie in two partitions: no STS knows both.
pub(crate) fn sts_region(region: Option<&str>, role_arn: Option<&str>) -> Result<String, CredentialsError> {
    let partition = role_arn.and_then(Partition::of_arn);
    match (region, partition) {
        (Some(region), Some(partition)) if Partition::of_region(region) != partition => {
            let other = Partition::of_region(region).name();
            Err(CredentialsError::Block(Cause::refused(
                format!(
                    "region `{region}` belongs to the partition {other}, the role `{}` to {}",
                    role_arn.unwrap_or_default(),
                    partition.name()
                ),
                format!("choose a region of {}, or a role of {other}", partition.name()),
            )))
        }
        (Some(region), _) => Ok(region.to_owned()),
        (None, partition) => Ok(partition.unwrap_or(Partition::Aws).default_region().to_owned()),
    }
}

/// An STS client of `region`; without credentials only for calls that carry none.
pub(crate) fn sts_client(context: &ProvidersContext, region: &str, credentials: Option<Credentials>) -> Client {
    let mut builder = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(context.http.clone())
        .region(Region::new(region.to_owned()))
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_attempt_timeout(Duration::from_secs(10))
                .operation_timeout(Duration::from_secs(28))
                .build(),
        )
        .use_fips(context.endpoints.fips(&context.env))
        .use_dual_stack(context.endpoints.dual_stack(&context.env));
    if let Some(url) = context.endpoints.url("sts", &context.env) {
        builder = builder.endpoint_url(url);
    }
    if let Some(credentials) = credentials {
        builder = builder.credentials_provider(SharedCredentialsProvider::new(credentials));
    }
    Client::from_conf(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_runtime_api::client::http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    };
    use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

    #[test]
    fn the_more_specific_endpoint_wins() {
        let env = Env::fixed([("AWS_ENDPOINT_URL", "http://env"), ("AWS_ENDPOINT_URL_STS", "http://env-sts")]);
        let mut settings = EndpointSettings::default();
        assert_eq!(settings.url("sts", &env).as_deref(), Some("http://env-sts"));
        assert_eq!(settings.url("s3", &env).as_deref(), Some("http://env"));
        settings.endpoint_url = Some("http://all".to_owned());
        assert_eq!(settings.url("sts", &env).as_deref(), Some("http://all"));
        settings.endpoint_urls.insert("sts".to_owned(), "http://sts".to_owned());
        assert_eq!(settings.url("sts", &env).as_deref(), Some("http://sts"));
        let ignoring =
            Env::fixed([("AWS_ENDPOINT_URL", "http://env"), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")]);
        assert_eq!(EndpointSettings::default().url("sts", &ignoring), None);
    }

    #[test]
    fn sts_is_asked_in_the_region_or_in_the_partition_of_the_role() {
        let china = "arn:aws-cn:iam::111122223333:role/x";
        assert_eq!(sts_region(Some("eu-west-1"), Some("arn:aws:iam::1:role/x")).unwrap(), "eu-west-1");
        assert_eq!(sts_region(None, Some("arn:aws:iam::1:role/x")).unwrap(), "us-east-1");
        assert_eq!(sts_region(None, Some(china)).unwrap(), "cn-north-1");
        assert_eq!(sts_region(None, Some("arn:aws-us-gov:iam::1:role/x")).unwrap(), "us-gov-west-1");
        assert_eq!(sts_region(None, None).unwrap(), "us-east-1");
        let message = sts_region(Some("eu-west-1"), Some(china)).unwrap_err().to_string();
        assert!(message.contains("partition aws,") && message.contains("aws-cn"), "{message}");
    }

    /// Remembers where requests would go, and refuses them.
    #[derive(Clone, Debug, Default)]
    struct Nowhere(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

    impl HttpConnector for Nowhere {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            self.0.lock().unwrap().push(request.uri().to_owned());
            HttpConnectorFuture::ready(Err(ConnectorError::user("nowhere".into())))
        }
    }

    impl HttpClient for Nowhere {
        fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
            SharedHttpConnector::new(self.clone())
        }
    }

    #[tokio::test]
    async fn sts_is_regional_in_every_partition_with_fips_and_dual_stack() {
        let nowhere = Nowhere::default();
        let nothing = |_: &outrigger_config::KeyPath| Err("nothing is stored".to_owned());
        let ignore = |_: &outrigger_redaction::Secret| {};
        let mut context = ProvidersContext::new(
            SharedHttpClient::new(nowhere.clone()),
            std::sync::Arc::new(nothing),
            std::sync::Arc::new(ignore),
        );
        context.env = Env::fixed([("HOME", "/nonexistent")]);
        for (region, fips, dual_stack) in [
            ("us-east-1", false, false),
            ("eu-west-1", false, false),
            ("cn-north-1", false, false),
            ("us-gov-west-1", false, false),
            ("us-east-1", true, false),
            ("eu-west-1", false, true),
        ] {
            context.endpoints.use_fips = Some(fips);
            context.endpoints.use_dual_stack = Some(dual_stack);
            let keys = Credentials::new("AKIA", "x", None, None, "test");
            let answer = sts_client(&context, region, Some(keys)).get_caller_identity().send().await;
            assert!(answer.is_err());
        }
        let mut asked = nowhere.0.lock().unwrap().clone();
        asked.dedup();
        assert_eq!(
            asked,
            [
                "https://sts.us-east-1.amazonaws.com/",
                "https://sts.eu-west-1.amazonaws.com/",
                "https://sts.cn-north-1.amazonaws.com.cn/",
                "https://sts.us-gov-west-1.amazonaws.com/",
                "https://sts-fips.us-east-1.amazonaws.com/",
                "https://sts.eu-west-1.api.aws/",
            ]
        );
    }

    #[test]
    fn regions_of_every_partition() {
        for (region, name) in [
            ("eu-west-1", "aws"),
            ("cn-northwest-1", "aws-cn"),
            ("us-gov-east-1", "aws-us-gov"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            assert_eq!(Partition::of_region(region).name(), name);
        }
    }
}
