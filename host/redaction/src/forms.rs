//! The texts that a secret value can appear as.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Fewest characters of a value that is masked, white space around it not counted.
pub const MIN_VALUE_CHARS: usize = 6;

/// Fewest characters of a line or JSON leaf that is masked on its own, white space around it not counted.
pub const MIN_PIECE_CHARS: usize = 8;

/// Longest text that is searched as one, in bytes; what is longer is searched in parts.
pub const MAX_PATTERN_BYTES: usize = 4096;

/// JSON inside a string of JSON is looked into this often.
const MAX_NESTING: usize = 4;

/// RFC 3986, section 2.3: everything but the unreserved characters. AWS signs requests this way.
const RFC3986: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// ECMA-262 `encodeURIComponent`.
const URI_COMPONENT: &AsciiSet = &RFC3986.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');
/// ECMA-262 `encodeURI`.
const URI: &AsciiSet = &URI_COMPONENT
    .remove(b';')
    .remove(b',')
    .remove(b'/')
    .remove(b'?')
    .remove(b':')
    .remove(b'@')
    .remove(b'&')
    .remove(b'=')
    .remove(b'+')
    .remove(b'$')
    .remove(b'#');
/// Python's `urllib.parse.quote`, which leaves slashes.
const QUOTE: &AsciiSet = &RFC3986.remove(b'/');
/// HTML forms (`application/x-www-form-urlencoded`); a space becomes `+` afterwards.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_').remove(b' ');
/// The percent-encode sets of the WHATWG URL standard.
const WHATWG_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');
const WHATWG_PATH: &AsciiSet = &WHATWG_QUERY.add(b'?').add(b'^').add(b'`').add(b'{').add(b'}');
const WHATWG_USERINFO: &AsciiSet =
    &WHATWG_PATH.add(b'/').add(b':').add(b';').add(b'=').add(b'@').add(b'[').add(b'\\').add(b']').add(b'|');

/// A text that is overwritten when it is dropped, and that sets can order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Text(String);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Every text to search for if `value` is secret; none if it is too short.
pub(crate) fn forms(value: &str) -> BTreeSet<Text> {
    let mut pieces = BTreeSet::new();
    if chars(value.trim()) >= MIN_VALUE_CHARS {
        pieces.insert(text(value));
        pieces.insert(text(value.trim()));
        parts(value, MAX_NESTING, &mut pieces);
    }
    let mut found = BTreeSet::new();
    for piece in &pieces {
        encode(piece, &mut found);
    }
    let (long, mut all): (BTreeSet<_>, BTreeSet<_>) =
        found.into_iter().partition(|form: &Text| form.len() > MAX_PATTERN_BYTES);
    for form in long {
        cut(&form, &mut all);
    }
    all
}

fn text(value: &str) -> Text {
    Text(value.to_owned())
}

fn chars(value: &str) -> usize {
    value.chars().count()
}

/// Lines and JSON leaves.
fn parts(value: &str, nesting: usize, pieces: &mut BTreeSet<Text>) {
    let trimmed = value.trim();
    if trimmed.contains(['\n', '\r']) {
        for line in trimmed.split(['\n', '\r']) {
            let line = line.trim();
            if chars(line) >= MIN_PIECE_CHARS && !is_pem_frame(line) {
                pieces.insert(text(line));
            }
        }
    }
    if nesting > 0
        && trimmed.starts_with(['{', '[', '"'])
        && let Ok(json) = serde_json::from_str::<Value>(trimmed)
    {
        leaves(json, nesting, pieces);
    }
}

fn is_pem_frame(line: &str) -> bool {
    line.ends_with("-----") && (line.starts_with("-----BEGIN ") || line.starts_with("-----END "))
}

fn leaves(json: Value, nesting: usize, pieces: &mut BTreeSet<Text>) {
    let mut pending = vec![json];
    while let Some(value) = pending.pop() {
        match value {
            Value::Array(items) => pending.extend(items),
            Value::Object(members) => pending.extend(members.into_iter().map(|(_, member)| member)),
            Value::String(leaf) => {
                let leaf = Text(leaf);
                if chars(leaf.trim()) >= MIN_PIECE_CHARS {
                    parts(&leaf, nesting - 1, pieces);
                    pieces.insert(text(leaf.trim()));
                    pieces.insert(leaf);
                }
            }
            Value::Number(number) => {
                let leaf = Text(number.to_string());
                if chars(&leaf) >= MIN_PIECE_CHARS {
                    pieces.insert(leaf);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
}

fn encode(piece: &str, found: &mut BTreeSet<Text>) {
    found.insert(text(piece));
    base64_forms(piece, found);
    url_forms(piece, found);
    json_forms(piece, found);
}

fn base64_forms(piece: &str, found: &mut BTreeSet<Text>) {
    // `echo value | base64` encodes a line feed too, which changes the last characters.
    let with_line_feed = Text(format!("{piece}\n"));
    for input in [piece, &*with_line_feed] {
        let padded = Text(STANDARD.encode(input));
        for width in [64, 76] {
            lines_of(&padded, width, found);
        }
        for form in [padded, Text(STANDARD_NO_PAD.encode(input))] {
            let escaped = Text(utf8_percent_encode(&form, RFC3986).to_string());
            found.insert(lower_case_escapes(&escaped));
            found.insert(escaped);
            found.insert(form);
        }
        found.insert(Text(URL_SAFE.encode(input)));
        found.insert(Text(URL_SAFE_NO_PAD.encode(input)));
    }
    // Inside a longer text the value starts after 0, 1 or 2 bytes of a group of three. Only the characters that hold
    // nothing but bits of the value are the same whatever surrounds it.
    for before in 0..3 {
        let mut bytes = zeroize::Zeroizing::new(vec![0; before]);
        bytes.extend_from_slice(piece.as_bytes());
        let first = (8 * before).div_ceil(6);
        let last = 8 * bytes.len() / 6;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let encoded = Text(engine.encode(&*bytes));
            if let Some(inner) = encoded.get(first..last) {
                found.insert(text(inner));
            }
        }
    }
}

/// What `base64` (76) and `openssl base64` (64) make of a text that is longer than a line.
fn lines_of(encoded: &str, width: usize, found: &mut BTreeSet<Text>) {
    if encoded.len() <= width {
        return;
    }
    let mut rest = encoded;
    while let Some((line, after)) = rest.split_at_checked(width.min(rest.len())) {
        if line.len() < MIN_PIECE_CHARS {
            break;
        }
        found.insert(text(line));
        rest = after;
    }
}

fn url_forms(piece: &str, found: &mut BTreeSet<Text>) {
    let sets = [RFC3986, URI_COMPONENT, URI, QUOTE, NON_ALPHANUMERIC, WHATWG_QUERY, WHATWG_PATH, WHATWG_USERINFO, FORM];
    for (number, set) in sets.into_iter().enumerate() {
        let mut escaped = Text(utf8_percent_encode(piece, set).to_string());
        if number + 1 == sets.len() {
            escaped = Text(escaped.replace(' ', "+"));
        }
        found.insert(lower_case_escapes(&escaped));
        found.insert(escaped);
    }
}

fn lower_case_escapes(escaped: &str) -> Text {
    let mut digits = 0;
    let lower = escaped.chars().map(|character| {
        if character == '%' {
            digits = 2;
            character
        } else if digits > 0 {
            digits -= 1;
            character.to_ascii_lowercase()
        } else {
            character
        }
    });
    Text(lower.collect())
}

/// How a library writes the inside of a JSON string.
#[derive(Clone, Copy)]
struct JsonStyle {
    /// ASCII characters that become `\uXXXX` though they need not.
    unicode: &'static str,
    /// Everything beyond ASCII becomes `\uXXXX`.
    ascii: bool,
    /// `/` becomes `\/`.
    slash: bool,
    /// The digits of `\uXXXX` are upper case.
    upper: bool,
}

/// The defaults of libraries in wide use.
const JSON_STYLES: [JsonStyle; 9] = [
    // serde_json, JavaScript's JSON.stringify.
    JsonStyle { unicode: "", ascii: false, slash: false, upper: false },
    JsonStyle { unicode: "", ascii: false, slash: false, upper: true },
    // Python's json.dumps.
    JsonStyle { unicode: "", ascii: true, slash: false, upper: false },
    JsonStyle { unicode: "", ascii: true, slash: false, upper: true },
    // org.json and others escape the slash, PHP's json_encode everything beyond ASCII too.
    JsonStyle { unicode: "", ascii: false, slash: true, upper: false },
    JsonStyle { unicode: "", ascii: true, slash: true, upper: false },
    // Go's encoding/json.
    JsonStyle { unicode: "<>&", ascii: false, slash: false, upper: false },
    // Gson.
    JsonStyle { unicode: "<>&='", ascii: false, slash: false, upper: false },
    // System.Text.Json.
    JsonStyle { unicode: "<>&'+\"`", ascii: true, slash: false, upper: true },
];

fn json_forms(piece: &str, found: &mut BTreeSet<Text>) {
    for style in JSON_STYLES {
        let once = json_escape(piece, style);
        found.insert(json_escape(&once, style));
        found.insert(once);
    }
    let debug = Text(format!("{piece:?}"));
    if let Some(inner) = debug.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        found.insert(text(inner));
    }
}

fn json_escape(piece: &str, style: JsonStyle) -> Text {
    let mut out = Text(String::with_capacity(piece.len() * 2));
    for character in piece.chars() {
        match character {
            _ if style.unicode.contains(character) => unicode_escape(character, style.upper, &mut out.0),
            '"' => out.0.push_str("\\\""),
            '\\' => out.0.push_str("\\\\"),
            '/' if style.slash => out.0.push_str("\\/"),
            '\u{8}' => out.0.push_str("\\b"),
            '\u{c}' => out.0.push_str("\\f"),
            '\n' => out.0.push_str("\\n"),
            '\r' => out.0.push_str("\\r"),
            '\t' => out.0.push_str("\\t"),
            '\0'..='\u{1f}' => unicode_escape(character, style.upper, &mut out.0),
            _ if style.ascii && !character.is_ascii() => unicode_escape(character, style.upper, &mut out.0),
            _ => out.0.push(character),
        }
    }
    out
}

fn unicode_escape(character: char, upper: bool, out: &mut String) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a string does not fail.
        let _ = if upper { write!(out, "\\u{unit:04X}") } else { write!(out, "\\u{unit:04x}") };
    }
}

/// Consecutive parts of a long form. The last one reaches back so that none is short.
fn cut(form: &str, all: &mut BTreeSet<Text>) {
    let mut start = 0;
    while form.len() - start > MAX_PATTERN_BYTES {
        let end = form.floor_char_boundary(start + MAX_PATTERN_BYTES);
        if let Some(part) = form.get(start..end) {
            all.insert(text(part));
        }
        start = end;
    }
    let last = form.ceil_char_boundary(form.len() - MAX_PATTERN_BYTES);
    if let Some(part) = form.get(last..) {
        all.insert(text(part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(value: &str, form: &str) -> bool {
        forms(value).iter().any(|known| &**known == form)
    }

    #[test]
    fn short_values_have_no_forms() {
        assert!(forms("").is_empty());
        assert!(forms("12345").is_empty());
        assert!(forms("  12345  \n").is_empty());
        assert!(has("123456", "123456"));
        assert!(has("äöüßéè", "äöüßéè"));
    }

    #[test]
    fn white_space_around_a_value_does_not_hide_it() {
        assert!(has(" s3cret-value\r\n", "s3cret-value"));
        assert!(has(" s3cret-value\r\n", " s3cret-value\r\n"));
    }

    #[test]
    fn lines_from_the_minimum_length_on() {
        let value = "first-line-1\r\nshort\n  12345678\n-----BEGIN PRIVATE KEY-----\nMIIEvQ\n";
        assert!(has(value, "first-line-1"));
        assert!(has(value, "12345678"));
        assert!(!has(value, "short"));
        assert!(!has(value, "MIIEvQ"));
        assert!(!has(value, "-----BEGIN PRIVATE KEY-----"));
    }

    #[test]
    fn leaves_of_json() {
        let value = r#"{"user":"administrator","n":1234567890,"list":["in-a-list"],"inner":"{\"deep\":\"deep-secret\"}","s":"x"}"#;
        for leaf in ["administrator", "1234567890", "in-a-list", "deep-secret"] {
            assert!(has(value, leaf), "{leaf}");
        }
        assert!(!has(value, "x"));
        assert!(!has(value, "user"));
    }

    #[test]
    fn base64_as_tools_write_it() {
        // Written by coreutils' base64 and python's base64 module.
        let value = "p>a?s~s/w+o&r d\u{ff}";
        for form in [
            "cD5hP3N+cy93K28mciBkw78=",
            "cD5hP3N+cy93K28mciBkw78",
            "cD5hP3N-cy93K28mciBkw78=",
            "cD5hP3N+cy93K28mciBkw78K",
        ] {
            assert!(has(value, form), "{form}");
        }
        assert!(has(value, "cD5hP3N%2Bcy93K28mciBkw78%3D"));
        assert!(has(value, "cD5hP3N%2bcy93K28mciBkw78%3d"));
    }

    #[test]
    fn percent_escapes_of_usual_libraries() {
        let value = "a b/c?d=e&f+g:h~i*j'k";
        for form in [
            "a%20b%2Fc%3Fd%3De%26f%2Bg%3Ah~i%2Aj%27k",
            "a%20b%2fc%3fd%3de%26f%2bg%3ah~i%2aj%27k",
            "a%20b%2Fc%3Fd%3De%26f%2Bg%3Ah~i*j'k",
            "a%20b/c?d=e&f+g:h~i*j'k",
            "a%20b/c%3Fd%3De%26f%2Bg%3Ah~i%2Aj%27k",
            "a+b%2Fc%3Fd%3De%26f%2Bg%3Ah%7Ei*j%27k",
        ] {
            assert!(has(value, form), "{form}");
        }
    }

    #[test]
    fn json_escapes_of_usual_libraries() {
        let value = "q\"b\\s/n\ne\u{1b}<&é😀";
        for form in [
            "q\\\"b\\\\s/n\\ne\\u001b<&é😀",
            "q\\\"b\\\\s/n\\ne\\u001b<&\\u00e9\\ud83d\\ude00",
            "q\\\"b\\\\s\\/n\\ne\\u001b<&\\u00e9\\ud83d\\ude00",
            "q\\\"b\\\\s/n\\ne\\u001b\\u003c\\u0026é😀",
            "q\\u0022b\\\\s/n\\ne\\u001B\\u003C\\u0026\\u00E9\\uD83D\\uDE00",
            "q\\\\\\\"b\\\\\\\\s/n\\\\ne\\\\u001b<&é😀",
        ] {
            assert!(has(value, form), "{form}");
        }
        assert_eq!(&*json_escape(value, JSON_STYLES[0]), serde_json::to_string(value).unwrap().trim_matches('"'));
    }

    #[test]
    fn long_values_are_searched_in_parts() {
        let value: String = (0..3000).map(|n| format!("{n:04x}é")).collect();
        let all = forms(&value);
        assert!(all.iter().all(|form| form.len() <= MAX_PATTERN_BYTES && form.len() > 1000 || form.len() >= 8));
        assert!(all.iter().any(|form| value.starts_with(&**form)));
        assert!(all.iter().any(|form| value.ends_with(&**form)));
    }
}
