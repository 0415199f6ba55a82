//! AWS / Autoscaling / Update / Groups.

mod refresh;
mod sizes;

use outrigger_plugin_sdk::aws::autoscaling::{
    self, AutoScalingGroup, DescribeAutoScalingGroupsInput, ScalingProcessQuery, SetDesiredCapacityInput,
    UpdateAutoScalingGroupInput,
};
use outrigger_plugin_sdk::aws::{AwsConnection, Credentials, credentials};
use outrigger_plugin_sdk::prelude::*;

use sizes::{Size, Sizes};

/// Changes an Auto Scaling group.
pub struct Update;

/// Configuration of the step.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Name of the group.
    #[schemars(title = "Auto Scaling Group Name")]
    pub auto_scaling_group_name: String,
    /// Size that the group is kept at: a number, or `+1` or `-1` for a change. Left out, it stays.
    #[serde(default)]
    #[schemars(title = "Desired Capacity", with = "Size")]
    pub desired_capacity: Option<Size>,
    /// Largest size: a number, or a change.
    #[serde(default)]
    #[schemars(title = "Max Size", with = "Size")]
    pub max_size: Option<Size>,
    /// Smallest size: a number, or a change.
    #[serde(default)]
    #[schemars(title = "Min Size", with = "Size")]
    pub min_size: Option<Size>,
    /// Seconds after a scaling activity before another one starts.
    #[serde(default)]
    #[schemars(title = "Default cooldown", with = "i32", range(min = 0), extend("x-outrigger-group" = "Advanced"))]
    pub default_cooldown: Option<i32>,
    /// Refuse to change the desired capacity while a cooldown is in progress.
    #[serde(default)]
    #[schemars(title = "Honor cooldown", extend("x-outrigger-group" = "Advanced"))]
    pub honor_cooldown: bool,
    /// Processes to suspend before anything else, such as `AZRebalance`; `All` for all.
    #[serde(default)]
    #[schemars(title = "Suspend processes", extend("x-outrigger-group" = "Advanced"))]
    pub suspend_processes: CommaList,
    /// Processes to resume at the end, also when the step fails; `All` for all.
    #[serde(default)]
    #[schemars(title = "Resume processes", extend("x-outrigger-group" = "Advanced"))]
    pub resume_processes: CommaList,
    /// Replace the group's instances after the change.
    #[serde(default)]
    #[schemars(title = "Instance refresh", extend("x-outrigger-group" = "Instance refresh"))]
    pub instance_refresh: bool,
    /// Share of the capacity that must stay healthy meanwhile, in percent.
    #[serde(default)]
    #[schemars(title = "Min healthy percentage", with = "i32", range(min = 0, max = 100))]
    #[schemars(extend("x-outrigger-group" = "Instance refresh"))]
    pub min_healthy_percentage: Option<i32>,
    /// Seconds that a new instance gets before it counts as ready.
    #[serde(default)]
    #[schemars(title = "Instance warmup", with = "i32", range(min = 0), extend("x-outrigger-group" = "Instance refresh"))]
    pub instance_warmup: Option<i32>,
    /// Leave out instances that match the desired configuration already.
    #[serde(default)]
    #[schemars(title = "Skip matching", extend("x-outrigger-group" = "Instance refresh"))]
    pub skip_matching: bool,
    /// Wait for the instance refresh, and cancel it when the step is aborted or times out.
    #[serde(default = "yes")]
    #[schemars(title = "Wait for the refresh", extend("x-outrigger-group" = "Instance refresh"))]
    pub wait_for_refresh: bool,
    /// Wait until as many instances as desired are in service and none comes or goes.
    #[serde(default)]
    #[schemars(title = "Wait for InService", extend("x-outrigger-group" = "Waiting"))]
    pub wait_for_in_service: bool,
    /// How long each of the waits may take.
    #[serde(flatten)]
    pub polling: Polling<1800>,
    /// Region and credentials.
    #[serde(flatten)]
    pub aws: AwsConnection,
}

/// What came of the change.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Sizes before the step.
    before: Sizes,
    /// Sizes after the step.
    after: Sizes,
    /// Smallest size after the step.
    min_size: i32,
    /// Largest size after the step.
    max_size: i32,
    /// Desired capacity after the step.
    desired_capacity: i32,
    /// Smallest size before the step.
    previous_min_size: i32,
    /// Largest size before the step.
    previous_max_size: i32,
    /// Desired capacity before the step.
    previous_desired_capacity: i32,
    /// Instances that are in service and healthy.
    in_service: usize,
    /// Ids of the group's instances.
    instance_ids: Vec<String>,
    /// Names of the processes that are suspended.
    suspended_processes: Vec<String>,
    /// Id of the instance refresh.
    instance_refresh_id: Option<String>,
    /// Status of the instance refresh when the step looked last.
    instance_refresh_status: Option<String>,
}

impl JobStep for Update {
    const PROVIDER: &'static str = "aws-autoscaling-update-step";
    const TITLE: &'static str = "AWS / Autoscaling / Update / Groups";
    const SUMMARY: &'static str = "Changes the sizes of an Auto Scaling group, suspends and resumes its processes, replaces its instances, and waits for them.";
    type Input = Input;
    type Outputs = Outputs;

    fn run(input: Input) -> Result<(), Failure> {
        check(&input)?;
        let aws = credentials()?;
        let name = input.auto_scaling_group_name.trim().to_owned();
        let before = describe(&aws, &name)?;
        let sizes = Sizes::of(&before);
        let wanted = sizes.changed(&name, input.min_size, input.max_size, input.desired_capacity)?;
        if !input.suspend_processes.is_empty() {
            autoscaling::suspend_processes(&aws, &processes(&name, &input.suspend_processes))?;
            info!("{name}: suspended {}", input.suspend_processes.join(", "));
        }
        let changed = change(&aws, &name, &input, sizes, wanted);
        let resumed = resume(&aws, &name, &input);
        let refresh = changed?;
        resumed?;
        report(&aws, &name, sizes, refresh)
    }
}

fn check(input: &Input) -> Result<(), Failure> {
    let nothing = input.min_size.is_none()
        && input.max_size.is_none()
        && input.desired_capacity.is_none()
        && input.default_cooldown.is_none()
        && input.suspend_processes.is_empty()
        && input.resume_processes.is_empty()
        && !input.instance_refresh
        && !input.wait_for_in_service;
    if nothing {
        return Err(Failure::invalid_input(
            "nothing to do: set `desiredCapacity`, `minSize`, `maxSize` or another of the step's fields",
        ));
    }
    Ok(())
}

/// The group; `not-found` where there is none.
fn describe(aws: &Credentials, name: &str) -> Result<AutoScalingGroup, Failure> {
    let input = DescribeAutoScalingGroupsInput {
        auto_scaling_group_names: vec![name.to_owned()],
        max_records: None,
        next_token: None,
    };
    let groups = autoscaling::describe_auto_scaling_groups(aws, &input)?.auto_scaling_groups;
    groups.into_iter().find(|group| group.auto_scaling_group_name == name).ok_or_else(|| {
        let region = aws.region().unwrap_or_else(|_| "this region".to_owned());
        Failure::not_found(format!("there is no Auto Scaling group `{name}` in {region}"))
    })
}

fn processes(name: &str, list: &CommaList) -> ScalingProcessQuery {
    let all = list.iter().any(|process| process.eq_ignore_ascii_case("all"));
    let scaling_processes = if all { Vec::new() } else { list.distinct() };
    ScalingProcessQuery { auto_scaling_group_name: name.to_owned(), scaling_processes }
}

/// Also after a failure: a step that suspends and resumes shall not leave a group that no longer heals.
fn resume(aws: &Credentials, name: &str, input: &Input) -> Result<(), Failure> {
    if input.resume_processes.is_empty() {
        return Ok(());
    }
    let resumed = autoscaling::resume_processes(aws, &processes(name, &input.resume_processes));
    match &resumed {
        Ok(()) => info!("{name}: resumed {}", input.resume_processes.join(", ")),
        Err(failure) => error!("{name}: not resumed {}: {}", input.resume_processes.join(", "), failure.message),
    }
    resumed
}

/// Changes sizes, replaces instances and waits: gives id and status of the refresh.
fn change(
    aws: &Credentials,
    name: &str,
    input: &Input,
    before: Sizes,
    wanted: Sizes,
) -> Result<Option<(String, String)>, Failure> {
    let sizes_given = input.min_size.is_some() || input.max_size.is_some() || input.desired_capacity.is_some();
    if sizes_given || input.default_cooldown.is_some() {
        update(aws, name, input, wanted)?;
        info!("{name}: {before} -> {wanted}");
    }
    let refresh = match input.instance_refresh {
        true => Some(refresh::start(aws, name, input)?),
        false => None,
    };
    let refresh = match refresh {
        Some(id) if input.wait_for_refresh => Some(refresh::wait(aws, name, &id, input)?),
        Some(id) => Some((id, "Pending".to_owned())),
        None => None,
    };
    if input.wait_for_in_service {
        wait_for_in_service(aws, name, input)?;
    }
    Ok(refresh)
}

/// UpdateAutoScalingGroup does not look at cooldowns; SetDesiredCapacity can.
fn update(aws: &Credentials, name: &str, input: &Input, wanted: Sizes) -> Result<(), Failure> {
    let desired = input.desired_capacity.map(|_| wanted.desired_capacity);
    let at_once = desired.filter(|_| !input.honor_cooldown);
    if input.min_size.is_some() || input.max_size.is_some() || input.default_cooldown.is_some() || at_once.is_some() {
        let request = UpdateAutoScalingGroupInput {
            auto_scaling_group_name: name.to_owned(),
            min_size: input.min_size.map(|_| wanted.min_size),
            max_size: input.max_size.map(|_| wanted.max_size),
            desired_capacity: at_once,
            default_cooldown: input.default_cooldown,
        };
        autoscaling::update_auto_scaling_group(aws, &request)?;
    }
    if let Some(desired_capacity) = desired.filter(|_| input.honor_cooldown) {
        let request = SetDesiredCapacityInput {
            auto_scaling_group_name: name.to_owned(),
            desired_capacity,
            honor_cooldown: Some(true),
        };
        autoscaling::set_desired_capacity(aws, &request)?;
    }
    Ok(())
}

fn in_service(group: &AutoScalingGroup) -> usize {
    let ready = |lifecycle: &str, health: &str| lifecycle == "InService" && health.eq_ignore_ascii_case("healthy");
    group.instances.iter().filter(|instance| ready(&instance.lifecycle_state, &instance.health_status)).count()
}

fn wait_for_in_service(aws: &Credentials, name: &str, input: &Input) -> Result<(), Failure> {
    let waiter = Waiter::new(format!("the instances of {name} to be in service")).polling(&input.polling);
    waiter.until(|| Ok(look(&describe(aws, name)?)))
}

fn look(group: &AutoScalingGroup) -> Poll<()> {
    let ready = in_service(group);
    let moving = |state: &str| state.starts_with("Pending") || state.starts_with("Terminating");
    let moving = group.instances.iter().filter(|instance| moving(&instance.lifecycle_state)).count();
    if usize::try_from(group.desired_capacity).is_ok_and(|desired| ready >= desired) && moving == 0 {
        return Poll::Ready(());
    }
    let suspended = group.suspended_processes.iter().any(|process| process == "Launch" || process == "Terminate");
    let hint = if suspended { "; its processes Launch or Terminate are suspended" } else { "" };
    Poll::Pending(format!("{ready} of {} in service, {moving} coming or going{hint}", group.desired_capacity))
}

fn report(aws: &Credentials, name: &str, before: Sizes, refresh: Option<(String, String)>) -> Result<(), Failure> {
    let group = describe(aws, name)?;
    let after = Sizes::of(&group);
    let mut table = Table::new(["", "min", "desired", "max"]);
    for (when, sizes) in [("before", before), ("after", after)] {
        let number = |number: i32| number.to_string();
        table.row([when.to_owned(), number(sizes.min_size), number(sizes.desired_capacity), number(sizes.max_size)]);
    }
    table.print();
    let (instance_refresh_id, instance_refresh_status) = refresh.unzip();
    outputs(&Outputs {
        before,
        after,
        min_size: after.min_size,
        max_size: after.max_size,
        desired_capacity: after.desired_capacity,
        previous_min_size: before.min_size,
        previous_max_size: before.max_size,
        previous_desired_capacity: before.desired_capacity,
        in_service: in_service(&group),
        instance_ids: group.instances.iter().map(|instance| instance.instance_id.clone()).collect(),
        suspended_processes: group.suspended_processes,
        instance_refresh_id,
        instance_refresh_status,
    })
}

outrigger_plugin_sdk::export_job_step!(Update);

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::aws::autoscaling::Instance;
    use outrigger_plugin_sdk::json::{self, json};

    fn group(desired_capacity: i32, states: &[(&str, &str)], suspended: &[&str]) -> AutoScalingGroup {
        AutoScalingGroup {
            auto_scaling_group_name: "web".to_owned(),
            auto_scaling_group_arn: None,
            min_size: 0,
            max_size: 9,
            desired_capacity,
            default_cooldown: None,
            instances: states
                .iter()
                .map(|(lifecycle_state, health_status)| Instance {
                    instance_id: "i-1".to_owned(),
                    lifecycle_state: (*lifecycle_state).to_owned(),
                    health_status: (*health_status).to_owned(),
                    availability_zone: "a".to_owned(),
                })
                .collect(),
            suspended_processes: suspended.iter().map(|process| (*process).to_owned()).collect(),
            status: None,
        }
    }

    #[test]
    fn in_service_means_as_many_as_desired_and_nothing_moving() {
        let ready = ("InService", "Healthy");
        assert_eq!(look(&group(1, &[ready], &[])), Poll::Ready(()));
        assert_eq!(look(&group(1, &[ready, ("Standby", "Healthy")], &[])), Poll::Ready(()));
        assert!(matches!(look(&group(2, &[ready], &[])), Poll::Pending(_)));
        assert!(matches!(look(&group(1, &[ready, ("Terminating:Wait", "Healthy")], &[])), Poll::Pending(_)));
        assert!(matches!(look(&group(1, &[("InService", "Unhealthy")], &[])), Poll::Pending(_)));
        let Poll::Pending(seen) = look(&group(2, &[ready], &["Launch"])) else { panic!() };
        assert_eq!(seen, "1 of 2 in service, 0 coming or going; its processes Launch or Terminate are suspended");
        assert_eq!(look(&group(0, &[], &[])), Poll::Ready(()));
    }

    #[test]
    fn a_step_without_a_task_is_refused() {
        let input = |value| json::from_value::<Input>(value).unwrap();
        assert!(check(&input(json!({"autoScalingGroupName": "web"}))).is_err());
        assert!(check(&input(json!({"autoScalingGroupName": "web", "desiredCapacity": "+1"}))).is_ok());
        assert!(check(&input(json!({"autoScalingGroupName": "web", "resumeProcesses": "All"}))).is_ok());
    }

    #[test]
    fn all_processes_are_an_empty_list() {
        assert!(processes("web", &CommaList::parse("Launch,all")).scaling_processes.is_empty());
        assert_eq!(processes("web", &CommaList::parse("Launch,Launch")).scaling_processes, ["Launch"]);
    }
}
