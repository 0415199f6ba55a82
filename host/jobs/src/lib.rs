//! Job files, options, variables, workflow strategies and runs.

pub mod builtin;
pub mod check;
pub mod context;
pub mod file;
pub mod filters;
pub mod native;
pub mod options;
pub mod steps;
mod suggest;
pub mod workflow;
