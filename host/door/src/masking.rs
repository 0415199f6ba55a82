//! Masks secrets in what the door writes down.

use outrigger_redaction::Redactor;
use serde_json::Value;

/// Masks the secrets in a JSON value, also in lists of bytes: a list of bytes of the contract, such as the body of an HTTP
/// request, is an array of numbers in JSON, and no text in which a secret would be seen.
pub(crate) fn mask(redactor: &Redactor, value: &mut Value) {
    redactor.redact_json(value);
    mask_bytes(redactor, value);
}

fn mask_bytes(redactor: &Redactor, value: &mut Value) {
    match value {
        Value::Array(items) => {
            let bytes: Option<Vec<u8>> =
                items.iter().map(|item| item.as_u64().and_then(|number| u8::try_from(number).ok())).collect();
            match bytes {
                Some(bytes) if !bytes.is_empty() => {
                    if let std::borrow::Cow::Owned(masked) = redactor.redact_bytes(&bytes) {
                        *items = masked.into_iter().map(Value::from).collect();
                    }
                }
                _ => items.iter_mut().for_each(|item| mask_bytes(redactor, item)),
            }
        }
        Value::Object(members) => members.values_mut().for_each(|member| mask_bytes(redactor, member)),
        _ => {}
    }
}
