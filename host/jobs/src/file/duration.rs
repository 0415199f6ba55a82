//! Rundeck's texts for durations.

use std::time::Duration;

/// Seconds of a unit: its letter or its name.
fn unit_seconds(unit: &str) -> Option<u64> {
    match unit.to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => Some(1),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3_600),
        "d" | "day" | "days" => Some(86_400),
        "w" | "week" | "weeks" => Some(604_800),
        "y" | "year" | "years" => Some(31_536_000),
        _ => None,
    }
}

/// Reads `90` (seconds), `90s`, `1h 30m` or `2d`, as Rundeck's job timeout and retry delay are written.
///
/// Units are `s`, `m`, `h`, `d`, `w` and `y`, or their English names; numbers are added up, spaces are optional.
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
        let letters = after.len() - after.trim_start_matches(char::is_alphabetic).len();
        let (unit, after) = after.split_at(letters);
        let seconds = unit_seconds(unit).ok_or_else(|| format!("`{unit}` is no unit; use s, m, h, d, w or y"))?;
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
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("1h 30m", 5_400),
            ("1h30m", 5_400),
            ("2d", 172_800),
            (" 1 m 5 ", 65),
            ("0", 0),
            ("5 minutes", 300),
            ("1 90", 91),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("", "empty"),
            ("soon", "`soon`"),
            ("5x", "`x`"),
            ("5 moons", "`moons`"),
            ("99999999999999999999s", "too large"),
            ("1h -5m", "`-5m`"),
        ] {
            let message = parse_duration(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
        assert!(parse_duration("999999999999999999y").is_err());
    }
}
