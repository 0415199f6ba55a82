//! What is masked, and what is left alone.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use outrigger_redaction::{MASK, MAX_PATTERN_BYTES, Redactor, Secret};
use serde_json::json;

fn knowing(secrets: &[&str]) -> Redactor {
    let redactor = Redactor::new();
    let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::from(*secret)).collect();
    redactor.register_all(&secrets);
    redactor
}

#[test]
fn text_without_a_secret_is_borrowed() {
    let text = "nothing to hide";
    assert!(matches!(Redactor::new().redact(text), Cow::Borrowed(same) if same.as_ptr() == text.as_ptr()));
    assert!(matches!(knowing(&["hunter2!"]).redact(text), Cow::Borrowed(same) if same.as_ptr() == text.as_ptr()));
    assert!(matches!(knowing(&["hunter2!"]).redact_bytes(&[0xFF, 0]), Cow::Borrowed(_)));
}

#[test]
fn a_value_is_masked_wherever_it_stands() {
    let redactor = knowing(&["hunter2!", "größe-ß"]);
    assert_eq!(redactor.redact("hunter2!"), MASK);
    assert_eq!(redactor.redact("a hunter2!hunter2! b hunter2"), "a ************ b hunter2");
    assert_eq!(redactor.redact("é größe-ß é"), "é ****** é");
    assert_eq!(redactor.redact_bytes(b"\xFFhunter2!\xFE").as_ref(), b"\xFF******\xFE");
    assert!(redactor.contains_secret("xhunter2!x"));
    assert!(!redactor.contains_secret("xhunter2x"));
}

#[test]
fn occurrences_that_overlap_become_one_mask() {
    let redactor = knowing(&["abcdefgh", "efghijkl", "bcdefghijklm", "fghijk"]);
    assert_eq!(redactor.redact("-abcdefghijkl-"), "-******-");
    assert_eq!(redactor.redact("-abcdefghijklm-"), "-******-");
    assert_eq!(redactor.redact("-fghijk-"), "-******-");
    assert_eq!(knowing(&["aaaaaa"]).redact("aaaaaaaaab"), "******b");
    assert_eq!(knowing(&["abcabcab"]).redact("abcabcabcabx"), "******x");
}

#[test]
fn a_short_value_is_reported_and_left() {
    let redactor = Redactor::new();
    assert!(!redactor.register(&Secret::from("12345")));
    assert!(redactor.register(&Secret::from("123456")));
    assert_eq!(redactor.register_all(&[Secret::from("x"), Secret::from("long enough")]), 1);
    assert_eq!(redactor.redact("12345 123456"), "12345 ******");
}

#[test]
fn clones_share_what_is_registered() {
    let redactor = Redactor::new();
    let clone = redactor.clone();
    redactor.register(&Secret::from("registered-later"));
    assert_eq!(clone.redact("registered-later"), MASK);
}

#[test]
fn debug_shows_no_secret() {
    let redactor = knowing(&["hunter2!"]);
    let mut stream = redactor.stream();
    stream.push(b"hunter");
    assert!(!format!("{redactor:?} {stream:?}").contains("hunter"));
}

#[test]
fn base64_at_every_position() {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY?>ÿ";
    let redactor = knowing(&[secret]);
    for before in 0..7 {
        for after in 0..7 {
            let text = format!("{}{secret}{}", "u".repeat(before), "v".repeat(after));
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                let encoded = engine.encode(&text);
                let masked = redactor.redact(&encoded).into_owned();
                assert!(masked.contains(MASK), "{encoded}");
                // What is left is what the neighbours explain: their own characters, and one shared at each end.
                let left = masked.replace(MASK, "");
                let own = before.div_ceil(3) * 4 + after.div_ceil(3) * 4;
                assert!(left.len() <= own + 4, "{encoded} became {masked}");
            }
        }
    }
}

#[test]
fn base64_that_was_cut_into_lines() {
    let secret: String = (0..40).map(|n| format!("key{n:03}/")).collect();
    let redactor = knowing(&[&secret]);
    for width in [64, 76] {
        let encoded = STANDARD.encode(format!("{secret}\n"));
        let lines: Vec<&str> =
            encoded.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let masked = redactor.redact(&lines.join("\n")).into_owned();
        assert_eq!(masked, vec![MASK; lines.len()].join("\n"));
    }
}

#[test]
fn escapes_in_urls_and_json() {
    let redactor = knowing(&["pa ss/wo+rd\"\\\n=é&"]);
    for text in [
        "https://host/?q=pa%20ss%2Fwo%2Brd%22%5C%0A%3D%C3%A9%26",
        "https://host/?q=pa%20ss%2fwo%2brd%22%5c%0a%3d%c3%a9%26",
        "q=pa+ss%2Fwo%2Brd%22%5C%0A%3D%C3%A9%26",
        "{\"q\":\"pa ss/wo+rd\\\"\\\\\\n=é&\"}",
        "{\"q\":\"pa ss/wo+rd\\\"\\\\\\n=\\u00e9&\"}",
        "{\"q\":\"pa ss\\/wo+rd\\\"\\\\\\n=\\u00e9&\"}",
    ] {
        let masked = redactor.redact(text);
        assert!(masked.contains(MASK), "{text}");
        assert!(!masked.contains("ss"), "{text}: {masked}");
    }
    let nested = serde_json::to_string(&json!({"body": json!({"q": "pa ss/wo+rd\"\\\n=é&"}).to_string()})).unwrap();
    assert_eq!(redactor.redact(&nested), r#"{"body":"{\"q\":\"******\"}"}"#);
}

#[test]
fn lines_and_leaves() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n";
    let redactor = knowing(&[key, r#"{"username":"administrator","password":"S3cr3t-leaf","port":5432}"#]);
    assert_eq!(redactor.redact("got hkiG9w0BAQEFAASC"), "got ******");
    assert_eq!(redactor.redact("-----BEGIN PRIVATE KEY-----"), "-----BEGIN PRIVATE KEY-----");
    assert_eq!(redactor.redact(key.trim()), MASK);
    assert_eq!(redactor.redact("administrator/S3cr3t-leaf@host:5432"), "******/******@host:5432");
    assert_eq!(redactor.redact(&STANDARD.encode("S3cr3t-leaf")), MASK);
}

#[test]
fn a_very_long_secret_leaves_nothing() {
    let secret: String = (0..20_000).map(|n| format!("{n:05}é")).collect();
    let redactor = knowing(&[&secret]);
    let masked = redactor.redact(&secret).into_owned();
    assert_eq!(masked.replace(MASK, ""), "");
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    for piece in secret.as_bytes().chunks(1000) {
        out.extend(stream.push(piece));
        assert!(stream.held() < MAX_PATTERN_BYTES);
    }
    out.extend(stream.finish());
    assert_eq!(String::from_utf8(out).unwrap(), masked);
}

#[test]
fn json_is_masked_in_strings_keys_and_numbers() {
    let redactor = knowing(&["hunter2!", "1234567890"]);
    let mut value = json!({
        "plain": [1, true, null, "text"],
        "hunter2!": {"inner": ["x hunter2! y", 1234567890]},
        "hunter2!hunter2!": 1,
        "list": [{"hunter2!": "kept"}],
    });
    redactor.redact_json(&mut value);
    assert_eq!(
        value,
        json!({
            "plain": [1, true, null, "text"],
            "******": {"inner": ["x ****** y", "******"]},
            "************": 1,
            "list": [{"******": "kept"}],
        })
    );
    let redactor = knowing(&["first-secret", "other-secret"]);
    let mut value = json!({"first-secret": 1, "other-secret": 2});
    redactor.redact_json(&mut value);
    assert_eq!(value, json!({"******": 1, "****** (2)": 2}));
}

#[test]
fn json_as_deep_as_memory_allows() {
    let redactor = knowing(&["hunter2!"]);
    let mut value = json!("hunter2!");
    for _ in 0..20_000 {
        value = serde_json::Value::Array(vec![value]);
    }
    redactor.redact_json(&mut value);
    // Taken apart by hand: dropping it whole would recurse.
    while let serde_json::Value::Array(mut items) = value {
        value = items.pop().unwrap();
    }
    assert_eq!(value, json!(MASK));
}

#[test]
fn a_stream_holds_back_only_what_may_become_a_secret() {
    let redactor = knowing(&["hunter2!"]);
    let mut stream = redactor.stream();
    assert_eq!(stream.push(b"a line\n"), b"a line\n");
    assert_eq!(stream.push(b"say hunt"), b"say ");
    assert_eq!(stream.held(), 4);
    assert_eq!(stream.push(b"ing"), b"hunting");
    assert_eq!(stream.push(b"hunter2"), b"");
    assert_eq!(stream.push(b"!"), b"******");
    assert_eq!(stream.push(b"hunt"), b"");
    assert_eq!(stream.finish(), b"hunt");
    assert_eq!(stream.finish(), b"");
}

#[test]
fn a_stream_masks_a_long_chain_once_and_in_little_memory() {
    let redactor = knowing(&["aaaaaaaa"]);
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    for _ in 0..10_000 {
        out.extend(stream.push(b"a"));
        assert!(stream.held() < 8);
    }
    out.extend(stream.push(b"b"));
    out.extend(stream.finish());
    assert_eq!(out, b"******b");
}

#[test]
fn a_stream_never_cuts_a_character() {
    let redactor = knowing(&["größe-ß😀"]);
    let text = "é😀 größe-ß😀 größe €";
    let mut stream = redactor.stream();
    let mut out = String::new();
    for byte in text.as_bytes() {
        out.push_str(std::str::from_utf8(&stream.push(&[*byte])).unwrap());
    }
    out.push_str(std::str::from_utf8(&stream.finish()).unwrap());
    assert_eq!(out, "é😀 ****** größe €");
}

#[test]
fn a_secret_that_is_registered_in_midstream_counts_from_there() {
    let redactor = knowing(&["abcdefgh"]);
    let mut stream = redactor.stream();
    assert_eq!(stream.push(b"-abcdef"), b"-");
    redactor.register(&Secret::from("cdefghij"));
    assert_eq!(stream.push(b"ghi"), b"******");
    assert_eq!(stream.push(b"j+"), b"+");
    redactor.register(&Secret::from("later-one"));
    assert_eq!(stream.push(b"later-one"), b"******");
    assert_eq!(stream.finish(), b"");
}

#[test]
fn many_threads_register_and_redact() {
    let redactor = Redactor::new();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let redactor = &redactor;
            scope.spawn(move || {
                for number in 0..20 {
                    let secret = format!("secret-{thread}-{number}-value");
                    redactor.register(&Secret::from(secret.as_str()));
                    assert_eq!(redactor.redact(&secret), MASK);
                }
            });
        }
    });
    assert_eq!(redactor.redact("secret-0-0-value secret-7-19-value"), "****** ******");
}
