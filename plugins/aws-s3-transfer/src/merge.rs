//! Two sorted listings side by side: what must be transferred and what is too much.

use std::cmp::Ordering;
use std::iter::Peekable;

use outrigger_plugin_sdk::Failure;

use crate::Entry;

/// When a file that both sides have counts as changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Its size differs, or the source is newer.
    SizeAndTime,
    /// Its size differs, or the times are not the same.
    ExactTime,
    /// Its size differs.
    SizeOnly,
}

impl Comparison {
    /// S3 keeps whole seconds, so times are compared in seconds: a file that was uploaded within the second in which it was
    /// written would otherwise be newer than its object for ever.
    fn differs(self, source: &Entry, destination: &Entry) -> bool {
        let seconds = |entry: &Entry| entry.modified / 1_000;
        source.size != destination.size
            || match self {
                Self::SizeAndTime => seconds(source) > seconds(destination),
                Self::ExactTime => seconds(source) != seconds(destination),
                Self::SizeOnly => false,
            }
    }
}

/// What is to be done about one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Only the source has it, or it changed there.
    Transfer(Entry),
    /// Only the destination has it.
    Extra(Entry),
    /// Both have it, and it did not change.
    Same(Entry),
}

/// Compares two listings, both in the order of the bytes of their paths, one pair at a time.
///
/// A listing out of order is a failure, since what is missing on one side could then be deleted on the other by mistake.
pub fn changes<S, D>(source: S, destination: D, comparison: Comparison) -> impl Iterator<Item = Result<Change, Failure>>
where
    S: Iterator<Item = Result<Entry, Failure>>,
    D: Iterator<Item = Result<Entry, Failure>>,
{
    Changes {
        source: in_order(source, "source"),
        destination: in_order(destination, "destination"),
        comparison,
        done: false,
    }
}

struct Changes<S: Iterator, D: Iterator> {
    source: Peekable<S>,
    destination: Peekable<D>,
    comparison: Comparison,
    done: bool,
}

fn in_order(
    entries: impl Iterator<Item = Result<Entry, Failure>>,
    side: &'static str,
) -> Peekable<impl Iterator<Item = Result<Entry, Failure>>> {
    let mut before: Option<String> = None;
    let checked = entries.map(move |entry| {
        let entry = entry?;
        if let Some(before) =
            before.replace(entry.path.clone()).filter(|before| before.as_bytes() >= entry.path.as_bytes())
        {
            return Err(Failure::internal(format!(
                "the listing of the {side} is out of order: `{before}` came before `{}`; nothing more is done, since a \
                 comparison could take files for extra that are not",
                entry.path
            )));
        }
        Ok(entry)
    });
    checked.peekable()
}

impl<S, D> Iterator for Changes<S, D>
where
    S: Iterator<Item = Result<Entry, Failure>>,
    D: Iterator<Item = Result<Entry, Failure>>,
{
    type Item = Result<Change, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let order = match (self.source.peek(), self.destination.peek()) {
            (None, None) => return None,
            (Some(Err(_)), _) | (Some(_), None) => Ordering::Less,
            (_, Some(Err(_))) | (None, Some(_)) => Ordering::Greater,
            (Some(Ok(source)), Some(Ok(destination))) => source.path.as_bytes().cmp(destination.path.as_bytes()),
        };
        let change = match order {
            Ordering::Less => self.source.next()?.map(Change::Transfer),
            Ordering::Greater => self.destination.next()?.map(Change::Extra),
            Ordering::Equal => match (self.source.next()?, self.destination.next()?) {
                (Ok(source), Ok(destination)) if self.comparison.differs(&source, &destination) => {
                    Ok(Change::Transfer(source))
                }
                (Ok(source), Ok(_)) => Ok(Change::Same(source)),
                (Err(failure), _) | (_, Err(failure)) => Err(failure),
            },
        };
        self.done = change.is_err();
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, size: u64, modified: u64) -> Result<Entry, Failure> {
        Ok(Entry { path: path.to_owned(), size, modified })
    }

    fn names(source: Vec<Result<Entry, Failure>>, destination: Vec<Result<Entry, Failure>>) -> Vec<String> {
        changes(source.into_iter(), destination.into_iter(), Comparison::SizeAndTime)
            .map(|change| match change {
                Ok(Change::Transfer(entry)) => format!("+{}", entry.path),
                Ok(Change::Extra(entry)) => format!("-{}", entry.path),
                Ok(Change::Same(entry)) => format!("={}", entry.path),
                Err(failure) => format!("!{}", failure.message),
            })
            .collect()
    }

    #[test]
    fn paths_pair_up_in_the_order_of_their_bytes() {
        let source = vec![entry("a", 1, 0), entry("b-c", 1, 0), entry("b/a", 2, 0), entry("é", 1, 9_000)];
        let destination =
            vec![entry("a", 1, 0), entry("b", 1, 0), entry("b/a", 1, 0), entry("z", 1, 0), entry("é", 1, 0)];
        assert_eq!(names(source, destination), ["=a", "-b", "+b-c", "+b/a", "-z", "+é"]);
        assert_eq!(names(vec![entry("a", 0, 0)], vec![]), ["+a"]);
        assert_eq!(names(vec![], vec![entry("a", 0, 0)]), ["-a"]);
    }

    #[test]
    fn a_newer_source_is_a_change_and_an_older_one_is_not() {
        let old = entry("a", 1, 1_000).unwrap();
        let new = entry("a", 1, 2_999).unwrap();
        let same_second = entry("a", 1, 1_999).unwrap();
        let larger = entry("a", 2, 1_000).unwrap();
        assert!(Comparison::SizeAndTime.differs(&new, &old));
        assert!(!Comparison::SizeAndTime.differs(&old, &new));
        assert!(!Comparison::SizeAndTime.differs(&same_second, &old));
        assert!(Comparison::SizeAndTime.differs(&larger, &old));
        assert!(Comparison::ExactTime.differs(&old, &new));
        assert!(!Comparison::SizeOnly.differs(&new, &old));
        assert!(Comparison::SizeOnly.differs(&larger, &old));
    }

    #[test]
    fn a_failed_or_disordered_listing_ends_the_comparison() {
        let failed = Err(Failure::remote("no"));
        assert_eq!(names(vec![entry("a", 1, 0), failed.clone()], vec![entry("b", 1, 0)]), ["+a", "!no"]);
        assert_eq!(names(vec![entry("b", 1, 0)], vec![failed]), ["!no"]);
        let disordered = names(vec![entry("b", 1, 0), entry("a", 1, 0)], vec![entry("z", 1, 0)]);
        assert_eq!(disordered.len(), 2);
        assert!(disordered[1].contains("out of order"), "{disordered:?}");
    }
}
