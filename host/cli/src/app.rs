//! What commands share: the home, the styles, the runtime.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;

use outrigger_config::{Home, Settings};
use outrigger_credential_providers::{MfaPrompter, NoMfa, TerminalMfa};
use outrigger_engine::{Host, HostOptions};
use outrigger_jobs::check::CheckOptions;
use outrigger_runtime::Compiler;
use tokio::runtime::Runtime;

use crate::arguments::{Colour, Global, Missing};
use crate::output::messages;
use crate::output::style::Style;
use crate::trouble::Trouble;

/// How often the AWS SDK tries a call that may be repeated.
const ATTEMPTS: u32 = 5;
/// Threads for what cannot wait without blocking: files, questions on the terminal.
const BLOCKING_THREADS: usize = 4;

/// What every command is given.
#[derive(Debug)]
pub(crate) struct App {
    home: Option<PathBuf>,
    colour: Colour,
    /// How often `-v` was said.
    pub(crate) verbose: u8,
}

impl App {
    /// Takes the global options over.
    pub(crate) fn new(global: &Global) -> Self {
        messages::install(global.verbose);
        Self { home: global.home.clone(), colour: global.color, verbose: global.verbose }
    }

    fn colours(&self, terminal: bool) -> Style {
        let wanted = match self.colour {
            Colour::Always => true,
            Colour::Never => false,
            // https://no-color.org: set and not empty.
            Colour::Auto => {
                terminal
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
            }
        };
        Style::new(wanted)
    }

    /// How standard output is coloured.
    pub(crate) fn style(&self) -> Style {
        self.colours(std::io::stdout().is_terminal())
    }

    /// How standard error is coloured.
    pub(crate) fn error_style(&self) -> Style {
        self.colours(std::io::stderr().is_terminal())
    }

    /// Whether a person can be asked.
    pub(crate) fn can_ask() -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Finds the home.
    pub(crate) fn home(&self) -> Result<Home, Trouble> {
        let here = std::env::current_dir().map_err(|error| Trouble::file("find", "the working folder", &error))?;
        Ok(Home::discover(self.home.clone(), &|name| std::env::var_os(name), &here)?)
    }

    /// Reads the configuration.
    pub(crate) fn settings(&self, project: Option<&str>) -> Result<(Home, Settings), Trouble> {
        let home = self.home()?;
        let settings = Settings::load(&home, project)?;
        Ok((home, settings))
    }

    /// Starts the threads that asynchronous work runs on.
    pub(crate) fn runtime() -> Result<Runtime, Trouble> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores)
            .max_blocking_threads(BLOCKING_THREADS)
            .enable_all()
            .build()
            .map_err(|error| Trouble::failed(format!("the worker threads did not start: {error}")))
    }

    /// Opens the home with its plugins.
    pub(crate) async fn host(&self, project: Option<&str>, allow_dirs: Vec<PathBuf>) -> Result<Arc<Host>, Trouble> {
        let program = std::env::current_exe().map_err(|error| Trouble::file("find", "this program", &error))?;
        let mfa: Arc<dyn MfaPrompter> = if Self::can_ask() { Arc::new(TerminalMfa) } else { Arc::new(NoMfa) };
        let options = HostOptions {
            project: project.map(str::to_owned),
            allow_dirs,
            compiler: Compiler::Child { program, arguments: vec!["__compile".to_owned()] },
            mfa,
            attempts: ATTEMPTS,
        };
        Ok(Host::open(self.home()?, options).await?)
    }
}

/// What checking a job file takes for granted in this home.
pub(crate) fn check_options(host: &Host, strict: bool, missing: Missing) -> Result<CheckOptions, Trouble> {
    let settings = host.settings();
    let mut project_jobs = Vec::new();
    for project in host.home().projects()? {
        project_jobs.push((project.clone(), host.home().jobs_dir(&project)?));
    }
    Ok(CheckOptions {
        strict,
        project: settings.project().map(str::to_owned),
        project_jobs,
        native_steps: Some(settings.native_steps().enabled.value),
        accounts: Some(accounts(settings)),
        globals: Some(settings.globals().into_keys().collect()),
        missing_plugins_fail_step: missing == Missing::FailStep,
    })
}

/// Names of the configured accounts, by the keys of the effective configuration.
fn accounts(settings: &Settings) -> Vec<String> {
    let mut names: Vec<String> = settings
        .effective()
        .iter()
        .filter_map(|(key, _, _)| {
            let rest = key.strip_prefix("aws.accounts.")?;
            Some(match rest.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next().unwrap_or_default().to_owned(),
                None => rest.split('.').next().unwrap_or_default().to_owned(),
            })
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}
