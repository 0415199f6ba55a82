//! 'Did you mean'.

/// The candidate that `name` was most likely meant to be, if any is near enough.
///
/// Case, `-`, `_` and `.` do not count as differences: `cluster_name` for `cluster-name` is the misspelling that
/// published jobs contain.
pub(crate) fn nearest<'name>(name: &str, candidates: impl IntoIterator<Item = &'name str>) -> Option<&'name str> {
    nearest_above(0.6, name, candidates)
}

/// The candidate that is most like `name`, if it is at least so much like it (0 to 1).
pub(crate) fn nearest_above<'name>(
    least: f64,
    name: &str,
    candidates: impl IntoIterator<Item = &'name str>,
) -> Option<&'name str> {
    const LONGEST: usize = 200;
    if name.is_empty() || name.len() > LONGEST {
        return None;
    }
    const MOST: usize = 500;
    let wanted = fold(name);
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates.into_iter().take(MOST) {
        if candidate == name || candidate.len() > LONGEST {
            continue;
        }
        let other = fold(candidate);
        let score = if other == wanted {
            1.0
        } else if wanted.len() >= 4 && (other.contains(&wanted) || (other.len() >= 4 && wanted.contains(&other))) {
            0.85
        } else {
            likeness(least, &wanted, &other)
        };
        if best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, candidate));
        }
    }
    best.filter(|(score, _)| *score >= least).map(|(_, candidate)| candidate)
}

/// 1 less the share of letters that differ, with two swapped letters as one difference; 0 where the lengths alone rule
/// `least` out.
fn likeness(least: f64, one: &str, other: &str) -> f64 {
    let share = |part: usize, whole: usize| {
        f64::from(u32::try_from(part).unwrap_or(u32::MAX)) / f64::from(u32::try_from(whole.max(1)).unwrap_or(u32::MAX))
    };
    let (short, long) =
        (one.chars().count().min(other.chars().count()), one.chars().count().max(other.chars().count()));
    if share(short, long) < least {
        return 0.0;
    }
    1.0 - share(strsim::osa_distance(one, other), long)
}

/// A name without what does not count as a difference.
pub(crate) fn fold(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, '-' | '_' | '.' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant() {
        let names = ["cluster-name", "region", "instance-ids"];
        assert_eq!(nearest("cluster_name", names), Some("cluster-name"));
        assert_eq!(nearest("regoin", names), Some("region"));
        assert_eq!(nearest("instanceIds", names), Some("instance-ids"));
        assert_eq!(nearest("timeout", names), None);
        assert_eq!(nearest("", names), None);
    }
}
