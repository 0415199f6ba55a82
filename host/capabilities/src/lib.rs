//! What guests may import, and the AWS calls behind it.

pub mod aws;
pub mod bindings;
mod files;
pub mod http;
pub mod operations;
mod run;
mod secrets;
pub mod state;
mod web;
pub mod workspace;

pub use state::{CredentialsHandle, SecretHandle};
