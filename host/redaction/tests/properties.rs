//! Properties that hold for every text and every secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use outrigger_redaction::{Redactor, Secret};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Secrets without `*`: one that has it may be spelled by a mask and what stands around it.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        // Few letters, so that secrets overlap with themselves and with each other.
        "[ab]{6,12}",
        "[a-zA-Z0-9+/=_-]{6,60}",
        "[^*\\p{C}\\p{Z}]{6,20}",
        "[a-z]{8,12}\n[a-z\"\\\\]{8,12}\n",
        r#"\{"user":"[a-z]{8,12}","password":"[a-zA-Z0-9/+]{8,20}"\}"#,
    ]
}

/// One of the ways in which the secret can stand in a text.
fn form(secret: &str, kind: usize) -> String {
    match kind % 7 {
        0 => secret.to_owned(),
        1 => STANDARD.encode(secret),
        2 => URL_SAFE_NO_PAD.encode(secret),
        3 => utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        4 => secret
            .bytes()
            .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02x}") })
            .collect(),
        5 => {
            let quoted = serde_json::to_string(secret).unwrap();
            quoted[1..quoted.len() - 1].to_owned()
        }
        _ => secret.trim().to_owned(),
    }
}

fn in_pieces(redactor: &Redactor, text: &[u8], cuts: &[Index]) -> Vec<u8> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    ends.push(text.len());
    ends.sort_unstable();
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    let mut start = 0;
    for end in ends {
        out.extend(stream.push(&text[start..end]));
        start = end;
    }
    out.extend(stream.finish());
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_form_of_any_secret_comes_through(
        secrets in vec(secret(), 1..4),
        parts in vec((any::<Index>(), 0_usize..7, "[ab \n%\"=é]{0,6}"), 1..6),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let redactor = Redactor::new();
        for secret in &secrets {
            prop_assert!(redactor.register(&Secret::from(secret.as_str())));
        }
        let mut text = String::new();
        for (index, kind, between) in &parts {
            text.push_str(&form(&secrets[index.index(secrets.len())], *kind));
            text.push_str(between);
        }
        prop_assert!(redactor.contains_secret(&text));
        let whole = redactor.redact(&text).into_owned();
        prop_assert!(!redactor.contains_secret(&whole), "{} became {}", text, whole);
        for secret in &secrets {
            for kind in 0..7 {
                prop_assert!(!whole.contains(&form(secret, kind)));
            }
        }
        let streamed = in_pieces(&redactor, text.as_bytes(), &cuts);
        prop_assert_eq!(String::from_utf8(streamed).unwrap(), whole);
    }

    #[test]
    fn a_cut_at_every_byte_changes_nothing(secret in secret(), before in "[ab ]{0,8}", after in "[ab ]{0,8}") {
        let redactor = Redactor::new();
        redactor.register(&Secret::from(secret.as_str()));
        let text = format!("{before}{secret}{after}");
        let whole = redactor.redact(&text).into_owned().into_bytes();
        prop_assert!(!redactor.contains_secret_bytes(&whole));
        for cut in 0..=text.len() {
            let mut stream = redactor.stream();
            let mut out = stream.push(&text.as_bytes()[..cut]);
            out.extend(stream.push(&text.as_bytes()[cut..]));
            out.extend(stream.finish());
            prop_assert_eq!(&out, &whole);
        }
        let mut stream = redactor.stream();
        let mut out: Vec<u8> = text.bytes().flat_map(|byte| stream.push(&[byte])).collect();
        out.extend(stream.finish());
        prop_assert_eq!(&out, &whole);
    }

    #[test]
    fn every_byte_outside_of_occurrences_is_kept(secret in "[xy]{6,10}", text in "[a-w ]{0,200}") {
        let redactor = Redactor::new();
        redactor.register(&Secret::from(secret.as_str()));
        let with = format!("{text}{secret}{text}");
        prop_assert_eq!(redactor.redact(&with), format!("{text}******{text}"));
    }

    #[test]
    fn any_bytes_pass_a_stream_unharmed(bytes in vec(any::<u8>(), 0..300), cuts in vec(any::<Index>(), 0..8)) {
        let redactor = Redactor::new();
        redactor.register(&Secret::from("a secret that is not in there"));
        prop_assert_eq!(in_pieces(&redactor, &bytes, &cuts), bytes);
    }

    #[test]
    fn json_keeps_no_secret(secret in secret(), kind in 0_usize..7) {
        let redactor = Redactor::new();
        redactor.register(&Secret::from(secret.as_str()));
        let form = form(&secret, kind);
        let mut value = serde_json::json!({"a": [&form, {form.clone(): format!("x{form}y")}]});
        redactor.redact_json(&mut value);
        prop_assert!(!redactor.contains_secret(&value.to_string()));
    }
}
