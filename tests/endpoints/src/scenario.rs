use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderName, Method};
use serde_json::{Value, json};

use crate::{
    account::{Account, missing, required},
    error::{EndpointError, Result},
    policy,
};

const EC2: &str = "2016-11-15";
const AUTO_SCALING: &str = "2011-01-01";

/// Python sources of functions that behave in one known way each.
pub mod functions {
    /// Gives its event back as `{"echo": <event>}` and prints one line.
    pub const ECHO: &str = "def handler(event, context):\n    print('echo of', event)\n    return {'echo': event}\n";
    /// Raises `ValueError("no such order: <event.order>")`.
    pub const RAISING: &str =
        "def handler(event, context):\n    raise ValueError('no such order: %s' % event.get('order'))\n";
    /// Sleeps for `event.seconds`.
    pub const SLOW: &str =
        "import time\ndef handler(event, context):\n    time.sleep(event['seconds'])\n    return 'awake'\n";
}

/// A table over CSV files without a header line, and where its queries leave their results.
#[derive(Debug, Clone, Copy)]
pub struct AthenaTable<'a> {
    /// The database, which is made with it.
    pub database: &'a str,
    /// The table.
    pub table: &'a str,
    /// The columns as Athena's DDL writes them, such as `name string, amount int`.
    pub columns: &'a str,
    /// The bucket, which must exist; data goes below `data/`, results below `results/`.
    pub bucket: &'a str,
    /// The rows as CSV.
    pub csv: &'a str,
}

/// What a set-up does in an account besides identities. In ministack everything exists as soon as the call returns.
impl Account {
    /// Launches instances with these tags (`Name` and so on). Returns their ids.
    ///
    /// # Errors
    /// If the endpoint refuses.
    pub async fn launch(&self, instance_type: &str, count: u32, tags: &[(&str, &str)]) -> Result<Vec<String>> {
        let count = count.to_string();
        let mut params: Vec<(String, &str)> = vec![
            ("ImageId".into(), "ami-0123456789abcdef0"),
            ("InstanceType".into(), instance_type),
            ("MinCount".into(), &count),
            ("MaxCount".into(), &count),
        ];
        if !tags.is_empty() {
            params.push(("TagSpecification.1.ResourceType".into(), "instance"));
        }
        for (number, (name, value)) in (1..).zip(tags) {
            params.push((format!("TagSpecification.1.Tag.{number}.Key"), name));
            params.push((format!("TagSpecification.1.Tag.{number}.Value"), value));
        }
        let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let answer = self.root().query("ec2", "RunInstances", EC2, &params).await?;
        Ok(answer.elements("instanceId"))
    }

    /// The state of an instance, such as `running`.
    ///
    /// # Errors
    /// If the endpoint refuses, such as for an id that it does not know.
    pub async fn instance_state(&self, id: &str) -> Result<String> {
        let answer = self.root().query("ec2", "DescribeInstances", EC2, &[("InstanceId.1", id)]).await?;
        let state = answer.element("instanceState").and_then(|state| crate::xml::elements(&state, "name").pop());
        state.ok_or_else(|| missing(&answer, "DescribeInstances", "instanceState"))
    }

    /// Stops instances, so that a job can start them.
    ///
    /// # Errors
    /// If the endpoint refuses.
    pub async fn stop(&self, ids: &[String]) -> Result<()> {
        let names: Vec<String> = (1..=ids.len()).map(|number| format!("InstanceId.{number}")).collect();
        let params: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(ids.iter().map(String::as_str)).collect();
        self.root().query("ec2", "StopInstances", EC2, &params).await.map(drop)
    }

    /// An Auto Scaling group with a launch configuration of its own name.
    ///
    /// # Errors
    /// If the endpoint refuses, such as for a name that is taken.
    pub async fn auto_scaling_group(&self, name: &str, min: u32, max: u32, desired: u32) -> Result<()> {
        let params =
            [("LaunchConfigurationName", name), ("ImageId", "ami-0123456789abcdef0"), ("InstanceType", "t3.micro")];
        self.root().query("autoscaling", "CreateLaunchConfiguration", AUTO_SCALING, &params).await?;
        let zone = format!("{}a", self.root().region());
        let params = [
            ("AutoScalingGroupName", name),
            ("LaunchConfigurationName", name),
            ("MinSize", &min.to_string()),
            ("MaxSize", &max.to_string()),
            ("DesiredCapacity", &desired.to_string()),
            ("AvailabilityZones.member.1", &zone),
        ];
        self.root().query("autoscaling", "CreateAutoScalingGroup", AUTO_SCALING, &params).await.map(drop)
    }

    /// A bucket in the account's region. Names are global: give each test its own.
    ///
    /// # Errors
    /// If the endpoint refuses, such as for a name that is taken.
    pub async fn bucket(&self, name: &str) -> Result<()> {
        let region = self.root().region();
        let body = match region {
            "us-east-1" => String::new(),
            region => format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            ),
        };
        self.root().rest("s3", Method::PUT, &format!("/{name}"), body).await.map(drop)
    }

    /// Stores an object; the key must need no percent-encoding.
    ///
    /// # Errors
    /// If the endpoint refuses.
    pub async fn put_object(&self, bucket: &str, key: &str, body: impl Into<bytes::Bytes>) -> Result<()> {
        self.root().rest("s3", Method::PUT, &format!("/{bucket}/{key}"), body).await.map(drop)
    }

    /// The bytes of an object; the key must need no percent-encoding.
    ///
    /// # Errors
    /// If the endpoint refuses, such as for a key that is not there.
    pub async fn get_object(&self, bucket: &str, key: &str) -> Result<bytes::Bytes> {
        self.root().rest("s3", Method::GET, &format!("/{bucket}/{key}"), "").await.map(|answer| answer.body)
    }

    /// A database and a table over one CSV file, the table made with Athena's own DDL. Returns the output location
    /// for queries.
    ///
    /// # Errors
    /// If the endpoint refuses a call or one of the statements fails.
    pub async fn athena_table(&self, table: AthenaTable<'_>) -> Result<String> {
        let AthenaTable { database, table, columns, bucket, csv } = table;
        self.put_object(bucket, &format!("data/{table}/rows.csv"), csv.to_owned()).await?;
        let results = format!("s3://{bucket}/results/");
        // ministack runs CREATE TABLE, but not CREATE DATABASE: the catalogue itself makes the database.
        let input = json!({ "DatabaseInput": { "Name": database } });
        match self.root().json("glue", "AWSGlue.CreateDatabase", &input).await {
            Err(error) if error.code() != Some("AlreadyExistsException") => return Err(error),
            _ => {}
        }
        let ddl = format!(
            "CREATE EXTERNAL TABLE IF NOT EXISTS {database}.{table} ({columns}) \
             ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 's3://{bucket}/data/{table}/'"
        );
        self.athena_statement(&ddl, database, &results).await?;
        Ok(results)
    }

    async fn athena_statement(&self, sql: &str, database: &str, results: &str) -> Result<()> {
        let body = json!({
            "QueryString": sql,
            "QueryExecutionContext": { "Database": database },
            "ResultConfiguration": { "OutputLocation": results },
        });
        let started = self.root().json("athena", "AmazonAthena.StartQueryExecution", &body).await?;
        let id = json!({ "QueryExecutionId": text(&started, "/QueryExecutionId", "StartQueryExecution")? });
        for _ in 0..200 {
            let query = self.root().json("athena", "AmazonAthena.GetQueryExecution", &id).await?;
            match text(&query, "/QueryExecution/Status/State", "GetQueryExecution")? {
                "SUCCEEDED" => return Ok(()),
                "QUEUED" | "RUNNING" => tokio::time::sleep(Duration::from_millis(50)).await,
                _ => {
                    let status = query.pointer("/QueryExecution/Status").unwrap_or(&query);
                    return Err(answer_error("GetQueryExecution", "success", status));
                }
            }
        }
        Err(EndpointError::Timeout { what: format!("Athena's {sql}"), seconds: 10 })
    }

    /// A log group with one stream and these messages, one second apart, the last one now.
    ///
    /// # Errors
    /// If the endpoint refuses, such as for a group that exists.
    pub async fn log_group(&self, group: &str, stream: &str, messages: &[&str]) -> Result<()> {
        let of_group = json!({ "logGroupName": group });
        self.root().json("logs", "Logs_20140328.CreateLogGroup", &of_group).await?;
        let of_stream = json!({ "logGroupName": group, "logStreamName": stream });
        self.root().json("logs", "Logs_20140328.CreateLogStream", &of_stream).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let first = u64::try_from(now).unwrap_or(u64::MAX).saturating_sub(1000 * (messages.len().max(1) - 1) as u64);
        let events: Vec<Value> = messages
            .iter()
            .zip((first..).step_by(1000))
            .map(|(message, timestamp)| json!({ "timestamp": timestamp, "message": message }))
            .collect();
        let body = json!({ "logGroupName": group, "logStreamName": stream, "logEvents": events });
        self.root().json("logs", "Logs_20140328.PutLogEvents", &body).await.map(drop)
    }

    /// A Python function that really runs; `source` defines `handler(event, context)`. Returns its ARN.
    ///
    /// The first function of an account makes the role `functions` for it.
    ///
    /// # Errors
    /// If the endpoint refuses, such as for a name that is taken.
    pub async fn function(&self, name: &str, source: &str, timeout: Duration) -> Result<String> {
        let role = match self.role("functions", &policy::service_trust("lambda.amazonaws.com"), None).await {
            Ok(arn) => arn,
            Err(error) if error.code() == Some("EntityAlreadyExists") => {
                format!("arn:aws:iam::{}:role/functions", self.id())
            }
            Err(error) => return Err(error),
        };
        let body = json!({
            "FunctionName": name,
            "Runtime": "python3.12",
            "Handler": "main.handler",
            "Role": role,
            "Timeout": timeout.as_secs().max(1),
            "Code": { "ZipFile": BASE64_STANDARD.encode(crate::zip::archive("main.py", source.as_bytes())) },
        });
        let headers = [(HeaderName::from_static("content-type"), "application/json".to_owned())];
        let path = "/2015-03-31/functions";
        let answer = self.root().rest_with("lambda", Method::POST, path, &headers, body.to_string()).await?;
        let made: Value =
            serde_json::from_slice(&answer.body).map_err(|_| missing(&answer, "CreateFunction", "JSON"))?;
        text(&made, "/FunctionArn", "CreateFunction").map(str::to_owned)
    }

    /// A parameter of the SSM parameter store, `SecureString` or `String`.
    ///
    /// # Errors
    /// If the endpoint refuses, such as for a name that is taken.
    pub async fn parameter(&self, name: &str, value: &str, secure: bool) -> Result<()> {
        let kind = if secure { "SecureString" } else { "String" };
        let body = json!({ "Name": name, "Value": value, "Type": kind });
        self.root().json("ssm", "AmazonSSM.PutParameter", &body).await.map(drop)
    }

    /// The desired, least and greatest size of an Auto Scaling group.
    ///
    /// # Errors
    /// If the endpoint refuses or knows no such group.
    pub async fn auto_scaling_sizes(&self, name: &str) -> Result<(u32, u32, u32)> {
        let params = [("AutoScalingGroupNames.member.1", name)];
        let answer = self.root().query("autoscaling", "DescribeAutoScalingGroups", AUTO_SCALING, &params).await?;
        let size = |element: &str| {
            let text = required(&answer, "DescribeAutoScalingGroups", element)?;
            text.parse().map_err(|_| missing(&answer, "DescribeAutoScalingGroups", element))
        };
        Ok((size("DesiredCapacity")?, size("MinSize")?, size("MaxSize")?))
    }
}

fn text<'a>(body: &'a Value, pointer: &str, action: &str) -> Result<&'a str> {
    body.pointer(pointer).and_then(Value::as_str).ok_or_else(|| answer_error(action, pointer, body))
}

fn answer_error(action: &str, missing: &str, body: &Value) -> EndpointError {
    EndpointError::Answer {
        action: action.into(),
        missing: missing.into(),
        body: crate::setup::start(&body.to_string()),
    }
}
