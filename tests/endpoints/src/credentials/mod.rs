mod instance;
mod task;
mod token_issuer;
mod vendor;

pub use instance::{Hops, Instance, InstanceMetadata};
pub use task::{ContainerCredentials, Task};
pub use token_issuer::TokenIssuer;
pub use vendor::{Vendor, Visit};
