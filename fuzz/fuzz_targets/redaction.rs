//! A text that holds a secret, split anywhere: the secret never comes out, in none of its forms.
//!
//! Input: two bytes for the length of the secret and the number of pieces, then the secret, then the text around it,
//! in which each byte 0x01 stands for one more occurrence of the secret. The cuts are taken from the text's bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger_redaction::{MASK, Redactor, Secret};

fuzz_target!(|data: &[u8]| {
    let [length, pieces, rest @ ..] = data else { return };
    let length = usize::from(*length).min(rest.len());
    let (secret, around) = rest.split_at(length);
    let Ok(secret) = std::str::from_utf8(secret) else { return };
    // A mask and its surroundings may spell a secret that has the mask's character: a stated limit.
    if secret.contains('*') {
        return;
    }
    let redactor = Redactor::new();
    let masked = redactor.register(&Secret::from(secret));
    assert_eq!(masked, secret.trim().chars().count() >= outrigger_redaction::MIN_VALUE_CHARS);

    let mut text = Vec::new();
    for byte in around {
        match byte {
            1 => text.extend_from_slice(secret.as_bytes()),
            other => text.push(*other),
        }
    }
    text.extend_from_slice(secret.as_bytes());

    let whole = redactor.redact_bytes(&text).into_owned();
    assert!(!redactor.contains_secret_bytes(&whole));
    if masked {
        assert!(!contains(&whole, secret.as_bytes()));
        assert!(contains(&whole, MASK.as_bytes()));
    } else {
        assert_eq!(whole, text);
    }

    // Cut at every byte, and in as many pieces as the input says.
    let mut streams = vec![(redactor.stream(), 1)];
    let step = text.len().checked_div(usize::from(*pieces)).unwrap_or(0).max(1);
    streams.push((redactor.stream(), step));
    for (mut stream, step) in streams {
        let mut out = Vec::new();
        for piece in text.chunks(step) {
            out.extend(stream.push(piece));
        }
        out.extend(stream.finish());
        assert_eq!(out, whole);
    }
    if let Ok(text) = std::str::from_utf8(&text) {
        assert_eq!(redactor.redact(text).as_bytes(), whole);
    }
});

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
