//! S3 transfers against a third-party endpoint, and against one that misbehaves.

mod faults;
mod harness;
mod objects;
mod transfers;
