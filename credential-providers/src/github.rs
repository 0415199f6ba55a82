//! The OpenID Connect token of a GitHub Actions job.

use outrigger_redaction::Secret;
use url::Url;
use zeroize::Zeroizing;

use crate::context::ProvidersContext;
use crate::error::Cause;
use crate::http::get;

const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

#[derive(serde::Deserialize)]
struct Answer {
    #[serde(deserialize_with = "crate::ecs::hidden")]
    value: Zeroizing<String>,
}

/// Asks GitHub for a token for `audience`, as
/// [its documentation](https://docs.github.com/en/actions/reference/security/oidc) describes.
pub(crate) async fn token(context: &ProvidersContext, audience: &str) -> Result<Secret, Cause> {
    let missing = |name: &str| {
        Cause::refused(
            format!("{name} is not set"),
            "run in GitHub Actions, and give the job `permissions: id-token: write`",
        )
    };
    let url = context.env.get(URL).ok_or_else(|| missing(URL))?;
    let bearer = context.env.get(TOKEN).ok_or_else(|| missing(TOKEN))?;
    context.secrets.secret(&Secret::new(bearer.clone()));
    let mut url =
        Url::parse(&url).map_err(|error| Cause::refused(format!("{URL} is no address ({error})"), "GitHub sets it"))?;
    url.query_pairs_mut().append_pair("audience", audience);
    let authorization = Zeroizing::new(format!("Bearer {bearer}"));
    let body = get(&context.http, &url, Some(authorization)).await.map_err(|error| {
        let what = format!("GitHub gave no token for the audience `{audience}` ({})", error.what);
        let next = "give the job `permissions: id-token: write`, then run it again";
        if error.transient { Cause::transient(what, next) } else { Cause::refused(what, next) }
    })?;
    let answer: Answer = serde_json::from_str(&body)
        .map_err(|_| Cause::transient("GitHub's answer holds no `value`", "try again in a moment"))?;
    Ok(Secret::new(answer.value.to_string()))
}
