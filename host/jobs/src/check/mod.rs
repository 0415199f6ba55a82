//! Checking job files before anything runs.

mod coerce;

pub use coerce::{ConfigurationProblem, ConfigurationSchema, Values, coerce_configuration};
