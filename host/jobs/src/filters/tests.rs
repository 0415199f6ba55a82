use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::file::{Located, Position};

fn filter(provider: &str, configuration: Value) -> LogFilter {
    let configuration = configuration.as_object().cloned().unwrap_or_default().into_iter().collect();
    LogFilter {
        position: Position::default(),
        provider: Located::new(provider.to_owned(), Position::default()),
        configuration,
    }
}

fn info(text: &str) -> FilteredLine {
    FilteredLine::from(LogLine { level: LogLevel::Info, text: text.to_owned(), data_type: None })
}

fn run(filters: &[LogFilter], lines: &[&str]) -> FilterOutput {
    let (mut chain, problems) = FilterChain::new(filters, |text| Ok(text.to_owned()));
    assert_eq!(problems, []);
    let mut output = FilterOutput::default();
    for line in lines {
        chain.line(info(line), &mut output);
    }
    chain.finish(&mut output);
    output
}

fn data(output: &FilterOutput) -> Vec<(&str, &str)> {
    output.data.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[test]
fn key_value_data_matches_whole_lines() {
    let output = run(
        &[filter("key-value-data", json!({"logData": "true"}))],
        &["RUNDECK:DATA:a key = b c", "x RUNDECK:DATA:no=1", "RUNDECK:DATA:k{1}=v"],
    );
    assert_eq!(data(&output), [("k_1_", "v")]);
    let table = output.lines.last().expect("a table");
    assert_eq!((table.text.as_str(), table.data_type.as_deref()), (r#"{"k_1_":"v"}"#, Some("application/json")));

    let named = filter("key-value-data", json!({"regex": r"id: (\S+)", "name": "vm"}));
    assert_eq!(data(&run(&[named], &["id: i-1", "the id: i-2"])), [("vm", "i-1")]);
    let several = filter(
        "key-value-data",
        json!({"regex": r"(\w+)=(\w+)", "allowMultipleMatches": true, "replaceFilteredResult": "true"}),
    );
    assert_eq!(data(&run(&[several], &["a=1, b=2"])), [("a", "1"), ("b", "2")]);
    for (configuration, part) in [
        (json!({"regex": "x"}), "one or two groups"),
        (json!({"regex": "(x)"}), "`name` is missing"),
        (json!({"regex": "(?=x)(x)", "name": "n"}), "look"),
        (json!({"logData": "maybe"}), "true"),
    ] {
        let problem = check_log_filter(&filter("key-value-data", configuration)).expect_err("refused").to_string();
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn multilines_match_the_whole_log() {
    let one =
        filter("key-value-data-multilines", json!({"regex": "^BEGIN(.+)END$", "name": "all", "hideOutput": "true"}));
    let output = run(&[one], &["BEGIN", "a", "END"]);
    assert_eq!(data(&output), [("all", "\na\n")]);
    assert!(output.lines.iter().all(|line| line.level == LogLevel::Debug));
}

#[test]
fn json_is_mapped() {
    for (configuration, expected) in [
        (json!({"filter": ".a.b", "prefix": "p"}), vec![("p", "\"x\"")]),
        (json!({"filter": ".a.b", "prefix": "p", "extraQuotes": "false"}), vec![("p", "x")]),
        (json!({"filter": ".list | length", "prefix": "n"}), vec![("n", "2")]),
        (json!({"filter": ".a"}), vec![("b", "x"), ("c.d", "true")]),
        (json!({"filter": ".list", "prefix": "l"}), vec![("l.0", "1"), ("l.1", "two"), ("l", "[1,\"two\"]")]),
        (json!({"filter": ".list[] | select(. == 1)", "prefix": "one"}), vec![("one", "1")]),
        (json!({"filter": "env | length", "prefix": "e"}), vec![("e", "0")]),
    ] {
        let output = run(
            &[filter("json-mapper", configuration.clone())],
            &["{\"a\": {\"b\": \"x\", \"c\": {\"d\": true}},", "\"list\": [1, \"two\"]}"],
        );
        assert_eq!(data(&output), expected, "{configuration}");
    }
    let output = run(&[filter("json-mapper", json!({"filter": "."}))], &["no json"]);
    assert_eq!(output.warnings.len(), 1);
    for bad in [".a |", "nosuchfunction(.)", "import \"x\" as x; ."] {
        assert!(check_log_filter(&filter("json-mapper", json!({"filter": bad}))).is_err(), "{bad}");
    }
    for wild in ["halt", "input", "now", "error(\"x\")", "\"x\" | debug(.)"] {
        run(&[filter("json-mapper", json!({"filter": wild, "prefix": "p"}))], &["1"]);
    }
}

#[test]
fn badges_tell_how_it_went() {
    let badge = |regex: &str, symbol: &str| {
        filter(
            "progress-badges",
            json!({"regex": regex, "text": "Incidents", "statusSymbol": symbol, "contextVariable": "inc",
                   "doNothing": "true", "mute": "false"}),
        )
    };
    let output = run(&[badge("range: 0", "✅"), badge(r"range: [^0]\nx", "❌")], &["range: 3", "x"]);
    assert_eq!(output.badges, [Badge { text: "Incidents ❌".to_owned(), status: BadgeStatus::Ok }]);
    assert_eq!(data(&output), [("inc", "Incidents ❌")]);
    assert!(output.lines.iter().all(|line| line.level == LogLevel::Info));

    let output = run(&[filter("progress-badges", json!({"regex": "fine", "text": "t"}))], &["bad"]);
    assert_eq!(output.badges, [Badge { text: "t".to_owned(), status: BadgeStatus::Error }]);
    assert_eq!(output.lines.first().map(|line| line.level), Some(LogLevel::Debug));
}

#[test]
fn presentation() {
    let output = run(
        &[filter("highlight-output", json!({"regex": "this (is) a (test)", "fgcolor": "red"}))],
        &["this is a test"],
    );
    let places: Vec<_> = output.lines.iter().flat_map(|line| &line.highlights).map(|h| (h.start, h.end)).collect();
    assert_eq!(places, [(5, 7), (10, 14)]);

    let masked = format!("pw={}", outrigger_redaction::MASK);
    let output = run(&[filter("mask-passwords", json!({"replacement": "[SECURE]", "color": "red"}))], &[&masked]);
    let line = output.lines.first().expect("a line");
    assert_eq!((line.text.as_str(), line.highlights.len()), ("pw=[SECURE]", 1));

    let quiet = filter("quiet-output", json!({"regex": "keep", "loglevel": "debug"}));
    let levels: Vec<_> = run(&[quiet], &["keep me", "x"]).lines.iter().map(|line| line.level).collect();
    assert_eq!(levels, [LogLevel::Info, LogLevel::Debug]);
    let drop = filter("quiet-output", json!({"regex": "drop", "quietMatch": "true", "loglevel": ""}));
    assert_eq!(run(&[drop], &["drop", "x"]).lines.len(), 1);

    let output = run(
        &[filter("render-datatype", json!({}))],
        &["a", "#BEGIN:RUNDECK:DATATYPE:csv", "x,y", "1,2", "#END:RUNDECK:DATATYPE", "b"],
    );
    let documents: Vec<_> = output.lines.iter().filter(|line| line.data_type.is_some()).collect();
    assert_eq!(documents.len(), 1);
    assert_eq!((documents[0].text.as_str(), documents[0].data_type.as_deref()), ("x,y\n1,2\n", Some("text/csv")));
}

#[test]
fn filters_run_in_order_and_unknown_ones_are_left_out() {
    // What quiet-output hides is not captured by a filter after it.
    let quiet = filter("quiet-output", json!({"regex": "^a", "quietMatch": "true"}));
    let capture = filter("key-value-data", json!({"regex": "(.*)=(.*)"}));
    assert_eq!(data(&run(&[quiet.clone(), capture.clone()], &["a=1", "b=2"])), [("b", "2")]);
    assert_eq!(data(&run(&[capture, quiet], &["a=1", "b=2"])), [("a", "1"), ("b", "2")]);

    let (chain, problems) = FilterChain::new(&[filter("no-such", json!({}))], |text| Ok(text.to_owned()));
    assert!(chain.is_empty());
    assert_eq!(problems, [FilterProblem::Unknown("no-such".to_owned())]);
}

#[test]
fn what_filters_capture_is_known_beforehand() {
    let names = |provider, configuration| captured_names(&filter(provider, configuration));
    assert_eq!(names("key-value-data", json!({"regex": "(x)", "name": "n"})), (vec!["n".to_owned()], false));
    assert_eq!(names("key-value-data", json!({})), (vec![], true));
    assert_eq!(names("progress-badges", json!({"contextVariable": "c"})), (vec!["c".to_owned()], false));
    assert_eq!(names("quiet-output", json!({})), (vec![], false));
}

#[test]
fn a_buffer_does_not_grow_for_ever() {
    let line = "x".repeat(1 << 20);
    let output = run(&[filter("json-mapper", json!({"filter": "."}))], &[line.as_str(); 8]);
    assert_eq!(output.warnings.iter().filter(|warning| warning.contains("first")).count(), 1);
}

proptest! {
    #[test]
    fn no_line_makes_a_filter_panic(lines in prop::collection::vec(any::<String>(), 0..6)) {
        let filters = [
            filter("key-value-data", json!({"logData": true})),
            filter("key-value-data-multilines", json!({})),
            filter("json-mapper", json!({"filter": ".", "prefix": "p"})),
            filter("progress-badges", json!({"text": "t", "regex": "a|é"})),
            filter("highlight-output", json!({"regex": "[^a]+"})),
            filter("mask-passwords", json!({})),
            filter("quiet-output", json!({"regex": "é"})),
            filter("render-datatype", json!({"datatype": "json"})),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let output = run(&filters, &lines);
        for line in &output.lines {
            for highlight in &line.highlights {
                prop_assert!(line.text.get(highlight.start..highlight.end).is_some());
            }
        }
    }
}
