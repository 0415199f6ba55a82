//! Removes live secret values from everything that leaves the process.
//!
//! A [`Secret`] holds one value and never prints it. A [`Redactor`] knows every secret of a run and replaces each
//! occurrence in text, bytes, JSON or a stream by [`MASK`].
//!
//! # What is recognised
//!
//! Each registered value, and the value without surrounding white space; each line of a value that has several; each
//! string and each number in a value that is JSON. All of these as they are and
//!
//! - in base64, standard and URL-safe, padded or not, at each of the three positions inside a longer base64 text,
//!   with a line feed after the value, and cut into the lines of 64 or 76 characters that tools write;
//! - percent-escaped by the rules of RFC 3986, WHATWG and HTML forms, with upper or lower case digits;
//! - escaped as in a JSON string by the usual libraries, once or twice, and as Rust's `Debug` escapes text.
//!
//! All occurrences count, overlapping ones too: a byte that belongs to any occurrence is never in the output.
//!
//! # Limits
//!
//! - A value of fewer than [`MIN_VALUE_CHARS`] characters, white space around it not counted, is not masked: it would
//!   be found in ordinary text everywhere. [`Redactor::register`] tells, so that a caller can warn.
//! - A line or JSON leaf of fewer than [`MIN_PIECE_CHARS`] characters is masked as part of the whole value only. The
//!   frame of a PEM text (`-----BEGIN ...`) is no secret.
//! - Other transformations are not recognised: hexadecimal, compression, encryption, reversal, a value printed one
//!   character per line. A guest that was granted plaintext can always get around redaction.
//! - Inside a longer base64 text the characters at both ends that are shared with a neighbouring byte stay: up to four
//!   bits of the first and of the last byte.
//! - A secret that itself contains `*` may appear where a mask and its surroundings happen to spell it.
//! - A form longer than [`MAX_PATTERN_BYTES`] is recognised by consecutive parts of at most that length.

mod forms;
mod json;
mod redactor;
mod scanner;
mod secret;
mod stream;

pub use forms::{MAX_PATTERN_BYTES, MIN_PIECE_CHARS, MIN_VALUE_CHARS};
pub use redactor::{MASK, Redactor};
pub use secret::Secret;
pub use stream::StreamRedactor;
