//! Masking of a stream whose writes may cut a secret anywhere.

use std::fmt;
use std::sync::Arc;

use crate::scanner::{Patterns, State};
use crate::{MASK, Redactor};

/// Masks secrets in bytes that arrive in pieces. What comes out is, whatever the pieces, what
/// [`Redactor::redact_bytes`] makes of the whole, as long as no secret is registered in between.
///
/// Only an end that may be the beginning of a secret is held back (always less than the longest form of a secret),
/// and an incomplete UTF-8 character, so that text stays text. A secret that is registered later applies to everything
/// that has not been given out.
pub struct StreamRedactor {
    redactor: Redactor,
    patterns: Arc<Patterns>,
    state: State,
    /// What has not been given out.
    pending: Vec<u8>,
    /// What to mask of `pending`, ascending, none overlapping another.
    masked: Vec<Masked>,
}

struct Masked {
    start: usize,
    end: usize,
    /// The mask is in the output already; it belongs to bytes that were before `pending`.
    given: bool,
}

impl StreamRedactor {
    pub(crate) fn new(redactor: Redactor) -> Self {
        let patterns = redactor.patterns();
        Self { redactor, patterns, state: State::START, pending: Vec::new(), masked: Vec::new() }
    }

    /// Takes the next bytes and gives what can be told of the text so far.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let patterns = self.redactor.patterns();
        if !Arc::ptr_eq(&patterns, &self.patterns) {
            self.patterns = patterns;
            self.state = State::START;
            // What is known is found again, all but what began before `pending`.
            self.masked.retain(|range| range.given);
            self.scan(0);
        }
        let from = self.pending.len();
        self.pending.extend_from_slice(bytes);
        self.scan(from);
        let unfinished = self.patterns.unfinished(&self.pending, self.state);
        let held = unfinished.max(incomplete_character(&self.pending));
        self.give(self.pending.len() - held)
    }

    /// Gives what was held back. The stream may be used again from its start.
    pub fn finish(&mut self) -> Vec<u8> {
        let rest = self.give(self.pending.len());
        self.masked.clear();
        self.state = State::START;
        rest
    }

    /// Bytes that are held back at the moment.
    pub fn held(&self) -> usize {
        self.pending.len()
    }

    fn scan(&mut self, from: usize) {
        let masked = &mut self.masked;
        let new = self.pending.get(from..).unwrap_or_default();
        self.state = self.patterns.scan(new, self.state, |found| {
            let mut start = from.saturating_add_signed(found.start);
            let end = from.saturating_add_signed(found.end);
            let mut range_end = end;
            let mut given = false;
            while let Some(last) = masked.pop_if(|last| last.end > start) {
                start = start.min(last.start);
                range_end = range_end.max(last.end);
                given |= last.given;
            }
            masked.push(Masked { start, end: range_end, given });
            true
        });
    }

    /// Gives the first `until` bytes. No occurrence that is still to be found starts before them.
    fn give(&mut self, until: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(until);
        let mut rest = 0;
        for range in &mut self.masked {
            if range.start >= until {
                break;
            }
            out.extend_from_slice(self.pending.get(rest..range.start).unwrap_or_default());
            if !range.given {
                out.extend_from_slice(MASK.as_bytes());
                range.given = true;
            }
            rest = range.end.min(until);
        }
        out.extend_from_slice(self.pending.get(rest..until).unwrap_or_default());
        self.pending.drain(..until.min(self.pending.len()));
        self.masked.retain_mut(|range| {
            range.start = range.start.saturating_sub(until);
            range.end = range.end.saturating_sub(until);
            range.end > 0
        });
        out
    }
}

impl fmt::Debug for StreamRedactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StreamRedactor({} bytes held)", self.pending.len())
    }
}

impl Drop for StreamRedactor {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.pending);
    }
}

/// Length of an unfinished UTF-8 sequence at the end.
fn incomplete_character(bytes: &[u8]) -> usize {
    for (index, &byte) in bytes.iter().rev().take(3).enumerate() {
        let length = match byte {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            0x80..=0xBF => continue,
            _ => return 0,
        };
        return if length > index + 1 { index + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_character_is_seen() {
        let text = "aé€😀";
        let ends: Vec<usize> = (0..=text.len()).map(|end| incomplete_character(&text.as_bytes()[..end])).collect();
        assert_eq!(ends, [0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0]);
        assert_eq!(incomplete_character(&[0x80, 0x80, 0x80, 0x80]), 0);
        assert_eq!(incomplete_character(&[0xFF]), 0);
    }
}
