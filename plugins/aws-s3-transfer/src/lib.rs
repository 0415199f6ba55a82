//! What the S3 steps share: places, filters, listings, and the transfers of what a plan asks for.
//!
//! Meaning and messages are those of the AWS CLI's `aws s3 cp` and `aws s3 sync`
//! (<https://docs.aws.amazon.com/cli/latest/reference/s3/>), since job files were written against them.

mod filter;
mod input;
mod listing;
mod merge;
mod place;
mod transfer;

pub use filter::{FilterList, Filters};
pub use input::{CopyInput, FilterInput, S3Connection, WriteInput};
pub use listing::{Entry, list, list_or_empty};
pub use merge::{Change, Comparison, changes};
pub use place::{LocalPath, Place, S3Place, places};
pub use transfer::{Direction, FileOutput, Outputs, Transfer};
