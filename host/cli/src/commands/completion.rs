//! `completion`.

use std::io::Write as _;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::{Shell, generate};

use super::done;
use crate::output::stdout;
use crate::trouble::Outcome;

/// Arguments of `completion`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger completion bash > ~/.local/share/bash-completion/completions/outrigger
  outrigger completion zsh > ~/.zfunc/_outrigger      with ~/.zfunc in fpath, before compinit
  outrigger completion fish > ~/.config/fish/completions/outrigger.fish")]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Known,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

/// Carries the command out.
pub(crate) fn run(arguments: Arguments) -> Outcome {
    let shell = match arguments.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut crate::arguments::Arguments::command(), "outrigger", &mut script);
    let mut out = stdout();
    out.write_all(&script)?;
    out.flush()?;
    done()
}
