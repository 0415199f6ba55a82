//! AWS: the operations of the contract by service, and what steps that call them share.

mod connection;
mod console;
pub mod instances;

pub use crate::bindings::outrigger::aws::credentials::{
    Credentials, CredentialsProvenance, default as credentials, describe_provenance,
};
pub use crate::bindings::outrigger::aws_athena::queries as athena;
pub use crate::bindings::outrigger::aws_autoscaling::groups as autoscaling;
pub use crate::bindings::outrigger::aws_ec2::instances as ec2;
pub use crate::bindings::outrigger::aws_lambda::functions as lambda;
pub use crate::bindings::outrigger::aws_logs::events as log_events;
pub use crate::bindings::outrigger::aws_logs::queries as log_queries;
pub use crate::bindings::outrigger::aws_s3::objects as s3;
pub use crate::bindings::outrigger::aws_s3::transfer as s3_transfer;
pub use crate::bindings::outrigger::aws_ssm::commands as ssm;
pub use crate::bindings::outrigger::aws_sts::identity as sts;
pub use connection::AwsConnection;
pub use console::console_url;
