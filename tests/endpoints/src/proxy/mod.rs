mod call;
mod error_body;
mod fault;
mod forward;
mod recorded;
mod request_log;
mod rewrite;
mod rule;

pub(crate) use call::pairs as call_pairs;
pub use fault::FaultProxy;
pub use recorded::{Bundled, RecordedExchanges};
pub use request_log::Recorded;
pub(crate) use request_log::lock;
pub use rule::{Fault, Field, Nth, Rule};
