//! Guest library for Outrigger plugins: an input struct, a function, and one line that exports them.
//!
//! A plugin is a library crate (`crate-type = ["cdylib"]`) that is built for `wasm32-unknown-unknown` with the linker
//! `wasm-component-ld`. What it may do is what it calls: the functions of [`aws`], [`files`], [`http`] and [`secrets`] become
//! imports of the component, and those that it does not call do not.
//!
//! ```
//! use outrigger_plugin_sdk::prelude::*;
//!
//! /// Says hello.
//! struct Hello;
//!
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(rename_all = "camelCase")]
//! struct Input {
//!     /// Who is greeted.
//!     #[schemars(title = "Name")]
//!     name: String,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Outputs {
//!     /// What was said.
//!     greeting: String,
//! }
//!
//! impl JobStep for Hello {
//!     const PROVIDER: &'static str = "hello-step";
//!     const TITLE: &'static str = "Hello";
//!     const SUMMARY: &'static str = "Greets somebody.";
//!     type Input = Input;
//!     type Outputs = Outputs;
//!
//!     fn run(input: Input) -> Result<(), Failure> {
//!         let greeting = format!("hello {}", input.name);
//!         info!("{greeting}");
//!         outputs(&Outputs { greeting })
//!     }
//! }
//!
//! outrigger_plugin_sdk::export_job_step!(Hello);
//! # fn main() {}
//! ```
//!
//! Two runs with the same input and the same answers of the host must do the same, or a recording cannot be replayed: take
//! the time from [`clock`] alone, and no randomness from anywhere.

pub mod aws;
pub mod bindings;
mod failure;
mod input;
pub mod log;
mod output;
mod pages;
pub mod provider;
pub mod provider_bindings;
mod step;
mod table;
mod time;
mod wait;

pub use bindings::outrigger::http::client as http;
pub use bindings::outrigger::run::clock;
pub use bindings::outrigger::secrets::secrets;
pub use bindings::outrigger::step::types::{Failure, NameValue, Reason};
pub use bindings::outrigger::workspace::files;
pub use failure::Context;
pub use input::{CommaList, JsonInput, Polling, TimeSpan, yes};
pub use output::{MAX_OUTPUT_BYTES, output, outputs};
pub use pages::pages;
pub use schemars;
pub use serde;
pub use serde_json as json;
pub use step::{JobStep, describe, run_job_step};
pub use table::Table;
pub use time::{format_timestamp, parse_timestamp};
pub use wait::{Poll, Waiter};

/// What nearly every plugin uses.
pub mod prelude {
    pub use crate::{
        CommaList, Context, Failure, JobStep, JsonInput, Poll, Polling, Reason, Table, TimeSpan, Waiter, debug, error,
        info, output, outputs, verbose, warn, yes,
    };
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
}
