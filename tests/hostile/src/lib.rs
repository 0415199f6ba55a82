//! Components that do what a host must withstand, and a scene to run them in: real sandboxes, a real door, an AWS endpoint that
//! answers or does not, and sinks that remember.

mod build;
mod endpoint;
mod raw;
mod scene;

pub use build::{guest, workspace_root};
pub use endpoint::{Endpoint, Manner};
pub use raw::{Raw, foreign};
pub use scene::{CANARY, Ended, Plan, Scene, Seen};
