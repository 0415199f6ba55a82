//! End to end: the real binary with real job files, against AWS endpoints behind a proxy that sees every request.

mod cancel;
mod credentials;
mod data;
mod demo;
mod ec2;
mod faults;
mod many;
mod redaction;
mod replay;
mod s3;
mod services;
mod ssm;
mod support;
