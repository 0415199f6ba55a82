//! `config show`, `config paths`.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{config_aws, done};
use crate::app::App;
use crate::arguments::{Formatted, InProject};
use crate::output::table::{Look, Table};
use crate::output::{stdout, write_json};
use crate::trouble::Outcome;

/// Commands about the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print every value that holds, with the file and line that gave it
    Show(ShowArguments),
    /// Print where the files are
    Paths(PathsArguments),
    /// Set a role up: what to do in AWS, and the block for the configuration
    Aws(config_aws::Arguments),
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    #[command(flatten)]
    project: InProject,
    #[command(flatten)]
    format: Formatted,
}

/// Arguments of `config paths`.
#[derive(Debug, Args)]
pub(crate) struct PathsArguments {
    #[command(flatten)]
    format: Formatted,
}

/// Carries a command out.
pub(crate) fn run(app: &App, command: Command) -> Outcome {
    match command {
        Command::Show(arguments) => show(app, &arguments),
        Command::Paths(arguments) => paths(app, &arguments),
        Command::Aws(arguments) => config_aws::run(app, &arguments),
    }
}

fn show(app: &App, arguments: &ShowArguments) -> Outcome {
    let (_, settings) = app.settings(arguments.project.name())?;
    let values = settings.effective();
    if arguments.format.is_json() {
        let values: Vec<Value> = values
            .into_iter()
            .map(|(key, value, origin)| {
                json!({
                    "key": key,
                    "value": value,
                    "level": origin.level,
                    "file": origin.file,
                    "line": origin.line,
                })
            })
            .collect();
        write_json(&Value::Array(values))?;
        return done();
    }
    let mut table = Table::new(["KEY", "VALUE", "FROM"]);
    for (key, value, origin) in values {
        table.looked([(key, Look::Plain), (value, Look::Plain), (origin.to_string(), Look::Faint)]);
    }
    let mut out = stdout();
    write!(out, "{}", table.render(app.style(), "", 200))?;
    out.flush()?;
    done()
}

fn paths(app: &App, arguments: &PathsArguments) -> Outcome {
    let home = app.home()?;
    if arguments.format.is_json() {
        let mut members: Map<String, Value> =
            home.paths().into_iter().map(|(name, path)| (name.to_owned(), json!(path))).collect();
        members.insert("found-by".to_owned(), json!(home.how));
        members.insert("trusted".to_owned(), json!(home.trusted));
        write_json(&Value::Object(members))?;
        return done();
    }
    let mut table = Table::new(["", "", ""]);
    for (name, path) in home.paths() {
        let missing = if path.exists() { "" } else { "not there yet" };
        table.looked([
            (name.to_owned(), Look::Plain),
            (path.display().to_string(), Look::Plain),
            (missing.to_owned(), Look::Faint),
        ]);
    }
    let mut out = stdout();
    write!(out, "{}", table.render(app.style(), "", 300))?;
    if !home.trusted {
        writeln!(out, "this configuration was found by walking up and is not trusted; see `outrigger trust --help`")?;
    }
    out.flush()?;
    done()
}
