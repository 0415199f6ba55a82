//! The configuration, and what is wrong with it.

use crate::place::Place;

#[test]
fn every_value_names_its_file() {
    let place = Place::new();
    place.write("home/outrigger.toml", "[aws]\nregion = \"eu-west-1\"\n[limits]\nmemory-mib = 128\n");
    place.write("home/projects/web/project.toml", "[aws]\nregion = \"us-west-2\"\n");
    let system = place.run("config show").ended(0).out;
    assert!(system.lines().any(|line| line.starts_with("aws.region") && line.contains("\"eu-west-1\"")), "{system}");
    assert!(system.contains("[HOME]/home/outrigger.toml:2"), "{system}");
    let project = place.run("config show --project web").ended(0).out;
    assert!(project.contains("[HOME]/home/projects/web/project.toml:2"), "{project}");
    assert!(project.contains("[HOME]/home/outrigger.toml:4"), "{project}");
    let json = place.run("config show -p web --format json").ended(0).out;
    assert!(json.contains("\"key\": \"aws.region\"") && json.contains("\"line\": 2"), "{json}");
    let unknown = place.run("config show --project wep").ended(2);
    assert!(unknown.err.contains("did you mean `web`?"), "{}", unknown.err);
}

#[test]
fn mistakes_have_a_place() {
    let place = Place::new();
    place.write("home/outrigger.toml", "[aws.credentials]\nprovider = \"assume-role\"\n[limts]\n");
    let printed = place.run("config show").ended(2);
    assert!(printed.err.contains("--> [HOME]/home/outrigger.toml:1:"), "{}", printed.err);
    assert!(printed.err.contains("--> [HOME]/home/outrigger.toml:3:"), "{}", printed.err);
    assert_eq!(printed.out, "");
}

#[test]
fn paths_are_told() {
    let place = Place::new();
    let printed = place.run("config paths").ended(0).out;
    assert!(printed.contains("database       [HOME]/home/.outrigger/outrigger.db"), "{printed}");
    let json = place.run("config paths --format json").ended(0).out;
    assert!(json.contains("\"found-by\": \"environment\""), "{json}");
}

#[test]
fn a_configuration_that_was_found_must_be_trusted() {
    let place = Place::new();
    place.write("repository/outrigger.toml", "[native-steps]\nenabled = true\n");
    let walk = |line: &str| {
        let mut command = place.command(line);
        command.env_remove("OUTRIGGER_HOME").current_dir(place.path("repository"));
        place.finish(command, "")
    };
    let refused = walk("config show").ended(2);
    assert!(refused.err.contains("run `outrigger trust`"), "{}", refused.err);
    let trusted = walk("trust").ended(0);
    assert!(trusted.out.starts_with("trusted [HOME]/repository/outrigger.toml\n"), "{}", trusted.out);
    assert!(walk("config show").ended(0).out.contains("native-steps.enabled"));
    walk("untrust").ended(0);
    walk("config show").ended(2);
    walk("untrust").ended(2);
}

#[test]
fn credentials_that_are_not_there_are_said() {
    let place = Place::new();
    place.write("home/projects/web/project.toml", "");
    let printed = place.run("credentials validate --project web").ended(2);
    assert!(printed.err.contains("outrigger config aws --project web"), "{}", printed.err);
    let printed = place.run("credentials validate --account prod").ended(2);
    assert!(printed.err.contains("prod"), "{}", printed.err);
}
