//! Guest library for Outrigger plugins: an input struct, a function, and one line that exports them.

pub mod bindings;
