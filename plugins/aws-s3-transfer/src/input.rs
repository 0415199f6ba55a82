//! Input fields that the S3 steps have in common, under the names that exported jobs use.

use std::collections::BTreeMap;

use outrigger_plugin_sdk::aws::s3_transfer::WriteOptions;
use outrigger_plugin_sdk::json::Value;
use outrigger_plugin_sdk::{Failure, JsonInput, NameValue, yes};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{FilterList, Filters};

/// Where the calls go and who makes them. The host takes these members out, so here they are always none.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct S3Connection {
    /// URL that S3 is reached at instead of AWS's own.
    #[schemars(title = "Endpoint URL", with = "String")]
    #[schemars(extend("x-outrigger-credential" = "endpoint", "x-outrigger-group" = "Connection"))]
    pub endpoint_url: Option<String>,
    /// Access key id.
    #[schemars(title = "Access Key", with = "String")]
    #[schemars(extend("x-outrigger-credential" = "access-key", "x-outrigger-group" = "Connection"))]
    pub access_key: Option<String>,
    /// Path of the secret key in the key storage, such as `keys/project/web/aws`. Never the secret itself.
    #[schemars(title = "Secret Access Key", with = "String")]
    #[schemars(extend(
        "x-outrigger-credential" = "secret-key",
        "x-outrigger-group" = "Connection",
        "x-outrigger-display" = "storage-path"
    ))]
    pub secret_access_key: Option<String>,
    /// Region, such as `eu-west-1`.
    #[schemars(title = "Default Region", with = "String")]
    #[schemars(extend("x-outrigger-credential" = "region", "x-outrigger-group" = "Connection"))]
    pub default_region: Option<String>,
    /// Role to assume with the credentials that the step has otherwise.
    #[schemars(title = "Assume Role ARN", with = "String")]
    #[schemars(extend("x-outrigger-credential" = "role", "x-outrigger-group" = "Connection"))]
    pub assume_role_arn: Option<String>,
    /// External id that the role's trust policy asks for.
    #[schemars(title = "External ID", with = "String")]
    #[schemars(extend("x-outrigger-credential" = "external-id", "x-outrigger-group" = "Connection"))]
    pub external_id: Option<String>,
}

/// Which files take part.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FilterInput {
    /// Pattern of files to include (`*`, `?`, `[a-z]`, `[!a-z]`; `*` takes `/` too). Stands before `exclude`, which wins: to
    /// exclude all and include some, use `filters`.
    #[schemars(title = "Include", with = "String")]
    pub include: Option<String>,
    /// Pattern of files to exclude.
    #[schemars(title = "Exclude", with = "String", example = "*.tmp")]
    pub exclude: Option<String>,
    /// Patterns in order, one a line: `+pattern` includes, `-pattern` excludes, the last one that matches decides. They come
    /// after `include` and `exclude`.
    #[schemars(title = "Filters", example = "-*\n+*.txt")]
    pub filters: FilterList,
}

impl FilterInput {
    /// The patterns in their order.
    ///
    /// # Errors
    /// `invalid-input` for a filter without a sign.
    pub fn filters(&self) -> Result<Filters, Failure> {
        Filters::new(self.include.as_deref(), self.exclude.as_deref(), &self.filters)
    }
}

/// How much is said, and how places are read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CopyInput {
    /// Say nothing about single files, not even about those that fail; the step still fails at its end.
    #[serde(default)]
    #[schemars(title = "Quiet")]
    pub quiet: bool,
    /// Say only which files failed.
    #[serde(default)]
    #[schemars(title = "Only show errors")]
    pub only_show_errors: bool,
    /// Only say what would be done.
    #[serde(default)]
    #[schemars(title = "Dry run")]
    pub dryrun: bool,
    /// Follow symbolic links of a local source. A link that leads out of the workspace is refused in either case.
    #[serde(default = "yes")]
    #[schemars(title = "Follow symbolic links", extend("x-outrigger-group" = "Advanced"))]
    pub follow_symlinks: bool,
    /// Objects of one page of a listing, 1 to 1,000.
    #[serde(default)]
    #[schemars(title = "Page size", with = "i32", range(min = 1, max = 1000), extend("x-outrigger-group" = "Advanced"))]
    pub page_size: Option<i32>,
}

/// How objects are written. What is left out is S3's default.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WriteInput {
    /// Storage class, such as `STANDARD_IA`.
    #[schemars(title = "Storage class", with = "String", extend("x-outrigger-group" = "Objects"))]
    pub storage_class: Option<String>,
    /// Canned ACL, such as `bucket-owner-full-control`.
    #[schemars(title = "ACL", with = "String", extend("x-outrigger-group" = "Objects"))]
    pub acl: Option<String>,
    /// Server-side encryption: `AES256`, `aws:kms` or `aws:kms:dsse`.
    #[schemars(title = "Encryption", with = "String", extend("x-outrigger-group" = "Objects"))]
    pub sse: Option<String>,
    /// Id, ARN or alias of the KMS key.
    #[schemars(title = "KMS key", with = "String", extend("x-outrigger-group" = "Objects"))]
    pub sse_kms_key_id: Option<String>,
    /// Media type; guessed from the file's name where it is left out.
    #[schemars(title = "Content type", with = "String", extend("x-outrigger-group" = "Objects"))]
    pub content_type: Option<String>,
    /// `Cache-Control`.
    #[schemars(title = "Cache control", with = "String", extend("x-outrigger-group" = "Objects"))]
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    #[schemars(title = "Content disposition", with = "String", extend("x-outrigger-group" = "Objects"))]
    pub content_disposition: Option<String>,
    /// `Content-Encoding`.
    #[schemars(title = "Content encoding", with = "String", extend("x-outrigger-group" = "Objects"))]
    pub content_encoding: Option<String>,
    /// User metadata: a JSON object, or `name=value` with commas between.
    #[schemars(title = "Metadata", with = "MetadataSchema", extend("x-outrigger-group" = "Objects"))]
    pub metadata: Option<Value>,
    /// `CRC32`, `CRC32C`, `CRC64NVME`, `SHA1` or `SHA256`; CRC64NVME where it is left out.
    #[schemars(title = "Checksum algorithm", with = "String", extend("x-outrigger-group" = "Objects"))]
    pub checksum_algorithm: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum MetadataSchema {
    Text(String),
    Object(BTreeMap<String, String>),
}

impl WriteInput {
    /// The options for the host.
    ///
    /// # Errors
    /// `invalid-input` where the metadata has another form.
    pub fn options(&self) -> Result<WriteOptions, Failure> {
        Ok(WriteOptions {
            storage_class: self.storage_class.clone(),
            acl: self.acl.clone(),
            server_side_encryption: self.sse.clone(),
            ssekms_key_id: self.sse_kms_key_id.clone(),
            content_type: self.content_type.clone(),
            cache_control: self.cache_control.clone(),
            content_disposition: self.content_disposition.clone(),
            content_encoding: self.content_encoding.clone(),
            metadata: self.metadata.as_ref().map(metadata).transpose()?.unwrap_or_default(),
            checksum_algorithm: self.checksum_algorithm.clone(),
        })
    }
}

fn metadata(value: &Value) -> Result<Vec<NameValue>, Failure> {
    let pair = |name: &str, value: &str| NameValue { name: name.trim().to_owned(), value: value.trim().to_owned() };
    let wrong = |what: &str| {
        Failure::invalid_input(format!("`metadata` {what}: give a JSON object of texts, or `name=value,name=value`"))
    };
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                value.as_str().map(|value| pair(name, value)).ok_or_else(|| wrong("has a value that is no text"))
            })
            .collect(),
        Value::String(text) if text.trim_start().starts_with('{') => {
            let JsonInput(value) = outrigger_plugin_sdk::json::from_value(Value::String(text.clone()))
                .map_err(|error| wrong(&format!("is no JSON ({error})")))?;
            metadata(&value)
        }
        Value::String(text) => text
            .split(',')
            .map(|item| item.split_once('=').map(|(name, value)| pair(name, value)).ok_or_else(|| wrong("has no `=`")))
            .collect(),
        _ => Err(wrong("is neither")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json::json;

    #[test]
    fn metadata_has_two_forms() {
        let pairs = |value: Value| {
            metadata(&value).map(|pairs| pairs.into_iter().map(|pair| (pair.name, pair.value)).collect::<Vec<_>>())
        };
        let wanted = vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "x=y".to_owned())];
        assert_eq!(pairs(json!({"a": "1", "b": "x=y"})).unwrap(), wanted);
        assert_eq!(pairs(json!("a=1, b=x=y")).unwrap(), wanted);
        assert_eq!(pairs(json!("{\"a\": \"1\", \"b\": \"x=y\"}")).unwrap(), wanted);
        assert!(pairs(json!("a")).is_err());
        assert!(pairs(json!({"a": 1})).is_err());
    }
}
