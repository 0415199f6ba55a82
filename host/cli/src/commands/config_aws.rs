//! `config aws`: from nothing to a role that Outrigger assumes.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use outrigger_config::{
    AssumeRoleBlock, BlockName, CredentialsBlock, Home, HopKind, Level, ResolvedCredentials, Settings, Source,
    SourceName, StepCredentials, TrustOptions, create_role_command, new_external_id, put_role_policy_command,
    trust_policy, update_trust_command, write_credentials,
};
use outrigger_credential_providers::Identity;
use outrigger_engine::Host;
use outrigger_engine::policy::document;
use outrigger_runtime::ActionNeed;
use serde_json::{Value, json};

use super::{credentials, done, policy};
use crate::app::App;
use crate::arguments::{Format, Formatted, InProject};
use crate::output::stdout;
use crate::output::style::{Style, printable};
use crate::trouble::{Outcome, Trouble};

const EXAMPLES: &str = "\
Examples:
  outrigger config aws jobs/restart.yaml             what to do in AWS, for these jobs
  outrigger config aws --project web jobs/*.yaml     the same for a role of one project
  outrigger config aws --role-arn ARN --external-id ID
                                                     write the block, and try it out";

/// Arguments of `config aws`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Job files that the role is for
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    project: InProject,
    /// Name of the role to make; `outrigger`, or `outrigger-PROJECT`
    #[arg(long, value_name = "NAME", conflicts_with = "role_arn")]
    role_name: Option<String>,
    /// The role that was made: write it into the configuration, and try it out
    #[arg(long, value_name = "ARN")]
    role_arn: Option<String>,
    /// External id of the trust policy; the configured one, or a new one
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Region to write beside the role
    #[arg(long, value_name = "REGION", requires = "role_arn")]
    region: Option<String>,
}

/// Carries the command out.
pub(crate) fn run(app: &App, arguments: &Arguments) -> Outcome {
    App::runtime()?.block_on(async {
        match &arguments.role_arn {
            Some(role) => write(app, arguments, role).await,
            None => explain(app, arguments).await,
        }
    })
}

fn level(arguments: &Arguments) -> Level {
    if arguments.project.project.is_some() { Level::Project } else { Level::System }
}

/// What is configured at the level that is set up, and the credentials that ask for its role.
struct Present {
    role: Option<AssumeRoleBlock>,
    /// A block of this level that is no role: it becomes the role's source.
    base: Option<CredentialsBlock>,
    asking: ResolvedCredentials,
}

fn present(settings: &Settings, level: Level) -> Result<Present, Trouble> {
    let mut asking = settings.credentials(Some(&StepCredentials::default()), None)?;
    let mut present = Present { role: None, base: None, asking: asking.clone() };
    let own = asking.level == level;
    match asking.hops.last().map(|hop| (hop.level, hop.kind.clone())) {
        Some((at, HopKind::Role(role))) if own && at == level && asking.hops.len() > 1 => {
            asking.hops.pop();
            present.role = Some(*role);
            present.asking = asking;
        }
        Some((_, HopKind::Base(block))) if own => present.base = Some(block),
        _ => {}
    }
    Ok(present)
}

async fn explain(app: &App, arguments: &Arguments) -> Outcome {
    let host = app.host(arguments.project.name(), Vec::new()).await?;
    let level = level(arguments);
    let present = present(host.settings(), level)?;
    let maker = host.identity_maker()?;
    let answer = credentials::ask(&maker, &present.asking).await?;
    let identity = answer.result.map_err(|failure| {
        Trouble::input(
            format!("the credentials that will ask for the role do not work: {}", failure.error),
            "Outrigger needs credentials of its own first: a profile, keys in the environment, or an instance or task role",
        )
    })?;
    let (external_id, is_new) =
        match (&arguments.external_id, present.role.as_ref().and_then(|role| role.external_id.clone())) {
            (Some(given), _) => (given.clone(), false),
            (None, Some(configured)) => (configured, false),
            (None, None) => (new_external_id()?, true),
        };
    let needed = needed(&host, &arguments.files)?;
    let setup = Setup {
        identity: &identity,
        role_name: role_name(arguments, present.role.as_ref()),
        external_id: &external_id,
        is_new,
        exists: present.role.is_some(),
        options: TrustOptions {
            tags: present.role.as_ref().is_some_and(|role| !role.tags.is_empty()),
            source_identity: present.role.as_ref().is_some_and(|role| role.source_identity.is_some()),
        },
        needed: &needed.0,
        remarks: &needed.1,
        project: arguments.project.name(),
    };
    let mut out = stdout();
    write!(out, "{}", setup.text(app.style()))?;
    out.flush()?;
    done()
}

fn role_name(arguments: &Arguments, role: Option<&AssumeRoleBlock>) -> String {
    if let Some(name) = &arguments.role_name {
        return name.clone();
    }
    if let Some(name) = role.and_then(|role| role.role_arn.rsplit('/').next()) {
        return name.to_owned();
    }
    match arguments.project.name() {
        Some(project) => format!("outrigger-{project}"),
        None => "outrigger".to_owned(),
    }
}

/// The actions of all jobs of the files, and what is not known of them.
fn needed(host: &Host, files: &[PathBuf]) -> Result<(Vec<ActionNeed>, Vec<String>), Trouble> {
    let mut actions: Vec<ActionNeed> = Vec::new();
    let mut remarks = Vec::new();
    for path in files {
        let (file, _) = Host::read_job_file(path)?;
        let found = policy::of_jobs(host, &file, &host.job_index(&file)?, None)?;
        remarks.extend(found.remarks);
        for need in found.actions {
            match actions.iter_mut().find(|known| known.action == need.action) {
                Some(known) if known.dependent && !need.dependent => *known = need,
                Some(_) => {}
                None => actions.push(need),
            }
        }
    }
    actions.sort();
    remarks.sort();
    remarks.dedup();
    Ok((actions, remarks))
}

struct Setup<'a> {
    identity: &'a Identity,
    role_name: String,
    external_id: &'a str,
    is_new: bool,
    exists: bool,
    options: TrustOptions,
    needed: &'a [ActionNeed],
    remarks: &'a [String],
    project: Option<&'a str>,
}

impl Setup<'_> {
    /// The account as the console writes it into a trust policy.
    fn principal(&self) -> String {
        format!("arn:{}:iam::{}:root", self.identity.partition, self.identity.account)
    }

    fn text(&self, style: Style) -> String {
        let trust = trust_policy(&self.principal(), Some(self.external_id), self.options);
        let mut out = String::new();
        let mut say = |text: &str| {
            out.push_str(text);
            out.push('\n');
        };
        say(&style.bold("1. Who asks for the role"));
        say(&format!("   account      {}", self.identity.account));
        say(&format!("   identity     {}", printable(&self.identity.arn)));
        say(&format!("   external id  {}{}", printable(self.external_id), if self.is_new { "  (new)" } else { "" }));
        say("");
        say(&style.bold("2. Trust policy of the role"));
        say(&indented(&trust));
        say("");
        say(&style.bold("3. Permission policy of the role"));
        let permissions = (!self.needed.is_empty()).then(|| document(self.needed));
        match &permissions {
            Some(policy) => say(&indented(policy)),
            None => say("   name job files to see what they need: outrigger config aws FILE..."),
        }
        for remark in self.remarks {
            say(&format!("   {} {}", style.yellow("warning:"), printable(remark)));
        }
        say("");
        say(&style.bold("4. In the account of the role"));
        let make = if self.exists {
            update_trust_command(&self.role_name, &trust)
        } else {
            create_role_command(&self.role_name, &trust)
        };
        say(&format!("   {make}"));
        if let Some(policy) = &permissions {
            say(&format!("   {}", put_role_policy_command(&self.role_name, "outrigger-jobs", policy)));
        }
        say("");
        say(&style.bold("5. In the account of whoever asks"));
        say("   The identity above needs sts:AssumeRole on the role. An administrator has it; others get this policy:");
        let role = format!("arn:{}:iam::ACCOUNT:role/{}", self.identity.partition, self.role_name);
        let asking = json!({
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role }],
        });
        say(&indented(&asking));
        say("");
        say(&style.bold("6. Then, with the number of the role's account for ACCOUNT"));
        let project = self.project.map(|project| format!(" --project {project}")).unwrap_or_default();
        say(&format!(
            "   outrigger config aws{project} --role-arn arn:{}:iam::ACCOUNT:role/{} --external-id {}",
            self.identity.partition,
            self.role_name,
            outrigger_config::shell_quote(self.external_id)
        ));
        out
    }
}

fn indented(value: &Value) -> String {
    format!("{value:#}").lines().map(|line| format!("   {line}")).collect::<Vec<_>>().join("\n")
}

/// Writes the block, and tries it out.
async fn write(app: &App, arguments: &Arguments, role_arn: &str) -> Outcome {
    let (home, settings) = app.settings(arguments.project.name())?;
    let level = level(arguments);
    // A project without any credentials yet is what this command is for.
    let before = present(&settings, level).ok();
    let old = before.as_ref().and_then(|present| present.role.clone());
    let external_id = arguments.external_id.clone().or_else(|| old.as_ref().and_then(|role| role.external_id.clone()));
    let base = before.and_then(|present| present.base);
    let source = match (&old, base, level) {
        (Some(role), _, _) => role.source.clone(),
        (None, Some(base), _) => Some(Source::Block(Box::new(base))),
        (None, None, Level::Project) => Some(Source::Named(SourceName::System)),
        (None, None, _) => None,
    };
    let block = CredentialsBlock::AssumeRole(Box::new(AssumeRoleBlock {
        role_arn: role_arn.to_owned(),
        external_id: external_id.clone(),
        session_name: old.as_ref().and_then(|role| role.session_name.clone()),
        duration_seconds: old.as_ref().and_then(|role| role.duration_seconds),
        source,
        session_policy: old.as_ref().and_then(|role| role.session_policy.clone()),
        tags: old.as_ref().map(|role| role.tags.clone()).unwrap_or_default(),
        source_identity: old.and_then(|role| role.source_identity),
    }));
    let path = file(&home, arguments)?;
    write_credentials(&path, level, BlockName::Credentials, &block, arguments.region.as_deref())?;
    let mut out = stdout();
    writeln!(out, "wrote [aws.credentials] to {}", path.display())?;
    if external_id.is_none() {
        let style = app.style();
        writeln!(
            out,
            "{} no external id: give --external-id if the trust policy asks for one",
            style.yellow("warning:")
        )?;
    }
    writeln!(out)?;
    out.flush()?;
    drop(out);
    let host = app.host(arguments.project.name(), Vec::new()).await?;
    let resolved = host.settings().credentials(Some(&StepCredentials::default()), None)?;
    let answer = credentials::ask(&*host.identity_maker()?, &resolved).await?;
    credentials::report(app, answer, Formatted { format: Format::Text })
}

fn file(home: &Home, arguments: &Arguments) -> Result<PathBuf, Trouble> {
    Ok(match arguments.project.name() {
        Some(project) => home.project_file(project)?,
        None => home.config_file.clone(),
    })
}
