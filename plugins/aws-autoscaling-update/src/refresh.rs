//! Instance refresh.

use outrigger_plugin_sdk::aws::Credentials;
use outrigger_plugin_sdk::aws::autoscaling::{
    self, DescribeInstanceRefreshesInput, InstanceRefresh, StartInstanceRefreshInput,
};
use outrigger_plugin_sdk::prelude::*;

use crate::Input;

/// Starts an instance refresh and gives its id.
pub fn start(aws: &Credentials, name: &str, input: &Input) -> Result<String, Failure> {
    let request = StartInstanceRefreshInput {
        auto_scaling_group_name: name.to_owned(),
        min_healthy_percentage: input.min_healthy_percentage,
        instance_warmup: input.instance_warmup,
        skip_matching: input.skip_matching.then_some(true),
    };
    let started = autoscaling::start_instance_refresh(aws, &request)?;
    let id = started.instance_refresh_id.ok_or_else(|| Failure::remote("AWS gave no id for the instance refresh"))?;
    info!("{name}: instance refresh {id} started");
    Ok(id)
}

/// Waits for an instance refresh and gives its id and status.
pub fn wait(aws: &Credentials, name: &str, id: &str, input: &Input) -> Result<(String, String), Failure> {
    let mut shown = String::new();
    let cancel = || {
        warn!("{name}: cancelling instance refresh {id}");
        autoscaling::cancel_instance_refresh(aws, name).map(|_| ())
    };
    let what = format!("the instance refresh {id} of {name}");
    let refresh = Waiter::new(what).polling(&input.polling).on_give_up(cancel).until(|| {
        let request = DescribeInstanceRefreshesInput {
            auto_scaling_group_name: name.to_owned(),
            instance_refresh_ids: vec![id.to_owned()],
            max_records: None,
            next_token: None,
        };
        let refreshes = autoscaling::describe_instance_refreshes(aws, &request)?.instance_refreshes;
        let Some(refresh) = refreshes.into_iter().find(|refresh| refresh.instance_refresh_id == id) else {
            return Ok(Poll::Pending("not visible yet".to_owned()));
        };
        let line = describe(&refresh);
        if line != shown {
            info!("{name}: instance refresh {line}");
            shown.clone_from(&line);
        }
        Ok(if is_over(&refresh.status) { Poll::Ready(refresh) } else { Poll::Pending(line) })
    })?;
    verdict(name, refresh)
}

fn describe(refresh: &InstanceRefresh) -> String {
    let done = refresh.percentage_complete.map(|percent| format!(", {percent} %")).unwrap_or_default();
    let left = refresh.instances_to_update.map(|count| format!(", {count} to go")).unwrap_or_default();
    format!("{}{done}{left}", refresh.status)
}

fn is_over(status: &str) -> bool {
    matches!(status, "Successful" | "Failed" | "Cancelled" | "RollbackFailed" | "RollbackSuccessful")
}

fn verdict(name: &str, refresh: InstanceRefresh) -> Result<(String, String), Failure> {
    if refresh.status == "Successful" {
        return Ok((refresh.instance_refresh_id, refresh.status));
    }
    let why = refresh.status_reason.as_deref().unwrap_or("AWS gives no reason");
    let (id, status) = (&refresh.instance_refresh_id, &refresh.status);
    Err(Failure::remote(format!("the instance refresh {id} of {name} is {status}: {why}")).with_code(status.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refresh(status: &str) -> InstanceRefresh {
        InstanceRefresh {
            instance_refresh_id: "r-1".to_owned(),
            status: status.to_owned(),
            status_reason: Some("unhealthy".to_owned()),
            percentage_complete: Some(50),
            instances_to_update: Some(1),
        }
    }

    #[test]
    fn only_a_successful_refresh_is_a_success() {
        assert_eq!(verdict("web", refresh("Successful")).unwrap().1, "Successful");
        for status in ["Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful"] {
            assert!(is_over(status));
            let failure = verdict("web", refresh(status)).unwrap_err();
            assert!(failure.is(status) && failure.message.ends_with("unhealthy"), "{failure:?}");
        }
        for status in ["Pending", "InProgress", "Cancelling", "Baking", "RollbackInProgress"] {
            assert!(!is_over(status), "{status}");
        }
        assert_eq!(describe(&refresh("InProgress")), "InProgress, 50 %, 1 to go");
    }
}
