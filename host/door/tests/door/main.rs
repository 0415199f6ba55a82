//! What the door promises: its order, its refusals, its ends, its recordings.

mod lifetime;
mod order;
mod recording;
mod redaction;
mod repetition;
mod replay;
mod support;
