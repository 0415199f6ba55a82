//! What holds for a run: the system file and a project's file put together, each value with its origin.
//!
//! A project's value goes before the system's. Where a value limits what may happen (limits, folders, networks, native
//! steps) and the system file states it, a project can only narrow it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::aws::CredentialsBlock;
use crate::check::glob_covers;
use crate::error::{ConfigError, ConfigErrors, Error};
use crate::file::{LimitSettings, MasterKeySource, Network, PluginAlias};
use crate::home::{Home, HomeSource};
use crate::keys::{KeyScope, KeyStore, ProjectKeys};
use crate::origin::{Level, Origin, Value};
use crate::parse::{ConfigFile, parse_project, parse_system};
use crate::permissions::Permissions;
use crate::trust::TrustFile;

/// Linear memory of a step in MiB.
pub const DEFAULT_MEMORY_MIB: u32 = 256;
/// Processor time of a step in seconds.
pub const DEFAULT_CPU_SECONDS: u32 = 300;
/// Wall-clock time of a step in seconds: a day.
pub const DEFAULT_DEADLINE_SECONDS: u64 = 86_400;
/// Time to clean up in seconds.
pub const DEFAULT_GRACE_SECONDS: u32 = 30;
/// Log lines of a step.
pub const DEFAULT_LOG_LINES: u64 = 1_000_000;
/// Outputs of a step in KiB.
pub const DEFAULT_OUTPUTS_KIB: u32 = 1024;
/// Workspace of a run in MiB.
pub const DEFAULT_WORKSPACE_MIB: u64 = 10_240;

/// The configuration that holds for a project, or for runs without one.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) system: ConfigFile,
    pub(crate) project: Option<(String, ConfigFile)>,
    permissions: Permissions,
    master_key_default: PathBuf,
    keys_database: PathBuf,
}

/// Effective `[native-steps]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeSteps {
    /// Whether `exec` and `script` steps may run; off by default. `false` in the system file holds for all projects.
    pub enabled: Value<bool>,
    /// User whose rights they run with; the system's choice goes before a project's.
    pub user: Option<Value<String>>,
    /// Whether they may get AWS credentials; off by default. `false` in the system file holds for all projects.
    pub aws: Value<bool>,
    /// Interpreters that scripts may name; `None` means any. Where both files list some, those in both lists.
    pub interpreters: Option<Value<Vec<String>>>,
}

/// Effective `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of a step in MiB.
    pub memory_mib: Value<u32>,
    /// Processor time of a step in seconds.
    pub cpu_seconds: Value<u32>,
    /// Wall-clock time of a step in seconds.
    pub deadline_seconds: Value<u64>,
    /// Time after deadline or cancellation in which a step may clean up, in seconds.
    pub grace_seconds: Value<u32>,
    /// Log lines of a step.
    pub log_lines: Value<u64>,
    /// Size of a step's outputs in KiB.
    pub outputs_kib: Value<u32>,
    /// Size of a run's workspace in MiB.
    pub workspace_mib: Value<u64>,
}

/// Keys that send credentials or results elsewhere, or widen what may happen; below `[aws]` also as the end of a path.
const TRUSTED_ONLY: [&str; 11] = [
    "aws.allowed-endpoints",
    "aws.allowed-roles",
    "aws.ca-bundle",
    "aws.endpoint-url",
    "aws.endpoint-urls",
    "aws.projects-use-host-credentials",
    "http",
    "keys",
    "native-steps",
    "permissions.allow",
    "permissions.grants",
];
const TRUSTED_ONLY_ENDS: [&str; 3] = [".full-uri", ".authorization-token-file", ".token.file"];

impl Settings {
    /// Reads `outrigger.toml` and, where a project is named, its `project.toml`. Files that do not exist are empty ones;
    /// a project's folder has to exist.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all problems of both files, or a file that cannot be read.
    pub fn load(home: &Home, project: Option<&str>) -> Result<Self, Error> {
        let trust = match home.how {
            HomeSource::WalkUp => Some(TrustFile::read(&home.trust_file)?),
            _ => None,
        };
        let mut errors = Vec::new();
        let system = read(&home.config_file, Level::System, trust.as_ref(), &mut errors)?;
        let project = match project {
            None => None,
            Some(name) => {
                home.project_dir(name)?;
                let path = home.project_file(name)?;
                Some((name.to_owned(), read(&path, Level::Project, trust.as_ref(), &mut errors)?))
            }
        };
        if !errors.is_empty() {
            return Err(ConfigErrors(errors).into());
        }
        Self::new(system, project, home.master_key_file.clone(), home.keys_database())
    }

    /// Puts files together that were parsed before.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the project uses the host's credentials and the system file does not say that it may.
    pub fn new(
        system: ConfigFile,
        project: Option<(String, ConfigFile)>,
        master_key_default: PathBuf,
        keys_database: PathBuf,
    ) -> Result<Self, Error> {
        if let Some((_, file)) = &project
            && system.aws.projects_use_host_credentials != Some(true)
        {
            let errors = host_credentials(file);
            if !errors.is_empty() {
                return Err(ConfigErrors(errors).into());
            }
        }
        let mut levels = vec![system.permissions.clone()];
        levels.extend(project.iter().map(|(_, file)| file.permissions.clone()));
        Ok(Self { permissions: Permissions::new(levels), system, project, master_key_default, keys_database })
    }

    /// The project's name.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        self.project.as_ref().map(|(name, _)| name.as_str())
    }

    /// The rules of both levels.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The files, the stronger one first.
    pub(crate) fn files(&self) -> impl Iterator<Item = &ConfigFile> {
        self.project.iter().map(|(_, file)| file).chain(std::iter::once(&self.system))
    }

    /// The first file that says something.
    fn first<T>(&self, key: &str, member: impl Fn(&ConfigFile) -> Option<T>) -> Option<Value<T>> {
        self.files().find_map(|file| member(file).map(|value| Value { value, origin: file.origin(key) }))
    }

    /// `aws.region`.
    #[must_use]
    pub fn region(&self) -> Option<Value<String>> {
        self.first("aws.region", |file| file.aws.region.clone())
    }

    /// `aws.use-fips`.
    #[must_use]
    pub fn use_fips(&self) -> Option<Value<bool>> {
        self.first("aws.use-fips", |file| file.aws.use_fips)
    }

    /// `aws.use-dual-stack`.
    #[must_use]
    pub fn use_dual_stack(&self) -> Option<Value<bool>> {
        self.first("aws.use-dual-stack", |file| file.aws.use_dual_stack)
    }

    /// `aws.ca-bundle`. As with [`Settings::endpoint_url`], a project's authorities do not count for the requests that
    /// the system's credentials are obtained with.
    #[must_use]
    pub fn ca_bundle(&self, level: Level) -> Option<Value<PathBuf>> {
        self.files_for(level).find_map(|file| {
            let bundle = file.aws.ca_bundle.clone()?;
            Some(Value { value: bundle, origin: file.origin("aws.ca-bundle") })
        })
    }

    /// The files that speak for requests with credentials of this level.
    fn files_for(&self, level: Level) -> impl Iterator<Item = &ConfigFile> {
        self.files().filter(move |file| !matches!(level, Level::System | Level::Default) || file.level == Level::System)
    }

    /// `aws.s3-path-style`.
    #[must_use]
    pub fn s3_path_style(&self) -> Option<Value<bool>> {
        self.first("aws.s3-path-style", |file| file.aws.s3_path_style)
    }

    /// The endpoint for a service, for requests with credentials that `level` configured. A project's endpoint does not
    /// get the requests that the system's or the host's own credentials are obtained with.
    #[must_use]
    pub fn endpoint_url(&self, service: &str, level: Level) -> Option<Value<String>> {
        self.files_for(level).find_map(|file| {
            if let Some(url) = file.aws.endpoint_urls.get(service) {
                let origin = file.origin(&format!("aws.endpoint-urls.{service}"));
                return Some(Value { value: url.clone(), origin });
            }
            let url = file.aws.endpoint_url.clone()?;
            Some(Value { value: url, origin: file.origin("aws.endpoint-url") })
        })
    }

    /// `[globals]`: a project's value goes before the system's of the same name.
    #[must_use]
    pub fn globals(&self) -> BTreeMap<String, Value<String>> {
        let mut globals = BTreeMap::new();
        for file in self.files() {
            for (name, text) in &file.globals {
                globals.entry(name.clone()).or_insert_with(|| Value {
                    value: text.clone(),
                    origin: file.origin(&crate::parse::dotted("globals", name)),
                });
            }
        }
        globals
    }

    /// Effective `[native-steps]`.
    #[must_use]
    pub fn native_steps(&self) -> NativeSteps {
        let flag = |key: &str, member: fn(&ConfigFile) -> Option<bool>| {
            if member(&self.system) == Some(false) {
                return Value { value: false, origin: self.system.origin(key) };
            }
            self.first(key, member).unwrap_or(Value::built_in(false))
        };
        let user = self
            .system
            .native_steps
            .user
            .clone()
            .map(|value| Value { value, origin: self.system.origin("native-steps.user") })
            .or_else(|| self.first("native-steps.user", |file| file.native_steps.user.clone()));
        NativeSteps {
            enabled: flag("native-steps.enabled", |file| file.native_steps.enabled),
            user,
            aws: flag("native-steps.aws", |file| file.native_steps.aws),
            interpreters: self.narrowed(
                "native-steps.interpreters",
                |file| file.native_steps.interpreters.as_ref(),
                |outer, inner| outer == inner,
            ),
        }
    }

    /// A list that the project can only narrow where the system has one.
    fn narrowed<T: Clone>(
        &self,
        key: &str,
        member: impl Fn(&ConfigFile) -> Option<&Vec<T>>,
        covers: impl Fn(&T, &T) -> bool,
    ) -> Option<Value<Vec<T>>> {
        let own = self.project.as_ref().and_then(|(_, file)| member(file).map(|list| (file, list)));
        match (own, member(&self.system)) {
            (None, None) => None,
            (None, Some(list)) => Some(Value { value: list.clone(), origin: self.system.origin(key) }),
            (Some((file, list)), None) => Some(Value { value: list.clone(), origin: file.origin(key) }),
            (Some((file, list)), Some(limit)) => {
                let value = list.iter().filter(|item| limit.iter().any(|outer| covers(outer, item))).cloned().collect();
                Some(Value { value, origin: file.origin(key) })
            }
        }
    }

    /// Effective `[limits]`.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            memory_mib: self.limit("memory-mib", |limits| limits.memory_mib, DEFAULT_MEMORY_MIB),
            cpu_seconds: self.limit("cpu-seconds", |limits| limits.cpu_seconds, DEFAULT_CPU_SECONDS),
            deadline_seconds: self.limit(
                "deadline-seconds",
                |limits| limits.deadline_seconds,
                DEFAULT_DEADLINE_SECONDS,
            ),
            grace_seconds: self.limit("grace-seconds", |limits| limits.grace_seconds, DEFAULT_GRACE_SECONDS),
            log_lines: self.limit("log-lines", |limits| limits.log_lines, DEFAULT_LOG_LINES),
            outputs_kib: self.limit("outputs-kib", |limits| limits.outputs_kib, DEFAULT_OUTPUTS_KIB),
            workspace_mib: self.limit("workspace-mib", |limits| limits.workspace_mib, DEFAULT_WORKSPACE_MIB),
        }
    }

    fn limit<T: Copy + Ord>(&self, key: &str, member: fn(&LimitSettings) -> Option<T>, default: T) -> Value<T> {
        let key = format!("limits.{key}");
        let stated = |file: &ConfigFile| member(&file.limits).map(|value| Value { value, origin: file.origin(&key) });
        let own = self.project.as_ref().and_then(|(_, file)| stated(file));
        match (own, stated(&self.system)) {
            (Some(own), Some(system)) => {
                if own.value <= system.value {
                    own
                } else {
                    system
                }
            }
            (Some(value), None) | (None, Some(value)) => value,
            (None, None) => Value::built_in(default),
        }
    }

    /// Folders outside the workspace that steps may read and write. Where both files list some, a project's folders
    /// have to lie in the system's.
    #[must_use]
    pub fn allow_dirs(&self) -> Option<Value<Vec<PathBuf>>> {
        self.narrowed("workspace.allow-dirs", |file| file.allow_dirs.as_ref(), |outer, inner| inner.starts_with(outer))
    }

    /// Origins that guests may reach; a project can only narrow the system's list.
    #[must_use]
    pub fn allow_origins(&self) -> Option<Value<Vec<String>>> {
        self.narrowed(
            "http.allow-origins",
            |file| file.http.allow_origins.as_ref(),
            |outer, inner| glob_covers(outer, inner),
        )
    }

    /// Private networks that guests may reach; a project can only narrow the system's list.
    #[must_use]
    pub fn allow_networks(&self) -> Option<Value<Vec<Network>>> {
        self.narrowed("http.allow-networks", |file| file.http.allow_networks.as_ref(), Network::covers)
    }

    /// `[plugins.aliases]`: a project's alias goes before the system's of the same name.
    #[must_use]
    pub fn aliases(&self) -> BTreeMap<String, PluginAlias> {
        let mut aliases = self.system.aliases.clone();
        if let Some((_, file)) = &self.project {
            aliases.extend(file.aliases.clone());
        }
        aliases
    }

    /// Where the master key comes from.
    #[must_use]
    pub fn master_key(&self) -> Value<MasterKeySource> {
        match &self.system.keys.master_key {
            Some(source) => Value { value: source.clone(), origin: self.system.origin("keys.master-key") },
            None => Value::built_in(MasterKeySource::File(self.master_key_default.clone())),
        }
    }

    /// Key storage, whole. Nothing is opened yet.
    #[must_use]
    pub fn key_store(&self) -> Arc<KeyStore> {
        Arc::new(KeyStore::open(self.keys_database.clone(), self.master_key().value))
    }

    /// Key storage as runs of this project see it; without a project, all of it.
    #[must_use]
    pub fn keys(&self, store: Arc<KeyStore>) -> ProjectKeys {
        ProjectKeys::new(store, self.key_scope(), self.system.keys.share.clone())
    }

    /// Whose keys a run reads.
    #[must_use]
    pub fn key_scope(&self) -> KeyScope {
        self.project().map_or(KeyScope::System, |name| KeyScope::Project(name.to_owned()))
    }
}

fn read(
    path: &Path,
    level: Level,
    trust: Option<&TrustFile>,
    errors: &mut Vec<ConfigError>,
) -> Result<ConfigFile, Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(ConfigFile::empty(level, path)),
        Err(source) => return Err(Error::io("read", path, source)),
    };
    // The bytes that are checked are the bytes that are parsed.
    let trusted = trust.is_none_or(|trust| trust.trusts(path, &bytes));
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            errors.push(ConfigError {
                file: path.to_owned(),
                line: u32::try_from(line).unwrap_or(u32::MAX),
                column: 1,
                message: "the file is not UTF-8".to_owned(),
                help: Some("save it as UTF-8".to_owned()),
            });
            return Ok(ConfigFile::empty(level, path));
        }
    };
    let parsed = match level {
        Level::Project => parse_project(&text, path),
        _ => parse_system(&text, path),
    };
    match parsed {
        Ok(file) => {
            if !trusted {
                errors.extend(untrusted(&file));
            }
            Ok(file)
        }
        Err(found) => {
            errors.extend(found);
            Ok(ConfigFile::empty(level, path))
        }
    }
}

/// What an untrusted file may not say.
fn untrusted(file: &ConfigFile) -> Vec<ConfigError> {
    let below = |key: &str, table: &str| {
        key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let mut errors: Vec<ConfigError> = file
        .entries
        .iter()
        .filter(|(key, _)| {
            TRUSTED_ONLY.iter().any(|table| below(key, table))
                || below(key, "workspace")
                || (below(key, "aws") && TRUSTED_ONLY_ENDS.iter().any(|end| key.ends_with(end)))
        })
        // One message for a rule, not one for each of its members.
        .filter(|(key, _)| !(key.starts_with("permissions.allow[") && key.contains("].")))
        .map(|(key, entry)| ConfigError {
            file: file.path.clone(),
            line: entry.line,
            column: entry.column,
            message: format!("`{key}` in a configuration that is not trusted"),
            help: Some(
                "this file was found by walking up from the working folder; read it, then run `outrigger trust`"
                    .to_owned(),
            ),
        })
        .collect();
    errors.sort_by_key(|error| (error.line, error.column));
    errors
}

/// Blocks of a project that use the host's credentials.
fn host_credentials(file: &ConfigFile) -> Vec<ConfigError> {
    let blocks = file.aws.credentials.iter().map(|block| ("aws.credentials".to_owned(), block)).chain(
        file.aws
            .accounts
            .iter()
            .map(|(name, account)| (crate::parse::dotted("aws.accounts", name), &account.credentials)),
    );
    blocks
        .filter_map(|(key, block): (String, &CredentialsBlock)| {
            let provider = block.host_provider()?;
            let origin: Origin = file.origin(&key);
            Some(ConfigError {
                file: file.path.clone(),
                line: origin.line.unwrap_or(1),
                column: 1,
                message: format!("`{key}` uses the host's own credentials (provider \"{provider}\")"),
                help: Some(
                    "a project may do so only if outrigger.toml says projects-use-host-credentials = true below [aws]"
                        .to_owned(),
                ),
            })
        })
        .collect()
}
