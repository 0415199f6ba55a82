//! `credentials validate`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use outrigger_config::{ResolvedCredentials, StepCredentials};
use outrigger_credential_providers::{HopReport, Identity, SessionName, ValidationFailure};
use outrigger_engine::IdentityMaker;
use serde_json::{Value, json};

use super::done;
use crate::app::App;
use crate::arguments::{Formatted, InProject};
use crate::output::style::{Style, printable};
use crate::output::table::{Look, Table};
use crate::output::{stdout, write_json};
use crate::trouble::{FAILED, Outcome, Trouble};

/// Commands about credentials.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask AWS whose credentials these are, at every hop
    Validate(ValidateArguments),
}

/// Arguments of `credentials validate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger credentials validate
  outrigger credentials validate --project web --account prod

Asks sts:GetCallerIdentity, which needs no permission. Exit code 1: the credentials do not work.")]
pub(crate) struct ValidateArguments {
    #[command(flatten)]
    project: InProject,
    /// Account of the configuration ([aws.accounts.NAME]); the credentials of project or system without it
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    #[command(flatten)]
    format: Formatted,
}

/// Carries a command out.
pub(crate) fn run(app: &App, command: Command) -> Outcome {
    match command {
        Command::Validate(arguments) => App::runtime()?.block_on(validate(app, arguments)),
    }
}

async fn validate(app: &App, arguments: ValidateArguments) -> Outcome {
    let host = app.host(arguments.project.name(), Vec::new()).await?;
    let said = StepCredentials { account: arguments.account, ..StepCredentials::default() };
    let resolved = host.settings().credentials(Some(&said), None)?;
    let maker = host.identity_maker()?;
    let answer = ask(&maker, &resolved).await?;
    report(app, answer, arguments.format)
}

/// Whose credentials these are, and where the region came from.
pub(crate) struct Answer {
    pub(crate) result: Result<Identity, ValidationFailure>,
    pub(crate) region: Option<(String, String)>,
}

/// Asks AWS.
pub(crate) async fn ask(maker: &IdentityMaker, resolved: &ResolvedCredentials) -> Result<Answer, Trouble> {
    let mut request = maker.request(resolved, SessionName::new("outrigger-validate"))?;
    let providers = maker.providers(resolved);
    let region = match &resolved.region {
        Some(region) => Some((region.value.clone(), region.origin.to_string())),
        None => providers.ambient_region().await,
    };
    request.region = region.as_ref().map(|(region, _)| region.clone());
    Ok(Answer { result: providers.validate(&request).await, region })
}

/// Prints the answer.
pub(crate) fn report(app: &App, answer: Answer, format: Formatted) -> Outcome {
    if format.is_json() {
        let (value, code) = match &answer.result {
            Ok(identity) => {
                let mut value = serde_json::to_value(identity).map_err(std::io::Error::from)?;
                if let (Value::Object(members), Some((_, origin))) = (&mut value, &answer.region) {
                    members.insert("region_from".to_owned(), json!(origin));
                }
                (value, 0)
            }
            Err(failure) => (json!({ "error": failure.error.to_string(), "hops": failure.hops }), FAILED),
        };
        write_json(&value)?;
        return Ok(ExitCode::from(code));
    }
    let style = app.style();
    let mut out = stdout();
    match answer.result {
        Ok(identity) => {
            let mut table = Table::new(["", ""]);
            table.row(["account", identity.account.as_str()]);
            table.row(["identity", identity.arn.as_str()]);
            table.row(["level", identity.level.as_str()]);
            table.row(["provider", identity.provider.as_str()]);
            let from = answer.region.map(|(_, origin)| format!(" (from {origin})")).unwrap_or_default();
            table.row(["region", &format!("{}{from}", identity.region)]);
            write!(out, "{}", table.render(style, "", 300))?;
            write!(out, "{}", hops(&identity.hops, style))?;
            if let Some(note) = &identity.note {
                writeln!(out, "{} {}", style.cyan("note:"), printable(note))?;
            }
            out.flush()?;
            done()
        }
        Err(failure) => {
            write!(out, "{}", hops(&failure.hops, style))?;
            out.flush()?;
            Err(Trouble::failed(failure.error.to_string()))
        }
    }
}

/// The way to the credentials.
fn hops(hops: &[HopReport], style: Style) -> String {
    let mut table = Table::new(["HOP", "BY", "ROLE", "IDENTITY"]);
    for hop in hops {
        let (answer, look) = match (&hop.principal, &hop.error) {
            (Some(principal), _) => (principal.clone(), Look::Plain),
            // The whole message follows below the table.
            (None, Some(_)) => ("failed".to_owned(), Look::Bad),
            (None, None) => (String::new(), Look::Plain),
        };
        table.looked([
            (hop.hop.to_string(), Look::Plain),
            (hop.provider.clone(), Look::Plain),
            (hop.role_arn.clone().unwrap_or_default(), Look::Plain),
            (answer, look),
        ]);
    }
    if table.is_empty() { String::new() } else { format!("\n{}\n", table.render(style, "", 200).trim_end()) }
}
