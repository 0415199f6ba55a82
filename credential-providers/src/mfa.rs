//! Asking for the code of a multi-factor device.

use std::io::IsTerminal;

use outrigger_redaction::Secret;

use crate::context::{BoxFuture, MfaPrompter};

/// Nobody is there to be asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMfa;

impl MfaPrompter for NoMfa {
    fn code<'a>(&'a self, _serial: &'a str, _profile: &'a str) -> BoxFuture<'a, Result<Secret, String>> {
        Box::pin(async { Err("the code of the device is needed, and there is no terminal to ask on".to_owned()) })
    }
}

/// Asks on the terminal, without echo.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminalMfa;

impl MfaPrompter for TerminalMfa {
    fn code<'a>(&'a self, serial: &'a str, profile: &'a str) -> BoxFuture<'a, Result<Secret, String>> {
        let question = format!("MFA code of {serial} (profile {profile}): ");
        Box::pin(async move {
            if !std::io::stdin().is_terminal() {
                return NoMfa.code(serial, profile).await;
            }
            let answer = tokio::task::spawn_blocking(move || rpassword::prompt_password(question)).await;
            match answer {
                Ok(Ok(code)) => Ok(Secret::new(code.trim().to_owned())),
                Ok(Err(error)) => Err(format!("the terminal could not be read ({error})")),
                Err(_) => Err("the question was stopped".to_owned()),
            }
        })
    }
}
