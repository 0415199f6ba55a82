//! AWS / Athena / Query.

mod results;

use outrigger_plugin_sdk::aws::athena::{self, QueryExecution, StartQueryExecutionInput};
use outrigger_plugin_sdk::aws::{AwsConnection, Credentials, console_url, credentials};
use outrigger_plugin_sdk::prelude::*;

use results::{Column, Results};

/// Runs a query and gives its rows.
pub struct Query;

/// Configuration of the step.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// SQL, one statement.
    #[schemars(title = "Query", extend("x-outrigger-display" = "code:sql"))]
    pub query: String,
    /// Database that the query's tables are in.
    #[schemars(title = "Database")]
    pub database: String,
    /// Bucket for the results: a name, or `s3://bucket/prefix/`. May be left out where the workgroup has a place of its own.
    #[serde(default)]
    #[schemars(title = "Bucket", with = "String")]
    pub bucket: Option<String>,
    /// Folder in the bucket.
    #[serde(default)]
    #[schemars(title = "Output prefix", with = "String", extend("x-outrigger-group" = "Advanced"))]
    pub output_prefix: Option<String>,
    /// Workgroup; `primary` where it is left out.
    #[serde(default)]
    #[schemars(title = "Workgroup", with = "String", extend("x-outrigger-group" = "Advanced"))]
    pub work_group: Option<String>,
    /// Data catalog; `AwsDataCatalog` where it is left out.
    #[serde(default)]
    #[schemars(title = "Catalog", with = "String", extend("x-outrigger-group" = "Advanced"))]
    pub catalog: Option<String>,
    /// Encryption of the results: `SSE_S3`, `SSE_KMS` or `CSE_KMS`.
    #[serde(default)]
    #[schemars(title = "Encryption", with = "String", extend("x-outrigger-group" = "Advanced"))]
    pub encryption_option: Option<String>,
    /// KMS key for the results.
    #[serde(default)]
    #[schemars(title = "KMS key", with = "String", extend("x-outrigger-group" = "Advanced"))]
    pub kms_key: Option<String>,
    /// Values for the question marks of the query, written as in SQL: texts in single quotes. A JSON list keeps commas.
    #[serde(default)]
    #[schemars(title = "Parameters", with = "JsonInput", example = r#"["'2024-05-01'", 7]"#, extend("x-outrigger-group" = "Advanced"))]
    pub execution_parameters: Option<outrigger_plugin_sdk::json::Value>,
    /// Take the result of the same query where it is no older than this many minutes.
    #[serde(default)]
    #[schemars(title = "Reuse results for (minutes)", with = "i32", range(min = 0, max = 10080), extend("x-outrigger-group" = "Advanced"))]
    pub result_reuse_minutes: Option<i32>,
    /// Rows that the log shows.
    #[serde(default = "fifty")]
    #[schemars(title = "Rows in the log", range(max = 1000), extend("x-outrigger-group" = "Advanced"))]
    pub log_rows: usize,
    /// Rows that are read, and given in the output `rows` as far as 900 KB go.
    #[serde(default = "thousand")]
    #[schemars(title = "Most rows", range(max = 1_000_000), extend("x-outrigger-group" = "Advanced"))]
    pub max_rows: usize,
    /// How long to wait. Athena ends a query by itself after 30 minutes, unless its quota was raised.
    #[serde(flatten)]
    pub polling: Polling<1800>,
    /// Region and credentials.
    #[serde(flatten)]
    pub aws: AwsConnection,
}

fn fifty() -> usize {
    50
}

fn thousand() -> usize {
    1_000
}

/// What came of the query.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Query execution id.
    query_execution_id: String,
    /// `SUCCEEDED`, `FAILED` or `CANCELLED`.
    state: String,
    /// Where the results are, such as `s3://bucket/prefix/id.csv`.
    output_location: Option<String>,
    /// Bytes that were scanned.
    data_scanned_bytes: Option<u64>,
    /// Milliseconds that the engine took.
    execution_milliseconds: Option<u64>,
    /// Whether an earlier result was taken.
    reused_previous_result: Option<bool>,
    /// Rows that were read, at most `maxRows`.
    row_count: Option<u64>,
    /// Rows that were inserted.
    update_count: Option<u64>,
    /// Columns with their types.
    columns: Option<Vec<Column>>,
    /// Rows, an object each. Numbers and truth values are such; everything else is text, and NULL is null.
    rows: Option<outrigger_plugin_sdk::json::Value>,
    /// Whether there are more rows than `rows` holds.
    rows_truncated: Option<bool>,
}

impl JobStep for Query {
    const PROVIDER: &'static str = "aws-athena-query-step";
    const TITLE: &'static str = "AWS / Athena / Query";
    const SUMMARY: &'static str = "Runs an SQL query in Athena, waits for it, and gives its rows.";
    type Input = Input;
    type Outputs = Outputs;

    fn run(input: Input) -> Result<(), Failure> {
        let request = request(&input)?;
        let aws = credentials()?;
        let region = aws.region()?;
        let id = athena::start_query_execution(&aws, &request).context("starting the query")?;
        output("queryExecutionId", &id)?;
        let path = format!("athena/home?region={region}#/query-editor/history/{id}");
        info!("query {id}: {}", console_url(&region, &path));
        let execution = wait(&aws, &id, &input)?;
        let mut outcome = Outputs {
            query_execution_id: id.clone(),
            state: execution.state.clone(),
            output_location: execution.output_location.clone(),
            data_scanned_bytes: execution.data_scanned_in_bytes,
            execution_milliseconds: execution.engine_execution_time_in_millis,
            reused_previous_result: execution.reused_previous_result,
            ..Outputs::default()
        };
        if execution.state != "SUCCEEDED" {
            outputs(&outcome)?;
            return Err(unsuccessful(&execution));
        }
        let results = Results::read(&aws, &execution, input.max_rows)?;
        results.print(input.log_rows);
        outcome.row_count = Some(results.row_count());
        outcome.update_count = results.update_count;
        (outcome.rows, outcome.rows_truncated) = results.to_json();
        outcome.columns = Some(results.columns);
        outputs(&outcome)
    }
}

fn request(input: &Input) -> Result<StartQueryExecutionInput, Failure> {
    if input.query.len() > 262_144 {
        return Err(Failure::invalid_input(format!(
            "`query` has {} bytes; Athena takes 262,144 at most",
            input.query.len()
        )));
    }
    let output_location = input.bucket.as_deref().map(|bucket| output_location(bucket, input.output_prefix.as_deref()));
    if output_location.is_none() && input.work_group.is_none() {
        return Err(Failure::invalid_input(
            "`bucket` is blank: name the bucket for the results, or a `workGroup` that has one",
        ));
    }
    Ok(StartQueryExecutionInput {
        query_string: input.query.clone(),
        database: Some(input.database.trim().to_owned()),
        catalog: input.catalog.clone(),
        output_location,
        encryption_option: input.encryption_option.clone(),
        kms_key: input.kms_key.clone(),
        work_group: input.work_group.clone(),
        execution_parameters: results::parameters(input.execution_parameters.as_ref())?,
        result_reuse_max_age_minutes: input.result_reuse_minutes.filter(|minutes| *minutes > 0),
    })
}

fn output_location(bucket: &str, prefix: Option<&str>) -> String {
    let bucket = bucket.trim();
    let place = bucket.strip_prefix("s3://").unwrap_or(bucket).trim_end_matches('/');
    match prefix.map(|prefix| prefix.trim().trim_matches('/')).filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => format!("s3://{place}/{prefix}/"),
        None => format!("s3://{place}/"),
    }
}

fn wait(aws: &Credentials, id: &str, input: &Input) -> Result<QueryExecution, Failure> {
    let mut shown = String::new();
    let stop = || {
        warn!("stopping query {id}");
        athena::stop_query_execution(aws, id)
    };
    Waiter::new(format!("query {id}")).polling(&input.polling).on_give_up(stop).until(|| {
        let execution = athena::get_query_execution(aws, id)?;
        if execution.state != shown {
            info!("query state: {}", execution.state);
            shown.clone_from(&execution.state);
        }
        Ok(match execution.state.as_str() {
            "SUCCEEDED" | "FAILED" | "CANCELLED" => Poll::Ready(execution),
            state => Poll::Pending(state.to_owned()),
        })
    })
}

fn unsuccessful(execution: &QueryExecution) -> Failure {
    let why = execution.state_change_reason.as_deref().unwrap_or("Athena gives no reason");
    let failure = Failure::remote(format!("query {} is {}: {why}", execution.query_execution_id, execution.state));
    Failure { retryable: execution.retryable.unwrap_or(false), ..failure.with_code(execution.state.as_str()) }
}

outrigger_plugin_sdk::export_job_step!(Query);

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_plugin_sdk::json::json;

    #[test]
    fn results_go_to_a_folder_of_the_bucket() {
        assert_eq!(output_location("b", None), "s3://b/");
        assert_eq!(output_location("s3://b/x/", Some("/y/")), "s3://b/x/y/");
        assert_eq!(output_location("b", Some(" ")), "s3://b/");
    }

    #[test]
    fn a_place_for_the_results_is_asked_for() {
        let input = |value| outrigger_plugin_sdk::json::from_value::<Input>(value).unwrap();
        let failure = request(&input(json!({"query": "SELECT 1", "database": "d"}))).unwrap_err();
        assert!(failure.message.contains("workGroup"), "{}", failure.message);
        let with_group = request(&input(json!({"query": "SELECT 1", "database": "d", "workGroup": "w"}))).unwrap();
        assert_eq!(with_group.output_location, None);
        let plain =
            request(&input(json!({"query": "SELECT ?", "database": "d", "bucket": "b", "executionParameters": "7"})));
        assert_eq!(plain.unwrap().execution_parameters, ["7"]);
    }

    #[test]
    fn a_failed_query_says_why() {
        let execution = QueryExecution {
            query_execution_id: "q".to_owned(),
            state: "FAILED".to_owned(),
            state_change_reason: Some("TABLE_NOT_FOUND: line 1:15".to_owned()),
            retryable: Some(true),
            statement_type: None,
            output_location: None,
            data_scanned_in_bytes: None,
            engine_execution_time_in_millis: None,
            reused_previous_result: None,
        };
        let failure = unsuccessful(&execution);
        assert_eq!(failure.message, "query q is FAILED: TABLE_NOT_FOUND: line 1:15");
        assert!(failure.retryable && failure.is("FAILED"));
    }
}
