//! The step's typed outputs.

use serde::Serialize;
use serde_json::Value;

use crate::Failure;
use crate::bindings::outrigger::run::output;

/// Bytes of JSON that one output may have. Less than the host's limit of 1 MiB, so that a list that is cut here fits.
pub const MAX_OUTPUT_BYTES: usize = 900 * 1024;

/// Sets an output; the last value of a name wins.
///
/// # Errors
/// `invalid-input` when the value is larger than the host takes, `internal` when it cannot be written as JSON.
pub fn output(name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Failure> {
    output::set(name, &to_json(value)?)
}

/// Sets an output for each member of a struct. Members that are none are left unset.
///
/// # Errors
/// As [`output()`].
pub fn outputs(members: &impl Serialize) -> Result<(), Failure> {
    for (name, value) in members_of(members)? {
        output::set(&name, &value.to_string())?;
    }
    Ok(())
}

fn to_json(value: &(impl Serialize + ?Sized)) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::internal(format!("an output is no JSON: {error}")))
}

fn members_of(members: &impl Serialize) -> Result<Vec<(String, Value)>, Failure> {
    match serde_json::to_value(members) {
        Ok(Value::Object(members)) => Ok(members.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        Ok(_) => Err(Failure::internal("outputs are no struct with named members")),
        Err(error) => Err(Failure::internal(format!("an output is no JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Outputs {
        row_count: u32,
        reason: Option<String>,
    }

    #[test]
    fn members_become_outputs_and_none_stays_unset() {
        let members = members_of(&Outputs { row_count: 2, reason: None }).unwrap();
        assert_eq!(members, vec![("rowCount".to_owned(), Value::from(2))]);
        assert!(members_of(&3).is_err());
    }
}
