//! The contract and the guest library, as they were when this program was built.

include!(concat!(env!("OUT_DIR"), "/sources.rs"));
