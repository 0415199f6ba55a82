//! What Rundeck does with steps, failures, handlers, retries, references and time.

#[path = "workflow_support/mod.rs"]
mod support;

use std::time::Duration;

use outrigger_jobs::filters::BadgeStatus;
use outrigger_jobs::steps::LogLevel;
use outrigger_jobs::workflow::{MissingPlugins, RunEventKind, RunLimits};
use support::Bench;
use tokio::time::Instant;

/// A job of `fake` steps: each line is a step's `do`, with further keys after ` | `.
fn job(head: &str, steps: &[&str]) -> String {
    let mut text = format!("- name: j\n  group: g\n  uuid: u-1\n{head}");
    if !head.contains("sequence:") {
        text.push_str("  sequence:\n");
    }
    text.push_str("    commands:\n");
    for step in steps {
        let mut parts = step.split(" | ");
        let what = parts.next().unwrap_or_default();
        text.push_str(&format!("    - {{type: fake, nodeStep: false, configuration: {{do: '{what}'}}"));
        for part in parts {
            text.push_str(&format!(", {part}"));
        }
        text.push_str("}\n");
    }
    text
}

const HANDLER: &str = "errorhandler: {type: fake, configuration: {do: '\"log:${result.reason}/${result.message}\"'}";

#[tokio::test]
async fn keepgoing_handlers_and_keepgoing_on_success() {
    let handled = format!("fail | {HANDLER}}}");
    let handled_on = format!("fail | {HANDLER}, keepgoingOnSuccess: true}}");
    let bad_handler = "fail | errorhandler: {type: fake, configuration: {do: 'fail:worse'}, keepgoingOnSuccess: true}";
    for (keepgoing, first, status, steps) in [
        (false, "log:x", "succeeded", "1 succeeded, 2 succeeded"),
        (false, "fail", "failed", "1 failed, 2 skipped"),
        (true, "fail", "failed", "1 failed, 2 succeeded"),
        (false, handled.as_str(), "failed", "1e succeeded, 1 handled, 2 skipped"),
        (true, handled.as_str(), "succeeded", "1e succeeded, 1 handled, 2 succeeded"),
        (false, handled_on.as_str(), "succeeded", "1e succeeded, 1 handled, 2 succeeded"),
        (true, handled_on.as_str(), "succeeded", "1e succeeded, 1 handled, 2 succeeded"),
        (false, bad_handler, "failed", "1e failed, 1 failed, 2 skipped"),
        (true, bad_handler, "failed", "1e failed, 1 failed, 2 succeeded"),
    ] {
        let head = format!("  sequence:\n    keepgoing: {keepgoing}\n");
        for strategy in ["node-first", "sequential"] {
            let head = format!("{head}    strategy: {strategy}\n");
            let ran = Bench::new(&job(&head, &[first, "log:second"])).run().await;
            assert_eq!((ran.status(), ran.steps().as_str()), (status, steps), "keepgoing {keepgoing}: {first}");
            if steps.contains("handled") {
                assert_eq!(ran.log().first(), Some(&"Throttled/it failed"));
            }
        }
    }
    // The handler's result is the step's.
    let ran = Bench::new(&job("", &[bad_handler])).run().await;
    let step = ran.result.steps.iter().find(|step| step.step == "1").expect("step 1");
    assert_eq!(step.failure.as_ref().map(|failure| failure.message.as_str()), Some("worse"));
    assert!(
        ran.result.message.as_deref().is_some_and(|message| message.contains("it failed") && message.contains("worse"))
    );
}

#[tokio::test]
async fn a_handler_is_not_seen_by_what_succeeds_and_a_disabled_step_does_not_run() {
    let ok = format!("log:a | {HANDLER}}}");
    let ran = Bench::new(&job("", &[&ok, "fail | enabled: false", "log:b"])).run().await;
    assert_eq!((ran.status(), ran.steps().as_str()), ("succeeded", "1 succeeded, 2 skipped, 3 succeeded"));
    assert_eq!(ran.log(), ["a", "b"]);
}

#[tokio::test]
async fn outputs_and_captured_values_reach_later_steps() {
    let filter = "plugins: {LogFilter: [{type: key-value-data, config: {regex: \"^(.+)=(.+)$\"}}]}";
    let ran = Bench::new(&job(
        "",
        &[
            &format!("out:id=i-1 \"out:list=[1,2]\" log:k=v | description: Start the v1.2 VM, {filter}"),
            "\"log:${data.id} ${data.Start the v1.2 VM.list} ${data.k} ${globals.g} ${job.name} ${job.execid} ${node.name} ${HOME}\"",
        ],
    ))
    .run()
    .await;
    assert_eq!(ran.log().last(), Some(&"i-1 [1,2] v global j 7 local ${HOME}"));
    let outputs = &ran.result.steps[0].outputs;
    assert_eq!(outputs.get("id"), Some(&"i-1".into()));
}

#[tokio::test]
async fn references_without_a_value_become_blank_with_a_warning() {
    let ran = Bench::new(&job("", &["\"log:[${option.cluster_name}]\""])).run().await;
    assert_eq!(ran.log(), ["[]"]);
    assert_eq!(ran.warnings(), ["`${option.cluster_name}` has no value, so it became blank"]);
}

#[tokio::test(start_paused = true)]
async fn steps_are_tried_again() {
    let start = Instant::now();
    let ran = Bench::new(&job("", &["flaky:2 log:done | retry: {retry: 3, delay: 10s}", "log:next"])).run().await;
    assert_eq!((ran.status(), ran.result.steps[0].attempts), ("succeeded", 3));
    assert_eq!(start.elapsed().as_secs(), 20);
    let attempts: Vec<u32> = ran.calls.iter().map(|call| call.key.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 1]);

    let handled = format!("flaky:9 | retry: 2, {HANDLER}, keepgoingOnSuccess: true}}");
    let ran = Bench::new(&job("", &[&handled])).run().await;
    assert_eq!((ran.status(), ran.log()), ("succeeded", vec!["Throttled/try 3"]));
}

#[tokio::test(start_paused = true)]
async fn jobs_are_tried_again_as_a_whole() {
    let start = Instant::now();
    let head = "  retry: {retry: 2, delay: 1m}\n";
    let ran = Bench::new(&job(head, &["\"log:${job.retryAttempt} ${job.wasRetry}\"", "flaky:1"])).run().await;
    assert_eq!((ran.status(), ran.result.attempts, start.elapsed().as_secs()), ("succeeded", 2, 60));
    assert_eq!(ran.log(), ["0 false", "1 true"]);
    assert_eq!(ran.steps(), "1 succeeded, 2 succeeded");
    // No two calls of a run have one key.
    let mut keys: Vec<_> = ran.calls.iter().map(|call| call.key.clone()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4);
    let failed = ran.events.iter().filter(|event| matches!(event.kind, RunEventKind::AttemptFailed { attempt: 1, .. }));
    assert_eq!(failed.count(), 1);

    let ran = Bench::new(&job(head, &["fail"])).run().await;
    assert_eq!((ran.status(), ran.result.attempts), ("failed", 3));
}

#[tokio::test(start_paused = true)]
async fn time_is_kept() {
    let start = Instant::now();
    let ran = Bench::new(&job("  timeout: 1m\n", &["sleep:40", "sleep:40", "log:no"])).run().await;
    assert_eq!((ran.status(), ran.steps().as_str()), ("timedout", "1 succeeded, 2 aborted, 3 skipped"));
    assert_eq!(start.elapsed().as_secs(), 60);
    // The second step may use what is left of the job's time.
    assert_eq!(ran.calls[1].timeout, Some(Duration::from_secs(20)));

    let ran = Bench::new(&job("", &["sleep:40 | timeout: 30"])).run().await;
    assert_eq!((ran.status(), ran.calls[0].timeout), ("failed", Some(Duration::from_secs(30))));

    // A plugin that hangs is given up after its grace.
    let start = Instant::now();
    let ran = Bench::new(&job("", &["hang | timeout: 30"])).run().await;
    assert_eq!((ran.status(), start.elapsed().as_secs()), ("failed", 90));
    let failure = ran.result.steps[0].failure.as_ref().expect("a failure");
    assert_eq!(failure.reason, "Timeout");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_ends_without_handlers_and_retries() {
    for what in ["sleep:500", "hang"] {
        let mut bench = Bench::new(&job("  retry: 5\n", &[&format!("{what} | retry: 5, {HANDLER}}}"), "log:no"]));
        bench.limits = RunLimits { grace: Duration::from_secs(5), ..RunLimits::default() };
        let cancel = bench.cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            cancel.cancel();
        });
        let ran = bench.run().await;
        assert_eq!((ran.status(), ran.steps().as_str()), ("aborted", "1 aborted, 2 skipped"));
    }
    // Also between two attempts.
    let bench = Bench::new(&job("", &["fail | retry: {retry: 5, delay: 1h}"]));
    let cancel = bench.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        cancel.cancel();
    });
    assert_eq!(bench.run().await.status(), "aborted");
}

#[tokio::test(start_paused = true)]
async fn parallel_steps_start_at_once() {
    let start = Instant::now();
    let head = "  sequence:\n    strategy: parallel\n";
    let ran = Bench::new(&job(head, &["sleep:10", "sleep:20", "fail", "sleep:30"])).run().await;
    assert_eq!((ran.status(), start.elapsed().as_secs()), ("failed", 30));
    assert_eq!(ran.steps(), "3 failed, 1 succeeded, 2 succeeded, 4 succeeded");
}

#[tokio::test]
async fn a_fatal_end_stops_everything() {
    let step = format!("fatal | retry: 3, {HANDLER}, keepgoingOnSuccess: true}}");
    let ran = Bench::new(&job("  retry: 3\n  sequence:\n    keepgoing: true\n", &[&step, "log:no"])).run().await;
    assert!(ran.result.fatal);
    assert_eq!((ran.status(), ran.calls.len()), ("failed", 1));
    assert_eq!(ran.result.message.as_deref(), Some("the journal is full"));
}

#[tokio::test]
async fn a_missing_plugin_ends_the_run_or_fails_its_step() {
    let jobs = "- name: j\n  sequence:\n    commands:\n    - type: nosuch\n      errorhandler: {type: fake, configuration: {do: 'log:${result.reason}'}, keepgoingOnSuccess: true}\n";
    let ran = Bench::new(jobs).run().await;
    assert!(ran.result.fatal);
    let mut bench = Bench::new(jobs);
    bench.missing_plugins = MissingPlugins::FailStep;
    let ran = bench.run().await;
    assert_eq!((ran.status(), ran.log()), ("succeeded", vec!["PluginNotFound"]));
}

const CHILD: &str = "
- name: child
  group: sub
  uuid: c-1
  options:
  - name: a
  - name: b
    value: default
  sequence:
    commands:
    - {type: fake, configuration: {do: '\"log:${option.a}/${option.b}/${job.name}/${data.id}\"'}}
    - {type: export-var, configuration: {export: result, value: 'from ${option.a}'}}
";

#[tokio::test]
async fn referred_jobs_have_their_own_context_and_hand_back_exports() {
    let jobs = job(
        "  options:\n  - name: a\n    value: outer\n  - name: b\n    value: outer-b\n",
        &["out:id=i-1"],
    ) + "    - {description: Call, jobref: {group: sub, name: child, importOptions: true, args: '-a \"x ${data.id}\" -nosuch 1'}}
    - {type: fake, configuration: {do: '\"log:${export.result}|${data.Call.result}\"'}}\n"
        + CHILD;
    let ran = Bench::new(&jobs).run().await;
    assert_eq!(ran.status(), "succeeded", "{:?}", ran.result);
    assert_eq!(ran.log(), ["x i-1/outer-b/child/", "from x i-1|from x i-1"]);
    assert_eq!(ran.steps(), "1 succeeded, 2/1 succeeded, 2/2 succeeded, 2 succeeded, 3 succeeded");
    assert_eq!(ran.result.exports.get("result").map(String::as_str), Some("from x i-1"));
    assert!(ran.warnings().iter().any(|warning| warning.contains("nosuch")));
}

#[tokio::test]
async fn referred_jobs_fail_with_rundecks_reasons() {
    let handler = "errorhandler: {type: fake, configuration: {do: 'log:${result.reason}'}, keepgoingOnSuccess: true}";
    for (reference, other, reason) in [
        ("name: nosuch", "", "NotFound"),
        (
            "name: bad",
            "- name: bad\n  sequence:\n    commands:\n    - {type: fake, configuration: {do: fail}}\n",
            "JobFailed",
        ),
        (
            "name: needs",
            "- name: needs\n  options:\n  - {name: x, required: true}\n  sequence:\n    commands:\n    - {type: fake, configuration: {do: 'log:no'}}\n",
            "InvalidOptions",
        ),
        (
            "name: off, failOnDisable: true",
            "- name: off\n  executionEnabled: false\n  sequence:\n    commands:\n    - {type: fake, configuration: {do: 'log:no'}}\n",
            "JobFailed",
        ),
        ("name: j", "", "JobFailed"),
    ] {
        let jobs =
            format!("- name: j\n  sequence:\n    commands:\n    - {{jobref: {{{reference}}}, {handler}}}\n{other}");
        let mut bench = Bench::new(&jobs);
        bench.limits.depth = 3;
        let ran = bench.run().await;
        let expected = if reference == "name: j" { "ConfigurationFailure" } else { reason };
        assert_eq!((ran.status(), ran.log().first().copied()), ("succeeded", Some(expected)), "{reference}");
    }
}

#[tokio::test]
async fn flow_control_ends_the_job() {
    let step = |configuration: &str| {
        format!(
            "- name: j\n  sequence:\n    keepgoing: true\n    commands:\n    - {{type: flow-control, configuration: {configuration}}}\n    - {{type: fake, configuration: {{do: 'log:on'}}}}\n"
        )
    };
    for (configuration, status) in [
        ("{halt: 'false'}", "succeeded"),
        ("{halt: 'true', fail: 'false'}", "succeeded"),
        ("{halt: 'true', fail: 'true'}", "failed"),
        ("{halt: 'true', fail: 'false', status: 'give a token'}", "give a token"),
    ] {
        let ran = Bench::new(&step(configuration)).run().await;
        assert_eq!(ran.status(), status);
        assert_eq!(ran.log().contains(&"on"), configuration.contains("'false'}") && !configuration.contains("fail"));
    }
    // As a handler, as vendors' jobs have it.
    let jobs = job(
        "",
        &["fail | errorhandler: {type: flow-control, configuration: {halt: 'true', status: stopped}}", "log:no"],
    );
    let ran = Bench::new(&jobs).run().await;
    assert_eq!((ran.status(), ran.steps().as_str()), ("stopped", "1e halted, 1 handled, 2 skipped"));
}

#[tokio::test(start_paused = true)]
async fn built_in_steps() {
    let jobs = "- name: j\n  options:\n  - {name: o, value: v}\n  sequence:\n    commands:
    - {type: wait, configuration: {duration: 90s}}
    - {type: export-var, configuration: {export: x, group: mine, value: '${option.o}'}}
    - {type: progress-badge, configuration: {text: 'at ${mine.x}', status: ok}}
    - {type: log-data-step}
    - {type: export-var, configuration: {export: y, value: '${data.nothing}'}}\n";
    let start = Instant::now();
    let ran = Bench::new(jobs).run().await;
    assert_eq!(start.elapsed().as_secs(), 90);
    let badge = ran.events.iter().find_map(|event| match &event.kind {
        RunEventKind::Badge { text, status, .. } => Some((text.as_str(), *status)),
        _ => None,
    });
    assert_eq!(badge, Some(("at v", BadgeStatus::Ok)));
    assert!(ran.log().iter().any(|line| line.contains("\"mine\":{\"x\":\"v\"}")), "{:?}", ran.log());
    let failure = ran.result.steps.last().and_then(|step| step.failure.clone()).expect("a failure");
    assert_eq!(failure.reason, "EmptyValue");
}

#[tokio::test]
async fn a_dry_run_goes_on_and_tells_what_depends_on_what() {
    let handled = format!("write:i-1 | description: Start it, retry: 3, {HANDLER}}}");
    let jobs =
        job("", &[&handled, "log:read-only", "\"log:${data.Start it.state}\"", "log:${data.id}", "fail", "log:no"]);
    let ran = Bench::new(&jobs).dry().run().await;
    assert_eq!(ran.dry_runs(), [("1", "ec2:StartInstances", None), ("3", "fake", Some("1")), ("4", "fake", Some("3"))]);
    assert_eq!(ran.steps(), "1 dry-run, 2 succeeded, 3 dry-run, 4 dry-run, 5 failed, 6 skipped");
    assert_eq!(ran.log(), ["read-only"]);
    assert_eq!(ran.calls.iter().filter(|call| call.key.path == "1").count(), 1);
}

#[tokio::test]
async fn a_dry_run_lists_native_steps_waits_and_what_is_in_referred_jobs() {
    let jobs = "- name: j\n  options:\n  - {name: o, value: a b}\n  sequence:\n    commands:
    - {exec: 'touch ${option.o}'}
    - {script: 'touch @option.o@'}
    - {type: wait, configuration: {duration: 1h}}
    - {jobref: {name: child}}
    - {type: fake, configuration: {do: 'log:${export.out}'}}
- name: child
  sequence:
    commands:
    - {type: fake, configuration: {do: write}}
    - {type: export-var, configuration: {export: out, value: '${data.state}'}}\n";
    let ran = Bench::new(jobs).dry().run().await;
    assert_eq!(ran.status(), "succeeded");
    assert_eq!(
        ran.dry_runs(),
        [
            ("1", "exec", None),
            ("2", "script", None),
            ("3", "wait", None),
            ("4/1", "ec2:StartInstances", None),
            ("4/2", "export-var", Some("4/1")),
            ("5", "fake", Some("4")),
        ]
    );
    assert!(ran.all_text().contains("touch 'a b'"));
}

#[tokio::test]
async fn secrets_and_control_characters_do_not_leave() {
    let jobs = r#"
- name: j
  options:
  - {name: pw, secure: true, valueExposed: true}
  sequence:
    commands:
    - type: fake
      description: 'a ${option.pw}'
      configuration:
        do: "'log:pw=${option.pw} \e[2Jx' out:id=${option.pw} 'fail:wrong ${option.pw}'"
"#;
    let ran = Bench::new(jobs).secret("pw", "hunter2-hunter2").run().await;
    assert!(!ran.all_text().contains("hunter2"), "{}", ran.all_text());
    assert_eq!(ran.log(), ["pw=****** \\x1b[2Jx"]);
    let call = ran.calls.first().expect("a call");
    assert!(call.configuration.get("do").is_some_and(|value| value.secret));
    assert_eq!(ran.status(), "failed");

    // Steps that act on the run itself have the same walls.
    let jobs = r#"
- name: j
  options:
  - {name: pw, secure: true, valueExposed: true}
  sequence:
    commands:
    - {type: progress-badge, configuration: {text: "b ${option.pw}\nsecond", contextVariable: badge}}
    - {type: export-var, configuration: {export: e, value: "${option.pw}"}}
    - {type: log-data-step}
    - {type: fake, configuration: {do: "'log:${data.badge}'", other: "${export.e}"}}
    - {type: flow-control, configuration: {halt: 'true', status: "s ${option.pw}"}}
"#;
    let ran = Bench::new(jobs).secret("pw", "hunter2-hunter2").run().await;
    assert!(!ran.all_text().contains("hunter2"), "{}", ran.all_text());
    assert_eq!((ran.status(), ran.log().get(1).copied()), ("s ******", Some("b ****** second")));
    assert_eq!(ran.result.exports.get("e").map(String::as_str), Some("****"));
    let value = ran.calls[0].configuration.get("other").expect("a value");
    assert!(value.secret && value.value == "hunter2-hunter2");
}

#[tokio::test]
async fn a_log_is_cut_and_its_level_kept() {
    let mut bench = Bench::new(&job("", &["debug:hidden lines:50 out:id=i-1", "log:next"]));
    bench.limits.log_lines = 10;
    let ran = bench.run().await;
    assert_eq!(ran.log().len(), 12);
    assert!(ran.log()[10].starts_with("[log cut here"));
    assert_eq!(ran.result.steps[0].outputs.get("id"), Some(&"i-1".into()));
    let levels = ran.events.iter().filter_map(|event| match &event.kind {
        RunEventKind::Log { level, .. } => Some(*level),
        _ => None,
    });
    assert!(levels.clone().all(|level| level >= LogLevel::Info));

    let ran = Bench::new(&job("  loglevel: DEBUG\n", &["debug:shown"])).run().await;
    assert_eq!(ran.log(), ["shown"]);
}

#[tokio::test]
async fn filters_of_the_job_run_before_those_of_a_step_and_unknown_ones_warn_once() {
    let head = "  sequence:
    pluginConfig: {LogFilter: [{type: quiet-output, config: {regex: secretish, quietMatch: 'true'}}, {type: nosuch}]}\n";
    let filter = "plugins: {LogFilter: [{type: key-value-data, config: {regex: \"^(.+)=(.+)$\", logData: 'true'}}, {type: progress-badges, config: {text: done, mute: 'false'}}]}";
    let ran =
        Bench::new(&job(head, &[&format!("log:secretish=1 log:k=v | {filter}"), "\"log:${data.k}${data.secretish}\""]))
            .run()
            .await;
    assert_eq!(ran.log(), ["k=v", r#"{"k":"v"}"#, "v"]);
    assert_eq!(ran.warnings().iter().filter(|warning| warning.contains("nosuch")).count(), 1);
    assert!(ran.events.iter().any(|event| matches!(&event.kind, RunEventKind::Badge { text, .. } if text == "done")));
}

#[tokio::test]
async fn credentials_and_region_are_inherited() {
    let jobs = "- name: j\n  credentials: prod\n  region: eu-west-1\n  options:\n  - {name: r, value: us-east-1}\n  sequence:\n    commands:
    - {type: fake}
    - {type: fake, region: '${option.r}', credentials: dev}
    - {region: ap-south-1, jobref: {name: child}}
- name: child\n  sequence:\n    commands:\n    - {type: fake}\n";
    let ran = Bench::new(jobs).run().await;
    let found: Vec<_> = ran
        .calls
        .iter()
        .map(|call| (call.credentials.as_deref().unwrap_or(""), call.region.as_deref().unwrap_or("")))
        .collect();
    assert_eq!(found, [("prod", "eu-west-1"), ("dev", "us-east-1"), ("prod", "ap-south-1")]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_uses_up_the_jobs_time_calls_no_handler() {
    // The plugin fails by itself when the time that it was given is over.
    let step = format!("slow:60 | retry: 3, {HANDLER}, keepgoingOnSuccess: true}}");
    let ran = Bench::new(&job("  timeout: 1m\n", &[&step, "log:no"])).run().await;
    assert_eq!((ran.status(), ran.steps().as_str()), ("timedout", "1 aborted, 2 skipped"));
    assert!(ran.log().is_empty());
}

#[tokio::test]
async fn a_step_that_something_else_cancelled_failed() {
    let ran = Bench::new(&job("", &[&format!("cancelled | {HANDLER}, keepgoingOnSuccess: true}}")])).run().await;
    assert_eq!(ran.status(), "succeeded");
    assert!(ran.log().first().is_some_and(|line| line.starts_with("Cancelled/")));
}

#[tokio::test(start_paused = true)]
async fn a_fatal_end_stops_parallel_steps() {
    let start = Instant::now();
    let ran = Bench::new(&job("  sequence:\n    strategy: parallel\n", &["sleep:500", "fatal"])).run().await;
    assert!(ran.result.fatal);
    assert_eq!(start.elapsed().as_secs(), 0);
}

#[test]
fn a_run_can_move_between_threads() {
    fn check<T: Send>(_: T) {}
    check(Bench::new("").run());
}

#[tokio::test(start_paused = true)]
async fn a_referred_job_keeps_its_own_time_and_that_of_its_step() {
    for (step_time, job_time, reference_seconds) in
        [("", "  timeout: 10s\n", 10), (", timeout: 7s", "", 7), (", timeout: 30s", "  timeout: 5s\n", 5)]
    {
        let jobs = format!(
            "- name: j\n  sequence:\n    keepgoing: true\n    commands:\n    - {{jobref: {{name: child}}{step_time}}}\n    - {{type: fake}}\n- name: child\n{job_time}  sequence:\n    commands:\n    - {{type: fake, configuration: {{do: 'sleep:60'}}}}\n"
        );
        let start = Instant::now();
        let ran = Bench::new(&jobs).run().await;
        assert_eq!(start.elapsed().as_secs(), reference_seconds);
        assert_eq!((ran.status(), ran.steps().as_str()), ("failed", "1/1 aborted, 1 failed, 2 succeeded"));
        let failure = ran.result.steps[1].failure.clone().expect("a failure");
        assert!(failure.reason == "JobFailed" && failure.message.contains("timedout"), "{failure:?}");
    }
}
