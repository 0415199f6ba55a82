//! What commands write, and how it looks.

pub(crate) mod document;
pub(crate) mod github;
pub(crate) mod live;
pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod transcript;

use std::io::{self, BufWriter, StdoutLock, Write};

use serde_json::Value;

/// Standard output, buffered.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Writes a JSON document for programs, indented so that people can read it too.
pub(crate) fn write_json(value: &Value) -> io::Result<()> {
    let mut out = stdout();
    writeln!(out, "{value:#}")?;
    out.flush()
}
