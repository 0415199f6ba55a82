//! What guests may import, and the AWS calls behind it.

pub mod aws;
pub mod bindings;
pub mod http { #[derive(Debug)] pub struct GuestHttp; }
pub mod operations;
mod run;
mod secrets;
pub mod state;
pub mod workspace { #[derive(Debug)] pub struct Workspace; }

pub use state::{CredentialsHandle, SecretHandle};
