//! Plugins are listed, looked at, and not added without a yes.

use crate::place::Place;

#[test]
fn bundled_plugins_tell_what_they_may_do() {
    let place = Place::new();
    let listed = place.run("plugin list").ended(0).out;
    assert!(listed.lines().any(|line| line.starts_with("aws-vm-start-step ")), "{listed}");
    let inspected = place.run("plugin inspect aws-vm-start-step").ended(0).out;
    for part in ["outrigger:aws-ec2/instances@0.1.0#start-instances", "ec2:StartInstances", "instanceId", "sha256:"] {
        assert!(inspected.contains(part), "{part} is missing in {inspected}");
    }
    let json = place.run("plugin inspect aws-vm-start-step --format json").ended(0).out;
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    for member in
        ["provider", "title", "worlds", "digest", "size", "imports", "actions", "input_schema", "output_schema"]
    {
        assert!(value.get(member).is_some(), "{member} is missing in {json}");
    }
    let actions = value["actions"].as_array().expect("actions");
    let start = serde_json::json!({ "action": "ec2:StartInstances", "access": "write", "dependent": false });
    assert!(actions.contains(&start), "{json}");
    assert!(actions.iter().any(|need| need["dependent"] == true), "{json}");
    let imports = value["imports"].as_array().expect("imports");
    assert!(imports.iter().all(|import| import.as_str().is_some_and(|name| name.starts_with("outrigger:"))), "{json}");
    let all: serde_json::Value =
        serde_json::from_str(&place.run("plugin list --format json").ended(0).out).expect("JSON");
    assert!(all.as_array().is_some_and(|all| all.len() + 1 == listed.lines().count()));
}

#[test]
fn a_policy_is_json_and_its_reasons_are_beside_it() {
    let place = Place::new();
    let printed = place.run("plugin policy aws-vm-start-step aws-vm-stop-step").ended(0);
    let policy: serde_json::Value = serde_json::from_str(&printed.out).expect("JSON");
    assert_eq!(policy["Version"], "2012-10-17");
    assert!(policy["Statement"][0]["Action"].to_string().contains("ec2:StopInstances"));
    assert!(printed.err.contains("dependent: "), "{}", printed.err);
    assert_eq!(place.run("plugin policy aws-vm-start-step --format json").ended(0).err, "");
}

#[test]
fn names_that_are_nearly_right_are_helped() {
    let place = Place::new();
    for line in
        ["plugin inspect aws-vm-strat-step", "plugin policy aws-vm-strat-step", "plugin remove aws-vm-strat-step"]
    {
        let printed = place.run(line).ended(2);
        assert_eq!(
            printed.err,
            "error: there is no plugin `aws-vm-strat-step`\n  help: did you mean `aws-vm-start-step`?\n"
        );
    }
    assert!(place.run("plugin remove aws-vm-start-step").ended(2).err.contains("is a bundled plugin"));
}

#[test]
fn what_is_no_component_is_refused() {
    let place = Place::new();
    place.write("a.wasm", "hello");
    let printed = place.run("plugin add a.wasm --yes").ended(2);
    assert!(printed.err.starts_with("error: a.wasm is not a WebAssembly component"), "{}", printed.err);
    assert!(place.run("plugin add nowhere.wasm").ended(2).err.contains("failed to read nowhere.wasm"));
}

/// A bundled component under another provider id of the same length: as far as the host knows, somebody else's.
fn component(provider: &str, replaced: &[(&str, &str)]) -> Vec<u8> {
    let all = outrigger_plugin_bundle::components();
    let bundled = all.iter().find(|component| component.name == "aws-vm-start").expect("a component");
    let mut bytes = bundled.bytes.to_vec();
    for (old, new) in [("aws-vm-start-step", provider)].iter().chain(replaced) {
        assert_eq!(old.len(), new.len());
        let mut found = 0;
        for start in 0..bytes.len() - old.len() {
            if bytes[start..].starts_with(old.as_bytes()) {
                bytes[start..start + new.len()].copy_from_slice(new.as_bytes());
                found += 1;
            }
        }
        assert!(found > 0, "{old} is not in the component");
    }
    bytes
}

#[test]
fn a_component_is_added_only_after_a_yes() {
    let place = Place::new();
    std::fs::write(place.path("one.wasm"), component("our-vm-start-step", &[])).expect("a file");
    let refused = place.run("plugin add one.wasm").ended(2);
    assert!(refused.out.contains("outrigger:aws-ec2/instances@0.1.0#start-instances"), "{}", refused.out);
    assert!(refused.out.contains("ec2:StartInstances"), "{}", refused.out);
    assert_eq!(
        refused.err,
        "error: one.wasm was not added: nobody is there to agree to what it may do\n  \
         help: read the permissions above, then say --yes\n"
    );
    assert!(!place.run("plugin list").ended(0).out.contains("our-vm-start-step"));

    let added = place.run("plugin add one.wasm --yes").ended(0);
    assert!(added.out.contains("added our-vm-start-step, pinned to sha256:"), "{}", added.out);
    assert!(
        place
            .run("plugin list")
            .ended(0)
            .out
            .lines()
            .any(|line| { line.starts_with("our-vm-start-step") && line.ends_with("added") })
    );
    assert!(place.run("plugin add one.wasm").ended(0).out.contains("it was added before, and is the same"));

    let other = component("our-vm-start-step", &[("AWS / VM / Start", "OUR / VM / Start")]);
    std::fs::write(place.path("two.wasm"), other).expect("a file");
    let replaced = place.run("plugin add two.wasm --yes").ended(0);
    assert!(replaced.out.contains("Changes\n  the permissions are the same\n"), "{}", replaced.out);
    assert!(replaced.out.contains("  before  sha256:"), "{}", replaced.out);
    assert!(replaced.out.contains("replaced our-vm-start-step"), "{}", replaced.out);

    place.run("plugin remove our-vm-start-step").ended(0);
    assert!(!place.run("plugin list").ended(0).out.contains("our-vm-start-step"));
}

#[test]
fn a_bundled_plugin_is_not_replaced() {
    let place = Place::new();
    let bytes = component("aws-vm-start-step", &[("AWS / VM / Start", "BAD / VM / Start")]);
    std::fs::write(place.path("bad.wasm"), bytes).expect("a file");
    let refused = place.run("plugin add bad.wasm --yes").ended(2);
    assert!(refused.err.contains("belongs to a bundled plugin"), "{}", refused.err);
}
