//! What the door knows of an operation before it is called.

use serde::{Deserialize, Serialize};

/// What a repetition of a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes something; the same call again changes nothing more.
    Idempotent,
    /// Changes something once for each client token, which the host fills in.
    Token,
    /// Changes something each time.
    Unsafe,
}

impl Effect {
    /// Whether the call changes anything outside the host.
    pub fn is_write(self) -> bool {
        self != Self::Read
    }
}

/// An IAM action that an operation needs beyond its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DependentAction {
    /// The action, such as `kms:CreateGrant`.
    pub action: &'static str,
    /// When and why it is needed.
    pub reason: &'static str,
    /// Where AWS says so.
    pub source: &'static str,
}

/// A row of the operation table.
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// Interface with version, such as `outrigger:aws-ec2/instances@0.1.0`.
    pub interface: &'static str,
    /// Function, such as `start-instances`.
    pub function: &'static str,
    /// AWS service as endpoints and audit name it, such as `ec2`; empty for capabilities that are none of AWS's.
    pub service: &'static str,
    /// AWS operation, such as `StartInstances`, or the capability's own name.
    pub action: &'static str,
    /// IAM actions that the call itself needs; some operations need none (`sts:GetCallerIdentity`) or several.
    pub iam: &'static [&'static str],
    /// IAM actions that AWS checks on the caller's behalf for what the call touches.
    pub dependent: &'static [DependentAction],
    /// What a repetition does.
    pub effect: Effect,
    /// Whether it may be called in the grace period after a deadline or a cancellation, to undo what a step started.
    pub clean_up: bool,
}

impl Operation {
    /// `interface#function`, the name of the import that permits the call.
    pub fn import(&self) -> String {
        format!("{}#{}", self.interface, self.function)
    }
}
