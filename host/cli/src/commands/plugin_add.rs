//! `plugin add`: shows what a component may do, and asks.

use std::io::Write as _;

use outrigger_engine::{Change, Host};

use super::done;
use super::plugin::{AddArguments, permissions};
use crate::app::App;
use crate::output::stdout;
use crate::output::style::{Style, printable};
use crate::prompt::confirm;
use crate::trouble::{Outcome, Trouble};

/// Carries the command out.
pub(crate) async fn add(app: &App, host: &Host, arguments: &AddArguments) -> Outcome {
    let bytes = std::fs::read(&arguments.file).map_err(|error| Trouble::file("read", &arguments.file, &error))?;
    let name = arguments.file.display().to_string();
    let change = host.examine_plugin(&name, &bytes).await?;
    let mut out = stdout();
    write!(out, "{}", shown(&change, app.style()))?;
    out.flush()?;
    let same = change.replaces.as_ref().is_some_and(|old| old.digest == change.info.digest);
    if same {
        writeln!(out, "\nit was added before, and is the same")?;
        out.flush()?;
        return done();
    }
    if !arguments.yes {
        if !App::can_ask() {
            return Err(Trouble::input(
                format!("{name} was not added: nobody is there to agree to what it may do"),
                "read the permissions above, then say --yes",
            ));
        }
        let question = format!("Add {} with these permissions?", printable(&change.info.provider));
        let yes =
            confirm(&question).map_err(|error| Trouble::failed(format!("the terminal cannot be read: {error}")))?;
        if !yes {
            return Err(Trouble::input(format!("{name} was not added"), "nothing was changed"));
        }
    }
    host.add_plugin(&change.info, &bytes)?;
    let word = if change.replaces.is_some() { "replaced" } else { "added" };
    writeln!(out, "{word} {}, pinned to sha256:{}", printable(&change.info.provider), change.info.digest)?;
    out.flush()?;
    done()
}

/// The component, its permissions, and what changes.
fn shown(change: &Change, style: Style) -> String {
    let info = &change.info;
    let mut out = format!("{}  {}\n", style.bold(&printable(&info.provider)), printable(&info.title));
    for line in info.summary.lines() {
        out.push_str(&format!("  {}\n", printable(line)));
    }
    out.push_str(&format!("\n  digest  sha256:{}\n", info.digest));
    if let Some(old) = &change.replaces {
        out.push_str(&format!("  before  sha256:{}\n", old.digest));
    }
    out.push_str(&permissions(info, style));
    if change.replaces.is_some() {
        out.push_str(&format!("\n{}\n", style.bold("Changes")));
        for import in &change.new_imports {
            out.push_str(&format!("  {}\n", style.yellow(&format!("+ {}", printable(import)))));
        }
        for import in &change.dropped_imports {
            out.push_str(&format!("  {}\n", style.green(&format!("- {}", printable(import)))));
        }
        if change.new_imports.is_empty() && change.dropped_imports.is_empty() {
            out.push_str("  the permissions are the same\n");
        }
    }
    for warning in &change.warnings {
        out.push_str(&format!("\n{} {}\n", style.yellow("warning:"), printable(warning)));
    }
    out.push('\n');
    out
}
