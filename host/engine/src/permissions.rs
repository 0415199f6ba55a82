//! The operator's grants, as the door asks for them.

use outrigger_config::{Decision, PermissionRequest, Permissions};
use outrigger_door::{AuthorisationRequest, Authorizer};

/// Decides by `[permissions]`.
#[derive(Debug)]
pub struct ConfiguredPermissions(pub Permissions);

impl Authorizer for ConfiguredPermissions {
    fn authorise(&self, request: &AuthorisationRequest<'_>) -> Result<(), String> {
        // What is none of AWS's is granted by the import itself; `reveal`, `seal` and origins have grants of their own.
        for action in request.operation.iam {
            let ask = |resource| {
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
            if request.resources.is_empty() {
                ask(None)?;
            }
            for resource in request.resources {
                ask(Some(resource.as_str()))?;
            }
        }
        Ok(())
    }
}
