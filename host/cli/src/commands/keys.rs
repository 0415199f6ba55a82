//! `keys`: secrets by path.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use outrigger_config::{KeyMetadata, KeyType};
use outrigger_redaction::Secret;
use serde_json::{Value, json};

use super::done;
use crate::app::App;
use crate::arguments::{Formatted, InProject};
use crate::output::style::printable;
use crate::output::table::{Look, Table};
use crate::output::{stdout, write_json};
use crate::prompt::confirm;
use crate::trouble::{Outcome, Trouble};

/// Largest value that is read, in bytes; key storage has a limit of its own below it.
const LARGEST: u64 = 8 * 1024 * 1024;

/// Commands about key storage.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store a secret: asked for on a terminal, or read from standard input or a file
    Put(PutArguments),
    /// List the keys, without their values
    List(ListArguments),
    /// Show what is known of a key; its value is never shown
    Show(ShowArguments),
    /// Remove a key
    Rm(RemoveArguments),
    /// Replace the master key, and seal every key anew
    Rotate,
}

/// Arguments of `keys put`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger keys put keys/project/web/aws                                asks twice, without echo
  pass show aws/outrigger | outrigger keys put keys/project/web/aws
  outrigger keys put keys/ssh/deploy --type private-key --file ~/.ssh/deploy

One newline at the end is dropped. A value is never an argument: others on this machine could see it.
A project reads keys/project/<name>/... and what the system file shares with [keys] share.")]
pub(crate) struct PutArguments {
    /// Path, such as keys/project/web/aws
    #[arg(value_name = "PATH")]
    path: String,
    /// What kind of secret it is
    #[arg(long = "type", value_name = "TYPE", default_value = "password")]
    key_type: Kind,
    /// Read the value from this file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace a key that exists
    #[arg(long)]
    overwrite: bool,
}

/// Types of keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A password, token or secret access key
    Password,
    /// A private key
    PrivateKey,
    /// A public key
    PublicKey,
}

impl From<Kind> for KeyType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Password => Self::Password,
            Kind::PrivateKey => Self::PrivateKey,
            Kind::PublicKey => Self::PublicKey,
        }
    }
}

/// Arguments of `keys list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Only keys whose path begins with this
    #[arg(value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Only what this project may read
    #[command(flatten)]
    project: InProject,
    #[command(flatten)]
    format: Formatted,
}

/// Arguments of `keys show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// Path
    #[arg(value_name = "PATH")]
    path: String,
    #[command(flatten)]
    format: Formatted,
}

/// Arguments of `keys rm`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    /// Path
    #[arg(value_name = "PATH")]
    path: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Carries a command out.
pub(crate) fn run(app: &App, command: Command) -> Outcome {
    match command {
        Command::Put(arguments) => put(app, &arguments),
        Command::List(arguments) => list(app, &arguments),
        Command::Show(arguments) => show(app, &arguments),
        Command::Rm(arguments) => remove(app, &arguments),
        Command::Rotate => rotate(app),
    }
}

fn put(app: &App, arguments: &PutArguments) -> Outcome {
    outrigger_config::check_key_path(&arguments.path)?;
    let (home, settings) = app.settings(None)?;
    let store = settings.key_store();
    if !arguments.overwrite && store.list(&arguments.path)?.iter().any(|entry| entry.path == arguments.path) {
        return Err(outrigger_config::KeyError::Exists(arguments.path.clone()).into());
    }
    let value = match &arguments.file {
        Some(path) if path.as_os_str() != "-" => {
            let file = std::fs::File::open(path).map_err(|error| Trouble::file("read", path, &error))?;
            read(file, path)?
        }
        None if std::io::stdin().is_terminal() => ask(&arguments.path)?,
        _ => read(std::io::stdin().lock(), Path::new("standard input"))?,
    };
    home.create_folders()?;
    let stored = store.put(&arguments.path, arguments.key_type.into(), &value, arguments.overwrite)?;
    let mut out = stdout();
    let word = if stored.replaced { "replaced" } else { "stored" };
    writeln!(out, "{word} {} in {}", printable(&arguments.path), store.path().display())?;
    if let Some(file) = stored.new_master_key {
        writeln!(out, "a master key was made: {}", file.display())?;
        writeln!(
            out,
            "keep a copy of that file in a safe place, apart from the storage: without it the keys are lost"
        )?;
    }
    out.flush()?;
    done()
}

/// Asks twice, without echo.
fn ask(path: &str) -> Result<Secret, Trouble> {
    let gone = |error: std::io::Error| Trouble::failed(format!("the terminal cannot be read: {error}"));
    let first = Secret::new(rpassword::prompt_password(format!("value of {}: ", printable(path))).map_err(gone)?);
    let second = Secret::new(rpassword::prompt_password("once more: ").map_err(gone)?);
    if first == second {
        return Ok(first);
    }
    Err(Trouble::input("the two values differ", "nothing was stored; try again"))
}

/// Reads a value without the newline at its end.
fn read(from: impl std::io::Read, name: &Path) -> Result<Secret, Trouble> {
    let mut bytes = Vec::new();
    from.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| Trouble::file("read", name, &error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Trouble::input(
            format!("{} has more than {LARGEST} bytes", name.display()),
            "key storage is for passwords and keys",
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Trouble::input(format!("{} is not UTF-8 text", name.display()), "encode it, for example with `base64`")
    })?;
    // The value is moved, not copied, so that no second copy stays behind.
    let mut text = text;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(Secret::new(text))
}

fn described(entry: &KeyMetadata) -> Value {
    json!({
        "path": entry.path,
        "type": entry.key_type.as_str(),
        "created": entry.created.to_string(),
        "modified": entry.modified.to_string(),
        "size": entry.size_class,
    })
}

fn list(app: &App, arguments: &ListArguments) -> Outcome {
    let (_, settings) = app.settings(arguments.project.name())?;
    let entries = settings.keys(settings.key_store()).list(&arguments.prefix)?;
    if arguments.format.is_json() {
        write_json(&entries.iter().map(described).collect())?;
        return done();
    }
    let mut out = stdout();
    if entries.is_empty() {
        writeln!(out, "no keys")?;
    } else {
        let mut table = Table::new(["PATH", "TYPE", "SIZE", "MODIFIED"]);
        for entry in &entries {
            table.looked([
                (entry.path.clone(), Look::Plain),
                (entry.key_type.to_string(), Look::Plain),
                (entry.size_class.clone(), Look::Faint),
                (crate::output::time::local(entry.modified.as_microsecond()), Look::Faint),
            ]);
        }
        write!(out, "{}", table.render(app.style(), "", 120))?;
    }
    out.flush()?;
    done()
}

fn show(app: &App, arguments: &ShowArguments) -> Outcome {
    let (_, settings) = app.settings(None)?;
    let entry = settings.key_store().metadata(&arguments.path)?;
    if arguments.format.is_json() {
        write_json(&described(&entry))?;
        return done();
    }
    let mut table = Table::new(["", ""]);
    table.row(["path", entry.path.as_str()]);
    table.row(["type", entry.key_type.as_str()]);
    table.row(["size", entry.size_class.as_str()]);
    table.row(["created", crate::output::time::local(entry.created.as_microsecond()).as_str()]);
    table.row(["modified", crate::output::time::local(entry.modified.as_microsecond()).as_str()]);
    let mut out = stdout();
    write!(out, "{}", table.render(app.style(), "", 520))?;
    out.flush()?;
    done()
}

fn remove(app: &App, arguments: &RemoveArguments) -> Outcome {
    let (_, settings) = app.settings(None)?;
    let store = settings.key_store();
    store.metadata(&arguments.path)?;
    if !arguments.yes && App::can_ask() {
        let question = format!("Remove {}? It cannot be brought back.", printable(&arguments.path));
        let yes =
            confirm(&question).map_err(|error| Trouble::failed(format!("the terminal cannot be read: {error}")))?;
        if !yes {
            return Err(Trouble::input("nothing was removed", "say yes, or --yes"));
        }
    }
    store.remove(&arguments.path)?;
    let mut out = stdout();
    writeln!(out, "removed {}", printable(&arguments.path))?;
    out.flush()?;
    done()
}

fn rotate(app: &App) -> Outcome {
    let (_, settings) = app.settings(None)?;
    let rotation = settings.key_store().rotate(None)?;
    let mut out = stdout();
    writeln!(out, "sealed {} keys with a new master key", rotation.entries)?;
    if let Some(file) = rotation.master_key_file {
        writeln!(out, "it is in {}: keep a copy of that file; older copies open older backups only", file.display())?;
    }
    out.flush()?;
    done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_dropped() {
        let value = |text: &str| read(text.as_bytes(), Path::new("test")).unwrap().expose().to_owned();
        assert_eq!(value("a\n"), "a");
        assert_eq!(value("a\r\n"), "a");
        assert_eq!(value("a\n\n"), "a\n");
        assert_eq!(value(" a "), " a ");
        assert!(read(&[0xff_u8, 0xfe][..], Path::new("test")).is_err());
    }
}
