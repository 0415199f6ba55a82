//! From nothing to a role that is assumed.

use crate::place::{Place, Printed, snapshot};
use crate::sts::{EXTERNAL_ID, ROLE, Sts};

const START: &str = "- name: Start\n  sequence:\n    commands:\n    - type: aws-vm-start-step\n      configuration: {instanceId: i-0123456789abcdef0}\n";

fn ask(place: &Place, sts: &Sts, line: &str) -> Printed {
    let mut command = place.command(line);
    sts.prepare(&mut command);
    place.finish(command, "")
}

#[test]
fn what_is_to_be_done_in_aws_is_printed_and_then_written_down() {
    let (place, sts) = (Place::new(), Sts::start());
    place.write("start.yaml", START);
    let told = ask(&place, &sts, &format!("config aws start.yaml --external-id {EXTERNAL_ID}")).ended(0);
    snapshot("config-aws.txt", &told.out);
    // Without one an id is made, and the next command names it.
    let made = ask(&place, &sts, "config aws").ended(0).out;
    let id = made.lines().find_map(|line| line.trim().strip_prefix("external id")).expect("an id");
    let id = id.trim().trim_end_matches("(new)").trim().to_owned();
    assert_eq!(id.len(), 32, "{made}");
    assert!(made.contains(&format!("--external-id {id}")), "{made}");

    let refused = ask(&place, &sts, &format!("config aws --role-arn {ROLE} --external-id wrong-id")).ended(1);
    assert!(refused.out.starts_with("wrote [aws.credentials] to [HOME]/home/outrigger.toml\n"), "{}", refused.out);
    assert!(refused.err.contains("sts:AssumeRole"), "{}", refused.err);
    let written = ask(&place, &sts, &format!("config aws --role-arn {ROLE} --external-id {EXTERNAL_ID}")).ended(0);
    assert!(written.out.contains("account   444455556666"), "{}", written.out);
    let file = std::fs::read_to_string(place.path("home/outrigger.toml")).expect("a file");
    assert!(file.contains(&format!("external-id = \"{EXTERNAL_ID}\"")), "{file}");

    let valid = ask(&place, &sts, "credentials validate").ended(0);
    snapshot("credentials-validate.txt", &valid.out);
    let json = ask(&place, &sts, "credentials validate --format json").ended(0).out;
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(value["account"], "444455556666");
    assert_eq!(value["hops"].as_array().map(Vec::len), Some(2));
    assert_eq!(value["region_from"], "AWS_REGION");
    // The configured id is used again.
    assert!(ask(&place, &sts, "config aws").ended(0).out.contains(&format!("external id  {EXTERNAL_ID}\n")));
    assert!(!format!("{}{}{}", told.out, valid.out, json).contains("wJalrXUtnFEMI"));
}

#[test]
fn a_project_gets_a_role_of_its_own() {
    let (place, sts) = (Place::new(), Sts::start());
    place.write("home/outrigger.toml", "# ours\n[aws.credentials]\nprovider = \"environment\"\n");
    place.write("home/projects/web/project.toml", "# theirs\n");
    let told = ask(&place, &sts, "config aws --project web").ended(0).out;
    assert!(told.contains("--role-name outrigger-web"), "{told}");
    assert!(told.contains("outrigger config aws --project web --role-arn"), "{told}");
    let line = format!("config aws --project web --role-arn {ROLE} --external-id {EXTERNAL_ID} --region us-east-1");
    ask(&place, &sts, &line).ended(0);
    let file = std::fs::read_to_string(place.path("home/projects/web/project.toml")).expect("a file");
    assert!(file.starts_with("# theirs\n"), "{file}");
    assert!(file.contains("source = \"system\"") && file.contains("region = \"us-east-1\""), "{file}");
    let system = std::fs::read_to_string(place.path("home/outrigger.toml")).expect("a file");
    assert_eq!(system, "# ours\n[aws.credentials]\nprovider = \"environment\"\n");
}

#[test]
fn keys_in_the_environment_need_no_configuration() {
    let (place, sts) = (Place::new(), Sts::start());
    place.write(
        "whoami.yaml",
        "- name: Who am I\n  sequence:\n    commands:\n    - type: aws-validate-credentials-step\n      configuration: {}\n",
    );
    let printed = ask(&place, &sts, "run whoami.yaml").ended(0);
    assert!(printed.out.contains("arn:aws:iam::111122223333:user/outrigger"), "{}", printed.out);
    let audit = ask(&place, &sts, "audit last").ended(0).out;
    assert!(audit.contains("sts:GetCallerIdentity") && audit.contains("eu-west-1") && audit.contains("r-1"), "{audit}");
    let json = ask(&place, &sts, "audit last --format json").ended(0).out;
    let record: serde_json::Value = serde_json::from_str(json.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&record["action"], &record["outcome"]), (&"GetCallerIdentity".into(), &"ok".into()));
}
