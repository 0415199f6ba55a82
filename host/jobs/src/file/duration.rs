//! Rundeck's texts for durations.

use std::time::Duration;

/// Seconds of a unit letter.
fn unit_seconds(unit: char) -> Option<u64> {
    match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(86_400),
        'w' => Some(604_800),
        'y' => Some(31_536_000),
        _ => None,
    }
}

/// Reads `90` (seconds), `90s`, `1h 30m` or `2d`, as Rundeck's job timeout and retry delay are written.
///
/// Units are `s`, `m`, `h`, `d`, `w` and `y`; numbers are added up, spaces are optional.
///
/// # Errors
/// A sentence that names the part that is no duration.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("the duration is empty".to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return Err(format!("`{rest}` does not begin with a number"));
        }
        let number: u64 = number.parse().map_err(|_| format!("`{number}` is too large"))?;
        let after = after.trim_start();
        let (seconds, after) = match after.chars().next() {
            None => (1, after),
            Some(next) if next.is_ascii_digit() => (1, after),
            Some(next) => {
                let seconds =
                    unit_seconds(next).ok_or_else(|| format!("`{next}` is no unit; use s, m, h, d, w or y"))?;
                (seconds, after.get(next.len_utf8()..).unwrap_or_default())
            }
        };
        total = number
            .checked_mul(seconds)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("`{}` is too long", text.trim()))?;
        rest = after.trim_start();
    }
    Ok(Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_rundeck_writes() {
        for (text, seconds) in
            [("90", 90), ("90s", 90), ("1h 30m", 5_400), ("1h30m", 5_400), ("2d", 172_800), (" 1 m 5 ", 65), ("0", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("", "empty"),
            ("soon", "`soon`"),
            ("5x", "`x`"),
            ("99999999999999999999s", "too large"),
            ("1h -5m", "`-5m`"),
        ] {
            let message = parse_duration(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
        assert!(parse_duration("999999999999999999y").is_err());
    }
}
