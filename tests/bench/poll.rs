//! Waits, looks, and waits again.

use outrigger_plugin_sdk::clock;
use outrigger_plugin_sdk::prelude::{Deserialize, Failure, JobStep, JsonSchema, Serialize, info};

/// Polls.
pub struct Poll;

/// Configuration of the step.
#[derive(Deserialize, JsonSchema)]
pub struct Input {
    /// How often it looks.
    pub polls: u32,
}

/// It has none.
#[derive(Serialize, JsonSchema)]
pub struct Outputs {}

impl JobStep for Poll {
    const PROVIDER: &'static str = "bench-poll";
    const TITLE: &'static str = "Poll";
    const SUMMARY: &'static str = "Waits 100 ms, so many times.";
    type Input = Input;
    type Outputs = Outputs;

    fn run(input: Input) -> Result<(), Failure> {
        for _ in 0..input.polls {
            clock::sleep(100)?;
        }
        info!("waited until {}", clock::now());
        Ok(())
    }
}

outrigger_plugin_sdk::export_job_step!(Poll);
