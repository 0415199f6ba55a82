//! Every hostile guest: it ends within its limits, by an error that says why; the step beside it goes on; nothing is left of it in
//! memory; and no secret shows. Run with `--nocapture` to see the table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_door::{AuditOutcome, IntentOutcome, Reason};
use outrigger_hostile::{CANARY, Ended, Manner, Plan, Raw, Scene, Seen, guest};
use outrigger_runtime::{EngineLimits, Plugin, SandboxLimits};
use serde_json::{Value, json};

/// Repetitions of each guest.
const REPEATS: usize = 100;
/// What may be left of a hundred runs.
const LEFT_OVER: u64 = 10 * 1024 * 1024;
/// What a guest may take beyond its own limits, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(5);

/// What is run.
enum Component {
    /// The guest that is written in Rust.
    Rust,
    /// A component made by hand; examined first, as everything is.
    Raw(Vec<u8>),
    /// The same, as if somebody had agreed to it without asking it what it is.
    Agreed(Vec<u8>),
}

struct Case {
    name: &'static str,
    tries: &'static str,
    component: Component,
    plan: Plan,
    /// What its end must say.
    says: &'static str,
    /// What else must be so.
    check: fn(&Scene, &Seen),
}

fn nothing_else(_: &Scene, _: &Seen) {}

fn does(what: &str) -> Plan {
    Plan { input: json!({"what": what}), ..Plan::default() }
}

fn with(what: &str, member: &str, value: impl Into<Value>) -> Plan {
    Plan { input: json!({"what": what, member: value.into()}), ..Plan::default() }
}

/// A plan with so little processor time that a hundred endless loops are over soon.
fn briefly(mut plan: Plan) -> Plan {
    plan.sandbox.cpu = Duration::from_millis(20);
    plan
}

fn case(name: &'static str, tries: &'static str, plan: Plan, says: &'static str) -> Case {
    Case { name, tries, component: Component::Rust, plan, says, check: nothing_else }
}

impl Case {
    fn raw(mut self, raw: Raw) -> Self {
        self.component = Component::Raw(raw.component());
        self
    }

    fn agreed(mut self, raw: Raw) -> Self {
        self.component = Component::Agreed(raw.component());
        self
    }

    fn and(mut self, check: fn(&Scene, &Seen)) -> Self {
        self.check = check;
        self
    }
}

const LOG: &str = r#"(import "outrigger:run/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;
const CLOCK: &str = r#"(import "outrigger:run/clock@0.1.0" "now" (func $now (result i64)))"#;
const DEFAULT: &str = r#"(import "outrigger:aws/credentials@0.1.0" "default" (func $default (param i32)))"#;

fn endless_loops() -> Vec<Case> {
    let too_long = "it used more than 20ms of processor time";
    vec![
        case("spin", "an endless loop", briefly(does("spin")), too_long),
        case("fill", "an endless loop of bulk memory operations", briefly(does("run")), too_long).raw(Raw {
            pages: 300,
            run: "(loop $again (memory.fill (i32.const 65536) (i32.const 7) (i32.const 19000000))
                   (memory.copy (i32.const 65536) (i32.const 70000) (i32.const 19000000)) (br $again))",
            ..Raw::default()
        }),
        case("table fill", "an endless loop of bulk table operations", briefly(does("run")), too_long).raw(Raw {
            items: "(table $table 4000 funcref)",
            run: "(loop $again (table.fill $table (i32.const 0) (ref.null func) (i32.const 4000)) (br $again))",
            ..Raw::default()
        }),
        case("spin at start", "an endless loop while it is instantiated", briefly(does("run")), too_long)
            .agreed(Raw { items: "(func $start (loop $again (br $again))) (start $start)", ..Raw::default() }),
        case("spin in realloc", "an endless loop while the host hands it its input", briefly(does("run")), too_long)
            .agreed(Raw { realloc: "(loop $again (br $again))", ..Raw::default() }),
    ]
}

fn exhaustion() -> Vec<Case> {
    let mut long_string = with("long-string", "number", 4 * 1024 * 1024);
    long_string.sandbox.memory_bytes = 32 * 1024 * 1024;
    let mut huge_string = does("run");
    huge_string.sandbox.memory_bytes = 1100 * 1024 * 1024;
    vec![
        case("hoard", "a memory bomb", does("hoard"), "MiB of memory; a step has at most 24 MiB"),
        case("born large", "1 GiB of memory from the start", does("run"), "of memory; a step has at most 24 MiB")
            .agreed(Raw { pages: 16_384, ..Raw::default() }),
        case("table bomb", "a table that grows for ever", does("run"), "table elements; a step has at most 5000").raw(Raw {
            items: "(table $table 1 funcref)",
            run: "(loop $again (br_if $again (i32.ge_s (table.grow $table (ref.null func) (i32.const 1000)) (i32.const 0)))) unreachable",
            ..Raw::default()
        }),
        case("hoard handles", "handles without end", does("hoard-handles"), "it holds more than 100 handles"),
        case("recurse", "deep recursion", does("recurse"), "its calls went deeper than the stack"),
        case("deep calls", "deep recursion on the stack of the machine", does("run"), "its calls went deeper than the stack").raw(
            Raw {
                items: "(func $deep (param i64 i64 i64) (result i64)
                          (i64.add (local.get 0) (call $deep (local.get 1) (local.get 2) (i64.add (local.get 0) (i64.const 1)))))",
                run: "(drop (call $deep (i64.const 1) (i64.const 2) (i64.const 3)))",
                ..Raw::default()
            },
        ),
        case("long string", "a string of 4 MiB where 1 MiB is allowed", long_string, "it handed the host more than 1024 KiB in one call"),
        case("1 GiB string", "a string of 1 GiB handed to the host", huge_string, "it handed the host more than 1024 KiB in one call").raw(Raw {
            imports: LOG,
            run: "(drop (memory.grow (i32.const 16500))) (call $log (i32.const 2) (i32.const 65536) (i32.const 1073741824))",
            ..Raw::default()
        }),
        case("absent string", "a string of 1 GiB that is not there", does("run"), "out of bounds").raw(Raw {
            imports: LOG,
            run: "(call $log (i32.const 2) (i32.const 65536) (i32.const 1073741824))",
            ..Raw::default()
        }),
        case("bad answer", "an answer that points outside of its memory", does("run"), "out of bounds").raw(Raw {
            run: "(return (i32.const -8))",
            ..Raw::default()
        }),
        case("flood outputs", "outputs without end", with("flood-outputs", "number", 50_000), "outputs have more than 262144 bytes"),
    ]
}

fn logs() -> Vec<Case> {
    let mut flood = with("flood", "number", 20_000);
    flood.input["text"] = json!("line");
    vec![
        case("flood", "20,000 log lines where 200 are allowed", flood, "succeeds").and(|_, seen| {
            assert_eq!(seen.raw.len(), 201);
            assert!(seen.raw[200].contains("more than 200 log lines; the rest is dropped"), "{}", seen.raw[200]);
        }),
        case("flood breaks", "a line of a million line breaks", with("flood-breaks", "number", 1_000_000), "succeeds")
            .and(|_, seen| assert_eq!(seen.raw.len(), 201)),
        case(
            "escape the terminal",
            "terminal control sequences in a line, a document and its failure",
            with("say", "text", "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\rhidden\u{8}"),
            "it said",
        )
        .and(|_, seen| {
            assert!(seen.shown.len() >= 2);
            for line in &seen.shown {
                assert!(!line.chars().any(|character| character.is_control()), "{line:?}");
            }
        }),
        case("tell the secret", "a secret that AWS told it, in every output", with("say", "text", CANARY), "it said"),
        case("panic with the secret", "a secret in the message of a panic", with("panic", "text", CANARY), "gave up"),
        case(
            "hold a secret",
            "to see a secret that it has a handle of",
            with("secret", "text", "https://203.0.113.1"),
            "is no name of a header",
        )
        .and(|_, seen| {
            assert!(
                seen.shown.iter().any(|line| line == &format!("it has {} bytes", CANARY.len())),
                "{:?}",
                seen.shown
            );
        }),
    ]
}

fn ends() -> Vec<Case> {
    let soon = |mut plan: Plan, cancel: bool| {
        let end = Duration::from_millis(20);
        if cancel {
            plan.cancel = Some(end)
        } else {
            plan.deadline = end
        }
        plan
    };
    let mut silent = soon(does("start"), true);
    silent.manner = Manner::Silent;
    let mut hanging_clean_up = soon(does("use-grace"), true);
    hanging_clean_up.manner = Manner::Silent;
    vec![
        case(
            "sleep on",
            "to ignore its cancellation",
            soon(does("sleep-on"), true),
            "went on after its grace period (cancelled)",
        ),
        case(
            "sleep late",
            "to ignore its deadline",
            soon(does("sleep-on"), false),
            "went on after its grace period (timeout)",
        ),
        case(
            "spin on",
            "to compute after its cancellation",
            soon(does("spin-on"), true),
            "went on after its grace period (cancelled)",
        ),
        case(
            "use the grace",
            "to write in the grace period",
            soon(does("use-grace"), true),
            "only clean-up operations may write now",
        )
        .and(|_, seen| {
            assert_eq!(seen.requests, ["CancelCommand"], "the clean-up goes out, the write does not");
            assert!(seen.shown.iter().any(|line| line == "the clean-up was sent"), "{:?}", seen.shown);
        }),
        case(
            "hang in a write",
            "to be cancelled in the middle of a write",
            silent,
            "whether it took effect is not known",
        )
        .and(|_, seen| {
            let intents = seen.journal.intents();
            assert!(matches!(intents.as_slice(), [(_, Some(IntentOutcome::Unknown))]), "{intents:?}");
            let audit = seen.journal.audit_records();
            assert!(audit.iter().any(|record| record.outcome == AuditOutcome::Unknown), "{audit:?}");
        }),
        case(
            "hang in the grace",
            "a clean-up that outlasts the grace period",
            hanging_clean_up,
            "went on after its grace period",
        )
        .and(|_, seen| {
            let intents = seen.journal.intents();
            assert!(matches!(intents.as_slice(), [(_, Some(IntentOutcome::Unknown))]), "{intents:?}");
        }),
    ]
}

fn calls() -> Vec<Case> {
    let mut denied = does("start");
    denied.denied = Some("start-instances");
    let unknown = "unknown handle index";
    vec![
        case("not granted", "an operation that was not granted", denied, "do not allow the plugin").and(|_, seen| {
            assert!(matches!(&seen.ended, Ended::Answered(Err(failure)) if failure.reason == Reason::AccessDenied));
            assert!(seen.requests.is_empty() && seen.journal.intents().is_empty());
            let audit = seen.journal.audit_records();
            assert!(
                matches!(&audit[0].outcome, AuditOutcome::Denied { missing } if missing.contains("ec2:StartInstances"))
            );
        }),
        case("forge", "a handle that nobody gave it", with("forge", "number", 77), unknown),
        case("forge zero", "the handle 0", with("forge", "number", 0), unknown),
        case("forge the last", "the largest handle", with("forge", "number", u32::MAX), "handle"),
        case("stale", "a handle that it dropped", does("stale"), unknown),
        case("mistake", "credentials for a secret", does("forge-secret"), "handle"),
        case(
            "trap in a read",
            "a trap while the answer of an AWS read is put into its memory",
            does("trap-in-call"),
            "gave up",
        )
        .and(|_, seen| {
            assert_eq!(seen.requests, ["GetCallerIdentity"]);
            assert!(seen.journal.audit_records().iter().any(|record| record.outcome == AuditOutcome::Ok));
        }),
        case(
            "trap in a write",
            "a trap while the answer of an AWS write is put into its memory",
            with("trap-in-write", "number", 2),
            "gave up",
        )
        .and(|_, seen| {
            assert_eq!(seen.requests, ["StartInstances"]);
            let intents = seen.journal.intents();
            assert!(
                matches!(intents.as_slice(), [(_, Some(IntentOutcome::Done))]),
                "what AWS did is known: {intents:?}"
            );
        }),
        case(
            "call at start",
            "to call the host while it is instantiated",
            does("run"),
            "while it was being instantiated",
        )
        .agreed(Raw {
            imports: LOG,
            items: "(func $start (call $log (i32.const 2) (i32.const 16) (i32.const 8))) (start $start)",
            ..Raw::default()
        }),
        case(
            "clock at start",
            "to read the clock while it is instantiated",
            does("run"),
            "it called now while it was being",
        )
        .agreed(Raw {
            imports: CLOCK,
            items: "(func $start (drop (call $now))) (start $start)",
            ..Raw::default()
        }),
        case(
            "door at start",
            "to open credentials while it is instantiated",
            does("run"),
            "while it was being instantiated",
        )
        .agreed(Raw {
            imports: DEFAULT,
            items: "(func $start (call $default (i32.const 600))) (start $start)",
            ..Raw::default()
        }),
    ]
}

fn descriptions() -> Vec<Case> {
    let deep = format!("{}1{}", r#"{"items":"#.repeat(40), "}".repeat(40));
    let unfolding = {
        let definition = |index: u32| {
            let next = format!("{{\"$ref\":\"#/$defs/d{}\"}}", index + 1);
            format!("\"d{index}\":{{\"allOf\":[{next},{next}]}}")
        };
        let all: Vec<String> = (0..28).map(definition).collect();
        format!("{{\"$defs\":{{{},\"d28\":{{}}}},\"$ref\":\"#/$defs/d0\"}}", all.join(","))
    };
    let patterns: Vec<String> =
        (0..2_000).map(|index| format!("\"p{index}\":{{\"pattern\":\"(x{{50}}){{50}}\"}}")).collect();
    let schema = |name, tries, schema: String, says| case(name, tries, does("run"), says).raw(Raw::with_schema(schema));
    let described = "imports do not work while it describes itself";
    vec![
        schema(
            "large schema",
            "a schema of 300 KiB",
            format!("{{\"title\":\"{}\"}}", "x".repeat(300 * 1024)),
            "at most 262144 are read",
        ),
        schema(
            "huge schema",
            "a schema of 3 MiB",
            format!("{{\"title\":\"{}\"}}", "x".repeat(3 * 1024 * 1024)),
            "fuel",
        ),
        schema("deep schema", "a schema of 40 levels", deep, "levels deep"),
        schema("recursive schema", "a schema that refers to itself", r##"{"$ref":"#"}"##.to_owned(), "only `$ref` to"),
        schema(
            "disguised recursion",
            "the same under another spelling",
            r##"{"$defs":{"a":{"allOf":[{"$ref":"#/$defs/%61"}]}},"$ref":"#/$defs/a"}"##.to_owned(),
            "without escapes",
        ),
        schema("unfolding schema", "a schema that unfolds to 2^28 values", unfolding, "unfold to more than"),
        schema(
            "pattern schema",
            "2,000 large patterns",
            format!("{{\"properties\":{{{}}}}}", patterns.join(",")),
            "more than 100 patterns",
        ),
        schema(
            "foreign schema",
            "a schema that is read from a file",
            r#"{"$ref":"file:///etc/passwd"}"#.to_owned(),
            "only `$ref` to",
        ),
        case("call in describe", "to call the host while it is described", does("run"), described).raw(Raw {
            imports: DEFAULT,
            describe: "(call $default (i32.const 600))",
            ..Raw::default()
        }),
        case(
            "call before describe",
            "to call the host while it is instantiated to be described",
            does("run"),
            described,
        )
        .raw(Raw {
            imports: LOG,
            items: "(func $start (call $log (i32.const 2) (i32.const 16) (i32.const 8))) (start $start)",
            ..Raw::default()
        }),
        case("bomb in describe", "200 MiB of memory while it is described", does("run"), "unreachable").raw(Raw {
            describe: "(if (i32.lt_s (memory.grow (i32.const 3200)) (i32.const 0)) (then unreachable))",
            ..Raw::default()
        }),
        case("control in title", "terminal control sequences in its title", does("run"), "control characters").raw({
            let mut raw = Raw::default();
            raw.description[1] = "\u{1b}[2Jmine".to_owned();
            raw
        }),
        case("path as name", "a provider id that is a path", does("run"), "provider id must have").raw({
            let mut raw = Raw::default();
            raw.description[0] = "../../etc/cron.d/x".to_owned();
            raw
        }),
    ]
}

fn escapes(scene: &Scene) -> Vec<Case> {
    let outside = scene.folder().join("outside");
    let runs = scene.workspace();
    let allowed = scene.folder().join("allowed");
    for folder in [&outside, &runs, &allowed, &scene.folder().join("allowed-not")] {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    std::fs::write(outside.join("secret"), CANARY).expect("a file");
    let link =
        |target: &std::path::Path, name: &str| std::os::unix::fs::symlink(target, runs.join(name)).expect("a link");
    link(&outside, "link");
    link(&outside.join("secret"), "file-link");
    link(std::path::Path::new("../outside"), "relative-link");
    link(std::path::Path::new("/proc/self/root/etc"), "proc-link");
    link(std::path::Path::new("link-b"), "link-a");
    link(std::path::Path::new("link-a"), "link-b");
    std::os::unix::fs::symlink(&outside, allowed.join("link")).expect("a link");
    let absolute = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let paths = [
        "..".to_owned(),
        "../outside".to_owned(),
        "../outside/secret".to_owned(),
        "a/../../outside/secret".to_owned(),
        "./.././outside".to_owned(),
        "..//outside".to_owned(),
        "/".to_owned(),
        "/etc/passwd".to_owned(),
        "//etc//passwd".to_owned(),
        "/proc/self/environ".to_owned(),
        "/proc/self/cwd".to_owned(),
        "/dev/fd/0".to_owned(),
        absolute(&outside.join("secret")),
        absolute(&runs.join("../outside/secret")),
        absolute(&allowed.join("../outside/secret")),
        absolute(&scene.folder().join("allowed-not")),
        "link".to_owned(),
        "link/secret".to_owned(),
        "file-link/x".to_owned(),
        "relative-link/secret".to_owned(),
        "proc-link/passwd".to_owned(),
        "link-a".to_owned(),
        absolute(&allowed.join("link/secret")),
        "secret\0".to_owned(),
        "x/".repeat(5_000),
    ];
    let port = scene.endpoint().port();
    let hosts = [
        "127.0.0.1",
        "127.1",
        "127.1.2.3",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "localhost.localdomain",
        "127.0.0.1.",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0",
        "0.0.0.0",
        "[::]",
        "1２7.0.0.1",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "user@127.0.0.1",
        "example.org@127.0.0.1",
        "127.0.0.1%2f",
        "[::1%25lo]",
        "[fe80::1%25eth0]",
        "[fe80::1]",
        "169.254.169.254",
        "169.254.170.2",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.16689662",
        "0xa9.0xfe.0xa9.0xfe",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "224.0.0.1",
        "255.255.255.255",
        "metadata.google.internal",
        "instance-data",
    ];
    let mut urls: Vec<String> = hosts
        .iter()
        .flat_map(|host| [format!("http://{host}:{port}/latest/meta-data"), format!("http://{host}/latest/meta-data")])
        .collect();
    urls.extend([
        format!("http:\\\\127.0.0.1:{port}/"),
        format!("http:/127.0.0.1:{port}/"),
        format!("http:127.0.0.1:{port}"),
        format!("http://127.0.0.1\t:{port}/"),
        format!("http://example.org#@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}\r\nHost: example.org/"),
        "file:///etc/passwd".to_owned(),
        format!("gopher://127.0.0.1:{port}/"),
        String::new(),
    ]);
    let mut escape = with("escape", "list", paths.to_vec());
    escape.guest.log_lines = 1_000;
    let mut fetch = with("fetch", "list", urls);
    fetch.guest.log_lines = 1_000;
    vec![
        case("escape", "`..`, absolute paths and symbolic links out of the workspace", escape, "every way was shut")
            .and(|scene, seen| {
                assert!(
                    seen.requests.iter().all(|request| request.starts_with("GET ")),
                    "nothing was sent: {:?}",
                    seen.requests
                );
                assert!(seen.shown.len() >= 5 * 25, "{:?}", seen.shown);
                assert_eq!(std::fs::read_to_string(scene.folder().join("outside/secret")).expect("the file"), CANARY);
                assert_eq!(std::fs::read_dir(scene.folder().join("outside")).expect("the folder").count(), 1);
            }),
        case(
            "fetch",
            "loopback and metadata addresses by every spelling, all of them listed",
            fetch,
            "nothing was reached",
        )
        .and(|_, seen| {
            assert!(seen.requests.is_empty(), "nothing came to this machine: {:?}", seen.requests);
            assert!(seen.shown.len() >= 100, "{}", seen.shown.len());
        }),
    ]
}

/// Runs a case once.
async fn run(scene: &Scene, case: &Case) -> Seen {
    let plugin = match &case.component {
        Component::Rust => scene.add(case.name, guest()).await.map_err(|error| error.to_string()),
        Component::Raw(bytes) => scene.add(case.name, bytes).await.map_err(|error| error.to_string()),
        Component::Agreed(bytes) => Ok(scene.agree_to(bytes)),
    };
    match plugin {
        Ok(plugin) => scene.run(&plugin, &case.plan).await,
        Err(problem) => Seen {
            ended: Ended::Refused(problem),
            took: Duration::ZERO,
            raw: Vec::new(),
            shown: Vec::new(),
            reports: 0,
            outputs: std::collections::BTreeMap::new(),
            requests: Vec::new(),
            journal: Arc::default(),
        },
    }
}

fn judge(scene: &Scene, case: &Case, seen: &Seen) {
    let said = seen.ended.text();
    assert!(said.contains(case.says), "{}: it says {said:?}, and should say {:?}", case.name, case.says);
    (case.check)(scene, seen);
    assert!(seen.took < LIMIT, "{} took {:?}", case.name, seen.took);
    let everything = seen.everything_shown();
    assert!(!everything.contains(CANARY), "{} shows the secret: {everything}", case.name);
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

/// The step that goes on beside the hostile ones.
async fn work(scene: &Scene, plugin: &Plugin) -> Seen {
    let plan = Plan { sandbox: SandboxLimits::default(), manner: Manner::Apart, ..with("work", "number", 10) };
    scene.run(plugin, &plan).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_guests_end_within_their_limits_and_leave_nothing() {
    let scene = Arc::new(Scene::new(EngineLimits { memory_bytes: 1152 * 1024 * 1024, guests: 16 }).await);
    let mut cases = endless_loops();
    cases.extend(exhaustion());
    cases.extend(logs());
    cases.extend(ends());
    cases.extend(calls());
    cases.extend(descriptions());
    cases.extend(escapes(&scene));
    let good = scene.add("good", guest()).await.expect("the guest is a plugin");

    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for case in &cases {
        // A well-behaved step is running already when the hostile one begins, and ends as if it were alone.
        let (beside, plugin) = (scene.clone(), good.clone());
        let working = tokio::spawn(async move { work(&beside, &plugin).await });
        tokio::time::sleep(Duration::from_millis(10)).await;
        let start = Instant::now();
        let seen = run(&scene, case).await;
        let took = if seen.took.is_zero() { start.elapsed() } else { seen.took };
        // All that is wrong is told at once: a run of this test takes a while.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(&scene, case, &seen))).is_err() {
            problems.push(case.name);
        }
        let worked = working.await.expect("it ran");
        assert!(matches!(worked.ended, Ended::Answered(Ok(()))), "beside {}: {}", case.name, worked.ended.text());
        assert_eq!(worked.outputs.get("rounds"), Some(&json!(10)), "beside {}", case.name);
        rows.push((case, seen.ended.text(), took));
    }

    assert!(problems.is_empty(), "{problems:?}");

    // What the first runs left warm stays; after that, a hundred of each leave nothing.
    let mut left = Vec::new();
    for case in &cases {
        for _ in 0..3 {
            judge(&scene, case, &run(&scene, case).await);
        }
        let before = resident();
        let start = Instant::now();
        for _ in 0..REPEATS {
            judge(&scene, case, &run(&scene, case).await);
        }
        left.push((resident().saturating_sub(before), start.elapsed()));
    }

    println!("| guest | what it tries | how it ends | time | left after {REPEATS} runs |");
    println!("|---|---|---|---|---|");
    for ((case, end, took), (bytes, _)) in rows.iter().zip(&left) {
        let end: String =
            end.chars().filter(|c| !c.is_control()).map(|c| if c == '|' { '/' } else { c }).take(200).collect();
        let (millis, kib) = (took.as_secs_f64() * 1000.0, bytes / 1024);
        println!("| {} | {} | {end} | {millis:.1} ms | {kib} KiB |", case.name, case.tries);
    }
    for ((case, _, _), (bytes, repeated)) in rows.iter().zip(&left) {
        assert!(*bytes <= LEFT_OVER, "{} leaves {bytes} bytes after {REPEATS} runs", case.name);
        if *repeated > Duration::from_secs(4) {
            println!("{} took {repeated:?}", case.name);
        }
    }
}
