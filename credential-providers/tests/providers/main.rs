//! The providers against third-party endpoints that check identities, signatures, trust policies and expiry.

mod default_chain;
mod failures;
mod profiles;
mod refresh;
mod roles;
mod sources;
mod support;
