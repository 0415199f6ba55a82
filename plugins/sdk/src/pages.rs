//! Walks through listings that come in pages.

use std::vec::IntoIter;

use crate::Failure;

/// The items of all pages, each page fetched when the one before is used up.
///
/// `fetch` gets the token of the page before, or none for the first one, and gives the page's items with the next token.
/// The iterator ends after the last page or the first failure. A service that gives the same token twice is a failure, since
/// it would never end.
///
/// ```
/// use outrigger_plugin_sdk::pages;
///
/// let all: Result<Vec<u32>, _> = pages(|token| match token.as_deref() {
///     None => Ok((vec![1, 2], Some("more".to_owned()))),
///     Some(_) => Ok((vec![3], None)),
/// })
/// .collect();
/// assert_eq!(all.unwrap(), [1, 2, 3]);
/// ```
pub fn pages<T, F>(fetch: F) -> impl Iterator<Item = Result<T, Failure>>
where
    F: FnMut(Option<String>) -> Result<(Vec<T>, Option<String>), Failure>,
{
    Pages { fetch, page: Vec::new().into_iter(), next: Next::First }
}

enum Next {
    First,
    Token(String),
    Nothing,
}

struct Pages<T, F> {
    fetch: F,
    page: IntoIter<T>,
    next: Next,
}

impl<T, F> Iterator for Pages<T, F>
where
    F: FnMut(Option<String>) -> Result<(Vec<T>, Option<String>), Failure>,
{
    type Item = Result<T, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.page.next() {
                return Some(Ok(item));
            }
            let token = match std::mem::replace(&mut self.next, Next::Nothing) {
                Next::First => None,
                Next::Token(token) => Some(token),
                Next::Nothing => return None,
            };
            match (self.fetch)(token.clone()) {
                Ok((items, next)) => {
                    self.page = items.into_iter();
                    match next.filter(|next| !next.is_empty()) {
                        None => {}
                        Some(next) if Some(&next) == token.as_ref() => {
                            return Some(Err(Failure::remote("the service gave the same page token twice")));
                        }
                        Some(next) => self.next = Next::Token(next),
                    }
                }
                Err(failure) => return Some(Err(failure)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_pages_and_empty_tokens_are_passed() {
        let mut calls = 0;
        let all: Result<Vec<u8>, _> = pages(|_| {
            calls += 1;
            match calls {
                1 => Ok((vec![], Some("a".to_owned()))),
                2 => Ok((vec![7], Some(String::new()))),
                _ => Err(Failure::internal("one page too many")),
            }
        })
        .collect();
        assert_eq!(all.unwrap(), [7]);
    }

    #[test]
    fn a_failure_ends_the_listing() {
        let mut calls = 0;
        let all: Vec<Result<u8, Failure>> = pages(|_| {
            calls += 1;
            Err(Failure::remote("no"))
        })
        .collect();
        assert_eq!(all.len(), 1);
        assert_eq!(calls, 1);
    }

    #[test]
    fn a_token_that_repeats_is_a_failure() {
        let all: Result<Vec<u8>, Failure> = pages(|_| Ok((vec![1], Some("same".to_owned())))).collect();
        assert!(all.unwrap_err().message.contains("twice"));
    }
}
