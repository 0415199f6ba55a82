//! The command line as a whole; each command's own arguments stand with the command.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{commands, demo};

const EXAMPLES: &str = "\
Examples:
  outrigger job check jobs/                     which of these jobs can run here, and why not the rest
  outrigger run jobs/restart.yaml -o env=prod   run a job and watch it
  outrigger run jobs/restart.yaml --dry-run     stop before every write, and say what it would be
  outrigger plugin inspect aws-vm-start-step    what a plugin may do, read from the binary
  outrigger log last                            the log of the newest run
  outrigger audit last                          every AWS call that it made

Exit codes: 0 succeeded, 1 failed, 2 bad input or configuration, 130 aborted.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "outrigger",
    version,
    about = "Runs operations jobs whose steps are sandboxed WebAssembly components",
    after_help = EXAMPLES,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Folder with `outrigger.toml`, `projects/` and the data
    ///
    /// Without it: OUTRIGGER_HOME, then the nearest parent of the working folder that has an `outrigger.toml`, then the
    /// user's own folders (`~/.config/outrigger` and so on).
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = false)]
    pub(crate) color: Colour,
    /// Say more about what Outrigger itself does; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// `--format`, for the commands that have it.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Formatted {
    /// How to write the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

impl Formatted {
    /// Whether a program reads the result.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }
}

/// `--project`, for the commands that have it.
#[derive(Clone, Debug, Args)]
pub(crate) struct InProject {
    /// Project whose settings, keys and jobs hold
    #[arg(short, long, value_name = "NAME")]
    pub(crate) project: Option<String>,
}

impl InProject {
    /// The name.
    pub(crate) fn name(&self) -> Option<&str> {
        self.project.as_deref()
    }
}

/// What happens to a step whose plugin is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Missing {
    /// The file is refused before anything runs
    Refuse,
    /// The step fails when it is reached, so that its error handler acts, as in Rundeck
    FailStep,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a job
    Run(Box<commands::run::Arguments>),
    /// Look at job files: check, list, work out the IAM policy they need
    #[command(subcommand)]
    Job(commands::job::Command),
    /// Look at plugins, add them, remove them
    #[command(subcommand)]
    Plugin(commands::plugin::Command),
    /// List past and present runs, or remove old ones
    Runs(commands::runs::Arguments),
    /// Show the log of a run
    Log(commands::log::Arguments),
    /// Show every AWS call that a run made
    Audit(commands::audit::Arguments),
    /// Keep secrets: key storage
    #[command(subcommand)]
    Keys(commands::keys::Command),
    /// Show the configuration, or set a role up
    #[command(subcommand)]
    Config(commands::config::Command),
    /// Try credentials out
    #[command(subcommand)]
    Credentials(commands::credentials::Command),
    /// Trust the configuration that was found above the working folder, as it is now
    Trust,
    /// Take the trust in this configuration back
    Untrust,
    /// Run the example jobs against AWS endpoints on this machine
    Demo(demo::Arguments),
    /// Print a completion script for a shell
    Completion(commands::completion::Arguments),
    /// Compile the component on standard input; run by Outrigger itself, under limits
    #[command(name = "__compile", hide = true)]
    Compile,
}
