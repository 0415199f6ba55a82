//! Writes a credentials block into a configuration file and leaves everything else as it is.

use std::io::ErrorKind;
use std::path::Path;

use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::aws::CredentialsBlock;
use crate::check::is_name;
use crate::error::{ConfigErrors, Error};
use crate::home::make_private;
use crate::origin::Level;
use crate::parse::{parse_project, parse_system};
use crate::write::write_private;

/// Which block of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockName<'n> {
    /// `[aws.credentials]`.
    Credentials,
    /// `[aws.accounts.NAME]`.
    Account(&'n str),
}

/// The order in which a person would write the members; others follow by name.
const ORDER: [&str; 12] = [
    "provider",
    "access-key-id",
    "secret-key",
    "session-token",
    "role-arn",
    "external-id",
    "source",
    "session-policy",
    "session-name",
    "duration-seconds",
    "name",
    "providers",
];

/// Writes a credentials block, and the region if one is given, to a configuration file: `[aws] region` for
/// [`BlockName::Credentials`], the account's own region otherwise. Comments and all other keys stay. The result is
/// checked before anything is written, and the file is replaced as a whole; a new one gets mode 0600.
///
/// `level` says what kind of file it is: [`Level::Project`] or the system file.
///
/// # Errors
/// [`Error::Invalid`] if the file is broken or the block would break it; a file that cannot be read or written.
pub fn write_credentials(
    path: &Path,
    level: Level,
    name: BlockName<'_>,
    block: &CredentialsBlock,
    region: Option<&str>,
) -> Result<(), Error> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(source) => return Err(Error::io("read", path, source)),
    };
    let check = |text: &str| match level {
        Level::Project => parse_project(text, path),
        _ => parse_system(text, path),
    };
    let edited = with_credentials(&text, name, block, region).map_err(|problem| match check(&text) {
        Err(errors) => Error::from(ConfigErrors(errors)),
        Ok(_) => Error::io("edit", path, std::io::Error::new(ErrorKind::InvalidData, problem)),
    })?;
    check(&edited).map_err(|errors| Error::from(ConfigErrors(errors)))?;
    if let Some(folder) = path.parent() {
        make_private(folder)?;
    }
    write_private(path, edited.as_bytes())
}

/// The text of a configuration file with this block in it.
///
/// # Errors
/// What keeps the text from being edited.
pub fn with_credentials(
    text: &str,
    name: BlockName<'_>,
    block: &CredentialsBlock,
    region: Option<&str>,
) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| error.message().to_owned())?;
    if document.is_empty() && !text.trim().is_empty() {
        // The comments of a file without keys are its trailer, and would end up below what is added.
        let added = with_credentials("", name, block, region)?;
        return Ok(format!("{}\n\n{added}", text.trim_end()));
    }
    let aws = table(document.as_table_mut(), "aws", true)?;
    let target = match name {
        BlockName::Credentials => {
            if let Some(region) = region {
                set(aws, "region", region.into());
            }
            table(aws, "credentials", false)?
        }
        BlockName::Account(account) => {
            if !is_name(account) {
                return Err(format!("`{account}` is no name of an account"));
            }
            table(table(aws, "accounts", true)?, account, false)?
        }
    };
    let mut members = members(block)?;
    if let (BlockName::Account(_), Some(region)) = (name, region) {
        members.insert(0, ("region".to_owned(), region.into()));
    }
    let keep_region = matches!(name, BlockName::Account(_)) && region.is_none();
    let stale: Vec<String> = target
        .iter()
        .map(|(key, _)| key.to_owned())
        .filter(|key| !(keep_region && key == "region" || members.iter().any(|(member, _)| member == key)))
        .collect();
    for key in stale {
        target.remove(&key);
    }
    for (key, value) in members {
        set(target, &key, value);
    }
    Ok(document.to_string())
}

/// The table with this key; made if there is none. A table that only holds others needs no header of its own.
fn table<'t>(parent: &'t mut dyn TableLike, key: &str, implicit: bool) -> Result<&'t mut dyn TableLike, String> {
    let mut new = Table::new();
    new.set_implicit(implicit);
    let item = parent.entry(key).or_insert(Item::Table(new));
    item.as_table_like_mut().ok_or_else(|| format!("`{key}` is no table"))
}

/// Sets a value; one that was there passes its white space and comments on.
fn set(table: &mut dyn TableLike, key: &str, mut value: Value) {
    if let Some(old) = table.get(key).and_then(Item::as_value) {
        *value.decor_mut() = old.decor().clone();
    }
    if let Some(item) = table.get_mut(key) {
        *item = Item::Value(value);
    } else {
        table.insert(key, Item::Value(value));
    }
}

fn members(block: &CredentialsBlock) -> Result<Vec<(String, Value)>, String> {
    match toml::Value::try_from(block) {
        Ok(toml::Value::Table(table)) => Ok(sorted(table)),
        Ok(_) => Err("the block is no table".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn sorted(table: toml::Table) -> Vec<(String, Value)> {
    let rank = |key: &str| ORDER.iter().position(|known| *known == key).unwrap_or(ORDER.len());
    let mut members: Vec<(String, toml::Value)> =
        table.into_iter().filter(|(_, value)| value.as_table().is_none_or(|inner| !inner.is_empty())).collect();
    members.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then(a.cmp(b)));
    members.into_iter().map(|(key, value)| (key, convert(value))).collect()
}

fn convert(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(convert).collect()),
        toml::Value::Table(table) => {
            let mut inline = InlineTable::new();
            for (key, value) in sorted(table) {
                inline.insert(&key, value);
            }
            Value::InlineTable(inline)
        }
    }
}
