//! Where configuration, data and caches lie, and whether a found configuration is trusted.

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::check::is_name;
use crate::error::Error;
use crate::parse::nearest;
use crate::trust::TrustFile;

/// Name of the system file.
pub const SYSTEM_FILE: &str = "outrigger.toml";
/// Name of a project's file.
pub const PROJECT_FILE: &str = "project.toml";

/// How the home was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HomeSource {
    /// `--home`.
    Option,
    /// `OUTRIGGER_HOME`.
    Environment,
    /// The nearest parent of the working folder that has `outrigger.toml`.
    WalkUp,
    /// The user's own folders.
    User,
}

/// The folders that a process works with. They are made when something is first written to them, with mode 0700.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Home {
    /// `outrigger.toml`; it need not exist.
    pub config_file: PathBuf,
    /// One folder per project, each with `project.toml` and `jobs/`.
    pub projects_dir: PathBuf,
    /// `outrigger.db`, `keys.db`.
    pub data_dir: PathBuf,
    /// Compiled components. Never inside a home that was found by walking up: a folder that came with somebody's
    /// repository must not be able to bring machine code along.
    pub cache_dir: PathBuf,
    /// Components that were added.
    pub components_dir: PathBuf,
    /// Workspaces of runs.
    pub workspace_dir: PathBuf,
    /// Where a master key is made if none is configured.
    pub master_key_file: PathBuf,
    /// The user's record of trusted configurations.
    pub trust_file: PathBuf,
    /// Whether the configuration may set commands, grants, native steps and a master key.
    pub trusted: bool,
    /// How the home was found.
    pub how: HomeSource,
}

/// Looks up environment variables.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// The user's own folders after the XDG base directory specification.
struct UserFolders {
    config: PathBuf,
    data: PathBuf,
    cache: PathBuf,
    state: PathBuf,
}

impl UserFolders {
    fn find(environment: Environment<'_>) -> Result<Self, Error> {
        // The specification has relative paths ignored.
        let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let folder = |variable: &'static str, below: &str| {
            absolute(variable)
                .or_else(|| home.as_ref().map(|home| home.join(below)))
                .map(|folder| folder.join("outrigger"))
                .ok_or(Error::NoUserFolders(variable))
        };
        Ok(Self {
            config: folder("XDG_CONFIG_HOME", ".config")?,
            data: folder("XDG_DATA_HOME", ".local/share")?,
            cache: folder("XDG_CACHE_HOME", ".cache")?,
            state: folder("XDG_STATE_HOME", ".local/state")?,
        })
    }
}

impl Home {
    /// Finds the home: `explicit` (`--home`), `OUTRIGGER_HOME`, the nearest parent of `cwd` with `outrigger.toml`, else
    /// the user's own folders. Reads files, writes none.
    ///
    /// `OUTRIGGER_CACHE` names another folder for compiled components.
    ///
    /// # Errors
    /// [`Error::HomeMissing`], [`Error::NoUserFolders`], or a file that cannot be read.
    pub fn discover(explicit: Option<PathBuf>, environment: Environment<'_>, cwd: &Path) -> Result<Self, Error> {
        let mut home = Self::found(explicit, environment, cwd)?;
        // Compiled components are the same for every home: build machines keep them from one run to the next.
        if let Some(cache) = environment("OUTRIGGER_CACHE").filter(|value| !value.is_empty()) {
            home.cache_dir = cwd.join(cache);
        }
        Ok(home)
    }

    fn found(explicit: Option<PathBuf>, environment: Environment<'_>, cwd: &Path) -> Result<Self, Error> {
        let named = match explicit {
            Some(path) => Some((path, HomeSource::Option, "--home")),
            None => environment("OUTRIGGER_HOME")
                .filter(|value| !value.is_empty())
                .map(|value| (PathBuf::from(value), HomeSource::Environment, "OUTRIGGER_HOME")),
        };
        if let Some((path, how, given_by)) = named {
            let path = cwd.join(path);
            let root = match path.canonicalize() {
                Ok(root) if root.is_dir() => root,
                _ => return Err(Error::HomeMissing { given_by, path }),
            };
            return Ok(Self::below(&root, how, UserFolders::find(environment).ok().as_ref()));
        }
        let user = UserFolders::find(environment);
        let found = cwd.ancestors().find(|folder| folder.join(SYSTEM_FILE).is_file());
        match found {
            Some(folder) if user.as_ref().is_ok_and(|user| same_folder(&user.config, folder)) => Ok(Self::user(&user?)),
            Some(folder) => Self::walked_up(folder, &user?),
            None => Ok(Self::user(&user?)),
        }
    }

    fn below(root: &Path, how: HomeSource, user: Option<&UserFolders>) -> Self {
        let private = root.join(".outrigger");
        Self {
            config_file: root.join(SYSTEM_FILE),
            projects_dir: root.join("projects"),
            cache_dir: private.join("cache"),
            components_dir: private.join("components"),
            workspace_dir: private.join("workspaces"),
            master_key_file: private.join("master.key"),
            trust_file: user.map_or_else(|| private.join("trusted.json"), |user| user.state.join("trusted.json")),
            data_dir: private,
            trusted: true,
            how,
        }
    }

    fn walked_up(folder: &Path, user: &UserFolders) -> Result<Self, Error> {
        let root = folder.canonicalize().map_err(|source| Error::io("read", folder, source))?;
        let mut home = Self::below(&root, HomeSource::WalkUp, Some(user));
        home.trusted = TrustFile::read(&home.trust_file)?.trusts_file(&home.config_file)?;
        let name: String =
            Sha256::digest(root.as_os_str().as_encoded_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect();
        home.cache_dir = user.cache.join("homes").join(&name);
        if !home.trusted {
            // What lies in the folder's own database was not written by this user either.
            let private = user.data.join("untrusted").join(&name);
            home.components_dir = private.join("components");
            home.workspace_dir = private.join("workspaces");
            home.master_key_file = private.join("master.key");
            home.data_dir = private;
        }
        Ok(home)
    }

    fn user(user: &UserFolders) -> Self {
        Self {
            config_file: user.config.join(SYSTEM_FILE),
            projects_dir: user.config.join("projects"),
            components_dir: user.data.join("components"),
            workspace_dir: user.data.join("workspaces"),
            data_dir: user.data.clone(),
            cache_dir: user.cache.clone(),
            // Not beside the data, so that one stolen backup of the data is not both.
            master_key_file: user.config.join("master.key"),
            trust_file: user.state.join("trusted.json"),
            trusted: true,
            how: HomeSource::User,
        }
    }

    /// The database of runs.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("outrigger.db")
    }

    /// The database of key storage.
    #[must_use]
    pub fn keys_database(&self) -> PathBuf {
        self.data_dir.join("keys.db")
    }

    /// A project's file; it need not exist.
    ///
    /// # Errors
    /// [`Error::ProjectName`].
    pub fn project_file(&self, project: &str) -> Result<PathBuf, Error> {
        if !is_name(project) {
            return Err(Error::ProjectName(project.to_owned()));
        }
        Ok(self.projects_dir.join(project).join(PROJECT_FILE))
    }

    /// The folder of a project's job files; it need not exist.
    ///
    /// # Errors
    /// [`Error::ProjectName`].
    pub fn jobs_dir(&self, project: &str) -> Result<PathBuf, Error> {
        Ok(self.project_file(project)?.with_file_name("jobs"))
    }

    /// The names of all projects, sorted.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn projects(&self) -> Result<Vec<String>, Error> {
        let entries = match std::fs::read_dir(&self.projects_dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::io("read", &self.projects_dir, source)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| Error::io("read", &self.projects_dir, source))?;
            if let Some(name) = entry.file_name().to_str().filter(|name| is_name(name))
                && entry.path().is_dir()
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The folder of a project.
    ///
    /// # Errors
    /// [`Error::ProjectName`], [`Error::ProjectMissing`].
    pub fn project_dir(&self, project: &str) -> Result<PathBuf, Error> {
        let file = self.project_file(project)?;
        let folder = file.parent().unwrap_or(&self.projects_dir).to_owned();
        if folder.is_dir() {
            return Ok(folder);
        }
        let all = self.projects()?;
        let nearest = nearest(project, all.iter().map(String::as_str)).map(str::to_owned);
        Err(Error::ProjectMissing { name: project.to_owned(), folder, nearest })
    }

    /// Makes the folders for data, cache, components and workspaces, with mode 0700.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn create_folders(&self) -> Result<(), Error> {
        for folder in [&self.data_dir, &self.cache_dir, &self.components_dir, &self.workspace_dir] {
            make_private(folder)?;
        }
        if self.how != HomeSource::User && self.data_dir.ends_with(".outrigger") {
            let ignore = self.data_dir.join(".gitignore");
            if !ignore.exists() {
                // Keys and logs do not belong into a repository.
                std::fs::write(&ignore, "*\n").map_err(|source| Error::io("write", &ignore, source))?;
            }
        }
        Ok(())
    }

    /// Every path with a word for it, for `config paths`.
    #[must_use]
    pub fn paths(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("configuration", self.config_file.clone()),
            ("projects", self.projects_dir.clone()),
            ("data", self.data_dir.clone()),
            ("database", self.database()),
            ("keys", self.keys_database()),
            ("cache", self.cache_dir.clone()),
            ("components", self.components_dir.clone()),
            ("workspaces", self.workspace_dir.clone()),
            ("trust", self.trust_file.clone()),
        ]
    }

    /// Records that the user trusts this home: its `outrigger.toml` and every `project.toml`, as they are now. Gives the
    /// files. A file that changes later, or is added, has to be trusted anew.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn trust(&self) -> Result<Vec<PathBuf>, Error> {
        let mut trust = TrustFile::read(&self.trust_file)?;
        let mut files = Vec::new();
        let mut candidates = vec![self.config_file.clone()];
        for project in self.projects()? {
            candidates.push(self.project_file(&project)?);
        }
        for file in candidates {
            if trust.add(&file)? {
                files.push(file);
            }
        }
        trust.write(&self.trust_file)?;
        Ok(files)
    }

    /// Takes the trust back. Gives whether there was any.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn untrust(&self) -> Result<bool, Error> {
        let mut trust = TrustFile::read(&self.trust_file)?;
        let mut had = trust.remove(&self.config_file);
        for project in self.projects()? {
            had |= trust.remove(&self.project_file(&project)?);
        }
        if had {
            trust.write(&self.trust_file)?;
        }
        Ok(had)
    }
}

fn same_folder(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Makes a folder and its parents; new ones get mode 0700.
pub(crate) fn make_private(folder: &Path) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| Error::io("make the folder", folder, source))
}
