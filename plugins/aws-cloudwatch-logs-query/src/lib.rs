//! Aws / CloudWatch / Logs: an Insights query on demand.

mod range;

use outrigger_plugin_sdk::aws::log_queries::{self, GetQueryResultsOutput, ResultField, StartQueryInput};
use outrigger_plugin_sdk::aws::{AwsConnection, Credentials, console_url, credentials};
use outrigger_plugin_sdk::json::{Map, Value};
use outrigger_plugin_sdk::prelude::*;
use outrigger_plugin_sdk::{MAX_OUTPUT_BYTES, clock, format_timestamp};

use range::Range;

/// Log groups that one query takes, by the API reference of StartQuery.
const MOST_GROUPS: usize = 50;

/// The pointer to the event: of no use to a reader, and not shown.
const POINTER: &str = "@ptr";

/// Runs a Logs Insights query.
pub struct Query;

/// Configuration of the step.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Log group or groups: names or ARNs with commas, at most 50.
    #[schemars(title = "CloudWatch Log Group")]
    pub cloud_watch_log_groups: CommaList,
    /// Unit of the time range: seconds, minutes, hours, days or weeks.
    #[serde(default)]
    #[schemars(title = "Unit of Time", with = "String", example = &"Minutes")]
    pub time_unit: Option<String>,
    /// How far back to look, in `timeUnit`. Under this name it stands in Rundeck's exports.
    #[serde(default, rename = "0")]
    #[schemars(title = "Past Time Range", with = "u64")]
    pub exported_range: Option<u64>,
    /// How far back to look, in `timeUnit`: another name for `0`.
    #[serde(default)]
    #[schemars(title = "Past Time Range", with = "u64")]
    pub past_time_range: Option<u64>,
    /// Beginning, instead of a range: `2024-05-01T10:00:00Z`, a date, or seconds since 1970.
    #[serde(default)]
    #[schemars(title = "Start time", with = "String", extend("x-outrigger-group" = "Advanced"))]
    pub start_time: Option<String>,
    /// End; now where it is left out. With a range, what the range ends with.
    #[serde(default)]
    #[schemars(title = "End time", with = "String", extend("x-outrigger-group" = "Advanced"))]
    pub end_time: Option<String>,
    /// Query in the language of Logs Insights.
    #[schemars(title = "Query", example = "fields @timestamp, @message | sort @timestamp desc | limit 20")]
    #[schemars(extend("x-outrigger-display" = "code:logs-insights"))]
    pub query_string: String,
    /// Rows at most, 1 to 10,000; 10,000 where it is left out and the query has no `limit`.
    #[serde(default)]
    #[schemars(title = "Limit", with = "i32", range(min = 1, max = 10000), extend("x-outrigger-group" = "Advanced"))]
    pub limit: Option<i32>,
    /// Fail when there is no row.
    #[serde(default)]
    #[schemars(title = "Fail if empty", extend("x-outrigger-group" = "Advanced"))]
    pub fail_if_empty: bool,
    /// Fail when there is a row.
    #[serde(default)]
    #[schemars(title = "Fail if rows", extend("x-outrigger-group" = "Advanced"))]
    pub fail_if_rows: bool,
    /// How long to wait. AWS ends a query by itself after 60 minutes.
    #[serde(flatten)]
    pub polling: Polling<3660>,
    /// Region and credentials.
    #[serde(flatten)]
    pub aws: AwsConnection,
}

/// What came of the query.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Query id.
    query_id: String,
    /// `Complete`, `Failed`, `Cancelled` or `Timeout`.
    status: String,
    /// Rows.
    row_count: usize,
    /// Rows, an object each, without the pointer to the event.
    rows: Vec<Map<String, Value>>,
    /// Whether there are more rows than `rows` holds.
    rows_truncated: bool,
    /// Events that matched.
    records_matched: Option<f64>,
    /// Events that were scanned.
    records_scanned: Option<f64>,
    /// Bytes that were scanned.
    bytes_scanned: Option<f64>,
}

impl JobStep for Query {
    const PROVIDER: &'static str = "aws-query-cloudwatch-logs-step";
    const TITLE: &'static str = "Aws / CloudWatch / Logs";
    const SUMMARY: &'static str = "Runs a CloudWatch Logs Insights query over a range of time and gives its rows.";
    type Input = Input;
    type Outputs = Outputs;

    fn run(input: Input) -> Result<(), Failure> {
        if input.fail_if_empty && input.fail_if_rows {
            return Err(Failure::invalid_input(
                "`failIfEmpty` and `failIfRows` are both set: the step could never succeed",
            ));
        }
        let request = request(&input, clock::now())?;
        let aws = credentials()?;
        let region = aws.region()?;
        info!(
            "querying {} from {} to {}",
            input.cloud_watch_log_groups.join(", "),
            format_timestamp(request.start_time * 1_000),
            format_timestamp(request.end_time * 1_000)
        );
        let id = start(&aws, &request)?;
        output("queryId", &id)?;
        info!("query {id}: {}", console_url(&region, &format!("cloudwatch/home?region={region}#logsV2:logs-insights")));
        let results = wait(&aws, &id, &input)?;
        if results.status == "Complete" {
            print(&results.results);
        }
        let outcome = to_outputs(&id, &results);
        outputs(&outcome)?;
        verdict(&input, &outcome)
    }
}

fn request(input: &Input, now: u64) -> Result<StartQueryInput, Failure> {
    let groups = input.cloud_watch_log_groups.distinct();
    if groups.is_empty() || groups.len() > MOST_GROUPS {
        return Err(Failure::invalid_input(format!(
            "`cloudWatchLogGroups` names {} log groups: give 1 to {MOST_GROUPS}",
            groups.len()
        )));
    }
    let range = Range::new(input, now)?;
    // Names and ARNs go into different members, and only one of these may be given: the second one takes both kinds.
    let (names, identifiers) = if groups.iter().any(|group| group.starts_with("arn:")) {
        // The ARN that the console shows ends with `:*`, which the API does not take.
        (Vec::new(), groups.iter().map(|group| group.trim_end_matches(":*").to_owned()).collect())
    } else {
        (groups, Vec::new())
    };
    Ok(StartQueryInput {
        log_group_names: names,
        log_group_identifiers: identifiers,
        start_time: range.start,
        end_time: range.end,
        query_string: input.query_string.clone(),
        limit: input.limit,
    })
}

/// Starts the query. An account has 30 at once (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>),
/// so a full house is worth some patience.
fn start(aws: &Credentials, request: &StartQueryInput) -> Result<String, Failure> {
    Waiter::new("a free place for the query")
        .timeout(TimeSpan::from_seconds(120))
        .tolerate("LimitExceededException")
        .until(|| log_queries::start_query(aws, request).map(Poll::Ready))
}

fn wait(aws: &Credentials, id: &str, input: &Input) -> Result<GetQueryResultsOutput, Failure> {
    let mut shown = String::new();
    let stop = || {
        warn!("stopping query {id}");
        log_queries::stop_query(aws, id)
    };
    Waiter::new(format!("query {id}")).polling(&input.polling).on_give_up(stop).until(|| {
        let results = log_queries::get_query_results(aws, id)?;
        if results.status != shown {
            info!("query status: {}", results.status);
            shown.clone_from(&results.status);
        }
        Ok(match results.status.as_str() {
            "Scheduled" | "Running" | "Unknown" => Poll::Pending(results.status),
            _ => Poll::Ready(results),
        })
    })
}

fn fields(row: &[ResultField]) -> impl Iterator<Item = &ResultField> {
    row.iter().filter(|field| field.field != POINTER)
}

/// A table for each row: the names of the fields, and their values.
fn print(rows: &[Vec<ResultField>]) {
    info!("{} rows", rows.len());
    for row in rows {
        let mut table = Table::new(fields(row).map(|field| field.field.as_str()));
        table.row(fields(row).map(|field| field.value.as_str()));
        table.print();
    }
}

fn to_outputs(id: &str, results: &GetQueryResultsOutput) -> Outputs {
    let mut outcome = Outputs {
        query_id: id.to_owned(),
        status: results.status.clone(),
        row_count: results.results.len(),
        records_matched: results.records_matched,
        records_scanned: results.records_scanned,
        bytes_scanned: results.bytes_scanned,
        ..Outputs::default()
    };
    let mut size = 2;
    for row in &results.results {
        let members: Map<String, Value> =
            fields(row).map(|field| (field.field.clone(), Value::from(field.value.as_str()))).collect();
        size += Value::Object(members.clone()).to_string().len() + 1;
        if size > MAX_OUTPUT_BYTES {
            outcome.rows_truncated = true;
            break;
        }
        outcome.rows.push(members);
    }
    outcome
}

fn verdict(input: &Input, outcome: &Outputs) -> Result<(), Failure> {
    let id = &outcome.query_id;
    match outcome.status.as_str() {
        "Complete" if outcome.row_count == 0 && input.fail_if_empty => {
            Err(Failure::not_found(format!("query {id} found nothing, and `failIfEmpty` is set")).with_code("Empty"))
        }
        "Complete" if outcome.row_count > 0 && input.fail_if_rows => {
            let rows = outcome.row_count;
            Err(Failure::remote(format!("query {id} found {rows} rows, and `failIfRows` is set")).with_code("Rows"))
        }
        "Complete" => Ok(()),
        "Timeout" => Err(Failure::timeout(format!("query {id} ran for longer than AWS allows: narrow its range"))),
        other => Err(Failure::remote(format!("query {id} ended with the status {other}")).with_code(other)),
    }
}

outrigger_plugin_sdk::export_job_step!(Query);

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json::{self, json};

    fn input(more: Value) -> Input {
        let mut value = json!({"cloudWatchLogGroups": "/a, /b", "queryString": "fields @message"});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json::from_value(value).unwrap()
    }

    #[test]
    fn the_odd_key_of_exports_is_read_and_described() {
        let exported = input(json!({"timeUnit": "Minutes", "0": 30}));
        let request = request(&exported, 10_000_000).unwrap();
        assert_eq!((request.start_time, request.end_time), (10_000 - 1_800, 10_000));
        assert_eq!(request.log_group_names, ["/a", "/b"]);
        let schema: Value = json::from_str(&outrigger_plugin_sdk::describe::<Query>().input_schema).unwrap();
        assert_eq!(schema["properties"]["0"]["type"], "integer");
        assert_eq!(schema["properties"]["pastTimeRange"]["type"], "integer");
    }

    #[test]
    fn arns_go_together_with_names() {
        let arn = "arn:aws:logs:eu-west-1:111122223333:log-group:/c";
        let input =
            input(json!({"cloudWatchLogGroups": format!("/a,{arn}:*"), "startTime": "1000", "endTime": "2000"}));
        let request = request(&input, 0).unwrap();
        assert!(request.log_group_names.is_empty());
        assert_eq!(request.log_group_identifiers, ["/a", arn]);
    }

    fn results(status: &str, rows: usize) -> GetQueryResultsOutput {
        let field = |field: &str| ResultField { field: field.to_owned(), value: "x".to_owned() };
        GetQueryResultsOutput {
            status: status.to_owned(),
            results: vec![vec![field("@message"), field(POINTER)]; rows],
            records_matched: Some(1.0),
            records_scanned: None,
            bytes_scanned: None,
        }
    }

    #[test]
    fn rows_become_outputs_without_the_pointer() {
        let outcome = to_outputs("q", &results("Complete", 2));
        assert_eq!(json::to_value(&outcome.rows).unwrap(), json!([{"@message": "x"}, {"@message": "x"}]));
    }

    #[test]
    fn verdicts() {
        let verdict = |more: Value, status: &str, rows: usize| {
            verdict(&input(more), &to_outputs("q", &results(status, rows))).err().map(|failure| failure.reason)
        };
        assert_eq!(verdict(json!({}), "Complete", 0), None);
        assert_eq!(verdict(json!({"failIfEmpty": true}), "Complete", 0), Some(Reason::NotFound));
        assert_eq!(verdict(json!({"failIfEmpty": true}), "Complete", 1), None);
        assert_eq!(verdict(json!({"failIfRows": true}), "Complete", 1), Some(Reason::Remote));
        assert_eq!(verdict(json!({}), "Failed", 0), Some(Reason::Remote));
        assert_eq!(verdict(json!({}), "Timeout", 0), Some(Reason::Timeout));
    }
}
