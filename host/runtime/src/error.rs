//! Why a component is refused, or a step cannot be run.

use std::path::PathBuf;

/// A component is refused, or the runtime cannot work.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine cannot be made.
    #[error("failed to start the WebAssembly engine: {0}")]
    Engine(String),
    /// A file cannot be read or written.
    #[error("failed to {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes are not a component.
    #[error("{name} is not a WebAssembly component: {problem}")]
    NotAComponent {
        /// File or plugin.
        name: String,
        /// What it is.
        problem: String,
    },
    /// The component is too large.
    #[error("{name} has {size} bytes; at most {limit} are loaded")]
    TooLarge {
        /// File or plugin.
        name: String,
        /// Its bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The component exports none of the worlds that the host knows.
    #[error("{name} exports no world that this host knows: it must export {known}; it exports {exports}")]
    NoWorld {
        /// File or plugin.
        name: String,
        /// What would do.
        known: String,
        /// What it exports.
        exports: String,
    },
    /// The component imports what the host does not have.
    #[error("{name} imports {import}, which this host does not offer{hint}")]
    UnknownImport {
        /// File or plugin.
        name: String,
        /// The import.
        import: String,
        /// What to do, beginning with `; `, or nothing.
        hint: String,
    },
    /// The component imports what it was not granted.
    #[error("{name} imports {import}, which needs the operator's grant: {help}")]
    NotGranted {
        /// File or plugin.
        name: String,
        /// The import.
        import: String,
        /// What to do.
        help: String,
    },
    /// The component is another one than the pinned one.
    #[error(
        "{name} has the digest sha256:{found} and was added with sha256:{pinned}; look at what changed with `outrigger plugin add`"
    )]
    OtherDigest {
        /// File or plugin.
        name: String,
        /// Its digest.
        found: String,
        /// The digest that was agreed to.
        pinned: String,
    },
    /// The component does not compile.
    #[error("{name} does not compile: {problem}")]
    Compile {
        /// File or plugin.
        name: String,
        /// Why.
        problem: String,
    },
    /// What the component imports or exports has another type than the contract gives it.
    #[error("{name} does not fit this host's contract: {problem}; build it against `outrigger plugin wit`")]
    Link {
        /// File or plugin.
        name: String,
        /// Why.
        problem: String,
    },
    /// The component cannot say what it is.
    #[error("{name} does not describe itself: {problem}")]
    Describe {
        /// File or plugin.
        name: String,
        /// Why.
        problem: String,
    },
    /// The component's schema is refused.
    #[error("the {which} schema of {name} is refused: {problem}")]
    Schema {
        /// File or plugin.
        name: String,
        /// `input` or `output`.
        which: &'static str,
        /// Why.
        problem: String,
    },
    /// Nothing has this name.
    #[error("there is no plugin `{name}`{suggestion}")]
    UnknownPlugin {
        /// The name.
        name: String,
        /// `; did you mean ...?`, or nothing.
        suggestion: String,
    },
    /// A file of the plugin store is damaged.
    #[error("{path} is damaged: {problem}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl RuntimeError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }
}
