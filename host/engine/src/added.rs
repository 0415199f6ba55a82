//! Components that an operator added: what was agreed to, pinned by digest.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use outrigger_config::{GrantKind, Home, Scoped};
use outrigger_runtime::{ComponentInfo, GRANTED_INTERFACES, RuntimeError};
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::host::Host;

const FILE: &str = "plugins.json";
const VERSION: u32 = 1;

/// A component that was added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddedPlugin {
    /// What was agreed to.
    pub info: ComponentInfo,
    /// When, in microseconds since 1970-01-01T00:00:00Z.
    pub added_unix_micros: i64,
}

impl AddedPlugin {
    /// The copy of the component in the home.
    pub fn file(&self, home: &Home) -> PathBuf {
        home.components_dir.join(format!("{}.wasm", self.info.digest))
    }
}

/// Everything that was added to a home.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AddedPlugins {
    version: u32,
    /// The components, by provider id.
    pub plugins: Vec<AddedPlugin>,
}

/// What adding a component would change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The component.
    pub info: ComponentInfo,
    /// The one that it replaces.
    pub replaces: Option<ComponentInfo>,
    /// Imports that the replaced one did not have; all of them where nothing is replaced.
    pub new_imports: Vec<String>,
    /// Imports that it no longer has.
    pub dropped_imports: Vec<String>,
    /// What a person should know before saying yes.
    pub warnings: Vec<String>,
}

impl AddedPlugins {
    /// Reads what was added to a home.
    pub fn read(home: &Home) -> Result<Self, EngineError> {
        let path = home.components_dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(EngineError::io("read", path, error)),
        };
        let read: Self = serde_json::from_slice(&text).map_err(|error| {
            EngineError::refused(
                format!("{} is damaged: {error}", path.display()),
                "remove the file and add the plugins again with `outrigger plugin add`",
            )
        })?;
        if read.version != VERSION {
            return Err(EngineError::refused(
                format!("{} has format {}; this program reads format {VERSION}", path.display(), read.version),
                "use the outrigger that wrote it, or a newer one",
            ));
        }
        Ok(read)
    }

    fn write(&self, home: &Home) -> Result<(), EngineError> {
        let path = home.components_dir.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(|error| EngineError::io("write", &path, error.into()))?;
        write_whole(&path, &text)
    }
}

fn write_whole(path: &std::path::Path, content: &[u8]) -> Result<(), EngineError> {
    let fail = |error| EngineError::io("write", path, error);
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|_| fail(std::io::Error::other("no random numbers")))?;
    let temporary = path.with_extension(hex::encode(suffix));
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // The half-written copy is of no use; that it cannot be removed changes nothing.
        drop(fs::remove_file(&temporary));
    }
    written.map_err(fail)
}

impl Host {
    /// Examines a component, and says what adding it would change. Nothing is changed yet.
    pub async fn examine_plugin(&self, name: &str, bytes: &[u8]) -> Result<Change, EngineError> {
        let info = self.plugins().examine(name, bytes, false).await?;
        let current = self.plugins().get(&info.provider);
        if let Some(current) = &current
            && current.is_bundled()
        {
            return Err(EngineError::refused(
                format!("{name} has the provider id `{}`, which belongs to a bundled plugin", info.provider),
                "give the component a provider id of its own",
            ));
        }
        if let Some(refusal) = self.refusal(name, &info) {
            return Err(refusal.into());
        }
        let replaces = current.map(|plugin| plugin.info().as_ref().clone());
        let old: &[String] = replaces.as_ref().map(|info| info.imports.as_slice()).unwrap_or_default();
        let mut warnings = Vec::new();
        for interface in &info.whole_interfaces {
            warnings.push(format!(
                "it imports every function of {interface}; a component that is built from `outrigger plugin wit --use ...` \
                 imports only what it calls"
            ));
        }
        Ok(Change {
            new_imports: info.imports.iter().filter(|import| !old.contains(import)).cloned().collect(),
            dropped_imports: old.iter().filter(|import| !info.imports.contains(import)).cloned().collect(),
            info,
            replaces,
            warnings,
        })
    }

    /// Why a component may not be added: it imports what the operator has not granted it.
    fn refusal(&self, name: &str, info: &ComponentInfo) -> Option<RuntimeError> {
        let permissions = self.settings().permissions();
        let mut first = None;
        let mut lines = Vec::new();
        for (interface, grant) in GRANTED_INTERFACES {
            let Some(import) = info.imports.iter().find(|import| import.starts_with(interface)) else { continue };
            let reveals = *grant == "reveal";
            let kind = if reveals { GrantKind::Reveal } else { GrantKind::Seal };
            // Which keys it may read is asked when it reads one.
            let granted = permissions.granted(&info.provider, kind, "")
                || permissions
                    .grants(&info.provider)
                    .any(|given| reveals && !matches!(given.reveal, None | Some(Scoped::None)));
            if !granted {
                first.get_or_insert_with(|| import.clone());
                lines.push(if reveals { "reveal = [\"keys/...\"]" } else { "seal = true" });
            }
        }
        Some(RuntimeError::NotGranted {
            name: name.to_owned(),
            import: first?,
            help: format!(
                "add to outrigger.toml, if you trust it with that:\n[permissions.grants.{}]\n{}",
                info.provider,
                lines.join("\n"),
            ),
        })
    }

    /// Adds a component that was examined: copies it into the home and pins its digest.
    pub fn add_plugin(&self, info: &ComponentInfo, bytes: &[u8]) -> Result<(), EngineError> {
        let home = self.home();
        let mut added = AddedPlugins::read(home)?;
        let plugin = AddedPlugin { info: info.clone(), added_unix_micros: outrigger_door::unix_micros() };
        write_whole(&plugin.file(home), bytes)?;
        added.plugins.retain(|old| old.info.provider != info.provider);
        self.plugins().add_file(plugin.file(home), info.clone());
        added.plugins.push(plugin);
        added.plugins.sort_by(|a, b| a.info.provider.cmp(&b.info.provider));
        added.version = VERSION;
        added.write(home)
    }

    /// Removes a component that was added; false where there is none.
    pub fn remove_plugin(&self, provider: &str) -> Result<bool, EngineError> {
        let home = self.home();
        let mut added = AddedPlugins::read(home)?;
        let Some(position) = added.plugins.iter().position(|plugin| plugin.info.provider == provider) else {
            return Ok(false);
        };
        let removed = added.plugins.remove(position);
        added.version = VERSION;
        added.write(home)?;
        // Another provider id may have the same component; then its copy stays.
        if added.plugins.iter().all(|plugin| plugin.info.digest != removed.info.digest) {
            let file = removed.file(home);
            fs::remove_file(&file).map_err(|error| EngineError::io("remove", file, error))?;
        }
        Ok(true)
    }
}
