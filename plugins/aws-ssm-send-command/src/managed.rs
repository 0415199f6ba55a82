//! Whether Systems Manager knows the nodes: it is the first thing to go wrong, and SendCommand says little about it.

use outrigger_plugin_sdk::aws::Credentials;
use outrigger_plugin_sdk::aws::ssm::{self, DescribeInstanceInformationInput, InstanceInformation, Target};
use outrigger_plugin_sdk::{Failure, Reason, pages, warn};

use crate::script::{POWERSHELL, SHELL};

/// Looks up the nodes; none where they cannot be looked up.
pub fn check(
    aws: &Credentials,
    ids: &[String],
    targets: &[Target],
) -> Result<Option<Vec<InstanceInformation>>, Failure> {
    let filters = if ids.is_empty() {
        targets.to_vec()
    } else {
        vec![Target { key: "InstanceIds".to_owned(), values: ids.to_vec() }]
    };
    if filters.iter().any(|filter| !is_filter(&filter.key)) {
        return Ok(None);
    }
    let nodes: Result<Vec<InstanceInformation>, Failure> = pages(|next_token| {
        let input = DescribeInstanceInformationInput { filters: filters.clone(), max_results: Some(50), next_token };
        let page = ssm::describe_instance_information(aws, &input)?;
        Ok((page.instance_information_list, page.next_token))
    })
    .collect();
    let nodes = match nodes {
        Ok(nodes) => nodes,
        Err(failure) if failure.reason == Reason::AccessDenied => {
            warn!("not checked whether the nodes are managed by Systems Manager: {}", failure.message);
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    verdict(ids, &nodes)?;
    for node in nodes.iter().filter(|node| node.ping_status != "Online") {
        warn!(
            "{}: its agent is {}; the command waits for it until the delivery timeout",
            node.instance_id, node.ping_status
        );
    }
    Ok(Some(nodes))
}

/// Whether DescribeInstanceInformation knows the key of a target too.
fn is_filter(key: &str) -> bool {
    key == "InstanceIds" || key == "tag-key" || key.starts_with("tag:")
}

fn verdict(ids: &[String], nodes: &[InstanceInformation]) -> Result<(), Failure> {
    let missing: Vec<&str> =
        ids.iter().map(String::as_str).filter(|id| !nodes.iter().any(|node| node.instance_id == *id)).collect();
    if !missing.is_empty() {
        let (verb, them) = if missing.len() == 1 { ("is", "it") } else { ("are", "them") };
        let message = format!(
            "{} {verb} not managed by SSM: see whether {them} runs in this region and account, with the SSM agent, an instance \
             profile with AmazonSSMManagedInstanceCore, and a way to the endpoints of Systems Manager",
            missing.join(", ")
        );
        return Err(Failure::not_found(message).with_code("NotManaged"));
    }
    if nodes.is_empty() {
        let message = "no node that is managed by SSM matches `targets`: see the tags, the region, and whether the SSM agent runs";
        return Err(Failure::not_found(message).with_code("NoInstancesInTag"));
    }
    Ok(())
}

/// The document that runs a script on these nodes.
pub fn script_document(nodes: &[InstanceInformation]) -> Result<&'static str, Failure> {
    let windows = |node: &&InstanceInformation| node.platform_type.as_deref() == Some("Windows");
    match nodes.iter().filter(windows).count() {
        0 => Ok(SHELL),
        count if count == nodes.len() => Ok(POWERSHELL),
        _ => Err(Failure::invalid_input(
            "some of the nodes run Windows and others do not: set `documentName`, or take one step for each",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, platform: &str) -> InstanceInformation {
        InstanceInformation {
            instance_id: id.to_owned(),
            ping_status: "Online".to_owned(),
            platform_type: Some(platform.to_owned()),
            agent_version: None,
            computer_name: None,
        }
    }

    #[test]
    fn nodes_that_are_not_managed_are_named() {
        let ids = ["i-1".to_owned(), "i-2".to_owned()];
        let failure = verdict(&ids, &[node("i-1", "Linux")]).unwrap_err();
        assert!(failure.message.starts_with("i-2 is not managed by SSM"), "{}", failure.message);
        assert_eq!(failure.reason, Reason::NotFound);
        assert!(verdict(&[], &[]).unwrap_err().is("NoInstancesInTag"));
        assert!(verdict(&ids, &[node("i-1", "Linux"), node("i-2", "Linux")]).is_ok());
    }

    #[test]
    fn the_document_follows_the_platform() {
        assert_eq!(script_document(&[]).unwrap(), SHELL);
        assert_eq!(script_document(&[node("i-1", "Linux"), node("i-2", "MacOS")]).unwrap(), SHELL);
        assert_eq!(script_document(&[node("i-1", "Windows")]).unwrap(), POWERSHELL);
        assert!(script_document(&[node("i-1", "Windows"), node("i-2", "Linux")]).is_err());
    }

    #[test]
    fn resource_groups_cannot_be_looked_up() {
        assert!(is_filter("tag:Name") && is_filter("InstanceIds"));
        assert!(!is_filter("resource-groups:Name"));
    }
}
