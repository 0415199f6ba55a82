//! The operator's grants, as the door asks for them.

use outrigger_config::{Decision, PermissionRequest, Permissions, action_matches, glob_matches};
use outrigger_door::{AuthorisationRequest, Authorizer};

/// Decides by `[permissions]`.
#[derive(Debug)]
pub struct ConfiguredPermissions(pub Permissions);

/// The grant that would help where a rule looks at resources and the resource's ARN cannot be told.
const UNKNOWN_ARN: &str = "# a rule with `resources` applies, and the ARN of what the call names is not known: it needs a region, \
                           and credentials whose account is known, such as an assumed role";

impl ConfiguredPermissions {
    /// Whether a rule for this plugin and action looks at resources.
    fn looks_at_resources(&self, plugin: &str, action: &str) -> bool {
        self.0.rules().any(|(_, rule)| {
            !rule.resources.is_empty()
                && (rule.plugins.is_empty() || rule.plugins.iter().any(|pattern| glob_matches(pattern, plugin)))
                && (rule.actions.is_empty() || rule.actions.iter().any(|pattern| action_matches(pattern, action)))
        })
    }
}

/// Partition of a region.
fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// The ARN of what a call of a service names; none where a part of it is not known.
/// Source: Service Authorization Reference, "Resource types defined by ..." of each service.
fn arn(service: &str, name: &str, region: Option<&str>, account: Option<&str>) -> Option<String> {
    if name.starts_with("arn:") {
        return Some(name.to_owned());
    }
    let region = region?;
    let partition = partition(region);
    if service == "s3" {
        return Some(format!("arn:{partition}:s3:::{name}"));
    }
    if service == "ssm" && (name.starts_with("AWS-") || name.starts_with("Amazon")) {
        return Some(format!("arn:{partition}:ssm:{region}::document/{name}"));
    }
    let account = account?;
    let (service, resource) = match service {
        "ec2" => ("ec2", format!("instance/{name}")),
        "ssm" if name.starts_with("i-") => ("ec2", format!("instance/{name}")),
        "ssm" if name.starts_with("mi-") => ("ssm", format!("managed-instance/{name}")),
        "ssm" => ("ssm", format!("document/{name}")),
        // The id in the middle is not known; a name is unique in its account and region.
        "autoscaling" => ("autoscaling", format!("autoScalingGroup:*:autoScalingGroupName/{name}")),
        "athena" => ("athena", format!("workgroup/{name}")),
        "logs" => ("logs", format!("log-group:{name}")),
        // `account:function:name` and `name:alias` are partial ARNs of their own.
        "lambda" if !name.contains(':') => ("lambda", format!("function:{name}")),
        _ => return None,
    };
    Some(format!("arn:{partition}:{service}:{region}:{account}:{resource}"))
}

impl Authorizer for ConfiguredPermissions {
    fn authorise(&self, request: &AuthorisationRequest<'_>) -> Result<(), String> {
        // What is none of AWS's is granted by the import itself; `reveal`, `seal` and origins have grants of their own.
        for action in request.operation.iam {
            let ask = |resource: Option<&str>| {
                let decision = self.0.decide(&PermissionRequest {
                    plugin: request.plugin,
                    action,
                    region: request.region,
                    account: request.account,
                    resource,
                });
                match decision {
                    Decision::Allowed => Ok(()),
                    Decision::Denied { missing, .. } => Err(missing),
                }
            };
            if request.resources.is_empty() || !self.looks_at_resources(request.plugin, action) {
                ask(None)?;
                continue;
            }
            for name in request.resources {
                // Not knowing what a call is about is no reason to let it through.
                let arn = arn(request.operation.service, name, request.region, request.account)
                    .ok_or_else(|| UNKNOWN_ARN.to_owned())?;
                ask(Some(&arn))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_capabilities::operations::rows;
    use outrigger_config::parse_system;
    use outrigger_door::Operation;

    fn permissions(toml: &str) -> ConfiguredPermissions {
        let file = parse_system(toml, "outrigger.toml").unwrap();
        ConfiguredPermissions(Permissions::new(vec![file.permissions]))
    }

    fn decide(
        permissions: &ConfiguredPermissions,
        operation: &Operation,
        account: Option<&str>,
        resources: &[&str],
    ) -> Result<(), String> {
        let resources: Vec<String> = resources.iter().map(|name| (*name).to_owned()).collect();
        permissions.authorise(&AuthorisationRequest {
            plugin: "aws-vm-start-step",
            operation,
            region: Some("eu-west-1"),
            account,
            resources: &resources,
        })
    }

    #[test]
    fn rules_by_arn_hold_for_calls_that_name_ids() {
        let denied = permissions(
            "[[permissions.deny]]\nactions = [\"ec2:*\"]\nresources = [\"arn:aws:ec2:*:*:instance/i-prod*\"]\n",
        );
        let start = &rows::ec2_instances::start_instances;
        let account = Some("111122223333");
        decide(&denied, start, account, &["i-test1"]).unwrap();
        decide(&denied, start, account, &["i-prod1"]).unwrap_err();
        decide(&denied, start, account, &["i-test1", "i-prod1"]).unwrap_err();
        decide(&denied, &rows::ec2_instances::describe_instances, account, &[]).unwrap();
        // Without an account there is no ARN to compare, so nothing is let through.
        let missing = decide(&denied, start, None, &["i-test1"]).unwrap_err();
        assert!(missing.contains("account is known"), "{missing}");

        let allowed = permissions(
            "[[permissions.allow]]\nactions = [\"s3:*\"]\nresources = [\"arn:aws:s3:::site\", \"arn:aws:s3:::site/*\"]\n",
        );
        decide(&allowed, &rows::s3_objects::list_objects_v2, None, &["site"]).unwrap();
        decide(&allowed, &rows::s3_transfer::upload, None, &["site/index.html"]).unwrap();
        decide(&allowed, &rows::s3_transfer::upload, None, &["other/index.html"]).unwrap_err();
    }

    #[test]
    fn names_become_arns() {
        for (service, name, expected) in [
            ("ec2", "i-1", "arn:aws:ec2:eu-west-1:1:instance/i-1"),
            ("ssm", "AWS-RunShellScript", "arn:aws:ssm:eu-west-1::document/AWS-RunShellScript"),
            ("ssm", "mine", "arn:aws:ssm:eu-west-1:1:document/mine"),
            ("ssm", "i-1", "arn:aws:ec2:eu-west-1:1:instance/i-1"),
            ("ssm", "mi-1", "arn:aws:ssm:eu-west-1:1:managed-instance/mi-1"),
            ("autoscaling", "web", "arn:aws:autoscaling:eu-west-1:1:autoScalingGroup:*:autoScalingGroupName/web"),
            ("athena", "primary", "arn:aws:athena:eu-west-1:1:workgroup/primary"),
            ("logs", "/app", "arn:aws:logs:eu-west-1:1:log-group:/app"),
            ("lambda", "report", "arn:aws:lambda:eu-west-1:1:function:report"),
            ("lambda", "arn:aws:lambda:x", "arn:aws:lambda:x"),
        ] {
            assert_eq!(arn(service, name, Some("eu-west-1"), Some("1")).as_deref(), Some(expected));
        }
        assert_eq!(arn("s3", "b/k", Some("cn-north-1"), None).as_deref(), Some("arn:aws-cn:s3:::b/k"));
        assert_eq!(arn("lambda", "1:function:report", Some("eu-west-1"), Some("1")), None);
    }
}
