//! Provider `ecs`: the task role, by the container credentials endpoint. EKS Pod Identity speaks the same protocol.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use outrigger_redaction::Secret;
use serde::Deserialize;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::context::ProvidersContext;
use crate::error::{Cause, CredentialsError};
use crate::http::get;

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// Host of the relative URI, after the
/// [SDK reference](https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html).
const ECS_HOST: &str = "http://169.254.170.2";

/// The addresses that plain `http` may reach beside loopback: ECS and EKS Pod Identity.
const HOSTS: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23)),
];

fn refused(what: impl Into<String>, next: &str) -> CredentialsError {
    CredentialsError::Ecs(Cause::refused(what, next))
}

/// Credentials of the task role.
pub(crate) async fn credentials(
    context: &ProvidersContext,
    full_uri: Option<&str>,
    token_file: Option<&Path>,
) -> Result<Credentials, CredentialsError> {
    let url = address(context, full_uri).await?;
    let token = token(context, token_file).await?;
    // A container endpoint is on this machine or its link; only an https one may lie behind a proxy.
    let client = if url.scheme() == "https" { &context.http } else { &context.direct_http };
    let body = get(client, &url, token).await.map_err(|error| {
        let what = format!("the endpoint {} gave no credentials ({})", shown(&url), error.what);
        let next = match error.status {
            Some(401 | 403) => "check the authorization token (AWS_CONTAINER_AUTHORIZATION_TOKEN or its file)",
            Some(404) => {
                "check the path of the endpoint, and that the task has a task role (not only an execution role)"
            }
            Some(_) => "check that the task has a task role (not only an execution role), then try again",
            None if error.transient => "check the address, and that the agent that serves it is running",
            None => "check the authorization token (AWS_CONTAINER_AUTHORIZATION_TOKEN or its file)",
        };
        CredentialsError::Ecs(match error.transient {
            true => Cause::transient(what, next),
            false => Cause::refused(what, next),
        })
    })?;
    let vended = Vended::parse(&body).map_err(|problem| {
        CredentialsError::Ecs(Cause::transient(
            format!("the answer of {} holds no credentials ({problem})", shown(&url)),
            "check that the address is a container credentials endpoint",
        ))
    })?;
    Ok(vended.credentials("ecs", |expiry| expiry))
}

/// The address without its query, which may hold a token.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

async fn address(context: &ProvidersContext, full_uri: Option<&str>) -> Result<Url, CredentialsError> {
    let (name, text) = match (full_uri, context.env.get(RELATIVE), context.env.get(FULL)) {
        (Some(uri), _, _) => ("full-uri", uri.to_owned()),
        (None, Some(path), _) if path.starts_with('/') => return parse(RELATIVE, &format!("{ECS_HOST}{path}")),
        (None, Some(path), _) => {
            return Err(refused(
                format!("{RELATIVE} `{path}` does not begin with `/`"),
                "ECS sets it; do not change it",
            ));
        }
        (None, None, Some(uri)) => (FULL, uri),
        (None, None, None) => {
            return Err(CredentialsError::Ecs(Cause::absent(
                format!("neither {RELATIVE} nor {FULL} is set"),
                "ECS sets one where the task has a task role; elsewhere set `full-uri`, or use another provider",
            )));
        }
    };
    let url = parse(name, &text)?;
    if url.scheme() == "https" {
        return Ok(url);
    }
    let port = url.port_or_known_default().unwrap_or(80);
    let addresses: Vec<IpAddr> = match url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        Some(Host::Domain(domain)) => match tokio::net::lookup_host((domain, port)).await {
            Ok(addresses) => addresses.map(|address| address.ip()).collect(),
            Err(error) => {
                let what = format!("the host of {name} `{}` cannot be found ({error})", shown(&url));
                return Err(CredentialsError::Ecs(Cause::transient(what, "check the address")));
            }
        },
        None => Vec::new(),
    };
    let allowed = |address: &IpAddr| address.is_loopback() || HOSTS.contains(address);
    if addresses.is_empty() || !addresses.iter().all(allowed) {
        return Err(refused(
            format!("{name} `{}` is not reached by plain http", shown(&url)),
            "only https, loopback, 169.254.170.2, 169.254.170.23 and fd00:ec2::23 are allowed; use https",
        ));
    }
    Ok(url)
}

fn parse(name: &str, text: &str) -> Result<Url, CredentialsError> {
    let url = Url::parse(text).map_err(|error| {
        refused(format!("{name} is no address ({error})"), "write it as `http://127.0.0.1:1234/path`")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused(format!("{name} begins with `{}:`", url.scheme()), "use http or https"));
    }
    Ok(url)
}

async fn token(
    context: &ProvidersContext,
    token_file: Option<&Path>,
) -> Result<Option<Zeroizing<String>>, CredentialsError> {
    let file = token_file.map(Path::to_owned).or_else(|| context.env.get(TOKEN_FILE).map(PathBuf::from));
    let token = match file {
        Some(path) => {
            let text = tokio::fs::read_to_string(&path).await.map_err(|error| {
                refused(
                    format!("the authorization token file `{}` cannot be read ({error})", path.display()),
                    "check the path and its permissions",
                )
            })?;
            Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        None => context.env.get(TOKEN).map(Zeroizing::new),
    };
    if let Some(token) = &token {
        context.secrets.secret(&Secret::new(token.to_string()));
    }
    Ok(token)
}

/// What the metadata and container endpoints answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Vended {
    access_key_id: String,
    #[serde(deserialize_with = "hidden")]
    secret_access_key: Zeroizing<String>,
    #[serde(deserialize_with = "hidden")]
    token: Zeroizing<String>,
    expiration: String,
    account_id: Option<String>,
    #[serde(skip)]
    expiry: Option<SystemTime>,
}

/// A text that is overwritten when it is dropped.
pub(crate) fn hidden<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

#[derive(Deserialize)]
struct Refused {
    #[serde(alias = "Code")]
    code: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl Vended {
    /// Reads an answer; the error says what is missing and never quotes the answer.
    pub(crate) fn parse(body: &str) -> Result<Self, String> {
        let mut vended: Self = match serde_json::from_str(body) {
            Ok(vended) => vended,
            Err(error) => {
                if let Ok(refused) = serde_json::from_str::<Refused>(body)
                    && refused.code != "Success"
                {
                    return Err(format!("{}: {}", refused.code, refused.message)
                        .trim_end_matches([':', ' '])
                        .to_owned());
                }
                return Err(match error.classify() {
                    serde_json::error::Category::Data => missing(body),
                    _ => "it is no JSON".to_owned(),
                });
            }
        };
        let expiry = DateTime::from_str(&vended.expiration, Format::DateTime).ok();
        vended.expiry = expiry.and_then(|expiry| SystemTime::try_from(expiry).ok());
        if vended.expiry.is_none() {
            return Err("`Expiration` is no point in time".to_owned());
        }
        Ok(vended)
    }

    pub(crate) fn credentials(self, provider: &'static str, expiry: impl Fn(SystemTime) -> SystemTime) -> Credentials {
        let mut builder = Credentials::builder()
            .access_key_id(self.access_key_id)
            .secret_access_key(self.secret_access_key.as_str())
            .session_token(self.token.as_str())
            .provider_name(provider);
        builder.set_expiry(self.expiry.map(expiry));
        builder.set_account_id(self.account_id.map(Into::into));
        builder.build()
    }
}

/// Which of the members is not there; serde's own message might quote a value.
fn missing(body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let absent: Vec<_> = ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"]
        .into_iter()
        .filter(|name| !value.get(name).is_some_and(serde_json::Value::is_string))
        .collect();
    format!("without {}", absent.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = r#"{"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"sek","Token":"tok",
        "Expiration":"2030-01-02T03:04:05Z"}"#;

    #[test]
    fn answers() {
        let credentials =
            Vended::parse(RIGHT).unwrap_or_else(|error| panic!("{error}")).credentials("ecs", |expiry| expiry);
        assert_eq!(credentials.access_key_id(), "ASIA");
        assert_eq!(credentials.session_token(), Some("tok"));
        assert!(credentials.expiry().is_some());
        let problem = |body: &str| Vended::parse(body).map(|_| ()).unwrap_err();
        assert_eq!(problem("<html>"), "it is no JSON");
        assert_eq!(problem(r#"{"SecretAccessKey":"sek","AccessKeyId":1}"#), "without AccessKeyId, Token, Expiration");
        assert_eq!(problem(r#"{"code":"NoSuchTask","message":"gone"}"#), "NoSuchTask: gone");
        assert_eq!(problem(&RIGHT.replace("2030-01-02T03:04:05Z", "soon")), "`Expiration` is no point in time");
    }

    fn context(variables: &[(&str, &str)]) -> ProvidersContext {
        use std::sync::Arc;
        let nothing = |_: &outrigger_config::KeyPath| Err("nothing is stored".to_owned());
        let mut context =
            ProvidersContext::new(crate::http::direct_http_client(), Arc::new(nothing), Arc::new(|_: &Secret| {}));
        context.env = crate::env::Env::fixed(variables.iter().copied());
        context
    }

    async fn address_of(variables: &[(&str, &str)], full_uri: Option<&str>) -> Result<String, String> {
        address(&context(variables), full_uri).await.map(|url| url.to_string()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_relative_uri_goes_to_the_fixed_host() {
        assert_eq!(
            address_of(&[(RELATIVE, "/v2/x?y=1"), (FULL, "http://127.0.0.1/")], None).await.unwrap(),
            "http://169.254.170.2/v2/x?y=1"
        );
        assert!(
            address_of(&[(RELATIVE, "@evil.example/")], None).await.unwrap_err().contains("does not begin with `/`")
        );
    }

    #[tokio::test]
    async fn plain_http_stays_on_this_machine() {
        for right in [
            "http://127.0.0.1:9/x",
            "http://[::1]:9/x",
            "http://169.254.170.23/v1/credentials",
            "https://example.com/x",
        ] {
            address_of(&[(FULL, right)], None).await.unwrap();
        }
        for wrong in ["http://192.0.2.1/x", "http://169.254.169.254/x", "ftp://127.0.0.1/x", "nonsense"] {
            address_of(&[], Some(wrong)).await.unwrap_err();
        }
        assert!(
            address_of(&[], None).await.unwrap_err().contains("neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor")
        );
    }

    #[tokio::test]
    async fn a_token_file_loses_its_line_end_and_wins_over_the_variable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "Bearer abc\n").unwrap();
        let context = context(&[(TOKEN, "other")]);
        assert_eq!(token(&context, Some(&file)).await.unwrap().unwrap().as_str(), "Bearer abc");
        assert_eq!(token(&context, None).await.unwrap().unwrap().as_str(), "other");
        let message = token(&context, Some(&folder.path().join("none"))).await.unwrap_err().to_string();
        assert!(message.contains("cannot be read"), "{message}");
    }
}
