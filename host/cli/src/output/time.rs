//! Times and durations as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A moment in the local zone, to the second.
pub(crate) fn local(unix_micros: i64) -> String {
    match Timestamp::from_microsecond(unix_micros) {
        Ok(moment) => moment.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// A moment in UTC, for programs.
pub(crate) fn utc(unix_micros: i64) -> String {
    Timestamp::from_microsecond(unix_micros).map(|moment| moment.to_string()).unwrap_or_default()
}

/// Milliseconds, in the unit that fits.
pub(crate) fn duration(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds}.{} s", millis % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Bytes, in the unit that fits.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fit() {
        let all: Vec<_> = [0, 999, 1_000, 59_999, 60_000, 3_600_000, 90_061_000].into_iter().map(duration).collect();
        assert_eq!(all, ["0 ms", "999 ms", "1.0 s", "59.9 s", "1 min 0 s", "1 h 0 min", "25 h 1 min"]);
        let all: Vec<_> = [0, 1_023, 1_024, 1_536, 1_048_576, 1_099_511_627_776].into_iter().map(bytes).collect();
        assert_eq!(all, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 TiB"]);
    }
}
