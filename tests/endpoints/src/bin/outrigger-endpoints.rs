//! Runs the endpoints for a person who wants to try something: prints their addresses, and stops them when its
//! standard input ends or it is interrupted.

use std::{io::Read, process::ExitCode};

use outrigger_endpoints::{EndpointError, Ministack, Moto, Options};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("outrigger-endpoints: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> Result<(), EndpointError> {
    let (ministack, moto) = tokio::try_join!(Ministack::start(Options::default()), Moto::start())?;
    println!("ministack {}", ministack.url());
    println!("moto {}", moto.url());
    let input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        // Both mean the same: that is all.
        _ = input => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
