//! Amazon S3: objects one request at a time, and transfers of many.

pub mod access;
mod checksum;
pub mod copy;
pub mod download;
mod multipart;
pub mod objects;
pub mod options;
pub mod region;
pub mod settings;
mod source;
pub mod transfer;
pub mod upload;

pub use access::S3Access;
pub use region::BucketRegions;
pub use settings::{Control, Progress, TransferSettings, tune};
pub use transfer::ItemResult;
