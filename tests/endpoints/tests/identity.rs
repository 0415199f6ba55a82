//! ministack with its authentication on judges identities as AWS does.

use std::time::Duration;

use outrigger_endpoints::{Account, EndpointError, Keys, Ministack, policy};

type Outcome = Result<(), EndpointError>;

async fn access(external_id: &str) -> Result<(Account, outrigger_endpoints::OutriggerAccess), EndpointError> {
    let account = Ministack::shared().await?.new_account();
    let access =
        account.outrigger_access(&account, external_id, &policy::allow(&["ec2:DescribeInstances"], &["*"])).await?;
    Ok((account, access))
}

const EC2: &str = "2016-11-15";

#[tokio::test]
async fn the_documented_set_up_works_and_reaches_no_further() -> Outcome {
    let (account, access) = access("ext-1").await?;
    let hour = Duration::from_secs(3600);
    let keys = account.assume(&access.user, &access.role_arn, Some("ext-1"), hour).await?;
    let role = account.as_keys(&keys);
    role.query("ec2", "DescribeInstances", EC2, &[]).await?;

    let refused = role.query("ec2", "TerminateInstances", EC2, &[("InstanceId.1", "i-0123456789abcdef0")]).await;
    assert_eq!(refused.unwrap_err().code(), Some("UnauthorizedOperation"));
    let user = account.as_keys(&access.user);
    let refused = user.query("ec2", "DescribeInstances", EC2, &[]).await;
    assert_eq!(refused.unwrap_err().code(), Some("UnauthorizedOperation"));
    Ok(())
}

#[tokio::test]
async fn a_wrong_or_missing_external_id_is_refused() -> Outcome {
    let (account, access) = access("ext-2").await?;
    for id in [Some("ext-3"), None] {
        let refused = account.assume(&access.user, &access.role_arn, id, Duration::from_secs(900)).await.unwrap_err();
        assert_eq!((refused.code(), refused.status()), (Some("AccessDenied"), Some(403)), "{refused}");
    }
    Ok(())
}

#[tokio::test]
async fn the_role_may_live_in_another_account() -> Outcome {
    let ministack = Ministack::shared().await?;
    let (home, target) = (ministack.new_account(), ministack.new_account());
    let access = home.outrigger_access(&target, "ext-4", &policy::allow(&["ec2:*"], &["*"])).await?;
    assert!(access.role_arn.contains(target.id()) && access.user_arn.contains(home.id()));
    let keys = home.assume(&access.user, &access.role_arn, Some("ext-4"), Duration::from_secs(900)).await?;
    let answer = home.as_keys(&keys).query("sts", "GetCallerIdentity", "2011-06-15", &[]).await?;
    assert_eq!(answer.element("Account").as_deref(), Some(target.id()));
    Ok(())
}

#[tokio::test]
async fn wrong_secrets_and_unknown_keys_are_refused() -> Outcome {
    let (account, access) = access("ext-5").await?;
    let wrong = Keys::new(access.user.access.clone(), "not-the-secret");
    let refused = account.assume(&wrong, &access.role_arn, Some("ext-5"), Duration::from_secs(900)).await;
    assert_eq!(refused.unwrap_err().code(), Some("SignatureDoesNotMatch"));
    let unknown = Keys::new("AKIAIOSFODNN7EXAMPLE", "not-the-secret");
    let refused = account.assume(&unknown, &access.role_arn, Some("ext-5"), Duration::from_secs(900)).await;
    assert_eq!(refused.unwrap_err().code(), Some("InvalidClientTokenId"));
    Ok(())
}

#[tokio::test]
async fn credentials_of_two_seconds_end_after_two_seconds() -> Outcome {
    let (account, access) = access("ext-6").await?;
    let keys = account.assume(&access.user, &access.role_arn, Some("ext-6"), Duration::from_secs(2)).await?;
    let role = account.as_keys(&keys);
    role.query("ec2", "DescribeInstances", EC2, &[]).await?;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let refused = role.query("ec2", "DescribeInstances", EC2, &[]).await;
    assert_eq!(refused.unwrap_err().code(), Some("RequestExpired"));
    Ok(())
}

#[tokio::test]
async fn the_endpoint_logs_what_it_was_asked() -> Outcome {
    let (account, access) = access("ext-7").await?;
    let ministack = Ministack::shared().await?;
    let keys = account.assume(&access.user, &access.role_arn, Some("ext-7"), Duration::from_secs(900)).await?;
    let role = account.as_keys(&keys);
    role.query("ec2", "DescribeInstances", EC2, &[]).await?;
    assert!(
        role.query("ec2", "RunInstances", EC2, &[("ImageId", "ami-1"), ("MinCount", "1"), ("MaxCount", "1")])
            .await
            .is_err()
    );
    let log = ministack.request_log(account.id(), "us-east-1").await?;
    let of_role: Vec<_> = log.iter().filter(|entry| entry.access_key == keys.access).collect();
    assert_eq!(of_role.len(), 1, "only what was authorised: {of_role:?}");
    assert_eq!((of_role[0].service.as_str(), of_role[0].action.as_str()), ("ec2", "DescribeInstances"));
    assert!(log.iter().any(|entry| entry.service == "sts" && entry.action == "AssumeRole"), "{log:?}");
    Ok(())
}
