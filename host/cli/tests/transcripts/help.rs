//! Every command explains itself.

use crate::place::{Place, snapshot};

/// All commands, found by walking through the help itself, so that none is forgotten.
fn commands(place: &Place, above: &str, all: &mut Vec<(String, String)>) {
    let help = place.run(&format!("{above} --help")).ended(0);
    assert_eq!(help.err, "");
    let listed: Vec<String> = help
        .out
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    all.push((above.trim().to_owned(), help.out));
    for name in listed {
        commands(place, &format!("{above} {name}"), all);
    }
}

#[test]
fn every_command_teaches() {
    let place = Place::new();
    let mut all = Vec::new();
    commands(&place, "", &mut all);
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    for expected in
        ["run", "job check", "plugin inspect", "runs prune", "keys put", "config aws", "credentials validate"]
    {
        assert!(names.contains(&expected), "{expected} is missing in {names:?}");
    }
    let mut text = String::new();
    for (name, help) in &all {
        text.push_str(&format!("$ outrigger {name}{}--help\n{help}\n", if name.is_empty() { "" } else { " " }));
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{name}: the line is too long: {line}");
        }
    }
    assert!(!text.contains("__compile"), "the compile process is nobody's command");
    for command in ["", "run", "job check", "keys put", "log", "plugin inspect"] {
        let (_, help) = all.iter().find(|(name, _)| name == command).expect("a command");
        assert!(help.contains("Examples:"), "{command} has no examples");
    }
    let (_, run) = all.iter().find(|(name, _)| name == "run").expect("run");
    snapshot("help-run.txt", run);
}

#[test]
fn the_version_needs_nothing() {
    let place = Place::new();
    let mut command = place.command("--version");
    command.env_clear();
    let printed = place.finish(command, "").ended(0);
    assert_eq!(printed.out, concat!("outrigger ", env!("CARGO_PKG_VERSION"), "\n"));
    assert!(!place.path("home/.outrigger/outrigger.db").exists());
}

#[test]
fn shells_are_helped() {
    let place = Place::new();
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef outrigger"), ("fish", "complete -c outrigger")] {
        let printed = place.run(&format!("completion {shell}")).ended(0);
        assert!(printed.out.contains(sign), "{shell}");
        assert!(printed.out.contains("job"), "{shell}");
    }
    let script = place.run("completion bash").out;
    place.write("outrigger.bash", &script);
    let checked = std::process::Command::new("bash").arg("-n").arg(place.path("outrigger.bash")).status();
    assert!(checked.is_ok_and(|status| status.success()), "bash does not read the script");
}

#[test]
fn bad_arguments_end_with_2() {
    let place = Place::new();
    for line in
        ["", "frobnicate", "run", "run --replay", "log first", "runs prune", "keys put", "run a.yaml -o novalue"]
    {
        place.run(line).ended(2);
    }
    assert!(place.run("plugin inspekt x").ended(2).err.contains("'inspect'"));
}

#[test]
fn a_home_that_is_not_there_is_said() {
    let place = Place::new();
    let printed = place.run("--home nowhere config show").ended(2);
    assert!(printed.err.starts_with("error: --home names [HOME]/nowhere, which is no folder"), "{}", printed.err);
}

#[test]
fn colours_are_for_terminals_and_who_asks_for_them() {
    let place = Place::new();
    assert!(!place.run("config show").ended(0).out.contains('\u{1b}'));
    assert!(place.run("config show --color always").ended(0).out.contains('\u{1b}'));
    let mut command = place.command("config show");
    command.env("NO_COLOR", "1");
    assert!(!place.finish(command, "").ended(0).out.contains('\u{1b}'));
}
