//! What of key storage a project sees.

use std::sync::Arc;

use outrigger_redaction::Secret;

use super::{KeyError, KeyMetadata, KeyScope, KeyStore, check_key_path};
use crate::check::glob_matches;

/// Key storage as one scope sees it. A project reads `keys/project/NAME/...` and what the system shares; another project's
/// keys are never shared, whatever the patterns say.
#[derive(Clone, Debug)]
pub struct ProjectKeys {
    store: Arc<KeyStore>,
    scope: KeyScope,
    share: Vec<String>,
}

impl ProjectKeys {
    /// A view. `share` are the patterns of `[keys] share`.
    #[must_use]
    pub fn new(store: Arc<KeyStore>, scope: KeyScope, share: Vec<String>) -> Self {
        Self { store, scope, share }
    }

    /// The same storage as another scope sees it.
    #[must_use]
    pub fn for_scope(&self, scope: KeyScope) -> Self {
        Self { scope, ..self.clone() }
    }

    /// Whether this scope may read the path, were it there.
    ///
    /// # Errors
    /// [`KeyError::Path`], and [`KeyError::NotVisible`], which is the same for a key that exists and one that does not.
    pub fn check(&self, path: &str) -> Result<(), KeyError> {
        check_key_path(path)?;
        let KeyScope::Project(project) = &self.scope else { return Ok(()) };
        let own = path
            .strip_prefix("keys/project/")
            .and_then(|rest| rest.strip_prefix(project.as_str()))
            .is_some_and(|rest| rest.starts_with('/'));
        let shared = !path.starts_with("keys/project/") && self.share.iter().any(|pattern| glob_matches(pattern, path));
        if own || shared {
            Ok(())
        } else {
            Err(KeyError::NotVisible { path: path.to_owned(), project: project.clone() })
        }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// As [`ProjectKeys::check`] and [`KeyStore::get`].
    pub fn get(&self, path: &str) -> Result<Secret, KeyError> {
        self.check(path)?;
        match self.store.get(path) {
            // The nearest path may be one that this scope must not know of.
            Err(KeyError::NotFound { path, nearest }) => {
                Err(KeyError::NotFound { path, nearest: nearest.filter(|near| self.check(near).is_ok()) })
            }
            other => other,
        }
    }

    /// The entries that this scope sees.
    ///
    /// # Errors
    /// As [`KeyStore::list`].
    pub fn list(&self, prefix: &str) -> Result<Vec<KeyMetadata>, KeyError> {
        let mut entries = self.store.list(prefix)?;
        entries.retain(|entry| self.check(&entry.path).is_ok());
        Ok(entries)
    }
}
