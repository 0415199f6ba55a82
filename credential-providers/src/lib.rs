//! credential-providers
