//! Links into the AWS console.

/// A page of the AWS console in a region, in the partition that the region belongs to. `path` begins without a slash.
///
/// Hosts: <https://docs.aws.amazon.com/awsconsolehelpdocs/latest/gsg/getting-started.html>, for China
/// <https://docs.amazonaws.cn/en_us/aws/latest/userguide/endpoints-Beijing.html>, for GovCloud
/// <https://docs.aws.amazon.com/govcloud-us/latest/UserGuide/using-console.html>.
///
/// ```
/// use outrigger_plugin_sdk::aws::console_url;
///
/// assert_eq!(console_url("eu-west-1", "athena/home"), "https://eu-west-1.console.aws.amazon.com/athena/home");
/// ```
#[must_use]
pub fn console_url(region: &str, path: &str) -> String {
    let host = if region.starts_with("cn-") {
        "console.amazonaws.cn"
    } else if region.starts_with("us-gov-") {
        "console.amazonaws-us-gov.com"
    } else if region.starts_with("eusc-") {
        "console.amazonaws-eusc.eu"
    } else {
        "console.aws.amazon.com"
    };
    format!("https://{region}.{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_follow_the_partition() {
        assert_eq!(console_url("cn-north-1", "x"), "https://cn-north-1.console.amazonaws.cn/x");
        assert_eq!(console_url("us-gov-west-1", "x"), "https://us-gov-west-1.console.amazonaws-us-gov.com/x");
        assert_eq!(console_url("us-east-1", "x"), "https://us-east-1.console.aws.amazon.com/x");
    }
}
