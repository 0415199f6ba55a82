//! What the demo makes in its AWS accounts: what a person would have there already.

use std::path::{Path, PathBuf};
use std::time::Duration;

use outrigger_endpoints::{
    Account, AthenaTable, EndpointError, Ministack, Moto, OutriggerAccess, Setup, functions, policy,
};
use serde_json::Value;

/// The account of Outrigger's own user.
const OWN: &str = "111122223333";
/// The account that jobs work in.
pub(crate) const TARGET: &str = "444455556666";
/// The account of the project `web`.
const WEB: &str = "777788889999";

const REGION: &str = "us-east-1";
const AUTO_SCALING: &str = "2011-01-01";
const ORDERS: &str = "2024-05-01,chair,49\n2024-05-01,table,199\n2024-05-02,lamp,25\n";
const EVENTS: [&str; 4] = [
    "INFO started",
    "ERROR connection to the database lost",
    "INFO connected again",
    "ERROR order 4711 has no customer",
];

/// What jobs find in the accounts.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// Ids of two instances.
    pub(crate) instances: Vec<String>,
    /// Bucket with the data of Athena's table, and for its results.
    pub(crate) data_bucket: String,
    /// Bucket of the project.
    pub(crate) site_bucket: String,
    /// Local folder to publish.
    pub(crate) site: PathBuf,
}

/// The identities of the demo.
#[derive(Debug)]
pub(crate) struct Identities {
    /// The system level's.
    pub(crate) system: OutriggerAccess,
    /// The project's.
    pub(crate) project: OutriggerAccess,
}

/// Makes users and roles as the documentation describes them; `system` and `project` are what their roles may do.
///
/// # Errors
/// An endpoint that refuses.
pub(crate) async fn identities(
    ministack: &Ministack,
    external_ids: [&str; 2],
    [system, project]: [&Value; 2],
) -> Result<Identities, EndpointError> {
    let [system_id, project_id] = external_ids;
    let (own, target, web) = (ministack.account(OWN), ministack.account(TARGET), ministack.account(WEB));
    Ok(Identities {
        system: own.outrigger_access(&target, system_id, system).await?,
        project: web.outrigger_access(&web, project_id, project).await?,
    })
}

/// One policy out of several.
pub(crate) fn merged(policies: &[Value]) -> Value {
    let statements: Vec<Value> = policies
        .iter()
        .filter_map(|policy| policy.get("Statement"))
        .flat_map(|statement| match statement {
            Value::Array(several) => several.clone(),
            one => vec![one.clone()],
        })
        .collect();
    let mut merged = policy::allow(&[], &[]);
    if let Some(into) = merged.get_mut("Statement") {
        *into = Value::Array(statements);
    }
    merged
}

/// Makes everything else.
///
/// # Errors
/// An endpoint that refuses, or a folder that cannot be written.
pub(crate) async fn furnish(ministack: &Ministack, moto: &Moto, site: &Path) -> Result<World, EndpointError> {
    let (target, web) = (ministack.account(TARGET), ministack.account(WEB));
    let instances = target.launch("t3.micro", 2, &[("Name", "web"), ("Environment", "demo")]).await?;
    let (data_bucket, site_bucket) = (format!("demo-data-{TARGET}"), format!("demo-site-{WEB}"));
    target.bucket(&data_bucket).await?;
    web.bucket(&site_bucket).await?;
    // An old page, for the sync to remove.
    web.put_object(&site_bucket, "site/old.html", "<p>old</p>").await?;
    data(&target, &data_bucket).await?;
    group(&Setup::new(&moto.url(), REGION, "set-up", "set-up")).await?;
    write_site(site)?;
    Ok(World { instances, data_bucket, site_bucket, site: site.to_owned() })
}

async fn data(target: &Account, bucket: &str) -> Result<(), EndpointError> {
    let columns = "day string, name string, amount int";
    target.athena_table(AthenaTable { database: "shop", table: "orders", columns, bucket, csv: ORDERS }).await?;
    target.log_group("/app/web", "web-1", &EVENTS).await?;
    target.function("report", functions::ECHO, Duration::from_secs(10)).await?;
    target.function("refuse", functions::RAISING, Duration::from_secs(10)).await?;
    target.parameter("/web/release", "2024.5", false).await
}

async fn group(moto: &Setup) -> Result<(), EndpointError> {
    let launch =
        [("LaunchConfigurationName", "web"), ("ImageId", "ami-0123456789abcdef0"), ("InstanceType", "t3.micro")];
    moto.query("autoscaling", "CreateLaunchConfiguration", AUTO_SCALING, &launch).await?;
    let group = [
        ("AutoScalingGroupName", "web"),
        ("LaunchConfigurationName", "web"),
        ("MinSize", "1"),
        ("MaxSize", "4"),
        ("DesiredCapacity", "2"),
        ("AvailabilityZones.member.1", "us-east-1a"),
    ];
    moto.query("autoscaling", "CreateAutoScalingGroup", AUTO_SCALING, &group).await.map(drop)
}

fn write_site(site: &Path) -> Result<(), EndpointError> {
    let pages = [
        ("index.html", "<!doctype html><link rel=stylesheet href=style.css><h1>It works</h1>\n"),
        ("about.html", "<!doctype html><h1>About</h1>\n"),
        ("style.css", "h1 { color: teal }\n"),
        ("img/dot.svg", "<svg xmlns='http://www.w3.org/2000/svg'><circle r='4'/></svg>\n"),
    ];
    for (name, text) in pages {
        let path = site.join(name);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        written.map_err(|source| EndpointError::Io { action: "write", path, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn policies_are_put_together() {
        let one = policy::allow(&["ec2:StartInstances"], &["*"]);
        let single =
            json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": "a:b", "Resource": "*" } });
        let both = merged(&[one, single]);
        assert_eq!(both["Version"], "2012-10-17");
        assert_eq!(both["Statement"][0]["Action"], json!(["ec2:StartInstances"]));
        assert_eq!(both["Statement"][1]["Action"], "a:b");
    }
}
