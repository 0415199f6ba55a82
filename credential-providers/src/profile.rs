//! Provider `profile`: the shared AWS configuration files.
//!
//! The files are read here, because a profile may name roles: those are assumed as all others are, with our endpoints,
//! errors and multi-factor question, which the SDK's own provider does not know. What a profile cannot do without the SDK
//! (IAM Identity Center, `credential_process`, console sign-in) is handed to it as a profile of its own.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use aws_config::profile::{ProfileFileCredentialsProvider, ProfileSet};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError as SdkCredentialsError;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_runtime::env_config::section::Profile;
use aws_runtime::env_config::source;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_types::os_shim_internal;
use aws_types::region::Region;

use crate::assume_role::{RoleCall, assume_role};
use crate::check;
use crate::context::ProvidersContext;
use crate::endpoint::sts_region;
use crate::error::{Cause, CredentialsError, HopNumber, whole};
use crate::web_identity::{self, WebIdentity};

/// How long a person may take to look at the device, and a credential process to open a browser.
const PERSON: Duration = Duration::from_secs(180);
/// How long one network call of a profile may take in all.
const NETWORK: Duration = Duration::from_secs(30);

/// What gives the first credentials of a profile.
#[derive(Debug, PartialEq, Eq)]
enum Leaf {
    /// Keys in the file itself; the secret stays in the parsed files.
    Keys,
    /// `credential_source`.
    Named(String),
    /// `web_identity_token_file`.
    WebIdentity,
    /// For the SDK: the word is the key that says so.
    Sdk(&'static str),
}

/// The profiles that a profile leads to.
struct Plan<'a> {
    leaf: Leaf,
    leaf_profile: &'a Profile,
    /// Profiles with a role, in the order in which the roles are assumed.
    roles: Vec<&'a Profile>,
}

/// Credentials of the profile `name`, or of `AWS_PROFILE`, or of `default`.
pub(crate) async fn credentials(
    context: &ProvidersContext,
    name: Option<&str>,
    region: Option<&str>,
    session_name: &str,
) -> Result<Credentials, CredentialsError> {
    let chosen = selected(context, name);
    let sections = load(context, &chosen).await?;
    let explicit = chosen.explicit;
    let Chosen { name: profile, .. } = chosen;
    let plan = plan(&sections, &profile, explicit).map_err(|cause| failed(&profile, cause))?;
    let mut credentials = leaf(context, &sections, &plan, region, session_name).await?;
    context.observe(&credentials);
    let of = plan.roles.len();
    for (position, role) in plan.roles.iter().enumerate() {
        credentials =
            assume(context, role, credentials, HopNumber { number: position + 1, of }, region, session_name).await?;
        context.observe(&credentials);
    }
    Ok(credentials)
}

/// The region of the profile that is used where nothing else names one.
pub(crate) async fn region(context: &ProvidersContext, name: Option<&str>) -> Option<String> {
    let chosen = selected(context, name);
    let sections = load(context, &chosen).await.ok()?;
    sections.get_profile(&chosen.name)?.get("region").map(str::to_owned)
}

struct Chosen {
    name: String,
    explicit: bool,
}

fn selected(context: &ProvidersContext, name: Option<&str>) -> Chosen {
    match name.map(str::to_owned).or_else(|| context.env.get("AWS_PROFILE")) {
        Some(name) => Chosen { name, explicit: true },
        None => Chosen { name: "default".to_owned(), explicit: false },
    }
}

/// Name of the profile that would be used, for messages.
pub(crate) fn selected_name(context: &ProvidersContext, name: Option<&str>) -> String {
    selected(context, name).name
}

fn failed(profile: &str, cause: Cause) -> CredentialsError {
    CredentialsError::Profile { profile: profile.to_owned(), cause }
}

async fn load(context: &ProvidersContext, chosen: &Chosen) -> Result<ProfileSet, CredentialsError> {
    let variables: HashMap<String, String> = ["HOME", "USERPROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), context.env.get(name)?)))
        .collect();
    let unreadable = |what: String| failed(&chosen.name, Cause::refused(what, "correct the AWS configuration files"));
    let env = os_shim_internal::Env::from(variables);
    let mut source = source::load(&env, &os_shim_internal::Fs::real(), &EnvConfigFiles::default())
        .await
        .map_err(|error| unreadable(whole(&error)))?;
    source.profile = chosen.name.clone().into();
    ProfileSet::parse(source).map_err(|error| unreadable(whole(&error)))
}

/// Follows `source_profile` to its end, by the rules of the AWS SDKs.
fn plan<'a>(sections: &'a ProfileSet, name: &str, explicit: bool) -> Result<Plan<'a>, Cause> {
    let mut roles = Vec::new();
    let mut visited = Vec::new();
    let mut current = name.to_owned();
    loop {
        let Some(profile) = sections.get_profile(&current) else {
            return Err(unknown(sections, &current, visited.last(), explicit));
        };
        if visited.contains(&current) {
            return Err(Cause::refused(
                format!("its source profiles go round in a circle ({} → {current})", visited.join(" → ")),
                "let one of them have credentials of its own",
            ));
        }
        visited.push(current.clone());
        if visited.len() > 1 && profile.get("aws_access_key_id").is_some() {
            return finish(profile, roles, Leaf::Keys);
        }
        if profile.get("role_arn").is_none() || profile.get("web_identity_token_file").is_some() {
            let leaf = leaf_of(profile).ok_or_else(|| without(&current, name, explicit))?;
            return finish(profile, roles, leaf);
        }
        roles.push(profile);
        match (profile.get("source_profile"), profile.get("credential_source")) {
            (Some(_), Some(_)) => {
                return Err(Cause::refused(
                    format!("profile `{current}` has both source_profile and credential_source"),
                    "remove one of them",
                ));
            }
            (None, None) => {
                return Err(Cause::refused(
                    format!("profile `{current}` has a role_arn, and nothing that says who assumes it"),
                    "add source_profile or credential_source",
                ));
            }
            (Some(source), None) if source != current => current = source.to_owned(),
            _ => {
                let leaf = leaf_of(profile).ok_or_else(|| without(&current, name, true))?;
                return finish(profile, roles, leaf);
            }
        }
    }
}

fn finish<'a>(leaf_profile: &'a Profile, mut roles: Vec<&'a Profile>, leaf: Leaf) -> Result<Plan<'a>, Cause> {
    roles.reverse();
    Ok(Plan { leaf, leaf_profile, roles })
}

fn leaf_of(profile: &Profile) -> Option<Leaf> {
    let has = |key: &str| profile.get(key).is_some();
    if let Some(source) = profile.get("credential_source") {
        return Some(Leaf::Named(source.to_owned()));
    }
    if has("web_identity_token_file") {
        return Some(Leaf::WebIdentity);
    }
    if ["sso_account_id", "sso_role_name", "sso_session", "sso_start_url"].into_iter().any(has) {
        return Some(Leaf::Sdk("sso"));
    }
    if has("login_session") {
        return Some(Leaf::Sdk("login_session"));
    }
    if has("credential_process") {
        return Some(Leaf::Sdk("credential_process"));
    }
    (has("aws_access_key_id") || has("aws_secret_access_key")).then_some(Leaf::Keys)
}

fn unknown(sections: &ProfileSet, name: &str, from: Option<&String>, explicit: bool) -> Cause {
    let mut names: Vec<_> = sections.profiles().collect();
    names.sort_unstable();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    match from {
        Some(from) => Cause::refused(
            format!("the source_profile `{name}` of profile `{from}` does not exist"),
            format!("write it in ~/.aws/config; there are: {names}"),
        ),
        None if explicit => Cause::refused(
            "it does not exist in the AWS configuration files".to_owned(),
            format!("check `name` of the block or AWS_PROFILE; there are: {names}"),
        ),
        None => Cause::absent("there is no such profile", "run `aws configure`, or choose another with AWS_PROFILE"),
    }
}

fn without(profile: &str, asked: &str, explicit: bool) -> Cause {
    let what = if profile == asked {
        "it names no credentials".to_owned()
    } else {
        format!("its source `{profile}` names no credentials")
    };
    let next = "add keys, sso_session, credential_process or role_arn to it";
    if explicit { Cause::refused(what, next) } else { Cause::absent(what, next) }
}

async fn leaf(
    context: &ProvidersContext,
    sections: &ProfileSet,
    plan: &Plan<'_>,
    region: Option<&str>,
    session_name: &str,
) -> Result<Credentials, CredentialsError> {
    let profile = plan.leaf_profile;
    match &plan.leaf {
        Leaf::Keys => keys(profile),
        Leaf::Named(source) => named(context, profile.name(), source).await,
        Leaf::WebIdentity => {
            let file = profile.get("web_identity_token_file").unwrap_or_default();
            let token = outrigger_config::WebIdentityToken::File(context.env.expand(file));
            let block = WebIdentity {
                role_arn: profile.get("role_arn"),
                token: Some(&token),
                session_name: profile.get("role_session_name"),
                default_session_name: session_name,
                duration_seconds: duration(profile)?,
                policy: None,
                region: region.or(profile.get("region")),
            };
            within(NETWORK, "web-identity", "STS", web_identity::credentials(context, &block)).await
        }
        Leaf::Sdk(kind) => sdk(context, sections, profile, kind).await,
    }
}

fn keys(profile: &Profile) -> Result<Credentials, CredentialsError> {
    let part = |key: &str| {
        profile.get(key).filter(|value| !value.is_empty()).ok_or_else(|| {
            failed(
                profile.name(),
                Cause::refused(format!("`{key}` is missing"), "a profile with keys has an id and a secret; add it"),
            )
        })
    };
    let mut builder = Credentials::builder()
        .access_key_id(part("aws_access_key_id")?)
        .secret_access_key(part("aws_secret_access_key")?)
        .provider_name("profile");
    builder.set_session_token(profile.get("aws_session_token").map(str::to_owned));
    builder.set_account_id(profile.get("aws_account_id").map(|id| id.to_owned().into()));
    Ok(builder.build())
}

async fn named(context: &ProvidersContext, profile: &str, source: &str) -> Result<Credentials, CredentialsError> {
    match source {
        "Environment" => crate::bases::environment(context),
        "EcsContainer" => {
            within(NETWORK, "ecs", "the container endpoint", crate::ecs::credentials(context, None, None)).await
        }
        "Ec2InstanceMetadata" => {
            let (client, endpoint) = crate::ec2::client(context)?;
            within(NETWORK, "ec2", "the metadata service", crate::ec2::credentials(context, &client, &endpoint)).await
        }
        other => Err(failed(
            profile,
            Cause::refused(
                format!("credential_source `{other}` is unknown"),
                "use Environment, Ec2InstanceMetadata or EcsContainer",
            ),
        )),
    }
}

/// The SDK gets a file that holds nothing but the leaf: no role, no other profile, our endpoints.
fn alone(context: &ProvidersContext, sections: &ProfileSet, profile: &Profile) -> String {
    const KEYS: [&str; 9] = [
        "sso_session",
        "sso_account_id",
        "sso_role_name",
        "sso_region",
        "sso_start_url",
        "credential_process",
        "login_session",
        "aws_account_id",
        "region",
    ];
    let mut text = String::from("[profile leaf]\n");
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key} = {value}");
    };
    for key in KEYS {
        if let Some(value) = profile.get(key) {
            line(key, value);
        }
    }
    let endpoints = ["sso", "sso_oidc", "signin"]
        .into_iter()
        .filter_map(|service| Some((service, context.endpoints.url(&service.replace('_', "-"), &context.env)?)));
    let endpoints: Vec<_> = endpoints.collect();
    if !endpoints.is_empty() {
        line("services", "outrigger");
    }
    if let Some((name, session)) = profile.get("sso_session").and_then(|name| Some((name, sections.sso_session(name)?)))
    {
        let _ = writeln!(text, "[sso-session {name}]");
        for key in ["sso_region", "sso_start_url", "sso_registration_scopes"] {
            if let Some(value) = session.get(key) {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
    }
    if !endpoints.is_empty() {
        text.push_str("[services outrigger]\n");
        for (service, url) in endpoints {
            let _ = writeln!(text, "{service} =\n  endpoint_url = {url}");
        }
    }
    text
}

async fn sdk(
    context: &ProvidersContext,
    sections: &ProfileSet,
    profile: &Profile,
    kind: &'static str,
) -> Result<Credentials, CredentialsError> {
    let files =
        EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, alone(context, sections, profile)).build();
    let config = ProviderConfig::empty()
        .with_http_client(context.http.clone())
        .with_sleep_impl(TokioSleep::new())
        .with_time_source(context.clock.clone())
        .with_use_fips(Some(context.endpoints.fips(&context.env)))
        .with_use_dual_stack(Some(context.endpoints.dual_stack(&context.env)))
        .with_region(profile.get("region").map(|region| Region::new(region.to_owned())));
    let provider =
        ProfileFileCredentialsProvider::builder().configure(&config).profile_files(files).profile_name("leaf").build();
    let asked = if kind == "sso" { "IAM Identity Center" } else { kind };
    let fetch = async {
        provider.provide_credentials().await.map_err(|error| failed(profile.name(), said(kind, profile.name(), &error)))
    };
    let limit = if kind == "sso" { NETWORK } else { PERSON };
    within(limit, "profile", asked, fetch).await
}

fn said(kind: &str, profile: &str, error: &SdkCredentialsError) -> Cause {
    let mut text = whole(error).replace("`leaf`", &format!("`{profile}`")).replace('\n', " ");
    if text.chars().count() > 400 {
        text = text.chars().take(400).chain("...".chars()).collect();
    }
    let next = match kind {
        _ if matches!(error, SdkCredentialsError::InvalidConfiguration(_)) => "correct the profile".to_owned(),
        "sso" => format!("run `aws sso login --profile {profile}`"),
        "login_session" => format!("run `aws login --profile {profile}`"),
        _ => "run the command of credential_process by hand to see what it says".to_owned(),
    };
    let transient = text.contains("dispatch failure") || text.contains("timed out");
    let what = format!("{kind}: {text}");
    if transient { Cause::transient(what, next) } else { Cause::refused(what, next) }
}

fn duration(profile: &Profile) -> Result<Option<u32>, CredentialsError> {
    let Some(text) = profile.get("duration_seconds") else { return Ok(None) };
    match text.parse() {
        Ok(seconds) => check::duration(seconds, false).map(|()| Some(seconds)),
        Err(_) => Err(failed(
            profile.name(),
            Cause::refused(format!("duration_seconds `{text}` is no number"), "write seconds, 900 to 43200"),
        )),
    }
}

async fn assume(
    context: &ProvidersContext,
    profile: &Profile,
    source: Credentials,
    hop: HopNumber,
    region: Option<&str>,
    session_name: &str,
) -> Result<Credentials, CredentialsError> {
    let role_arn = profile.get("role_arn").unwrap_or_default();
    check::role_arn(role_arn)?;
    let region = region.or(profile.get("region"));
    // Before a person is asked for a code: what cannot work is refused without one.
    sts_region(region, Some(role_arn))?;
    let mfa = match profile.get("mfa_serial") {
        None => None,
        Some(serial) => {
            let refused = |why: String| CredentialsError::Mfa {
                serial: serial.to_owned(),
                cause: Cause::refused(
                    why,
                    format!(
                        "run it on a terminal, or get a session with a code elsewhere and export it as environment \
                         variables (profile `{}`)",
                        profile.name()
                    ),
                ),
            };
            let code = match tokio::time::timeout(PERSON, context.mfa.code(serial, profile.name())).await {
                Ok(Ok(code)) => code,
                Ok(Err(why)) => return Err(refused(why)),
                Err(_) => return Err(refused(format!("no code within {} s", PERSON.as_secs()))),
            };
            context.secrets.secret(&code);
            Some((serial, code))
        }
    };
    let call = RoleCall {
        hop,
        role_arn,
        external_id: profile.get("external_id"),
        session_name: profile.get("role_session_name").unwrap_or(session_name),
        duration_seconds: duration(profile)?,
        policy: None,
        tags: &BTreeMap::new(),
        source_identity: None,
        mfa,
        region,
        source: "profile",
    };
    within(NETWORK, "assume-role", "STS", assume_role(context, source, &call)).await.map_err(|error| match error {
        // Hops are counted over the block of the configuration; those of a profile are its own matter.
        CredentialsError::AssumeRole { cause, .. } => {
            let what = format!("role `{role_arn}`: {}", cause.what);
            failed(profile.name(), Cause { what, ..*cause })
        }
        other => other,
    })
}

/// `future`, and a deadline for it.
pub(crate) async fn within<T>(
    limit: Duration,
    provider: &'static str,
    asked: &str,
    future: impl Future<Output = Result<T, CredentialsError>>,
) -> Result<T, CredentialsError> {
    match tokio::time::timeout(limit, future).await {
        Ok(result) => result,
        Err(_) => Err(CredentialsError::Deadline { provider, asked: asked.to_owned(), seconds: limit.as_secs() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str) -> ProfileSet {
        let env = os_shim_internal::Env::from_slice(&[]);
        let files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, text).build();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let source = runtime.block_on(source::load(&env, &os_shim_internal::Fs::from_slice(&[]), &files)).unwrap();
        ProfileSet::parse(source).unwrap()
    }

    fn planned(text: &str, name: &str) -> Result<(Leaf, Vec<String>), String> {
        let sections = sections(text);
        plan(&sections, name, true)
            .map(|plan| (plan.leaf, plan.roles.iter().map(|role| role.name().to_owned()).collect()))
            .map_err(|cause| cause.to_string())
    }

    #[test]
    fn source_profiles_are_followed() {
        let text = "[profile base]\naws_access_key_id = AKIA\naws_secret_access_key = x\n\
                    [profile first]\nrole_arn = arn:aws:iam::111122223333:role/first\nsource_profile = base\n\
                    [profile second]\nrole_arn = arn:aws:iam::111122223333:role/second\nsource_profile = first\n\
                    [profile itself]\nrole_arn = arn:aws:iam::111122223333:role/i\nsource_profile = itself\n\
                    aws_access_key_id = AKIA\naws_secret_access_key = x\n\
                    [profile ec2]\nrole_arn = arn:aws:iam::111122223333:role/e\ncredential_source = Ec2InstanceMetadata\n\
                    [profile sso]\nsso_session = dev\nsso_account_id = 111122223333\nsso_role_name = x\n\
                    [profile oidc]\nrole_arn = arn:aws:iam::111122223333:role/o\nweb_identity_token_file = /t\n";
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(planned(text, "second").unwrap(), (Leaf::Keys, names(&["first", "second"])));
        assert_eq!(planned(text, "itself").unwrap(), (Leaf::Keys, names(&["itself"])));
        assert_eq!(planned(text, "ec2").unwrap(), (Leaf::Named("Ec2InstanceMetadata".to_owned()), names(&["ec2"])));
        assert_eq!(planned(text, "sso").unwrap(), (Leaf::Sdk("sso"), names(&[])));
        assert_eq!(planned(text, "oidc").unwrap(), (Leaf::WebIdentity, names(&[])));
    }

    #[test]
    fn broken_profiles_are_explained() {
        let text = "[profile a]\nrole_arn = x\nsource_profile = b\n[profile b]\nrole_arn = x\nsource_profile = a\n\
                    [profile c]\nrole_arn = x\nsource_profile = gone\n[profile d]\nrole_arn = x\n\
                    [profile e]\nregion = eu-west-1\n[profile f]\nrole_arn = x\nsource_profile = a\n\
                    credential_source = Environment\n";
        let messages: Vec<_> = ["a", "c", "d", "e", "f", "g"].map(|name| planned(text, name).unwrap_err()).into();
        insta::assert_snapshot!(messages.join("\n"));
    }

    #[test]
    fn the_sdk_sees_the_leaf_alone() {
        let nothing = |_: &outrigger_config::KeyPath| Err("nothing is stored".to_owned());
        let mut context = ProvidersContext::new(
            crate::http::direct_http_client(),
            std::sync::Arc::new(nothing),
            std::sync::Arc::new(|_: &outrigger_redaction::Secret| {}),
        );
        context.env = crate::env::Env::fixed([("AWS_ENDPOINT_URL_SSO", "http://127.0.0.1:9")]);
        let text = "[profile sso]\nsso_session = dev\nsso_account_id = 111122223333\nsso_role_name = x\n\
                    role_arn = arn:aws:iam::111122223333:role/o\n\
                    [sso-session dev]\nsso_region = eu-west-1\nsso_start_url = https://example.com/start\n";
        let sections = sections(text);
        insta::assert_snapshot!(alone(&context, &sections, sections.get_profile("sso").unwrap()));
    }
}
