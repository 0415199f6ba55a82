//! Commands and scripts, for real.

#[path = "workflow_support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outrigger_door::StepKey;
use outrigger_jobs::native::{NativeRecorder, NativeRecording, NativeReplay};
use support::{Bench, is_alive};

fn job(steps: &str) -> String {
    format!("- name: j\n  options:\n  - {{name: o, value: \"a'b $(id) c\"}}\n  sequence:\n    commands:\n{steps}")
}

#[tokio::test]
async fn commands_get_quoted_options_and_a_clean_environment() {
    let ran = Bench::new(&job(
        "    - exec: |\n        printf '%s\\n' ${option.o} \"$RD_OPTION_O\" \"x${option.o}\" \"$RD_JOB_NAME $RD_NODE_NAME\" \"[${HOME}]\"\n        env | grep -v '^RD_' | sed 's/=.*//' | sort | tr '\\n' ' '\n",
    ))
    .run()
    .await;
    assert_eq!(ran.status(), "succeeded", "{:?}", ran.result);
    let log = ran.log();
    let value = "a'b $(id) c";
    assert_eq!(log[..5], [value, value, format!("x{value}").as_str(), "j local", "[/]"]);
    // The shell itself adds PWD and the like.
    for name in log[5].split_whitespace() {
        assert!(["HOME", "LANG", "PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name), "{name}");
    }
}

#[tokio::test]
async fn exit_codes_fail_the_step_and_can_be_read() {
    let ran = Bench::new(&job(
        "    - exec: echo out; echo err >&2; exit 3
      errorhandler: {exec: 'echo ${result.reason} ${result.resultCode} ${1:exec.exitCode@local} ${exec.exitCode}', keepgoingOnSuccess: true}
    - exec: kill -9 $$\n",
    ))
    .run()
    .await;
    let mut log = ran.log();
    log.sort_unstable();
    assert_eq!(log, ["NonZeroResultCode 3 3 3", "err", "out"]);
    let failure = ran.result.steps.last().and_then(|step| step.failure.clone()).expect("a failure");
    assert_eq!((failure.result_code, failure.message.as_str()), (Some(137), "Result code was 137"));
    assert_eq!(ran.status(), "failed");
}

#[tokio::test]
async fn scripts_run_by_their_interpreter() {
    let ran = Bench::new(&job("    - script: \"echo \\\"$1|@option.o@|${HOME}|@job.name@\\\"\\n\"
      args: '\"${option.o}\" two'
    - script: \"#!/usr/bin/env -S sh -eu\\r\\necho direct $0\\r\\n\"
      fileExtension: sh
    - script: 'echo third $1'
      scriptInterpreter: 'env X=1 sh ${scriptfile}'
      args: arg
    - script: 'echo fourth $1'
      scriptInterpreter: sh -c
      interpreterArgsQuoted: true
      args: arg\n"))
    .run()
    .await;
    let log = ran.log();
    assert_eq!(log[0].split('|').next(), Some("a'b $(id) c"));
    assert!(log[0].ends_with("|/|j"), "{}", log[0]);
    assert!(log[1].starts_with("direct /") && log[1].ends_with("/script.sh"), "{}", log[1]);
    assert_eq!(log[2..], ["third arg", "fourth arg"]);
    assert!(!std::path::Path::new(log[1].trim_start_matches("direct ")).exists());
}

#[tokio::test]
async fn only_listed_interpreters_may_be_named() {
    for (step, runs) in [
        ("{script: 'echo hi', scriptInterpreter: sh}", true),
        ("{script: 'echo hi', scriptInterpreter: bash}", false),
        ("script: \"#!/bin/bash\\necho hi\"", false),
        ("script: 'echo hi'", true),
    ] {
        let mut bench = Bench::new(&job(&format!("    - {step}\n")));
        bench.native.interpreters = Some(vec!["sh".to_owned()]);
        let ran = bench.run().await;
        assert_eq!(ran.status(), if runs { "succeeded" } else { "failed" }, "{step}");
        if !runs {
            let failure = ran.result.steps[0].failure.clone().expect("a failure");
            assert_eq!(failure.reason, "Unauthorized");
            assert!(failure.message.contains("bash"), "{failure:?}");
        }
    }
}

#[tokio::test]
async fn secrets_reach_the_environment_only() {
    let head = "- name: j\n  options:\n  - {name: pw, secure: true, valueExposed: true}\n  sequence:\n    commands:\n";
    let ran = Bench::new(&format!("{head}    - exec: echo \"got $RD_OPTION_PW\"\n"))
        .secret("pw", "hunter2-hunter2")
        .run()
        .await;
    assert_eq!(ran.log(), ["got ******"]);
    for step in ["exec: 'echo ${option.pw}'", "script: 'echo @option.pw@'", "{script: 'echo $1', args: '${option.pw}'}"]
    {
        let ran = Bench::new(&format!("{head}    - {step}\n")).secret("pw", "hunter2-hunter2").run().await;
        let failure = ran.result.steps[0].failure.clone().expect("a failure");
        assert!(failure.message.contains("$RD_OPTION_PW"), "{failure:?}");
        assert!(!ran.all_text().contains("hunter2"));
    }
}

#[tokio::test]
async fn they_are_off_unless_allowed_and_never_run_dry() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("made");
    let jobs = job(&format!("    - exec: touch {}\n", file.display()));
    let mut bench = Bench::new(&jobs);
    bench.native.enabled = false;
    let ran = bench.run().await;
    let failure = ran.result.steps[0].failure.clone().expect("a failure");
    assert_eq!((ran.status(), failure.reason.as_str()), ("failed", "Unauthorized"));
    let ran = Bench::new(&jobs).dry().run().await;
    assert_eq!((ran.status(), ran.dry_runs()), ("succeeded", vec![("1", "exec", None)]));
    assert!(!file.exists());
    Bench::new(&jobs).run().await;
    assert!(file.exists());
}

#[tokio::test]
async fn a_step_ends_with_its_whole_group() {
    for (head, how) in [("", "aborted"), ("      timeout: 1s\n", "failed")] {
        // The second process ignores the polite signal, as does its child.
        let bench = Bench::new(&job(&format!(
            "    - exec: \"trap '' TERM; sh -c 'trap \\\"\\\" TERM; echo $$; while :; do sleep 1; done' & echo $$; wait; while :; do sleep 1; done\"\n{head}"
        )));
        let cancel = bench.cancel.clone();
        if how == "aborted" {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(700)).await;
                cancel.cancel();
            });
        }
        let start = Instant::now();
        let ran = bench.run().await;
        assert_eq!(ran.status(), how, "{:?}", ran.result);
        assert!(start.elapsed() < Duration::from_secs(20));
        let processes: Vec<i32> = ran.log().iter().filter_map(|line| line.parse().ok()).collect();
        assert_eq!(processes.len(), 2, "{:?}", ran.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!processes.iter().any(|process| is_alive(*process)), "{processes:?}");
    }
}

#[tokio::test]
async fn a_program_left_behind_does_not_hold_the_step_up() {
    let start = Instant::now();
    let ran = Bench::new(&job("    - exec: sleep 30 & echo done\n")).run().await;
    assert_eq!((ran.status(), ran.log()), ("succeeded", vec!["done"]));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn long_lines_and_many_lines_are_kept_in_bounds() {
    let mut bench = Bench::new(&job("    - exec: 'head -c 300000 /dev/zero | tr \"\\0\" x; echo; seq 1 5000'\n"));
    bench.limits.log_lines = 1_000;
    let ran = bench.run().await;
    assert_eq!(ran.status(), "succeeded");
    assert_eq!(ran.log().len(), 1_001);
    assert!(ran.log().iter().all(|line| line.len() <= 64 * 1024));
}

/// Keeps recordings, and gives them back when it is told to.
#[derive(Default)]
struct Tape {
    recordings: Mutex<Vec<(StepKey, NativeRecording)>>,
    play: bool,
}

impl NativeRecorder for Tape {
    fn replay(&self, key: &StepKey) -> NativeReplay {
        if !self.play {
            return NativeReplay::Live;
        }
        let recordings = self.recordings.lock().expect("not poisoned");
        match recordings.iter().find(|(own, _)| own == key) {
            Some((_, recording)) => NativeReplay::Recorded(recording.clone()),
            None => NativeReplay::Diverged(format!("{key} is not in the recording")),
        }
    }

    fn record(&self, key: &StepKey, recording: &NativeRecording) {
        self.recordings.lock().expect("not poisoned").push((key.clone(), recording.clone()));
    }
}

#[tokio::test]
async fn native_steps_are_recorded_and_replayed() {
    let jobs = job("    - exec: echo at $(date +%N); exit 4\n      errorhandler: {exec: 'echo ${exec.exitCode}'}\n");
    let tape = Arc::new(Tape::default());
    let mut bench = Bench::new(&jobs);
    bench.recorder = Some(tape.clone());
    let first = bench.run().await;
    let recordings = tape.recordings.lock().expect("not poisoned").clone();
    assert_eq!(recordings.len(), 2);

    let play = |jobs: &str| {
        let mut bench = Bench::new(jobs);
        bench.native.enabled = false;
        bench.recorder = Some(Arc::new(Tape { recordings: Mutex::new(recordings.clone()), play: true }));
        bench
    };
    let second = play(&jobs).run().await;
    assert_eq!(first.log(), second.log());
    assert_eq!((first.status(), first.steps()), (second.status(), second.steps()));

    let other = play(&jobs.replace("exit 4", "exit 5")).run().await;
    assert!(other.result.fatal && other.result.message.is_some_and(|message| message.contains("another command")));
}
