use std::path::Path;
use std::time::Duration;

use base64_canary::base64;
use outrigger_endpoints::functions;

use crate::support::{Scene, block, step};

/// Just enough to write a text in base64.
mod base64_canary {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    pub fn base64(text: &str) -> String {
        let mut out = String::new();
        for chunk in text.as_bytes().chunks(3) {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            for index in 0..=chunk.len() {
                out.push(char::from(LETTERS[(bits >> (18 - 6 * index)) as usize & 63]));
            }
        }
        out.trim_end_matches('=').to_owned()
    }
}

const GIVEN: &str = "canary-Given/7f3a9c+plus";
const STORED: &str = "canary-Stored 5d2e\"8b'quote";

fn everything_below(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            continue;
        }
        if path.is_dir() {
            everything_below(&path, found);
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Secrets of every kind in one run: an option that was given, one from key storage, and the user's own secret key.
/// None of them is anywhere afterwards: not as it is, in base64, as JSON or as in a URL.
#[test]
fn no_secret_is_left_anywhere() {
    let scene = Scene::new();
    scene.put("keys/canary", STORED);
    block(scene.account.function("echo", functions::ECHO, Duration::from_secs(5))).unwrap();
    let options = "  options:\n\
        \x20 - name: given\n    secure: true\n    valueExposed: true\n\
        \x20 - name: stored\n    secure: true\n    valueExposed: true\n    storagePath: keys/canary\n";
    scene.configure("", "[native-steps]\nenabled = true");
    // A process may print its secrets in any form; what a function echoes comes back through AWS.
    let script = "    - script: |-\n\
        \x20       echo \"plain $RD_OPTION_GIVEN and $RD_OPTION_STORED\"\n\
        \x20       printf '%s' \"$RD_OPTION_GIVEN\" | base64\n\
        \x20       printf '%s' \"$RD_OPTION_STORED\" | base64 >&2\n\
        \x20       printf '%s\\n' \"$RD_OPTION_GIVEN\" | sed 's,/,%2F,; s,+,%2B,'\n\
        \x20       echo 'reached the end'\n\
        \x20     nodeStep: false\n";
    let failing =
        "    - script: |-\n        echo \"failing with $RD_OPTION_GIVEN\" >&2; exit 3\n      nodeStep: false\n";
    let echo = step("aws-lambda-invoke-step", &[("functionName", "echo"), ("eventPayload", "{\"a\": 1}")]);
    let text =
        format!("- name: Canary\n{options}  sequence:\n    keepgoing: true\n    commands:\n{script}{echo}{failing}");
    let recording = scene.home.path().join("canary.recording");
    let given = format!("given={GIVEN}");
    let run = scene.run(&text, &["-o", &given, "--record", &recording.display().to_string()]).with_code(1);
    assert!(run.log().iter().any(|line| line == "reached the end"), "{run}");

    let mut sinks = vec![
        ("standard output".to_owned(), run.out.clone().into_bytes()),
        ("standard error".to_owned(), run.err.clone().into_bytes()),
    ];
    for arguments in [vec!["log", "last"], vec!["log", "last", "--format", "json"], vec!["audit", "last"], vec!["runs"]]
    {
        let ran = scene.outrigger(&arguments).with_code(0);
        sinks.push((arguments.join(" "), format!("{}{}", ran.out, ran.err).into_bytes()));
    }
    everything_below(scene.home.path(), &mut sinks);
    assert!(sinks.iter().any(|(name, _)| name.ends_with("outrigger.db")));
    assert!(sinks.iter().any(|(name, _)| name.ends_with("canary.recording")));
    let secrets = [GIVEN, STORED, scene.access.user.secret.as_str()];
    for (name, bytes) in &sinks {
        for secret in secrets {
            assert!(!contains(bytes, secret), "{secret} in {name}");
            assert!(!contains(bytes, &base64(secret)), "{secret} in base64 in {name}");
            let escaped = serde_json::Value::from(secret).to_string();
            assert!(!contains(bytes, escaped.trim_matches('"')), "{secret} as JSON in {name}");
            let encoded = secret.replace('/', "%2F").replace('+', "%2B");
            assert!(!contains(bytes, &encoded), "{secret} as in a URL in {name}");
        }
    }
    assert!(sinks.iter().any(|(name, bytes)| name == "standard output" && contains(bytes, "plain ")), "{run}");
}
