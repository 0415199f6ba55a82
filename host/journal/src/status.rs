//! How a run or a step is, or ended.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The state of a run or a step in Rundeck's words; a flow control step may end a run with a word of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not ended yet.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended with a failure.
    Failed,
    /// Cancelled by a person or a signal.
    Aborted,
    /// Its deadline passed.
    TimedOut,
    /// The process died before the end. Never stored: it is seen when a run is read.
    Interrupted,
    /// Any other word.
    Other(String),
}

impl Status {
    /// The word, such as `timedout`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::TimedOut => "timedout",
            Self::Interrupted => "interrupted",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl From<&str> for Status {
    fn from(word: &str) -> Self {
        match word {
            "running" => Self::Running,
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "aborted" => Self::Aborted,
            "timedout" => Self::TimedOut,
            "interrupted" => Self::Interrupted,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl FromStr for Status {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(word.into())
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(String::deserialize(deserializer)?.as_str().into())
    }
}

impl ToSql for Status {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for Status {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str().map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in ["running", "succeeded", "failed", "aborted", "timedout", "interrupted", "needs-approval"] {
            let status = Status::from(word);
            assert_eq!(status.to_string(), word);
            let json = serde_json::to_string(&status).unwrap();
            assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
        }
        assert_eq!(Status::from("timedout"), Status::TimedOut);
    }
}
