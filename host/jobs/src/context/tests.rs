use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use super::*;

fn context() -> DataContext {
    let mut context = DataContext::new();
    context.set("option", "name", "web 1");
    context.set("option", "plain", "i-0abc");
    context.set("option", "pw", ContextValue::Secret(Secret::new("hunter22".to_owned())));
    context.set("job", "name", "nightly");
    context.set("globals", "region", "eu-west-1");
    context.set("data", "k", "global");
    context.set_on_node("a", "data", "k", "on a");
    context.set_on_node("b", "data", "k", "on b");
    context.set_on_node("a", "node", "name", "a");
    context.set_of_step(2, "a", "exec", "exitCode", "3");
    context.set_output(&View::global(), &["Start the VM v1.2".to_owned()], "states", json!([{"id": "i-1"}]));
    context.set_output(&View::global(), &["Start the VM v1.2".to_owned()], "first", json!("i-1"));
    context
}

fn plain(text: &str, view: &View) -> String {
    context().expand(text, ExpandMode::Plain, view).expect("expands").text
}

#[test]
fn lookups_widen_from_the_node_to_the_job() {
    let (global, a) = (View::global(), View::node("a"));
    for (text, view, expected) in [
        ("${data.k}", &global, "global"),
        ("${data.k}", &a, "on a"),
        ("${data.k@b}", &a, "on b"),
        ("${data.k@c}", &a, ""),
        ("${data.k*}", &global, "on a,on b"),
        ("${data.k*; }", &global, "on a; on b"),
        ("${2:exec.exitCode@a}", &global, "3"),
        ("${2:exec.exitCode}", &a, "3"),
        ("${3:exec.exitCode@a}", &global, ""),
        ("${option.name}/${job.name}", &a, "web 1/nightly"),
        ("${unquotedoption.name}", &global, "web 1"),
        ("${globals.region} ${HOME} ${x.y} $${option.plain}", &global, "eu-west-1 ${HOME} ${x.y} $i-0abc"),
        ("${data.states}", &global, r#"[{"id":"i-1"}]"#),
        ("${data.Start the VM v1.2.states}", &global, r#"[{"id":"i-1"}]"#),
        ("${data.Start the VM v1.2.first}", &global, "i-1"),
    ] {
        assert_eq!(plain(text, view), expected, "{text}");
    }
}

#[test]
fn a_job_on_one_node_finds_its_values_from_everywhere() {
    let mut context = DataContext::new();
    context.set_on_node(LOCAL_NODE, "data", "k", "v");
    assert_eq!(context.expand("${data.k}", ExpandMode::Plain, &View::global()).expect("expands").text, "v");
}

#[test]
fn what_has_no_value_becomes_blank_and_is_told() {
    for mode in [ExpandMode::Plain, ExpandMode::Shell, ExpandMode::Argument] {
        let expanded = context().expand("a ${option.cluster_name} b", mode, &View::global()).expect("expands");
        assert_eq!(expanded.text, "a  b");
        assert_eq!(expanded.missing.len(), 1);
    }
    let expanded = context().expand("a @option.no@ b", ExpandMode::Script, &View::global()).expect("expands");
    assert_eq!((expanded.text.as_str(), expanded.missing.len()), ("a  b", 1));
}

#[test]
fn secrets_go_into_configuration_only() {
    let expanded = context().expand("pw=${option.pw}", ExpandMode::Plain, &View::global()).expect("expands");
    assert!(expanded.secret);
    assert_eq!(expanded.text, "pw=hunter22");
    assert!(!format!("{expanded:?}").contains("hunter22"));
    assert!(expanded.into_value().is_secret());
    for (text, mode) in [
        ("x ${option.pw}", ExpandMode::Shell),
        ("x ${unquotedoption.pw}", ExpandMode::Shell),
        ("x @option.pw@", ExpandMode::Script),
        ("${option.pw}", ExpandMode::Argument),
    ] {
        let error = context().expand(text, mode, &View::global()).expect_err("refused").to_string();
        assert!(error.contains("$RD_OPTION_PW") && !error.contains("hunter22"), "{error}");
    }
}

#[test]
fn options_are_quoted_in_commands_where_needed() {
    let view = View::global();
    for (text, expected) in [
        ("echo ${option.name}", "echo 'web 1'"),
        ("echo \"${option.name}\"", "echo \"web 1\""),
        ("echo ${unquotedoption.name}", "echo web 1"),
        ("echo ${option.plain} ${HOME}", "echo i-0abc ${HOME}"),
    ] {
        assert_eq!(context().expand(text, ExpandMode::Shell, &view).expect("expands").text, expected);
    }
}

#[test]
fn a_dry_run_tells_what_depends_on_what_it_stopped() {
    let mut context = context();
    context.set("data", "state", "from an earlier step");
    context.stop(
        "3",
        StoppedOutputs {
            labels: vec!["Stop it".to_owned()],
            keys: vec![("data".to_owned(), "state".to_owned())],
            open: false,
        },
    );
    for text in ["${data.state}", "${data.Stop it.anything}"] {
        let expanded = context.expand(text, ExpandMode::Plain, &View::global()).expect("expands");
        assert_eq!(expanded.depends_on.first().map(|(_, step)| step.as_str()), Some("3"), "{text}");
    }
    assert_eq!(context.expand("${data.other}", ExpandMode::Plain, &View::global()).expect("expands").missing.len(), 1);
    context.set("data", "state", "new");
    assert_eq!(context.expand("${data.state}", ExpandMode::Plain, &View::global()).expect("expands").text, "new");
}

#[test]
fn native_steps_get_an_environment() {
    let environment = context().environment(&View::node("a"));
    assert_eq!(environment.get("RD_OPTION_NAME").map(|v| v.text().into_owned()).as_deref(), Some("web 1"));
    assert_eq!(environment.get("RD_NODE_NAME").map(|v| v.text().into_owned()).as_deref(), Some("a"));
    assert_eq!(environment.get("RD_DATA_K").map(|v| v.text().into_owned()).as_deref(), Some("on a"));
    assert!(environment.get("RD_OPTION_PW").is_some_and(ContextValue::is_secret));
}

#[test]
fn words_are_cut_as_arguments() {
    assert_eq!(split_words(r#"-a "b c" 'd "e"' -f"" "x""y" "#), ["-a", "b c", r#"d "e""#, "-f", r#"x"y"#]);
    assert_eq!(join_words(["a b", "", "c"]), "'a b' '' c");
}

#[test]
fn one_output_named_often_does_not_fill_the_memory() {
    let mut context = DataContext::new();
    context.set("data", "big", "x".repeat(1 << 20));
    let text = "${data.big}".repeat(100);
    assert_eq!(context.expand(&text, ExpandMode::Plain, &View::global()), Err(ExpandError::TooLong));
}

#[test]
fn many_openings_take_linear_time() {
    let text = "${".repeat(500_000) + &"@x".repeat(500_000);
    for mode in [ExpandMode::Plain, ExpandMode::Shell, ExpandMode::Script] {
        assert_eq!(context().expand(&text, mode, &View::global()).expect("expands").text, text);
    }
}

proptest! {
    #[test]
    fn pieces_put_together_are_the_text(text in "[${}@.:*;a-d \n]{0,80}|(\\$\\{(option|data)\\.[a-d@*; ]{0,6}\\}?|@option\\.[ab]@|x){0,12}") {
        let mut together = String::new();
        for piece in pieces(&text, |_| false) {
            match piece {
                Piece::Text(text) => together.push_str(text),
                Piece::Reference(reference, at) => {
                    prop_assert_eq!(at, together.len());
                    let end = text[at..].find('}').expect("a reference ends") + at + 1;
                    together.push_str(&text[at..end]);
                    prop_assert!(reference.key.len() < end - at);
                }
            }
        }
        prop_assert_eq!(together, text);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), value in any::<String>()) {
        let mut context = context();
        context.set("option", "name", value);
        for mode in [ExpandMode::Plain, ExpandMode::Shell, ExpandMode::Script, ExpandMode::Argument] {
            let _ = context.expand(&text, mode, &View::node("a"));
        }
        let _ = split_words(&text);
    }

    /// Whatever the value, the shell prints just that value: it can start nothing.
    #[test]
    fn a_shell_reads_back_the_value(
        value in "[-a-c'\"$`\\\\;&|<>()#!*~ \n{}]{1,12}",
        template in prop::sample::select(vec![
            "printf %s ${option.v}",
            "printf %s \"${option.v}\"",
            "printf %s '${option.v}'",
            "printf %s \"$(printf %s ${option.v}; printf x)\"",
            "true # it's\nprintf %s ${option.v}",
        ]),
    ) {
        let mut context = DataContext::new();
        context.set("option", "v", value.as_str());
        let command = context.expand(template, ExpandMode::Shell, &View::global()).expect("expands").text;
        let output = std::process::Command::new("/bin/sh").arg("-c").arg(&command).env_clear().output().expect("sh");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        // `$(...)` drops line breaks at the end, so that template adds an x.
        let expected = match template {
            t if t.contains("printf x") => format!("{value}x"),
            _ => value.clone(),
        };
        prop_assert_eq!(printed, expected, "{}", command);
    }
}

/// A shell in which a program `pwned` leaves a mark.
struct Shell {
    folder: tempfile::TempDir,
    program: &'static str,
}

impl Shell {
    fn new(program: &'static str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        for part in ["bin", "work"] {
            std::fs::create_dir(folder.path().join(part)).expect("a folder");
        }
        let file = folder.path().join("bin/pwned");
        std::fs::write(&file, "#!/bin/sh\n: > \"$MARK\"\n").expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("an executable file");
        Self { folder, program }
    }

    fn is_pwned_by(&self, command: &str) -> bool {
        let mark = self.folder.path().join("mark");
        std::process::Command::new(self.program)
            .args(["-c", command])
            .env_clear()
            .env("PATH", self.folder.path().join("bin"))
            .env("MARK", &mark)
            .current_dir(self.folder.path().join("work"))
            .stdin(std::process::Stdio::null())
            .output()
            .expect("a shell");
        std::fs::remove_file(mark).is_ok()
    }
}

#[test]
fn no_value_starts_a_program_wherever_it_stands() {
    // Templates have no letters but those of a here-document and of `case`, so that only a value can name a program.
    let template = prop::collection::vec(
        prop::sample::select(vec![
            "\"",
            "'",
            "\\",
            "`",
            "$",
            "(",
            ")",
            "$(",
            "${",
            "}",
            "<<E\n",
            "<<'E'\n",
            "<<-\"E\"\n",
            "\nE\n",
            "<",
            "#",
            " ",
            " #",
            "\n",
            ";",
            "&",
            "|",
            "((",
            "))",
            "$'",
            "case x in x) ",
            ";; esac",
            ": ",
            "${x:-",
            "\"${x:-",
            "${option.v}",
            "${option.v}",
            "${option.v}",
            "*",
            "=",
            "\t",
        ]),
        1..14,
    );
    let value = prop::sample::select(vec![
        ";pwned;",
        "$(pwned)",
        "`pwned`",
        "\npwned\n",
        "'pwned'",
        "\"pwned\"",
        "';pwned;'",
        "\";pwned;\"",
        "\nE\npwned\n",
        "|pwned",
        "&pwned&",
        ")pwned;(",
        "}$(pwned)",
        "\\`pwned\\`",
        "\\$(pwned)",
        "\\\npwned\n",
        "'$(pwned)",
        "\\",
        "E\npwned #",
    ]);
    for program in ["/bin/sh", "/bin/bash"].into_iter().filter(|program| std::path::Path::new(program).exists()) {
        let shell = Shell::new(program);
        assert!(shell.is_pwned_by("pwned"), "the trap works");
        let config = proptest::test_runner::Config { failure_persistence: None, ..Default::default() };
        // With PROPTEST_CASES it searches for new ones; otherwise the same cases each time.
        let mut runner = if std::env::var_os("PROPTEST_CASES").is_some() {
            TestRunner::new(config)
        } else {
            TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        };
        let outcome = runner.run(&(template.clone(), value.clone()), |(template, value)| {
            let template = template.concat();
            let mut context = DataContext::new();
            context.set("option", "v", value);
            // A value that cannot be quoted where it stands is refused.
            if let Ok(expanded) = context.expand(&template, ExpandMode::Shell, &View::global()) {
                prop_assert!(!shell.is_pwned_by(&expanded.text), "{}: {}", program, expanded.text);
            }
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
    }
}
