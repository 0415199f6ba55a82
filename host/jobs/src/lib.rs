//! Job files, options, variables, workflow strategies and runs.

pub mod check;
pub mod context;
pub mod file;
pub mod filters;
pub mod options;
pub mod steps;
mod suggest;
