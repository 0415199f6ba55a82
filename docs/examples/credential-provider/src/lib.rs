//! AWS credentials from a JSON document in key storage.
//!
//! `aws configure export-credentials` and programs for `credential_process` print such documents.

use outrigger_plugin_sdk::prelude::*;
use outrigger_plugin_sdk::provider::{AwsCredentials, CredentialProvider, reveal, seal};
use outrigger_plugin_sdk::{json, parse_timestamp, secrets};

/// Reads a stored JSON document.
pub struct JsonKey;

/// The table `config` of the credentials block.
#[derive(Deserialize, JsonSchema)]
pub struct Input {
    /// Path of a stored JSON document with AccessKeyId and SecretAccessKey, and with SessionToken and Expiration where the
    /// credentials are temporary.
    #[schemars(title = "Secret", with = "String", extend("x-outrigger-secret" = true))]
    #[serde(default)]
    pub secret: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

impl CredentialProvider for JsonKey {
    const PROVIDER: &'static str = "json-key-provider";
    const TITLE: &'static str = "JSON document";
    const SUMMARY: &'static str = "Takes AWS credentials from a JSON document in key storage.";
    type Input = Input;

    fn provide(_: Input) -> Result<AwsCredentials, Failure> {
        let stored = secrets::get("secret").context("the field `secret`")?;
        let document = read(&reveal(&stored)?)?;
        let expiration = match document.expiration.as_deref() {
            None => None,
            Some(text) => Some(parse_timestamp(text).ok_or_else(|| {
                Failure::invalid_input("`Expiration` in the stored document is no time such as 2026-01-31T12:00:00Z")
            })?),
        };
        Ok(AwsCredentials {
            access_key_id: document.access_key_id,
            secret_access_key: seal(&document.secret_access_key)?,
            session_token: document.session_token.as_deref().map(seal).transpose()?,
            expiration,
        })
    }
}

fn read(text: &str) -> Result<Document, Failure> {
    // The parser's own words may quote the document; its place in it says enough.
    json::from_str(text).map_err(|error| {
        Failure::invalid_input(format!(
            "the stored document is no JSON object with `AccessKeyId` and `SecretAccessKey` (line {}, column {})",
            error.line(),
            error.column(),
        ))
    })
}

outrigger_plugin_sdk::export_credential_provider!(JsonKey);
