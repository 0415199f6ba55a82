//! tests/endpoints
