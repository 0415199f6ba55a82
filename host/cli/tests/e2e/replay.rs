use crate::support::{Scene, block, job, replay, step};

/// A recording that was changed, or a job that was: the message names step and call.
#[test]
fn a_divergence_names_step_and_call() {
    let scene = Scene::new();
    let ids = block(scene.account.launch("t3.micro", 1, &[])).unwrap();
    let text = job(&[
        step("aws-validate-credentials-step", &[]),
        step("aws-vm-stop-step", &[("instanceId", &ids[0]), ("pollInterval", "50ms")]),
    ]);
    let recording = scene.home.path().join("stop.recording");
    scene.run(&text, &["--record", &recording.display().to_string()]).with_code(0);
    let original = std::fs::read_to_string(&recording).unwrap();
    let replayed = |changed: &str| {
        std::fs::write(&recording, changed).unwrap();
        replay(&recording)
    };
    replayed(&original).with_code(0);

    // Another instance in the recorded request.
    let call = original.lines().find(|line| line.contains("stop-instances")).expect("the call").to_owned();
    let ran = replayed(&original.replace(&call, &call.replace(&ids[0], "i-0000000000000000"))).with_code(1);
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("step 2") && said.contains("diverged at call") && said.contains("stop-instances"), "{said}");
    // The recording ends early.
    let short: String = original.lines().filter(|line| *line != call).map(|line| format!("{line}\n")).collect();
    let ran = replayed(&short).with_code(1);
    assert!(format!("{}{}", ran.out, ran.err).contains("diverged"), "{ran}");
    // No recording at all.
    let ran = replayed("nothing\n").with_code(2);
    assert!(ran.err.contains("line 1"), "{ran}");
}

#[test]
fn secret_keys_are_not_in_a_recording() {
    let scene = Scene::new();
    let recording = scene.home.path().join("who.recording");
    let text = job(&[step("aws-validate-credentials-step", &[])]);
    scene.run(&text, &["--record", &recording.display().to_string()]).with_code(0);
    let text = std::fs::read_to_string(&recording).unwrap();
    assert!(!text.contains(&scene.access.user.secret) && text.contains(scene.account.id()));
}
