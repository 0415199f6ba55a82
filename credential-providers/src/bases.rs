//! The base of a block: a provider that needs no other credentials, the default chain, or a chain of blocks.

use std::time::Duration;

use aws_credential_types::Credentials;
use outrigger_config::{CredentialsBlock, KeyPath};

use crate::cache::Fetched;
use crate::context::{BoxFuture, ProvidersContext};
use crate::error::{Attempt, Cause, CredentialsError};
use crate::profile::within;
use crate::providers::Providers;
use crate::request::{Base, CredentialRequest, ResolvedBlock};
use crate::web_identity::WebIdentity;
use crate::{ec2, ecs, profile, web_identity};

/// How long one provider may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Session name where nothing names one and the session is not a run's: a person's profile, the default chain.
const FIXED_SESSION: &str = "outrigger";

/// Fetches the base of `request`, which has no hops left.
pub(crate) fn fetch<'a>(
    providers: &'a Providers,
    request: &'a CredentialRequest,
) -> BoxFuture<'a, Result<Fetched, CredentialsError>> {
    Box::pin(async move {
        match &request.block.base {
            Base::Default => default_chain(providers, request).await,
            Base::Chain(blocks) => chain(providers, request, blocks).await,
            Base::Block(block) => one(providers, request, block).await,
        }
    })
}

async fn chain(
    providers: &Providers,
    request: &CredentialRequest,
    blocks: &[ResolvedBlock],
) -> Result<Fetched, CredentialsError> {
    let mut attempts = Vec::new();
    for block in blocks {
        let inner = CredentialRequest { block: block.clone(), ..request.clone() };
        match providers.cached(&inner).get().await {
            Ok(fetched) => return Ok(fetched),
            Err(error) => attempts.push(Attempt { provider: block.last_word(), error }),
        }
    }
    Err(CredentialsError::Chain { attempts })
}

/// environment → profile → web identity → ECS → EC2. A provider that is configured and fails ends it: what a person has
/// chosen is not replaced by what happens to be there.
async fn default_chain(providers: &Providers, request: &CredentialRequest) -> Result<Fetched, CredentialsError> {
    let blocks = [
        CredentialsBlock::Environment {},
        CredentialsBlock::Profile { name: None },
        CredentialsBlock::WebIdentity { role_arn: None, token: None, session_name: None, duration_seconds: None },
        CredentialsBlock::Ecs { full_uri: None, authorization_token_file: None },
        CredentialsBlock::Ec2 {},
    ];
    let mut attempts = Vec::new();
    for block in &blocks {
        match one(providers, request, block).await {
            Ok(fetched) => return Ok(fetched),
            Err(error) if error.is_absent() => {
                attempts.push(Attempt { provider: block.provider(), error });
            }
            Err(error) => return Err(error),
        }
    }
    Err(CredentialsError::DefaultChain { attempts })
}

async fn one(
    providers: &Providers,
    request: &CredentialRequest,
    block: &CredentialsBlock,
) -> Result<Fetched, CredentialsError> {
    let context = providers.context();
    let mut provider = block.provider().to_owned();
    let credentials = match block {
        CredentialsBlock::AccessKey { access_key_id, secret_key, session_token } => {
            let fetch = access_key(context, access_key_id, secret_key, session_token.as_ref());
            within(DEADLINE, "access-key", "key storage", fetch).await?
        }
        CredentialsBlock::Ec2 {} => {
            let fetch = async {
                let (client, endpoint) = providers.metadata()?;
                ec2::credentials(context, client, endpoint).await
            };
            within(DEADLINE, "ec2", "the instance metadata service", fetch).await?
        }
        CredentialsBlock::Ecs { full_uri, authorization_token_file } => {
            let fetch = ecs::credentials(context, full_uri.as_deref(), authorization_token_file.as_deref());
            within(DEADLINE, "ecs", "the container credentials endpoint", fetch).await?
        }
        CredentialsBlock::WebIdentity { role_arn, token, session_name, duration_seconds } => {
            let explicit = matches!(request.block.base, Base::Block(_));
            let call = WebIdentity {
                role_arn: role_arn.as_deref(),
                token: token.as_ref(),
                session_name: session_name.as_deref(),
                default_session_name: if explicit { request.session_name.as_str() } else { FIXED_SESSION },
                duration_seconds: *duration_seconds,
                policy: request.session_policy.as_deref().filter(|_| explicit),
                region: request.region.as_deref(),
            };
            within(DEADLINE, "web-identity", "STS", web_identity::credentials(context, &call)).await?
        }
        CredentialsBlock::Profile { name } => {
            provider = format!("profile `{}`", profile::selected_name(context, name.as_deref()));
            profile::credentials(context, name.as_deref(), request.region.as_deref(), FIXED_SESSION).await?
        }
        CredentialsBlock::Environment {} => environment(context)?,
        CredentialsBlock::Component { name, config } => {
            provider = format!("component `{name}`");
            let failed = |cause| CredentialsError::Component { name: name.clone(), cause };
            let fetch = async {
                let answer = context.components.provide(name, config).await;
                answer.map_err(|why| failed(Cause::refused(why, "check the component and its `config`")))
            };
            within(DEADLINE, "component", name, fetch).await?
        }
        CredentialsBlock::AssumeRole(_) | CredentialsBlock::Chain { .. } => {
            return Err(CredentialsError::Block(Cause::refused(
                "an assume-role or chain block stands where a base is needed",
                "this is a defect of Outrigger; please report it",
            )));
        }
    };
    context.observe(&credentials);
    let expired = credentials.expiry().is_some_and(|expiry| expiry <= context.clock.now());
    if expired {
        let word = block.provider();
        return Err(CredentialsError::Expired { provider: word, asked: format!("the {word} endpoint") });
    }
    Ok(Fetched { credentials, provider })
}

async fn access_key(
    context: &ProvidersContext,
    access_key_id: &str,
    secret_key: &KeyPath,
    session_token: Option<&KeyPath>,
) -> Result<Credentials, CredentialsError> {
    let secret = read(context, access_key_id, secret_key).await?;
    context.secrets.secret(&secret);
    let token = match session_token {
        Some(path) => {
            let token = read(context, access_key_id, path).await?;
            context.secrets.secret(&token);
            Some(token)
        }
        None => None,
    };
    let mut builder = Credentials::builder()
        .access_key_id(access_key_id)
        .secret_access_key(secret.expose())
        .provider_name("access-key");
    builder.set_session_token(token.map(|token| token.expose().to_owned()));
    Ok(builder.build())
}

async fn read(
    context: &ProvidersContext,
    access_key_id: &str,
    path: &KeyPath,
) -> Result<outrigger_redaction::Secret, CredentialsError> {
    let failed = |why: &str| CredentialsError::AccessKey {
        access_key_id: access_key_id.to_owned(),
        cause: Cause::refused(
            format!("the secret `{path}` cannot be read from key storage ({why})"),
            format!("store it with `outrigger keys put {path}`"),
        ),
    };
    let (keys, wanted) = (context.keys.clone(), path.clone());
    // Key storage is a database file, and its master key may come from a command.
    match tokio::task::spawn_blocking(move || keys.read(&wanted)).await {
        Ok(Ok(secret)) if secret.expose().is_empty() => Err(failed("it is empty")),
        Ok(Ok(secret)) => Ok(secret),
        Ok(Err(why)) => Err(failed(&why)),
        Err(_) => Err(failed("the reading was stopped")),
    }
}

/// Provider `environment`.
pub(crate) fn environment(context: &ProvidersContext) -> Result<Credentials, CredentialsError> {
    const ID: &str = "AWS_ACCESS_KEY_ID";
    const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
    let half = |set: &str, missing: &str| {
        CredentialsError::Environment(Cause::refused(
            format!("{set} is set and {missing} is not"),
            format!("set both, or unset {set}"),
        ))
    };
    match (context.env.get(ID), context.env.get(SECRET)) {
        (Some(id), Some(secret)) => {
            let mut builder =
                Credentials::builder().access_key_id(id).secret_access_key(secret).provider_name("environment");
            builder.set_session_token(context.env.get("AWS_SESSION_TOKEN"));
            builder.set_account_id(context.env.get("AWS_ACCOUNT_ID").map(Into::into));
            Ok(builder.build())
        }
        (Some(_), None) => Err(half(ID, SECRET)),
        (None, Some(_)) => Err(half(SECRET, ID)),
        (None, None) => Err(CredentialsError::Environment(Cause::absent(
            format!("{ID} and {SECRET} are not set"),
            "set both, or use another provider",
        ))),
    }
}
