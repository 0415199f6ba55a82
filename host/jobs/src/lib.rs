//! Job files, options, variables, workflow strategies and runs.

pub mod file;
pub mod steps;
