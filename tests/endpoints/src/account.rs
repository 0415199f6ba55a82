use std::time::Duration;

use serde_json::Value;

use crate::{
    credentials::Vendor,
    error::{EndpointError, Result},
    http_client::Answer,
    keys::Keys,
    policy,
    setup::{Setup, start},
};

const IAM: &str = "2010-05-08";
const STS: &str = "2011-06-15";

/// An AWS account of ministack, seen as its root. It makes what a person would make in the console.
#[derive(Debug, Clone)]
pub struct Account {
    id: String,
    root: Setup,
}

/// What Outrigger needs to work in an account, as its documentation describes it.
#[derive(Debug, Clone)]
pub struct OutriggerAccess {
    /// The keys of the user that may only assume the role.
    pub user: Keys,
    /// The user's ARN.
    pub user_arn: String,
    /// The role to assume.
    pub role_arn: String,
    /// The external id that its trust policy asks for.
    pub external_id: String,
}

impl Account {
    pub(crate) fn new(url: &str, id: &str) -> Self {
        Self { id: id.into(), root: Setup::new(url, "us-east-1", id, "root") }
    }

    /// The 12-digit number.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A client with the rights of the account's root, in us-east-1.
    pub fn root(&self) -> &Setup {
        &self.root
    }

    /// The same account, with the work in another region.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        Self { id: self.id.clone(), root: self.root.in_region(region) }
    }

    /// A client with other keys at the same endpoint and in the same region.
    pub fn as_keys(&self, keys: &Keys) -> Setup {
        Setup::with_keys(self.root.endpoint(), self.root.region(), keys.clone())
    }

    /// A user with one access key and, where given, one inline policy. Returns its keys.
    ///
    /// # Errors
    /// If the endpoint refuses, such as for a name that is taken.
    pub async fn user(&self, name: &str, policy: Option<&Value>) -> Result<Keys> {
        self.root.query("iam", "CreateUser", IAM, &[("UserName", name)]).await?;
        if let Some(policy) = policy {
            let document = policy.to_string();
            let params = [("UserName", name), ("PolicyName", "outrigger"), ("PolicyDocument", &document)];
            self.root.query("iam", "PutUserPolicy", IAM, &params).await?;
        }
        let made = self.root.query("iam", "CreateAccessKey", IAM, &[("UserName", name)]).await?;
        Ok(Keys::new(
            required(&made, "CreateAccessKey", "AccessKeyId")?,
            required(&made, "CreateAccessKey", "SecretAccessKey")?,
        ))
    }

    /// A role with this trust policy and these permissions as its inline policy. Returns its ARN.
    ///
    /// # Errors
    /// If the endpoint refuses, such as for a name that is taken.
    pub async fn role(&self, name: &str, trust: &Value, permissions: Option<&Value>) -> Result<String> {
        let trust = trust.to_string();
        let params = [("RoleName", name), ("AssumeRolePolicyDocument", &trust)];
        let made = self.root.query("iam", "CreateRole", IAM, &params).await?;
        if let Some(permissions) = permissions {
            self.role_policy(name, "outrigger", permissions).await?;
        }
        required(&made, "CreateRole", "Arn")
    }

    /// Adds or replaces an inline policy of a role.
    ///
    /// # Errors
    /// If the endpoint refuses.
    pub async fn role_policy(&self, role: &str, name: &str, policy: &Value) -> Result<()> {
        let document = policy.to_string();
        let params = [("RoleName", role), ("PolicyName", name), ("PolicyDocument", &document)];
        self.root.query("iam", "PutRolePolicy", IAM, &params).await.map(drop)
    }

    /// The documented set-up: a user `outrigger` in this account that may only assume the role `outrigger-jobs` of
    /// `target` (the same account or another one), which trusts this account with the external id.
    ///
    /// # Errors
    /// If the endpoint refuses.
    pub async fn outrigger_access(
        &self,
        target: &Account,
        external_id: &str,
        permissions: &Value,
    ) -> Result<OutriggerAccess> {
        let trust = policy::console_trust(&self.id, Some(external_id));
        let role_arn = target.role("outrigger-jobs", &trust, Some(permissions)).await?;
        let user = self.user("outrigger", Some(&policy::may_assume(&[&role_arn]))).await?;
        Ok(OutriggerAccess {
            user,
            user_arn: format!("arn:aws:iam::{}:user/outrigger", self.id),
            role_arn,
            external_id: external_id.into(),
        })
    }

    /// A role for an AWS service, such as `ec2.amazonaws.com`, with a vendor of its credentials for a stand-in.
    ///
    /// What AWS does for its service, a helping user does here: the role trusts it besides the service. Returns the
    /// role's ARN too.
    ///
    /// # Errors
    /// If the endpoint refuses, such as for a name that is taken.
    pub async fn service_role(
        &self,
        name: &str,
        service: &str,
        permissions: &Value,
        duration: Duration,
    ) -> Result<(String, Vendor)> {
        let helper = format!("{name}-vendor");
        let user = self.user(&helper, Some(&policy::may_assume(&["*"]))).await?;
        let mut trust = policy::service_trust(service);
        if let Some(statements) = trust.get_mut("Statement").and_then(Value::as_array_mut) {
            statements.push(serde_json::json!({
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": { "AWS": format!("arn:aws:iam::{}:user/{helper}", self.id) },
            }));
        }
        let arn = self.role(name, &trust, Some(permissions)).await?;
        let (account, role) = (self.clone(), arn.clone());
        let vendor = Vendor::new(move || {
            let (account, user, role) = (account.clone(), user.clone(), role.clone());
            async move { account.assume(&user, &role, None, duration).await }
        });
        Ok((arn, vendor))
    }

    /// Assumes a role with given keys: what stands behind the stand-ins for instance and task credentials.
    ///
    /// # Errors
    /// If the endpoint refuses, with AWS's code.
    pub async fn assume(
        &self,
        keys: &Keys,
        role_arn: &str,
        external_id: Option<&str>,
        duration: Duration,
    ) -> Result<Keys> {
        let seconds = duration.as_secs().to_string();
        let mut params = vec![("RoleArn", role_arn), ("RoleSessionName", "set-up"), ("DurationSeconds", &seconds)];
        params.extend(external_id.map(|id| ("ExternalId", id)));
        let made = self.as_keys(keys).query("sts", "AssumeRole", STS, &params).await?;
        let get = |name: &str| required(&made, "AssumeRole", name);
        let expiry = get("Expiration")?;
        let expiry: jiff::Timestamp = expiry.parse().map_err(|_| missing(&made, "AssumeRole", "a valid Expiration"))?;
        Ok(Keys {
            access: get("AccessKeyId")?,
            secret: get("SecretAccessKey")?,
            token: Some(get("SessionToken")?),
            expiry: Some(expiry.into()),
        })
    }
}

/// The text of an element that must be there.
pub(crate) fn required(answer: &Answer, action: &str, name: &str) -> Result<String> {
    answer.element(name).ok_or_else(|| missing(answer, action, name))
}

pub(crate) fn missing(answer: &Answer, action: &str, name: &str) -> EndpointError {
    EndpointError::Answer { action: action.into(), missing: name.into(), body: start(&answer.text()) }
}
