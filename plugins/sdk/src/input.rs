//! Types of input fields that job files write as text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// `true`, for `#[serde(default = "yes")]`.
#[must_use]
pub fn yes() -> bool {
    true
}

/// A list that job files write as one text with commas or line breaks, or as a list. Blanks around the items and empty items
/// are dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommaList(Vec<String>);

impl CommaList {
    /// Splits a text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::tidy(text.split([',', '\n']))
    }

    fn tidy<'a>(items: impl Iterator<Item = &'a str>) -> Self {
        Self(items.map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }

    /// The items, each one once, in the order in which they were given first.
    #[must_use]
    pub fn distinct(&self) -> Vec<String> {
        let mut seen = std::collections::BTreeSet::new();
        self.0.iter().filter(|item| seen.insert(item.as_str())).cloned().collect()
    }
}

impl Deref for CommaList {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for CommaList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self::parse(&text)),
            Value::Array(items) => {
                let texts = items.iter().map(|item| match item {
                    Value::String(text) => Ok(text.as_str()),
                    _ => Err(D::Error::custom(format!("{item} is no text"))),
                });
                Ok(Self::tidy(texts.collect::<Result<Vec<_>, _>>()?.into_iter()))
            }
            other => Err(D::Error::custom(format!("{other} is neither a text nor a list of texts"))),
        }
    }
}

impl JsonSchema for CommaList {
    fn schema_name() -> Cow<'static, str> {
        "CommaList".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
    }
}

/// A span of time: a number of seconds, or a text such as `90`, `500ms`, `10m` or `1h 30m`.
///
/// ```
/// use outrigger_plugin_sdk::TimeSpan;
///
/// assert_eq!("1h 30m".parse(), Ok(TimeSpan::from_seconds(5400)));
/// assert_eq!(TimeSpan::from_seconds(5400).to_string(), "1h 30m");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(Duration);

/// Longest span that is taken: a year. AWS's own limits are far below.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl TimeSpan {
    /// A span of so many seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Whole seconds, rounded up, so that a short span does not become none.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0)
    }

    fn from_number(seconds: f64) -> Option<Self> {
        let span = Duration::try_from_secs_f64(seconds).ok()?;
        (span <= LONGEST).then_some(Self(span))
    }

    fn from_text(text: &str) -> Option<Self> {
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        if compact.is_empty() {
            return None;
        }
        if let Ok(seconds) = compact.parse::<f64>() {
            return Self::from_number(seconds);
        }
        let mut rest = compact.as_str();
        let mut total = 0_u64;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
            total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
            rest = after;
        }
        let span = Duration::from_millis(total);
        (span <= LONGEST).then_some(Self(span))
    }
}

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Self {
        span.0
    }
}

impl From<Duration> for TimeSpan {
    fn from(span: Duration) -> Self {
        Self(span)
    }
}

impl std::str::FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::from_text(text)
            .ok_or_else(|| format!("`{text}` is no span of time: give seconds, or a text such as `10m` or `1h 30m`"))
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let mut first = true;
        for (name, factor) in UNITS {
            let count = rest / factor;
            rest %= factor;
            if count > 0 {
                write!(f, "{}{count}{name}", if first { "" } else { " " })?;
                first = false;
            }
        }
        if first { f.write_str("0s") } else { Ok(()) }
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => text.parse().map_err(D::Error::custom),
            Value::Number(number) => number
                .as_f64()
                .and_then(Self::from_number)
                .ok_or_else(|| D::Error::custom(format!("{number} is no number of seconds between 0 and a year"))),
            other => Err(D::Error::custom(format!("{other} is no span of time: give seconds or a text such as `10m`"))),
        }
    }
}

impl JsonSchema for TimeSpan {
    fn schema_name() -> Cow<'static, str> {
        "TimeSpan".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "minimum": 0,
            "pattern": r"^\s*([0-9]+(\.[0-9]+)?|([0-9]+\s*(ms|s|m|h|d)\s*)+)\s*$",
        })
    }
}

/// How long a step waits, to be flattened into its input. `SECONDS` is the time that it waits where none is given.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Polling<const SECONDS: u64> {
    /// How long to wait at most: seconds, or a text such as `10m`.
    #[serde(default = "timeout::<SECONDS>")]
    #[schemars(title = "Timeout", extend("x-outrigger-group" = "Waiting"))]
    pub timeout: TimeSpan,
    /// Time between two looks: seconds, or a text such as `500ms`. Left out, it grows while nothing changes.
    #[schemars(title = "Poll interval", extend("x-outrigger-group" = "Waiting"))]
    #[schemars(with = "TimeSpan")]
    #[serde(default)]
    pub poll_interval: Option<TimeSpan>,
}

fn timeout<const SECONDS: u64>() -> TimeSpan {
    TimeSpan::from_seconds(SECONDS)
}

/// A field that holds JSON: a text that is read as JSON, or the value itself.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonInput(pub Value);

impl<'de> Deserialize<'de> for JsonInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => serde_json::from_str(&text)
                .map(Self)
                .map_err(|error| D::Error::custom(format!("a field that holds JSON does not: {error}"))),
            other => Ok(Self(other)),
        }
    }
}

impl JsonSchema for JsonInput {
    fn schema_name() -> Cow<'static, str> {
        "JsonInput".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-outrigger-display": "json" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(value: Value) -> Result<CommaList, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn lists_are_texts_or_lists() {
        assert_eq!(&*list(json!(" i-1 ,i-2,,\n i-1 ")).unwrap(), ["i-1", "i-2", "i-1"]);
        assert_eq!(&*list(json!(["a", " b ", ""])).unwrap(), ["a", "b"]);
        assert_eq!(list(json!("b,a,b")).unwrap().distinct(), ["b", "a"]);
        assert!(list(json!([1])).is_err());
        assert!(list(json!({})).is_err());
    }

    #[test]
    fn spans_are_read_and_written() {
        for (text, milliseconds) in [
            ("90", 90_000),
            ("1.5", 1_500),
            ("500ms", 500),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1d 1s", 86_401_000),
        ] {
            let span: TimeSpan = text.parse().unwrap();
            assert_eq!(Duration::from(span), Duration::from_millis(milliseconds), "{text}");
            assert_eq!(span.to_string().parse(), Ok(span));
        }
        for text in ["", "m", "5x", "-1", "1e30", "NaN", "10m5", "99999999999999999999d"] {
            assert!(text.parse::<TimeSpan>().is_err(), "{text}");
        }
        assert_eq!("1ms".parse::<TimeSpan>().unwrap().seconds(), 1);
        assert_eq!(TimeSpan::from_seconds(0).to_string(), "0s");
    }

    #[test]
    fn json_is_read_from_text_or_taken() {
        let read = |value: Value| serde_json::from_value::<JsonInput>(value);
        assert_eq!(read(json!("{\"a\": 1}")).unwrap(), JsonInput(json!({"a": 1})));
        assert_eq!(read(json!({"a": 1})).unwrap(), JsonInput(json!({"a": 1})));
        assert!(read(json!("{a: 1}")).unwrap_err().to_string().contains("line 1 column 2"));
    }
}
