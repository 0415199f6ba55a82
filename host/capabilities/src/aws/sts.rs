//! AWS Security Token Service.

use outrigger_door::Failure;

use super::{AwsCall, send};
use crate::bindings::outrigger::aws_sts::identity::GetCallerIdentityOutput;

/// GetCallerIdentity.
pub async fn get_caller_identity(call: AwsCall, (): ()) -> Result<GetCallerIdentityOutput, Failure> {
    let output = send!(call, call.sts().get_caller_identity())?;
    Ok(GetCallerIdentityOutput {
        user_id: output.user_id.unwrap_or_default(),
        account: output.account.unwrap_or_default(),
        arn: output.arn.unwrap_or_default(),
    })
}
