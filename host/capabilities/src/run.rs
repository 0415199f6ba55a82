//! `outrigger:run`: log, output and clock.

use std::time::Duration;

use outrigger_door::{Failure, Reason};

use crate::bindings::outrigger::run::{clock, log, output};
use crate::bindings::outrigger::step::types;
use crate::operations::rows;
use crate::state::StepState;

impl StepState {
    /// Counts a line; false when there have been enough, after saying so once.
    fn may_log(&mut self) -> bool {
        let limit = self.context.limits.log_lines;
        self.log_lines = self.log_lines.saturating_add(1);
        if self.log_lines == limit.saturating_add(1) {
            let text = format!("the step wrote more than {limit} log lines; the rest is dropped");
            self.context.sink.log(log::Level::Warn, &text, None);
        }
        self.log_lines <= limit
    }
}

fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest.min(text.len()))]
}

impl log::Host for StepState {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.check_entered("write")?;
        for line in message.split('\n') {
            if !self.may_log() {
                break;
            }
            let line = line.strip_suffix('\r').unwrap_or(line);
            self.context.sink.log(level, cut(line, self.context.limits.log_line_bytes), None);
        }
        Ok(())
    }

    fn document(&mut self, media_type: String, text: String) -> wasmtime::Result<()> {
        self.check_entered("document")?;
        if text.len() > self.context.limits.document_bytes {
            let text = format!(
                "a document of {} bytes is not shown: at most {} are",
                text.len(),
                self.context.limits.document_bytes
            );
            return self.write(log::Level::Warn, text);
        }
        if self.may_log() {
            self.context.sink.log(log::Level::Info, &text, Some(cut(&media_type, 127)));
        }
        Ok(())
    }

    fn progress(&mut self, done: u64, total: Option<u64>, what: String) -> wasmtime::Result<()> {
        self.check_entered("progress")?;
        self.context.sink.progress(done, total, cut(&what, 256));
        Ok(())
    }
}

impl output::Host for StepState {
    fn set(&mut self, name: String, value: String) -> wasmtime::Result<Result<(), types::Failure>> {
        self.check_entered("set")?;
        let refuse = |message: String| Ok(Err(Failure::new(Reason::InvalidInput, message).into()));
        if name.is_empty() || name.len() > 256 {
            return refuse("the name of an output has 1 to 256 bytes".to_owned());
        }
        let limits = self.context.limits;
        if value.len() > limits.document_bytes {
            return refuse(format!(
                "the output {name} has {} bytes; at most {} are kept",
                value.len(),
                limits.document_bytes
            ));
        }
        self.output_bytes = self.output_bytes.saturating_add(value.len() + name.len());
        if self.output_bytes > limits.output_bytes {
            return refuse(format!("the step's outputs have more than {} bytes", limits.output_bytes));
        }
        match serde_json::from_str(&value) {
            Ok(value) => {
                self.context.sink.output(&name, value);
                Ok(Ok(()))
            }
            Err(error) => refuse(format!("the output {name} is no JSON: {error}")),
        }
    }
}

impl clock::Host for StepState {
    async fn now(&mut self) -> wasmtime::Result<u64> {
        let now = self
            .pass(&rows::run_clock::now, (), |()| async {
                Ok(u64::try_from(outrigger_door::unix_micros() / 1_000).unwrap_or_default())
            })
            .await?;
        // The clock cannot fail, except in a recording that somebody edited.
        now.map_err(|failure| wasmtime::Error::msg(failure.message))
    }

    async fn sleep(&mut self, milliseconds: u64) -> wasmtime::Result<Result<(), types::Failure>> {
        self.pass(&rows::run_clock::sleep, milliseconds, |milliseconds| async move {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            Ok(())
        })
        .await
    }

    async fn remaining(&mut self) -> wasmtime::Result<Option<u64>> {
        let remaining = self.context.door.lifetime().remaining();
        let remaining = self
            .pass(&rows::run_clock::remaining, (), |()| async move {
                Ok(remaining.map(|remaining| u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX)))
            })
            .await?;
        remaining.map_err(|failure| wasmtime::Error::msg(failure.message))
    }
}

impl types::Host for StepState {}
