//! The environment variables that providers read.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The variables of this process, or a fixed set of them for tests and for runs that must not see the host's own.
///
/// `Debug` shows names only: values may be secrets.
#[derive(Clone)]
pub struct Env(Source);

#[derive(Clone)]
enum Source {
    Process,
    Fixed(Arc<HashMap<String, String>>),
}

impl Env {
    /// The variables of this process, read at each call.
    pub fn process() -> Self {
        Self(Source::Process)
    }

    /// Exactly these variables.
    pub fn fixed<K: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (K, V)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self(Source::Fixed(Arc::new(variables)))
    }

    /// The value of `name`; an empty value counts as none, as in the AWS SDKs.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = match &self.0 {
            Source::Process => std::env::var(name).ok(),
            Source::Fixed(variables) => variables.get(name).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }

    /// Whether `name` holds `true`, in any case.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The home folder (`HOME`, or `USERPROFILE` where there is none).
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME").or_else(|| self.get("USERPROFILE")).map(PathBuf::from)
    }

    /// Replaces a leading `~/` by the home folder, where one is known.
    pub(crate) fn expand(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), self.home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(path),
        }
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Process => formatter.write_str("Env(process)"),
            Source::Fixed(variables) => formatter.debug_set().entries(variables.keys()).finish(),
        }
    }
}
