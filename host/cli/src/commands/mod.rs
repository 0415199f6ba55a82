//! The commands, one file for each group.

pub(crate) mod audit;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod config_aws;
pub(crate) mod credentials;
pub(crate) mod job;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod options;
pub(crate) mod plugin;
pub(crate) mod plugin_add;
pub(crate) mod plugin_new;
pub(crate) mod plugin_wit;
pub(crate) mod policy;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod sources;
pub(crate) mod trust;

use std::process::ExitCode;

use crate::app::App;
use crate::arguments::Command;
use crate::trouble::{Outcome, SUCCEEDED};

/// Carries a command out.
pub(crate) fn run(app: &App, command: Command) -> Outcome {
    match command {
        Command::Run(arguments) => run::run(app, *arguments),
        Command::Job(command) => job::run(app, command),
        Command::Plugin(command) => plugin::run(app, command),
        Command::Runs(arguments) => runs::run(app, arguments),
        Command::Log(arguments) => log::run(app, arguments),
        Command::Audit(arguments) => audit::run(app, arguments),
        Command::Keys(command) => keys::run(app, command),
        Command::Config(command) => config::run(app, command),
        Command::Credentials(command) => credentials::run(app, command),
        Command::Trust => trust::trust(app),
        Command::Untrust => trust::untrust(app),
        Command::Demo(arguments) => crate::demo::run(app, &arguments),
        Command::Completion(arguments) => completion::run(arguments),
        Command::Compile => {
            outrigger_runtime::compile_standard_input()?;
            done()
        }
    }
}

/// All went well.
pub(crate) fn done() -> Outcome {
    Ok(ExitCode::from(SUCCEEDED))
}
