//! The step's log. The macros [`info!`](crate::info), [`warn!`](crate::warn), [`error!`](crate::error),
//! [`verbose!`](crate::verbose) and [`debug!`](crate::debug) take what `format!` takes.

pub use crate::bindings::outrigger::run::log::{Level, document, progress, write};

/// Writes a line that says what happened.
#[macro_export]
macro_rules! info {
    ($($text:tt)*) => { $crate::log::write($crate::log::Level::Info, &format!($($text)*)) };
}

/// Writes a line that says what may be wrong.
#[macro_export]
macro_rules! warn {
    ($($text:tt)*) => { $crate::log::write($crate::log::Level::Warn, &format!($($text)*)) };
}

/// Writes a line that says what is wrong.
#[macro_export]
macro_rules! error {
    ($($text:tt)*) => { $crate::log::write($crate::log::Level::Error, &format!($($text)*)) };
}

/// Writes a line that most do not want to read.
#[macro_export]
macro_rules! verbose {
    ($($text:tt)*) => { $crate::log::write($crate::log::Level::Verbose, &format!($($text)*)) };
}

/// Writes a line for someone who looks for a defect.
#[macro_export]
macro_rules! debug {
    ($($text:tt)*) => { $crate::log::write($crate::log::Level::Debug, &format!($($text)*)) };
}
