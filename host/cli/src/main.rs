//! The `outrigger` command.

mod app;
mod arguments;
mod commands;
mod demo;
mod output;
mod prompt;
mod trouble;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse();
    let app = app::App::new(&arguments.global);
    commands::run(&app, arguments.command).unwrap_or_else(|trouble| trouble.report(app.error_style()))
}
