//! Loads, checks, compiles, limits and instantiates components.

mod cache;
mod component;
mod describe;
mod engine;
mod error;
mod plugins;
mod sandbox;
mod schema;

pub use cache::Cache;
pub use component::{ActionNeed, ComponentInfo, GRANTED_INTERFACES, LARGEST, WORLDS, World};
pub use engine::{EngineLimits, TICK, engine};
pub use error::RuntimeError;
pub use plugins::{Compiler, Plugin, Plugins, ProvidedCredentials, Source, brief_lifetime, compile_standard_input};
pub use sandbox::{SandboxEnd, SandboxLimits};
