//! Reads a configuration file, whole: places, unknown keys, and all problems at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

mod aws;
mod permissions;
mod reader;
mod tables;

pub use reader::Entry;
use reader::{Reader, Table};
pub(crate) use reader::{join as dotted, nearest};

use crate::aws::AwsSettings;
use crate::error::ConfigError;
use crate::file::{HttpSettings, KeysSettings, LimitSettings, NativeSettings, PluginAlias};
use crate::origin::{Level, Origin};
use crate::permissions::PermissionRules;

/// What a file speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// `outrigger.toml`.
    System,
    /// `projects/NAME/project.toml`.
    Project,
}

/// A configuration file as written; nothing is inherited and no default is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// The level that the file speaks for: [`Level::System`] or [`Level::Project`].
    pub level: Level,
    /// Where it lies.
    pub path: PathBuf,
    /// `[aws]`.
    pub aws: AwsSettings,
    /// `[permissions]`.
    pub permissions: PermissionRules,
    /// `[globals]`, for `${globals.NAME}`.
    pub globals: BTreeMap<String, String>,
    /// `[native-steps]`.
    pub native_steps: NativeSettings,
    /// `[limits]`.
    pub limits: LimitSettings,
    /// `[workspace] allow-dirs`.
    pub allow_dirs: Option<Vec<PathBuf>>,
    /// `[http]`.
    pub http: HttpSettings,
    /// `[plugins.aliases]`: another vendor's provider id, and what it stands for here.
    pub aliases: BTreeMap<String, PluginAlias>,
    /// `[keys]`.
    pub keys: KeysSettings,
    /// Every key that was read, by its dotted path, with place and display form.
    pub entries: BTreeMap<String, Entry>,
}

/// `outrigger.toml`.
pub type SystemFile = ConfigFile;
/// `projects/NAME/project.toml`.
pub type ProjectFile = ConfigFile;

impl ConfigFile {
    pub(crate) fn empty(level: Level, path: &Path) -> Self {
        Self {
            level,
            path: path.to_owned(),
            aws: AwsSettings::default(),
            permissions: PermissionRules::default(),
            globals: BTreeMap::new(),
            native_steps: NativeSettings::default(),
            limits: LimitSettings::default(),
            allow_dirs: None,
            http: HttpSettings::default(),
            aliases: BTreeMap::new(),
            keys: KeysSettings::default(),
            entries: BTreeMap::new(),
        }
    }

    /// Where the key with this dotted path stands; the first key below it, if it is a table.
    #[must_use]
    pub fn origin(&self, dotted: &str) -> Origin {
        let below = format!("{dotted}.");
        let line = self.entries.get(dotted).map(|entry| entry.line).or_else(|| {
            self.entries
                .range(below.clone()..)
                .take_while(|(path, _)| path.starts_with(&below))
                .map(|(_, entry)| entry.line)
                .min()
        });
        Origin { level: self.level, file: Some(self.path.clone()), line, variable: None }
    }
}

/// Reads the text of `outrigger.toml`. Pure: no file is opened and `file_name` only appears in what is returned.
///
/// # Errors
/// Every problem that was found, in the order of the file.
pub fn parse_system(text: &str, file_name: impl AsRef<Path>) -> Result<SystemFile, Vec<ConfigError>> {
    parse(text, file_name.as_ref(), Scope::System)
}

/// Reads the text of a `project.toml`; as [`parse_system`], less what only the system file may say.
///
/// # Errors
/// Every problem that was found, in the order of the file.
pub fn parse_project(text: &str, file_name: impl AsRef<Path>) -> Result<ProjectFile, Vec<ConfigError>> {
    parse(text, file_name.as_ref(), Scope::Project)
}

fn parse(text: &str, file: &Path, scope: Scope) -> Result<ConfigFile, Vec<ConfigError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::new(text, file);
    let (document, syntax) = DeTable::parse_recoverable(text);
    for error in syntax {
        let at = error.span().map_or(0, |span| span.start);
        reader.error(at, error.message().trim().replace('\n', ", "), None);
    }
    if !reader.errors.is_empty() {
        // What a broken file lacks is noise beside what is broken in it.
        return Err(sorted(reader.errors));
    }
    let level = match scope {
        Scope::System => Level::System,
        Scope::Project => Level::Project,
    };
    let mut result = ConfigFile::empty(level, file);
    let mut root = Table::new(String::new(), 0, document.get_ref());
    if let Some(table) = root.table(&mut reader, "aws") {
        result.aws = aws::aws(&mut reader, table, scope);
    }
    if let Some(table) = root.table(&mut reader, "permissions") {
        result.permissions = permissions::permissions(&mut reader, table, scope, file);
    }
    tables::read(&mut reader, &mut root, scope, &mut result);
    root.finish_with(&mut reader, |key| match key {
        "region" | "credentials" | "accounts" => {
            Some((format!("`{key}` at the top of the file"), Some(format!("write it as `[aws]` {key}"))))
        }
        _ => None,
    });
    if reader.errors.is_empty() {
        result.entries = reader.entries;
        Ok(result)
    } else {
        Err(sorted(reader.errors))
    }
}

fn sorted(mut errors: Vec<ConfigError>) -> Vec<ConfigError> {
    errors.sort_by_key(|error| (error.line, error.column));
    errors
}

/// Whether a text that should be a variable's name cannot be one; then it may be the secret itself.
pub(crate) fn is_secretish(text: &str) -> bool {
    text.is_empty()
        || text.len() > 128
        || text.starts_with(|c: char| c.is_ascii_digit())
        || !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
