//! Third-party AWS endpoints on 127.0.0.1 for tests and the demo.
//!
//! [`Environment`] installs ministack and moto, pinned by version and hash, into a private Python environment;
//! [`Ministack`] and [`Moto`] run them; [`Account`] and [`Setup`] make in them what a person would make in AWS.
//! What neither of them does comes from small servers of our own.

mod account;
mod body;
mod credentials;
mod environment;
mod error;
mod http_client;
mod keys;
mod ministack;
mod moto;
/// Policies as a person would write them in the IAM console.
pub mod policy;
mod process;
mod proxy;
mod scenario;
mod serve;
mod setup;
mod xml;
mod zip;

pub use account::{Account, OutriggerAccess};
pub use credentials::{ContainerCredentials, Hops, Instance, InstanceMetadata, Task, TokenIssuer, Vendor, Visit};
pub use environment::Environment;
pub use error::{EndpointError, Result};
pub use http_client::Answer;
pub use keys::Keys;
pub use ministack::{LoggedRequest, Ministack, Options};
pub use moto::Moto;
pub use process::Kept;
pub use proxy::{Bundled, Fault, FaultProxy, Field, Nth, Recorded, RecordedExchanges, Rule};
pub use scenario::{AthenaTable, functions};
pub use setup::Setup;
