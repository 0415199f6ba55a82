//! The range of time that a query looks at.

use outrigger_plugin_sdk::{Failure, parse_timestamp};

use crate::Input;

/// Seconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub struct Range {
    /// Beginning.
    pub start: u64,
    /// End.
    pub end: u64,
}

impl Range {
    /// The range of an input, at a time in milliseconds since 1970.
    pub fn new(input: &Input, now: u64) -> Result<Self, Failure> {
        let end = point("endTime", input.end_time.as_deref())?.unwrap_or(now / 1_000);
        let back = match (input.exported_range, input.past_time_range) {
            (Some(one), Some(other)) if one != other => {
                return Err(Failure::invalid_input(format!(
                    "`0` is {one} and `pastTimeRange` is {other}: give one of them"
                )));
            }
            (one, other) => one.or(other),
        };
        let start = match (point("startTime", input.start_time.as_deref())?, back) {
            (Some(_), Some(_)) => {
                return Err(Failure::invalid_input(
                    "`startTime` and a past time range are both given: give one of them",
                ));
            }
            (Some(start), None) => start,
            (None, Some(back)) => {
                let unit = input
                    .time_unit
                    .as_deref()
                    .ok_or_else(|| Failure::invalid_input("`timeUnit` is blank: give `Minutes`, `Hours` or `Days`"))?;
                back.checked_mul(seconds_of(unit)?)
                    .and_then(|back| end.checked_sub(back))
                    .ok_or_else(|| Failure::invalid_input(format!("a range of {back} {unit} begins before 1970")))?
            }
            (None, None) => {
                return Err(Failure::invalid_input(
                    "no range of time is given: set `pastTimeRange` (or `0`, as exports call it) with `timeUnit`, or `startTime`",
                ));
            }
        };
        if start >= end {
            return Err(Failure::invalid_input(
                "the range of time ends before it begins: see `startTime` and `endTime`",
            ));
        }
        Ok(Self { start, end })
    }
}

fn point(field: &str, text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    match parse_timestamp(text) {
        Some(milliseconds) => Ok(Some(milliseconds / 1_000)),
        None => Err(Failure::invalid_input(format!(
            "`{field}` is `{text}`, which is no time: write `2024-05-01T10:00:00Z`, a date, or seconds since 1970"
        ))),
    }
}

fn seconds_of(unit: &str) -> Result<u64, Failure> {
    let lower = unit.trim().to_ascii_lowercase();
    match lower.strip_suffix('s').unwrap_or(&lower) {
        // What is left of `s` itself.
        "" | "sec" | "second" => Ok(1),
        "m" | "min" | "minute" => Ok(60),
        "h" | "hour" => Ok(3_600),
        "d" | "day" => Ok(86_400),
        "w" | "week" => Ok(604_800),
        _ => Err(Failure::invalid_input(format!(
            "`timeUnit` is `{unit}`: give `Seconds`, `Minutes`, `Hours`, `Days` or `Weeks`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json::{self, Value, json};

    fn range(more: Value) -> Result<Range, Failure> {
        let mut value = json!({"cloudWatchLogGroups": "/a", "queryString": "q"});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Range::new(&json::from_value(value).unwrap(), 1_000_000_000)
    }

    #[test]
    fn ranges() {
        let at = |start, end| Range { start, end };
        assert_eq!(range(json!({"0": 2, "timeUnit": "Hours"})).unwrap(), at(992_800, 1_000_000));
        assert_eq!(range(json!({"pastTimeRange": 1, "timeUnit": "day"})).unwrap(), at(913_600, 1_000_000));
        assert_eq!(range(json!({"startTime": "1970-01-01T00:01:00Z"})).unwrap(), at(60, 1_000_000));
        let ended = json!({"0": 1, "timeUnit": "s", "endTime": "100"});
        assert_eq!(range(ended).unwrap(), at(99, 100));
    }

    #[test]
    fn wrong_ranges_say_what_to_give() {
        for (more, part) in [
            (json!({}), "no range"),
            (json!({"0": 1}), "timeUnit"),
            (json!({"0": 1, "timeUnit": "Fortnights"}), "Fortnights"),
            (json!({"0": 1, "pastTimeRange": 2, "timeUnit": "s"}), "one of them"),
            (json!({"0": 1, "startTime": "1", "timeUnit": "s"}), "both given"),
            (json!({"0": 9_999_999_999_u64, "timeUnit": "Weeks"}), "before 1970"),
            (json!({"startTime": "soon"}), "`soon`"),
            (json!({"startTime": "200", "endTime": "100"}), "ends before"),
        ] {
            let message = range(more).unwrap_err().message;
            assert!(message.contains(part), "{message}");
        }
    }
}
