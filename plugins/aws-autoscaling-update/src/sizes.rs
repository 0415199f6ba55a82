//! Sizes of a group: numbers, and changes of numbers.

use std::borrow::Cow;
use std::fmt;

use outrigger_plugin_sdk::Failure;
use outrigger_plugin_sdk::aws::autoscaling::AutoScalingGroup;
use outrigger_plugin_sdk::json::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// A size, or a change of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// This size.
    To(i32),
    /// So many more, or fewer.
    By(i32),
}

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let number = text.parse::<i32>().ok()?;
        Some(if text.starts_with(['+', '-']) { Self::By(number) } else { Self::To(number) })
    }

    fn applied(self, field: &str, before: i32) -> Result<i32, Failure> {
        let after = match self {
            Self::To(size) => Some(size),
            Self::By(change) => before.checked_add(change),
        };
        after.filter(|after| *after >= 0).ok_or_else(|| {
            Failure::invalid_input(format!(
                "`{field}` would be less than 0 or too large: it is {before}, and the change is {self}"
            ))
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(size) => write!(f, "{size}"),
            Self::By(change) => write!(f, "{change:+}"),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        // A YAML file loses the sign of `+1`, so a text is needed there; a negative number can only be a change.
        let size = match &value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => None,
        };
        size.ok_or_else(|| D::Error::custom(format!("{value} is no size: give a number, or a change such as \"+1\"")))
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "pattern": r"^\s*[+-]?[0-9]+\s*$" })
    }
}

/// Sizes of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sizes {
    /// Smallest size.
    pub min_size: i32,
    /// Size that the group is kept at.
    pub desired_capacity: i32,
    /// Largest size.
    pub max_size: i32,
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "min {}, desired {}, max {}", self.min_size, self.desired_capacity, self.max_size)
    }
}

impl Sizes {
    /// The sizes of a group.
    pub fn of(group: &AutoScalingGroup) -> Self {
        Self { min_size: group.min_size, desired_capacity: group.desired_capacity, max_size: group.max_size }
    }

    /// The sizes after a change, checked before anything is changed. A desired capacity that is not given moves into the new
    /// bounds, as AWS does it.
    pub fn changed(
        self,
        group: &str,
        min: Option<Size>,
        max: Option<Size>,
        desired: Option<Size>,
    ) -> Result<Self, Failure> {
        let apply =
            |size: Option<Size>, field: &str, before: i32| size.map_or(Ok(before), |size| size.applied(field, before));
        let min_size = apply(min, "minSize", self.min_size)?;
        let max_size = apply(max, "maxSize", self.max_size)?;
        if min_size > max_size {
            return Err(Failure::invalid_input(format!(
                "the group {group} would have a min size of {min_size} and a max size of {max_size}: set `minSize` and `maxSize` together"
            )));
        }
        let desired_capacity = match desired {
            None => self.desired_capacity.clamp(min_size, max_size),
            Some(desired) => desired.applied("desiredCapacity", self.desired_capacity)?,
        };
        if !(min_size..=max_size).contains(&desired_capacity) {
            let (side, field, bound) = if desired_capacity > max_size {
                ("above the max size", "maxSize", max_size)
            } else {
                ("below the min size", "minSize", min_size)
            };
            return Err(Failure::invalid_input(format!(
                "the desired capacity {desired_capacity} is {side} {bound} of the group {group}: set `{field}` too"
            )));
        }
        Ok(Self { min_size, desired_capacity, max_size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json::{self, json};

    #[test]
    fn signs_make_changes() {
        let size = |value: Value| json::from_value::<Size>(value).ok();
        assert_eq!(size(json!("3")), Some(Size::To(3)));
        assert_eq!(size(json!(3)), Some(Size::To(3)));
        assert_eq!(size(json!(" +3 ")), Some(Size::By(3)));
        assert_eq!(size(json!(-1)), Some(Size::By(-1)));
        assert_eq!(size(json!("many")), None);
        assert_eq!(size(json!(1.5)), None);
    }

    #[test]
    fn sizes_are_checked_before_anything_is_changed() {
        let sizes = Sizes { min_size: 1, desired_capacity: 2, max_size: 4 };
        let changed = |min, max, desired| sizes.changed("web", min, max, desired);
        assert_eq!(changed(None, None, Some(Size::By(2))).unwrap().desired_capacity, 4);
        assert_eq!(changed(Some(Size::To(3)), None, None).unwrap().desired_capacity, 3);
        assert_eq!(
            changed(Some(Size::To(0)), Some(Size::By(-3)), None).unwrap().to_string(),
            "min 0, desired 1, max 1"
        );
        let message = |min, max, desired| changed(min, max, desired).unwrap_err().message;
        let above = message(None, None, Some(Size::By(3)));
        assert_eq!(above, "the desired capacity 5 is above the max size 4 of the group web: set `maxSize` too");
        assert!(message(None, None, Some(Size::To(0))).contains("set `minSize` too"));
        assert!(message(Some(Size::To(5)), None, None).contains("together"));
        assert!(message(None, None, Some(Size::By(-3))).contains("less than 0"));
        assert!(message(None, None, Some(Size::By(i32::MAX))).contains("less than 0"));
    }
}
