//! The contract: its text, its functions and the table that stands behind them.

mod operations;
mod rows;
mod text;
mod wit;
