//! Reads the `[aws]` table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::reader::{At, Reader, Table, join, nearest};
use super::{Scope, is_secretish};
use crate::aws::{
    AccountBlock, AssumeRoleBlock, AwsSettings, CredentialsBlock, KeyPath, SessionPolicy, SessionPolicyMode, Source,
    SourceName, WebIdentityToken,
};
use crate::check;

const PROVIDERS: [&str; 9] =
    ["access-key", "assume-role", "ec2", "ecs", "web-identity", "profile", "environment", "chain", "component"];

/// Reads the `[aws]` table.
pub(crate) fn aws(reader: &mut Reader<'_>, mut table: Table<'_>, scope: Scope) -> AwsSettings {
    let endpoint_url = url(reader, &mut table, "endpoint-url");
    let endpoint_urls = table.table(reader, "endpoint-urls").map(|t| endpoint_urls(reader, t)).unwrap_or_default();
    let foreign = endpoint_url.is_some() || !endpoint_urls.is_empty();
    let settings = AwsSettings {
        region: region(reader, &mut table, foreign),
        use_fips: table.flag(reader, "use-fips"),
        use_dual_stack: table.flag(reader, "use-dual-stack"),
        endpoint_url,
        endpoint_urls,
        ca_bundle: table.text(reader, "ca-bundle").map(|text| PathBuf::from(text.value)),
        s3_path_style: table.flag(reader, "s3-path-style"),
        credentials: table.table(reader, "credentials").and_then(|t| block(reader, t, scope)),
        accounts: table.table(reader, "accounts").map(|t| accounts(reader, t, scope, foreign)).unwrap_or_default(),
        allowed_roles: role_patterns(reader, &mut table),
        allowed_endpoints: table
            .texts(reader, "allowed-endpoints")
            .map(|list| list.into_iter().map(|text| text.value).collect()),
        projects_use_host_credentials: match scope {
            Scope::System => table.flag(reader, "projects-use-host-credentials"),
            Scope::Project => None,
        },
    };
    table.finish_with(reader, |key| match (key, scope) {
        ("projects-use-host-credentials", Scope::Project) => Some((
            "`aws.projects-use-host-credentials` belongs to the system file".to_owned(),
            Some("a project cannot give itself the host's credentials; set it in outrigger.toml".to_owned()),
        )),
        ("provider" | "access-key-id" | "secret-key" | "role-arn" | "external-id" | "source", _) => Some((
            format!("`aws.{key}` belongs to a credentials block"),
            Some("write it below `[aws.credentials]` or `[aws.accounts.NAME]`".to_owned()),
        )),
        _ => None,
    });
    settings
}

fn role_patterns(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<Vec<String>> {
    let list = table.texts(reader, "allowed-roles")?;
    for pattern in &list {
        let fixed = pattern.value.split(['*', '?']).next().unwrap_or_default();
        if pattern.value != "*" && !(fixed.starts_with("arn:") || "arn:".starts_with(fixed)) {
            reader.error(
                pattern.at,
                format!("{:?} matches no role ARN", pattern.value),
                "write patterns such as \"arn:aws:iam::111122223333:role/deploy-*\"".to_owned(),
            );
        }
    }
    Some(list.into_iter().map(|text| text.value).collect())
}

fn url(reader: &mut Reader<'_>, table: &mut Table<'_>, key: &'static str) -> Option<String> {
    let text = table.text_unrecorded(reader, key)?;
    let name = join(&table.path, key);
    check_url(reader, &name, text)
}

fn check_url(reader: &mut Reader<'_>, name: &str, text: At<String>) -> Option<String> {
    if let Some(problem) = check::endpoint_problem(&text.value) {
        reader.error(text.at, format!("`{name}` is no endpoint URL: {problem}"), None);
        return None;
    }
    reader.record(name, text.at, format!("{:?}", text.value));
    Some(text.value)
}

fn endpoint_urls(reader: &mut Reader<'_>, mut table: Table<'_>) -> BTreeMap<String, String> {
    let path = table.path.clone();
    let mut urls = BTreeMap::new();
    for (service, text) in table.rest_texts(reader) {
        if !check::is_name(&service.value) || service.value.chars().any(|c| c.is_ascii_uppercase()) {
            reader.error(
                service.at,
                format!("{:?} is no name of an AWS service", service.value),
                "write the service's name in lower case, such as s3, ec2 or sts".to_owned(),
            );
            continue;
        }
        if let Some(url) = check_url(reader, &join(&path, &service.value), text) {
            urls.insert(service.value, url);
        }
    }
    urls
}

fn region(reader: &mut Reader<'_>, table: &mut Table<'_>, foreign: bool) -> Option<String> {
    let text = table.text(reader, "region")?;
    if check::is_region(&text.value) || (foreign && check::is_foreign_region(&text.value)) {
        return Some(text.value);
    }
    let name = join(&table.path, "region");
    reader.error(
        text.at,
        format!("`{name}` is {:?}, which is no region", text.value),
        "write a region's name, such as eu-west-1, without zone letter".to_owned(),
    );
    None
}

fn accounts(
    reader: &mut Reader<'_>,
    mut table: Table<'_>,
    scope: Scope,
    foreign: bool,
) -> BTreeMap<String, AccountBlock> {
    let mut accounts = BTreeMap::new();
    for (name, mut account) in table.rest_tables(reader) {
        if !check::is_name(&name.value) {
            reader.error(
                name.at,
                format!("{:?} is no name of an account", name.value),
                "use 1 to 64 letters, digits, `-`, `_` or `.`".to_owned(),
            );
        }
        let region = region(reader, &mut account, foreign);
        if let Some(credentials) = block(reader, account, scope) {
            accounts.insert(name.value, AccountBlock { region, credentials });
        }
    }
    accounts
}

/// Reads a credentials block.
pub(crate) fn block(reader: &mut Reader<'_>, mut table: Table<'_>, scope: Scope) -> Option<CredentialsBlock> {
    let Some(provider) = table.text(reader, "provider") else {
        if !table.has("provider") {
            missing_provider(reader, &table);
        }
        table.ignore_rest();
        return None;
    };
    let block = match provider.value.as_str() {
        "access-key" => access_key(reader, &mut table),
        "assume-role" => {
            assume_role(reader, &mut table, scope).map(|role| CredentialsBlock::AssumeRole(Box::new(role)))
        }
        "ec2" => Some(CredentialsBlock::Ec2 {}),
        "ecs" => Some(CredentialsBlock::Ecs {
            full_uri: url(reader, &mut table, "full-uri"),
            authorization_token_file: table
                .text(reader, "authorization-token-file")
                .map(|text| PathBuf::from(text.value)),
        }),
        "web-identity" => web_identity(reader, &mut table),
        "profile" => profile(reader, &mut table),
        "environment" => Some(CredentialsBlock::Environment {}),
        "chain" => chain(reader, &mut table, scope),
        "component" => component(reader, &mut table),
        other => {
            let name = join(&table.path, "provider");
            let help = match nearest(other, PROVIDERS) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!(
                    "one of {}; a component is named by provider = \"component\", name = {other:?}",
                    PROVIDERS.join(", ")
                ),
            };
            reader.error(provider.at, format!("`{name}` is {other:?}, which is no provider"), help);
            table.ignore_rest();
            None
        }
    };
    let word = provider.value;
    table.finish_with(reader, |key| misplaced(&word, key));
    block
}

/// Says what a block without `provider` may have meant.
fn missing_provider(reader: &mut Reader<'_>, table: &Table<'_>) {
    let path = &table.path;
    if table.is_empty() {
        reader.error(
            table.at,
            format!("`{path}` is empty, so it names no provider"),
            "add provider = \"...\", or remove the table to inherit the next level's credentials".to_owned(),
        );
        return;
    }
    let key = table.has("access-key-id") || table.has("secret-key");
    let role = table.has("role-arn");
    let guess = match (key, role) {
        (true, true) => {
            "a key and a role need two blocks: provider = \"assume-role\" with source = { provider = \"access-key\", ... }"
        }
        (true, false) => "add provider = \"access-key\"",
        (false, true) => "add provider = \"assume-role\", or \"web-identity\" for a token of an OpenID Connect issuer",
        (false, false) => {
            "add provider = \"...\": access-key, assume-role, ec2, ecs, web-identity, profile, environment, chain or component"
        }
    };
    reader.error(table.at, format!("`{path}` has keys but no `provider`"), guess.to_owned());
}

/// Explains a key that belongs to another provider.
fn misplaced(provider: &str, key: &str) -> Option<(String, Option<String>)> {
    let message = format!("`{key}` does not belong to provider = \"{provider}\"");
    let help = match key {
        "role-arn" | "external-id" | "session-policy" | "tags" | "source-identity" | "source" => format!(
            "to assume a role with these credentials write provider = \"assume-role\" and source = {{ provider = \"{provider}\", ... }}"
        ),
        "access-key-id" | "secret-key" | "session-token" => {
            "one block has one provider; keys need provider = \"access-key\"".to_owned()
        }
        "secret-access-key" | "aws-secret-access-key" | "secret" => {
            "secrets are never in this file; store it with `outrigger keys put`, then write secret-key = \"keys/...\""
                .to_owned()
        }
        "duration-seconds" | "session-name" | "token" | "providers" | "full-uri" | "authorization-token-file" => {
            return Some((message, None));
        }
        _ => return None,
    };
    Some((message, Some(help)))
}

fn missing(reader: &mut Reader<'_>, table: &Table<'_>, message: &str, help: &str) {
    let path = &table.path;
    reader.error(table.at, format!("`{path}` is incomplete: {message}"), help.to_owned());
}

fn access_key(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<CredentialsBlock> {
    let (has_id, has_secret) = (table.has("access-key-id"), table.has("secret-key"));
    let id = table.text_unrecorded(reader, "access-key-id");
    let secret = key_path(reader, table, "secret-key");
    let has_token = table.has("session-token");
    let session_token = key_path(reader, table, "session-token");
    match (has_id, has_secret) {
        (true, false) => missing(
            reader,
            table,
            "`access-key-id` without `secret-key`",
            "name the entry of key storage that holds the secret, such as secret-key = \"keys/aws/secret\"",
        ),
        (false, true) => {
            missing(reader, table, "`secret-key` without `access-key-id`", "add access-key-id = \"AKIA...\"")
        }
        (false, false) => {
            missing(reader, table, "neither `access-key-id` nor `secret-key`", "an access key needs both");
        }
        (true, true) => {}
    }
    let id = id?;
    let name = join(&table.path, "access-key-id");
    if !check::is_access_key_id(&id.value) {
        reader.error(
            id.at,
            format!("`{name}` is no access key id"),
            "an access key id has 16 to 128 letters and digits and begins with AKIA or ASIA; the secret goes to key storage".to_owned(),
        );
        return None;
    }
    reader.record(&name, id.at, format!("{:?}", id.value));
    if id.value.starts_with("ASIA") && !has_token {
        reader.error(
            id.at,
            format!("`{name}` belongs to a temporary key, which works only with its session token"),
            "add session-token = \"keys/...\", or use a key that begins with AKIA".to_owned(),
        );
        return None;
    }
    if has_token && session_token.is_none() {
        return None;
    }
    Some(CredentialsBlock::AccessKey { access_key_id: id.value, secret_key: secret?, session_token })
}

fn key_path(reader: &mut Reader<'_>, table: &mut Table<'_>, key: &'static str) -> Option<KeyPath> {
    let text = table.text_unrecorded(reader, key)?;
    let name = join(&table.path, key);
    match crate::keys::path_problem(&text.value) {
        None => {
            reader.record(&name, text.at, format!("{:?}", text.value));
            Some(KeyPath(text.value))
        }
        // The text is not repeated: it may be the secret itself.
        Some(problem) => {
            reader.error(
                text.at,
                format!("`{name}` is no path of key storage: {problem}"),
                "secrets are never in this file; store it with `outrigger keys put keys/...` and name that path"
                    .to_owned(),
            );
            None
        }
    }
}

fn role(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<String> {
    let arn = table.text(reader, "role-arn")?;
    if let Some(problem) = check::role_arn_problem(&arn.value) {
        let name = join(&table.path, "role-arn");
        reader.error(arn.at, format!("`{name}` is no role ARN: {problem}"), None);
        return None;
    }
    Some(arn.value)
}

/// Reads a text that has to satisfy a rule. `Err` was reported.
fn ruled(
    reader: &mut Reader<'_>,
    table: &mut Table<'_>,
    key: &'static str,
    rule: fn(&str) -> bool,
    wanted: &str,
) -> Result<Option<String>, ()> {
    let had = table.has(key);
    let Some(text) = table.text(reader, key) else { return if had { Err(()) } else { Ok(None) } };
    if rule(&text.value) {
        return Ok(Some(text.value));
    }
    let name = join(&table.path, key);
    reader.error(text.at, format!("`{name}` must be {wanted}"), None);
    Err(())
}

const SESSION_NAME: &str = "2 to 64 letters, digits or `_+=,.@-`";

fn duration(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Result<Option<u32>, ()> {
    let had = table.has("duration-seconds");
    match table.number(reader, "duration-seconds", 900..=43_200, "seconds") {
        Some(number) => Ok(u32::try_from(number).ok()),
        None if had => Err(()),
        None => Ok(None),
    }
}

fn assume_role(reader: &mut Reader<'_>, table: &mut Table<'_>, scope: Scope) -> Option<AssumeRoleBlock> {
    if !table.has("role-arn") {
        missing(
            reader,
            table,
            "provider = \"assume-role\" without `role-arn`",
            "add role-arn = \"arn:aws:iam::ACCOUNT:role/NAME\"",
        );
    }
    let role_arn = role(reader, table);
    let external_id =
        ruled(reader, table, "external-id", check::is_external_id, "2 to 1,224 letters, digits or `_+=,.@:/-`");
    let session_name = ruled(reader, table, "session-name", check::is_session_name, SESSION_NAME);
    let at_duration = table.at_key("duration-seconds");
    let duration_seconds = duration(reader, table);
    let had_source = table.has("source");
    let source = table.text_or(
        reader,
        "source",
        "\"system\" or a credentials block",
        |reader, word| match (word.value.as_str(), scope) {
            ("system", Scope::Project) => Some(Source::Named(SourceName::System)),
            ("system", Scope::System) => {
                reader.error(
                    word.at,
                    "source = \"system\" in the system file would refer to itself",
                    "name the source as a block, such as source = { provider = \"ec2\" }, or leave it out for the default chain"
                        .to_owned(),
                );
                None
            }
            (other, _) => {
                reader.error(
                    word.at,
                    format!("`source` is {other:?}, but must be \"system\" or a credentials block"),
                    if PROVIDERS.contains(&other) {
                        Some(format!("write source = {{ provider = \"{other}\" }}"))
                    } else {
                        None
                    },
                );
                None
            }
        },
        |reader, inner| block(reader, inner, scope).map(|block| Source::Block(Box::new(block))),
    );
    if let (Some(Source::Block(inner)), Ok(Some(3601..))) = (&source, &duration_seconds)
        && ends_in_a_role(inner)
    {
        reader.error(
            at_duration,
            "`duration-seconds` is over 3600, but a role that is assumed with a role's session lasts an hour at most",
            "leave it out: sessions are renewed as long as a run needs them".to_owned(),
        );
    }
    let had_policy = table.has("session-policy");
    let session_policy = session_policy(reader, table);
    let tags = tags(reader, table);
    let source_identity = ruled(reader, table, "source-identity", check::is_session_name, SESSION_NAME);
    if (had_source && source.is_none()) || (had_policy && session_policy.is_none()) {
        return None;
    }
    Some(AssumeRoleBlock {
        role_arn: role_arn?,
        external_id: external_id.ok()?,
        session_name: session_name.ok()?,
        duration_seconds: duration_seconds.ok()?,
        source,
        session_policy,
        tags: tags?,
        source_identity: source_identity.ok()?,
    })
}

/// Whether a block always yields a role's session.
fn ends_in_a_role(block: &CredentialsBlock) -> bool {
    match block {
        CredentialsBlock::AssumeRole(_)
        | CredentialsBlock::Ec2 {}
        | CredentialsBlock::Ecs { .. }
        | CredentialsBlock::WebIdentity { .. } => true,
        CredentialsBlock::Chain { providers } => !providers.is_empty() && providers.iter().all(ends_in_a_role),
        _ => false,
    }
}

fn session_policy(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<SessionPolicy> {
    const WANTED: &str = "\"imports\", \"off\" or { extra-actions = [...] }";
    table.text_or(
        reader,
        "session-policy",
        WANTED,
        |reader, word| match word.value.as_str() {
            "imports" => Some(SessionPolicy::Mode(SessionPolicyMode::Imports)),
            "off" => Some(SessionPolicy::Mode(SessionPolicyMode::Off)),
            other => {
                reader.error(word.at, format!("`session-policy` is {other:?}, but must be {WANTED}"), None);
                None
            }
        },
        |reader, mut inner| {
            let at = inner.at;
            let actions = inner.texts(reader, "extra-actions");
            inner.finish(reader);
            let Some(actions) = actions else {
                reader.error(at, format!("`session-policy` must be {WANTED}"), None);
                return None;
            };
            for action in &actions {
                if !check::is_action_pattern(&action.value) {
                    reader.error(
                        action.at,
                        format!("{:?} is no IAM action", action.value),
                        "write SERVICE:ACTION, such as kms:Decrypt".to_owned(),
                    );
                }
            }
            Some(SessionPolicy::Extra { extra_actions: actions.into_iter().map(|action| action.value).collect() })
        },
    )
}

/// At most 50 tags, keys of 128 and values of 256 characters; the prefix `aws:` is AWS's own.
fn tags(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<BTreeMap<String, String>> {
    let Some(mut inner) = table.table(reader, "tags") else {
        return if table.has("tags") { None } else { Some(BTreeMap::new()) };
    };
    let at = inner.at;
    let mut tags = BTreeMap::new();
    for (key, value) in inner.rest_texts(reader) {
        let allowed = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "_.:/=+@-".contains(c));
        if key.value.is_empty()
            || key.value.chars().count() > 128
            || key.value.to_ascii_lowercase().starts_with("aws:")
            || !allowed(&key.value)
        {
            reader.error(
                key.at,
                format!("{:?} is no key of a session tag", key.value),
                "use 1 to 128 letters, digits, blanks or `_.:/=+@-`, not beginning with aws:".to_owned(),
            );
        }
        if value.value.chars().count() > 256 || !allowed(&value.value) {
            reader.error(
                value.at,
                format!("the session tag {:?} has a value that AWS does not accept", key.value),
                "use at most 256 letters, digits, blanks or `_.:/=+@-`".to_owned(),
            );
        }
        tags.insert(key.value, value.value);
    }
    if tags.len() > 50 {
        reader.error(at, format!("{} session tags, but AWS accepts at most 50", tags.len()), None);
    }
    Some(tags)
}

fn web_identity(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<CredentialsBlock> {
    let had_role = table.has("role-arn");
    let role_arn = role(reader, table);
    let session_name = ruled(reader, table, "session-name", check::is_session_name, SESSION_NAME);
    let duration_seconds = duration(reader, table);
    let had_token = table.has("token");
    let token = table.table(reader, "token").and_then(|inner| token(reader, inner));
    if (had_role && role_arn.is_none()) || (had_token && token.is_none()) {
        return None;
    }
    if token.is_some() && role_arn.is_none() {
        missing(
            reader,
            table,
            "`token` without `role-arn`",
            "add role-arn, or leave both out to use AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN",
        );
        return None;
    }
    Some(CredentialsBlock::WebIdentity {
        role_arn,
        token,
        session_name: session_name.ok()?,
        duration_seconds: duration_seconds.ok()?,
    })
}

fn token(reader: &mut Reader<'_>, mut table: Table<'_>) -> Option<WebIdentityToken> {
    let at = table.at;
    let given = ["file", "variable", "github"].iter().filter(|key| table.has(key)).count();
    let file = table.text(reader, "file").map(|text| WebIdentityToken::File(PathBuf::from(text.value)));
    let variable = table.text_unrecorded(reader, "variable").and_then(|text| {
        let name = join(&table.path, "variable");
        if is_secretish(&text.value) {
            reader.error(
                text.at,
                format!("`{name}` is no name of an environment variable"),
                "write the name of the variable, not the token".to_owned(),
            );
            return None;
        }
        reader.record(&name, text.at, format!("{:?}", text.value));
        Some(WebIdentityToken::Variable(text.value))
    });
    let github = table.table(reader, "github").and_then(|mut inner| {
        let at = inner.at;
        let audience = inner.text(reader, "audience");
        let had = inner.has("audience");
        inner.finish(reader);
        if !had {
            reader.error(
                at,
                "`token.github` needs an `audience`",
                "AWS's own guide uses audience = \"sts.amazonaws.com\"".to_owned(),
            );
        }
        audience.map(|text| WebIdentityToken::Github { audience: text.value })
    });
    table.finish(reader);
    if given != 1 {
        reader.error(at, "`token` must have exactly one of `file`, `variable` and `github`", None);
        return None;
    }
    file.or(variable).or(github)
}

fn profile(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<CredentialsBlock> {
    let name = table.text(reader, "name");
    if let Some(text) = &name
        && (text.value.is_empty() || text.value.contains(['\n', ']']))
    {
        reader.error(text.at, format!("{:?} is no name of a profile", text.value), None);
        return None;
    }
    Some(CredentialsBlock::Profile { name: name.map(|text| text.value) })
}

fn chain(reader: &mut Reader<'_>, table: &mut Table<'_>, scope: Scope) -> Option<CredentialsBlock> {
    if !table.has("providers") {
        missing(
            reader,
            table,
            "provider = \"chain\" without `providers`",
            "add providers = [{ provider = \"...\" }, ...]",
        );
        return None;
    }
    let tables = table.tables(reader, "providers")?;
    if tables.is_empty() {
        missing(reader, table, "`providers` is empty", "name at least one provider");
        return None;
    }
    let count = tables.len();
    let providers: Vec<_> = tables.into_iter().filter_map(|inner| block(reader, inner, scope)).collect();
    (providers.len() == count).then_some(CredentialsBlock::Chain { providers })
}

fn component(reader: &mut Reader<'_>, table: &mut Table<'_>) -> Option<CredentialsBlock> {
    if !table.has("name") {
        missing(reader, table, "provider = \"component\" without `name`", "add the name under which it was added");
    }
    let name = table.text(reader, "name");
    let config = table
        .table(reader, "config")
        .map(|mut inner| inner.rest_texts(reader).into_iter().map(|(key, text)| (key.value, text.value)).collect());
    let name = name?;
    if !check::is_name(&name.value) {
        reader.error(name.at, format!("{:?} is no name of a component", name.value), None);
        return None;
    }
    Some(CredentialsBlock::Component { name: name.value, config: config.unwrap_or_default() })
}
