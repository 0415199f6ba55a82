//! Points in time, as milliseconds since 1970-01-01T00:00:00Z, read from text and written as text.

/// Days from 1970-01-01 to this date of the Gregorian calendar, counted in eras of 400 years that begin in March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Reads a point in time: RFC 3339 (`2024-05-01T10:00:00Z`, `2024-05-01T10:00+02:00`), a date alone, which is its midnight in
/// UTC, or a number of seconds or, from 100,000,000,000 on, of milliseconds since 1970. A time without an offset is UTC.
///
/// ```
/// assert_eq!(outrigger_plugin_sdk::parse_timestamp("1970-01-02T01:00:00+01:00"), Some(86_400_000));
/// ```
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<u64> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: u64 = text.parse().ok()?;
        return Some(if number < 100_000_000_000 { number * 1_000 } else { number });
    }
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?.trim_start()),
        None => (text, ""),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    u64::try_from(days * 86_400_000 + time_of_day(time)?).ok()
}

fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Milliseconds since midnight in UTC; the offset may make it negative.
fn time_of_day(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (clock, offset) = match text.find(['Z', 'z', '+', '-']) {
        Some(at) => (text.get(..at)?, text.get(at..)?),
        None => (text, "Z"),
    };
    let mut parts = clock.trim_end().splitn(3, ':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let (second, fraction) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (digits(seconds, 2)?, 0),
            Some((seconds, fraction)) => {
                let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
                (digits(seconds, 2)?, digits(&thousandths, 3)?)
            }
        },
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset = match offset {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let minutes = digits(hours, 2)? * 60 + digits(minutes, 2)?;
            if offset.starts_with('-') { -minutes } else { minutes }
        }
    };
    Some(((hour * 60 + minute - offset) * 60 + second) * 1_000 + fraction)
}

/// Writes a point in time as RFC 3339 in UTC, with milliseconds where there are any.
///
/// ```
/// assert_eq!(outrigger_plugin_sdk::format_timestamp(1_714_557_600_000), "2024-05-01T10:00:00Z");
/// ```
#[must_use]
pub fn format_timestamp(milliseconds: u64) -> String {
    let seconds = i64::try_from(milliseconds / 1_000).unwrap_or(i64::MAX);
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let fraction = match milliseconds % 1_000 {
        0 => String::new(),
        thousandths => format!(".{thousandths:03}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_four_centuries_survives_the_way_there_and_back() {
        for days in 0..150_000_u64 {
            let milliseconds = days * 86_400_000 + 45_296_789;
            assert_eq!(parse_timestamp(&format_timestamp(milliseconds)), Some(milliseconds));
        }
    }

    #[test]
    fn forms_of_time() {
        for (text, milliseconds) in [
            ("0", 0),
            ("1714557600", 1_714_557_600_000),
            ("1714557600123", 1_714_557_600_123),
            ("2024-05-01", 1_714_521_600_000),
            ("2024-05-01T10:00:00Z", 1_714_557_600_000),
            ("2024-05-01 12:00+02:00", 1_714_557_600_000),
            ("2024-05-01T09:30:00.25-00:30", 1_714_557_600_250),
            ("2024-02-29T00:00:00", 1_709_164_800_000),
        ] {
            assert_eq!(parse_timestamp(text), Some(milliseconds), "{text}");
        }
        for text in
            ["", "now", "2023-02-29", "2024-13-01", "2024-05-01T24:00:00Z", "2024-05-01T10", "1969-12-31", "2024-5-1"]
        {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
