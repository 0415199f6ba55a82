//! The example jobs of the documentation, and what the demo runs of them.

use super::world::World;

/// An example file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Example {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its text.
    pub(crate) text: &'static str,
}

macro_rules! example {
    ($name:literal) => {
        Example { name: $name, text: include_str!(concat!("../../../../docs/examples/", $name)) }
    };
}

const WHO_AM_I: Example = example!("whoami.yaml");
const INSTANCES: Example = example!("instances.yaml");
const RESIZE: Example = example!("resize-group.yaml");
const SITE: Example = example!("publish-site.yaml");
const ORDERS: Example = example!("orders-report.yaml");
const ERRORS: Example = example!("error-hunt.yaml");
const DISKS: Example = example!("disk-report.yaml");

/// Every example that the demo runs. They are part of the program, which may have been installed without its sources.
pub(crate) const ALL: [Example; 7] = [WHO_AM_I, INSTANCES, RESIZE, SITE, ORDERS, ERRORS, DISKS];

/// Who runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    /// The credentials of the system level.
    System,
    /// The project with its own.
    Project,
}

/// One run of the demo.
#[derive(Debug)]
pub(crate) struct Run {
    /// What it shows.
    pub(crate) what: &'static str,
    /// The job's name.
    pub(crate) job: &'static str,
    /// The example.
    pub(crate) example: Example,
    /// Whose credentials hold.
    pub(crate) identity: As,
    /// Arguments after the file.
    pub(crate) arguments: Vec<String>,
}

/// The runs, in order. Together they use every bundled plugin.
pub(crate) fn runs(world: &World) -> Vec<Run> {
    let site = world.site.display().to_string();
    let instances = format!("instances={}", world.instances.join(","));
    let run = |what, job, example, identity, arguments: &[&str]| Run {
        what,
        job,
        example,
        identity,
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
    };
    vec![
        run("whose credentials are these: the system's", "Who am I", WHO_AM_I, As::System, &[]),
        run("and those of the project `web`", "Who am I", WHO_AM_I, As::Project, &[]),
        run(
            "stop two instances, and wait",
            "Stop instances",
            INSTANCES,
            As::System,
            &["--job", "Stop instances", "-o", &instances],
        ),
        run(
            "start them again, and wait",
            "Start instances",
            INSTANCES,
            As::System,
            &["--job", "Start instances", "-o", &instances],
        ),
        run("make a group larger by one", "Resize group", RESIZE, As::System, &["-o", "group=web", "-o", "desired=+1"]),
        run(
            "publish a folder, as the project `web`",
            "Publish site",
            SITE,
            As::Project,
            &["--allow-dir", &site, "-o", &format!("folder={site}"), "-o", &format!("bucket={}", world.site_bucket)],
        ),
        run(
            "ask Athena",
            "Orders report",
            ORDERS,
            As::System,
            &["-o", "database=shop", "-o", &format!("bucket={}", world.data_bucket), "-o", "day=2024-05-01"],
        ),
        run(
            "look for errors, and call a function",
            "Error hunt",
            ERRORS,
            As::System,
            &["-o", "log-group=/app/web", "-o", "function=report"],
        ),
        run(
            "a command on two nodes, one of which fails; an error handler goes on",
            "Disk report",
            DISKS,
            As::System,
            &["-o", "instances=i-02573cafcfEXAMPLE,i-0471e04240EXAMPLE"],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn together_they_use_every_bundled_plugin() {
        let used: BTreeSet<&str> = ALL
            .iter()
            .flat_map(|example| example.text.lines())
            .filter_map(|line| line.trim().strip_prefix("type: "))
            .filter(|provider| provider.starts_with("aws-"))
            .collect();
        let wanted = BTreeSet::from([
            "aws-athena-query-step",
            "aws-autoscaling-update-step",
            "aws-cli-s3-cp-step",
            "aws-cli-s3-sync-step",
            "aws-lambda-invoke-step",
            "aws-query-cloudwatch-logs-step",
            "aws-ssm-send-command-step",
            "aws-validate-credentials-step",
            "aws-vm-start-step",
            "aws-vm-stop-step",
        ]);
        assert_eq!(used, wanted);
        let world = World::default();
        let run: BTreeSet<&str> = runs(&world).iter().map(|run| run.example.name).collect();
        assert_eq!(run, ALL.iter().map(|example| example.name).collect());
    }
}
