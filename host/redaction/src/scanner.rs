//! The automaton that finds every occurrence of every pattern.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::ops::{Bound, Range};
use std::sync::{Arc, OnceLock};

use crate::forms::Text;
use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

/// A text to search for. Cloning shares it; the last owner overwrites it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pattern(Arc<Text>);

impl Pattern {
    pub(crate) fn new(text: Text) -> Self {
        Self(Arc::new(text))
    }
}

impl Borrow<[u8]> for Pattern {
    fn borrow(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl AsRef<[u8]> for Pattern {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// An immutable set of patterns with its automaton, which is built when it is first needed: secrets are often
/// registered several at a time.
#[derive(Default)]
pub(crate) struct Patterns {
    set: BTreeSet<Pattern>,
    longest: usize,
    automaton: OnceLock<Automaton>,
}

enum Automaton {
    /// Nothing to look for.
    Empty,
    Ready(Box<NFA>, StateID),
    /// The automaton could not be built (it has more than 2^31 states). Everything is masked rather than nothing.
    Impossible,
}

/// What a search starts from and goes on with.
#[derive(Clone, Copy)]
pub(crate) struct State {
    automaton: Option<StateID>,
    /// Bytes since no pattern was begun; what is unfinished is no longer than this.
    begun: usize,
}

impl State {
    /// Before the first byte.
    pub(crate) const START: Self = Self { automaton: None, begun: 0 };
}

impl Patterns {
    /// These patterns and others.
    pub(crate) fn with(&self, others: impl IntoIterator<Item = Pattern>) -> Self {
        let mut set = self.set.clone();
        set.extend(others);
        let longest = set.iter().map(|pattern| pattern.0.len()).max().unwrap_or(0);
        Self { set, longest, automaton: OnceLock::new() }
    }

    pub(crate) fn contains(&self, pattern: &[u8]) -> bool {
        self.set.contains(pattern)
    }

    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    fn automaton(&self) -> &Automaton {
        self.automaton.get_or_init(|| {
            if self.set.is_empty() {
                return Automaton::Empty;
            }
            // Not leftmost-longest: where occurrences overlap, all of them have to be seen. The contiguous form
            // takes a twentieth of a DFA's memory, which matters with session tokens of a thousand characters.
            let built = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(&self.set);
            match built.map(|nfa| (nfa.start_state(Anchored::No), nfa)) {
                Ok((Ok(start), nfa)) => Automaton::Ready(Box::new(nfa), start),
                _ => Automaton::Impossible,
            }
        })
    }

    /// Searches `bytes`, going on from `state`, and calls `found` with the range of the longest occurrence that ends
    /// at each position, ends ascending. Positions count from the start of `bytes`, so that an occurrence which began
    /// earlier has a negative start. The search ends when `found` answers false.
    pub(crate) fn scan(&self, bytes: &[u8], state: State, mut found: impl FnMut(Range<isize>) -> bool) -> State {
        let (nfa, start) = match self.automaton() {
            Automaton::Empty => return State::START,
            Automaton::Ready(nfa, start) => (nfa, *start),
            Automaton::Impossible => {
                if !bytes.is_empty() {
                    found(0..bytes.len().cast_signed());
                }
                return State::START;
            }
        };
        let mut current = state.automaton.unwrap_or(start);
        let mut root = 0;
        let mut before = state.begun;
        for (position, &byte) in bytes.iter().enumerate() {
            current = nfa.next_state(Anchored::No, current, byte);
            if current == start {
                root = position + 1;
                before = 0;
            }
            if nfa.is_match(current) {
                let longest = (0..nfa.match_len(current))
                    .map(|index| nfa.pattern_len(nfa.match_pattern(current, index)))
                    .max()
                    .unwrap_or(0);
                let end = position.cast_signed() + 1;
                if !found(end - longest.cast_signed()..end) {
                    break;
                }
            }
        }
        State { automaton: Some(current), begun: before + bytes.len() - root }
    }

    /// Length of the longest end of `bytes` that is the beginning of a longer pattern, and may grow into it.
    pub(crate) fn unfinished(&self, bytes: &[u8], state: State) -> usize {
        let longest = self.longest.saturating_sub(1).min(state.begun);
        let first = bytes.len().saturating_sub(longest);
        let tail = bytes.get(first..).unwrap_or_default();
        (0..tail.len())
            .filter_map(|index| tail.get(index..))
            .find(|end| {
                let from = (Bound::Excluded(*end), Bound::Unbounded);
                self.set.range::<[u8], _>(from).next().is_some_and(|pattern| {
                    let pattern: &[u8] = pattern.as_ref();
                    pattern.starts_with(end)
                })
            })
            .map_or(0, <[u8]>::len)
    }
}
