//! The set of live secrets and the replacement of their occurrences.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use crate::forms::forms;
use crate::scanner::{Pattern, Patterns, State};
use crate::{Secret, StreamRedactor};

/// What stands in the place of a secret.
pub const MASK: &str = "******";

/// Knows the secrets of a run and masks them. Clones share what is registered, with each other and with the streams
/// that were made from them.
///
/// Secrets are never taken out again while a clone lives: a value that was read once may appear at any later time.
#[derive(Clone, Default)]
pub struct Redactor {
    patterns: Arc<RwLock<Arc<Patterns>>>,
}

impl Redactor {
    /// A redactor that knows no secret yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a secret known in all its forms. False if it is too short to be masked (see
    /// [`MIN_VALUE_CHARS`](crate::MIN_VALUE_CHARS)); a caller may warn of that, without the value.
    pub fn register(&self, secret: &Secret) -> bool {
        self.register_all([secret]) == 1
    }

    /// Makes several secrets known at once; the number of those that are long enough to be masked.
    pub fn register_all<'a>(&self, secrets: impl IntoIterator<Item = &'a Secret>) -> usize {
        let mut masked = 0;
        let mut new = Vec::new();
        let known = self.patterns();
        for secret in secrets {
            let forms = forms(secret.expose());
            masked += usize::from(!forms.is_empty());
            new.extend(forms.into_iter().filter(|form| !known.contains(form.as_bytes())).map(Pattern::new));
        }
        if !new.is_empty() {
            let mut shared = self.patterns.write().unwrap_or_else(PoisonError::into_inner);
            *shared = Arc::new(shared.with(new));
        }
        masked
    }

    /// Whether any form of any secret is in `text`.
    pub fn contains_secret(&self, text: &str) -> bool {
        self.contains_secret_bytes(text.as_bytes())
    }

    /// Whether any form of any secret is in `bytes`, which need not be UTF-8.
    pub fn contains_secret_bytes(&self, bytes: &[u8]) -> bool {
        let mut contains = false;
        self.patterns().scan(bytes, State::START, |_| {
            contains = true;
            false
        });
        contains
    }

    /// `text` with [`MASK`] in the place of each secret. Occurrences that overlap become one mask. Nothing is
    /// allocated where there is nothing to mask.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let masked = self.masked(text.as_bytes());
        if masked.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = 0;
        for range in masked {
            // Patterns are UTF-8, so occurrences in UTF-8 lie between characters.
            out.push_str(text.get(rest..range.start).unwrap_or_default());
            out.push_str(MASK);
            rest = range.end;
        }
        out.push_str(text.get(rest..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// The same as [`Self::redact`] for bytes, which need not be UTF-8.
    pub fn redact_bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let masked = self.masked(bytes);
        if masked.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = 0;
        for range in masked {
            out.extend_from_slice(bytes.get(rest..range.start).unwrap_or_default());
            out.extend_from_slice(MASK.as_bytes());
            rest = range.end;
        }
        out.extend_from_slice(bytes.get(rest..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// Masks every string and every key of a JSON value in place. A number that spells a secret becomes a string.
    /// Where masking makes two keys of an object the same, the later ones get a number.
    pub fn redact_json(&self, value: &mut serde_json::Value) {
        crate::json::redact(self, value);
    }

    /// A redactor for one stream of bytes, for secrets that are split across writes.
    pub fn stream(&self) -> StreamRedactor {
        StreamRedactor::new(self.clone())
    }

    pub(crate) fn patterns(&self) -> Arc<Patterns> {
        Arc::clone(&self.patterns.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The ranges to mask, ascending, none overlapping another.
    fn masked(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut masked: Vec<Range<usize>> = Vec::new();
        self.patterns().scan(bytes, State::START, |found| {
            let (mut start, end) = (found.start.max(0).cast_unsigned(), found.end.cast_unsigned());
            // A longer occurrence that ends later may swallow several that were found before.
            while let Some(last) = masked.pop_if(|last| last.end > start) {
                start = start.min(last.start);
            }
            masked.push(start..end);
            true
        });
        masked
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Redactor({} patterns)", self.patterns().len())
    }
}
