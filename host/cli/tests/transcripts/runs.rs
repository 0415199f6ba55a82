//! Runs, from the command line to the database and back.

use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use crate::jobs::HELLO;
use crate::place::{Place, snapshot};

const GIVEN: &str = "-o env=prod -o token=hunter2-hunter2";

/// Times and durations differ from run to run.
fn steady(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let mut kept: Vec<String> = Vec::new();
        let mut index = 0;
        while let Some(word) = words.get(index) {
            let unit = words.get(index + 1).map(|unit| unit.trim_end_matches(','));
            let number = word.chars().all(|letter| letter.is_ascii_digit() || letter == '.') && !word.is_empty();
            if number && matches!(unit, Some("ms" | "s")) {
                kept.push("[TIME]".to_owned());
                index += 2;
            } else {
                kept.push((*word).to_owned());
                index += 1;
            }
        }
        out.push_str(&kept.join(" "));
        out.push('\n');
    }
    out
}

#[test]
fn a_run_is_seen_live_and_again_later() {
    let place = Place::new();
    place.write("hello.yaml", HELLO);
    let live = place.run(&format!("run hello.yaml {GIVEN}")).ended(0);
    assert_eq!(live.err, "");
    snapshot("run.txt", &steady(&live.out));
    let later = place.run("log last").ended(0);
    assert_eq!(steady(&later.out), steady(&live.out));
    assert!(!live.out.contains("hunter2"), "{}", live.out);

    let runs = place.run("runs").ended(0).out;
    assert!(runs.contains("succeeded  demo/Say hello"), "{runs}");
    let json: serde_json::Value = serde_json::from_str(&place.run("runs --format json").ended(0).out).expect("JSON");
    assert_eq!(json[0]["job"], "demo/Say hello");
    assert_eq!(json[0]["status"], "succeeded");
    assert!(!json.to_string().contains("hunter2"));
    assert_eq!(place.run("runs --status failed").ended(0).out, "no runs\n");
    assert!(place.run("audit 1").ended(0).out.contains("no calls to AWS"));
    assert_eq!(place.run("audit 1 --format json").ended(0).out, "");
    assert!(place.run("log 9").ended(2).err.contains("there is no run 9"));
    assert!(place.run("runs prune --keep-last 0").ended(0).out.starts_with("removed 1 runs: 2 step attempts"));
    assert_eq!(place.run("runs").ended(0).out, "no runs\n");
    assert!(place.run("log last").ended(2).err.contains("there are no runs here yet"));
}

#[test]
fn json_is_one_event_per_line_and_nothing_else() {
    let place = Place::new();
    place.write("hello.yaml", HELLO);
    let printed = place.run(&format!("run hello.yaml {GIVEN} --format json")).ended(0);
    let events: Vec<serde_json::Value> =
        printed.out.lines().map(|line| serde_json::from_str(line).expect("one JSON object per line")).collect();
    assert!(events.iter().all(|event| event["v"] == 1 && event["run"] == 1));
    assert_eq!(events.first().map(|event| &event["event"]), Some(&"run-started".into()));
    assert_eq!(events.last().map(|event| &event["event"]), Some(&"run-finished".into()));
    assert!(!printed.out.contains("hunter2"));
}

#[test]
fn missing_options_are_all_listed_where_nobody_can_be_asked() {
    let place = Place::new();
    place.write("hello.yaml", HELLO);
    let printed = place.run("run hello.yaml").ended(2);
    snapshot("missing-options.txt", &printed.err);
    let wrong = place.run("run hello.yaml -o env=dev -o whoo=x -o token=x").ended(2);
    snapshot("wrong-options.txt", &wrong.err);
    assert_eq!(place.run("runs").ended(0).out, "no runs\n");
}

#[test]
fn options_come_from_files_and_keys_too() {
    let place = Place::new();
    place.write("hello.yaml", &HELLO.replace("secure: true", "secure: true\n    storagePath: keys/token"));
    place.write("options.yaml", "env: test\nwho: you\n");
    place.fed("keys put keys/token", "hunter2-hunter2").ended(0);
    let printed = place.run("run hello.yaml --options-file options.yaml -o who=me").ended(0);
    assert!(printed.out.contains("[Hello me]") && printed.out.contains("env = test"), "{}", printed.out);
    place.write("bad.yaml", "- env\n");
    assert!(place.run("run hello.yaml --options-file bad.yaml").ended(2).err.contains("cannot be used"));
}

#[test]
fn one_of_several_jobs_has_to_be_named() {
    let place = Place::new();
    place.write("two.yaml", &format!("{HELLO}{}", HELLO.replace("0d3f", "1d3f").replace("demo", "other")));
    let printed = place.run(&format!("run two.yaml {GIVEN}")).ended(2);
    assert!(printed.err.contains("name one with --job:") && printed.err.contains("other/Say hello"), "{}", printed.err);
    assert!(place.run(&format!("run two.yaml --job Say {GIVEN}")).ended(2).err.contains("has no job `Say`"));
    place.run(&format!("run two.yaml --job other/Say {GIVEN}")).ended(2);
    place.run(&format!("run two.yaml --job 1D3F7A4E-6f3a-4a39-9b68-3f6a4f5b8f10 {GIVEN}")).ended(0);
}

#[test]
fn a_status_of_its_own_is_a_failure() {
    let place = Place::new();
    place.write(
        "halt.yaml",
        "- name: Halt\n  sequence:\n    commands:\n    - type: flow-control\n      configuration: {halt: 'true', fail: 'false', status: needs-approval}\n",
    );
    let printed = place.run("run halt.yaml").ended(1);
    assert!(printed.out.contains("run 1 needs-approval"), "{}", printed.out);
}

#[test]
fn a_recording_replays_without_a_configuration() {
    let place = Place::new();
    place.write("hello.yaml", HELLO);
    let live = place.run(&format!("run hello.yaml {GIVEN} --record hello.recording")).ended(0);
    let text = std::fs::read_to_string(place.path("hello.recording")).expect("a recording");
    assert!(!text.contains("hunter2"));
    let replayed = place.run("run --replay hello.recording").ended(0);
    assert_eq!(steady(&replayed.out).replace("run 2", "run 1").replace("log 2", "log 1"), steady(&live.out));
    place.write("no.recording", "{}\n");
    assert!(place.run("run --replay no.recording").ended(2).err.contains("is damaged at line 1"));
}

#[test]
fn github_gets_groups_and_a_summary() {
    let place = Place::new();
    place.write("hello.yaml", HELLO);
    let mut command = place.command(&format!("run hello.yaml {GIVEN}"));
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", place.path("summary.md"));
    let printed = place.finish(command, "").ended(0);
    assert_eq!(printed.out.matches("::group::").count(), 2, "{}", printed.out);
    assert_eq!(printed.out.matches("::endgroup::").count(), 2, "{}", printed.out);
    let summary = std::fs::read_to_string(place.path("summary.md")).expect("a summary");
    assert!(summary.starts_with("### demo/Say hello: succeeded\n"), "{summary}");
    assert!(summary.contains("| 1 | Greet (progress-badge) | succeeded |"), "{summary}");
    assert!(!format!("{summary}{}", printed.out).contains("hunter2"));
}

/// Sends a signal with the shell's own command: the tests need no library for it.
fn signal(name: &str, process: u32) {
    let status = std::process::Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {process}");
}

const WAITING: &str =
    "- name: Wait\n  sequence:\n    commands:\n    - type: wait\n      configuration: {seconds: '60'}\n";

#[test]
fn the_first_signal_cancels() {
    for name in ["INT", "TERM"] {
        let place = Place::new();
        place.write("wait.yaml", WAITING);
        let mut child = place.start(&mut place.command("run wait.yaml --format json"));
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let begun = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"step-started\"")));
        assert!(begun.is_some());
        let sent = Instant::now();
        signal(name, child.id());
        let last = lines.map_while(Result::ok).last().expect("an end");
        assert!(last.contains("\"status\":\"aborted\""), "{last}");
        let printed = place.printed(child).ended(130);
        assert!(printed.err.contains("cancelling"), "{}", printed.err);
        assert!(sent.elapsed() < Duration::from_secs(20));
        assert!(place.run("runs").ended(0).out.contains("aborted"));
    }
}

#[test]
fn the_second_signal_ends_at_once() {
    let place = Place::new();
    place.write("home/outrigger.toml", "[native-steps]\nenabled = true\n");
    place.write(
        "stubborn.yaml",
        "- name: Stubborn\n  sequence:\n    commands:\n    - script: |\n        trap '' TERM INT\n        echo begun\n        for i in 1 2 3 4 5 6; do sleep 5; done\n",
    );
    let mut child = place.start(&mut place.command("run stubborn.yaml --format json"));
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("\"begun\""))));
    let mut said = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    signal("INT", child.id());
    assert!(said.any(|line| line.is_ok_and(|line| line.contains("cancelling"))));
    let sent = Instant::now();
    signal("INT", child.id());
    assert_eq!(child.wait().expect("an end").code(), Some(130));
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    assert!(place.run("runs").ended(0).out.contains("interrupted"));
    assert!(place.run("log last").ended(0).out.contains("its process ended without saying how"));
}

#[test]
fn a_log_is_followed_to_the_end_of_its_run() {
    let place = Place::new();
    place.write("wait.yaml", &WAITING.replace("'60'", "'1'"));
    let mut child = place.start(&mut place.command("run wait.yaml --format json"));
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("\"step-started\""))));
    let followed = place.run("log last --follow").ended(0).out;
    assert!(followed.contains("▶ 1") && followed.contains("✓ run 1 succeeded"), "{followed}");
    drop(lines.map_while(Result::ok).last());
    assert_eq!(child.wait().expect("an end").code(), Some(0));
}

#[test]
fn a_broken_neighbour_does_not_stop_a_job_and_its_own_mistakes_do() {
    let place = Place::new();
    let broken = "- name: Broken\n  sequence:\n    commands:\n    - type: no-such-plugin\n- name: Caller\n  sequence:\n    commands:\n    - jobref: {name: Broken}\n";
    place.write("all.yaml", &format!("{HELLO}{broken}"));
    let printed = place.run(&format!("run all.yaml --job 0d3f7a4e-6f3a-4a39-9b68-3f6a4f5b8f10 {GIVEN}")).ended(0);
    assert_eq!(printed.err, "");
    for job in ["Broken", "Caller"] {
        let printed = place.run(&format!("run all.yaml --job {job}")).ended(2);
        assert!(printed.err.contains("the plugin `no-such-plugin` is not installed"), "{}", printed.err);
    }
}

#[test]
fn a_reader_may_leave_early() {
    let place = Place::new();
    place.write("hello.yaml", HELLO);
    let mut child = place.start(&mut place.command(&format!("run hello.yaml {GIVEN}")));
    drop(child.stdout.take());
    place.printed(child).ended(0);
    let mut child = place.start(&mut place.command("log last"));
    drop(child.stdout.take());
    assert_eq!(place.printed(child).ended(0).err, "");
}
