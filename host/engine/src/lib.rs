//! Puts the rooms together: opens a home, resolves identities, runs jobs.

mod added;
mod error;
mod host;
mod identities;
mod native_credentials;
mod observe;
mod permissions;
pub mod policy;
mod providers;
mod recording;
mod run;
mod steps;

pub use added::{AddedPlugin, AddedPlugins, Change};
pub use error::EngineError;
pub use host::{Host, HostOptions};
pub use identities::IdentityMaker;
pub use permissions::ConfiguredPermissions;
pub use recording::{RecordedFile, RecordedOption, RecordedRun};
pub use run::{HostKeys, RunEnd, RunSpec, username};
pub use steps::{CREDENTIAL_KEYWORD, Catalog, SECRET_KEYWORD};
