//! Keys go in, and never come out.

use std::os::unix::fs::PermissionsExt as _;

use crate::place::Place;

const SECRET: &str = "correct horse battery staple";

#[test]
fn a_key_lives_and_dies() {
    let place = Place::new();
    let put = place.fed("keys put keys/project/web/aws", &format!("{SECRET}\n")).ended(0);
    assert_eq!(
        put.out,
        "stored keys/project/web/aws in [HOME]/home/.outrigger/keys.db\n\
         a master key was made: [HOME]/home/.outrigger/master.key\n\
         keep a copy of that file in a safe place, apart from the storage: without it the keys are lost\n"
    );
    let mode = std::fs::metadata(place.path("home/.outrigger/master.key")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let again = place.fed("keys put keys/project/web/aws", "another").ended(2);
    assert_eq!(again.err, "error: the key `keys/project/web/aws` exists already; say --overwrite to replace it\n");
    let replaced = place.fed("keys put keys/project/web/aws --overwrite --type private-key", "another").ended(0);
    assert_eq!(replaced.out, "replaced keys/project/web/aws in [HOME]/home/.outrigger/keys.db\n");

    let shown = place.run("keys show keys/project/web/aws").ended(0);
    assert!(shown.out.contains("type      private-key"), "{}", shown.out);
    assert!(!shown.out.contains("another"));
    let json = place.run("keys show keys/project/web/aws --format json").ended(0);
    assert!(json.out.contains("\"type\": \"private-key\""), "{}", json.out);

    assert!(place.run("keys rotate").ended(0).out.starts_with("sealed 1 keys with a new master key\n"));
    place.run("keys rm keys/project/web/aws").ended(0);
    assert_eq!(place.run("keys list").ended(0).out, "no keys\n");
    place.run("keys rm keys/project/web/aws").ended(2);
}

#[test]
fn a_project_sees_its_own() {
    let place = Place::new();
    place.write("home/projects/web/project.toml", "");
    for path in ["keys/project/web/a", "keys/project/db/b", "keys/c"] {
        place.fed(&format!("keys put {path}"), SECRET).ended(0);
    }
    let all = place.run("keys list").ended(0).out;
    assert_eq!(all.lines().count(), 4, "{all}");
    let own = place.run("keys list --project web").ended(0).out;
    assert_eq!(own.lines().count(), 2, "{own}");
    assert!(own.contains("keys/project/web/a"), "{own}");
    assert_eq!(place.run("keys list keys/project/db --format json").ended(0).out.matches("\"path\"").count(), 1);
}

#[test]
fn a_value_comes_from_a_file_or_a_pipe_and_never_from_an_argument() {
    let place = Place::new();
    place.write("secret.txt", SECRET);
    place.run("keys put keys/a --file secret.txt").ended(0);
    place.fed("keys put keys/b --file -", SECRET).ended(0);
    let refused = place.run("keys put keys/c hunter2").ended(2);
    assert!(refused.err.contains("unexpected argument"), "{}", refused.err);
    assert!(place.fed("keys put keys/d", "\n").ended(2).err.contains("is empty"));
    assert!(place.run("keys put nokey").ended(2).err.contains("must begin with `keys/`"));
    assert!(place.run("keys put keys/e --file nowhere").ended(2).err.contains("failed to read nowhere"));
    assert!(place.run("keys show keys/x").ended(2).err.contains("there is no key"));
    assert!(place.run("keys rotate --help").ended(0).out.contains("master key"));
}
