//! Amazon Athena.

use aws_sdk_athena::types as sdk;
use outrigger_door::{Failure, Reason};

use super::ec2::some_list;
use super::{AwsCall, send};
use crate::bindings::outrigger::aws_athena::queries::{
    ColumnInfo, GetQueryResultsInput, GetQueryResultsOutput, QueryExecution, StartQueryExecutionInput,
};

fn invalid(error: aws_smithy_types::error::operation::BuildError) -> Failure {
    Failure::new(Reason::InvalidInput, error.to_string())
}

/// StartQueryExecution.
pub async fn start_query_execution(call: AwsCall, input: StartQueryExecutionInput) -> Result<String, Failure> {
    let context = (input.database.is_some() || input.catalog.is_some())
        .then(|| sdk::QueryExecutionContext::builder().set_database(input.database).set_catalog(input.catalog).build());
    let encryption = input
        .encryption_option
        .map(|option| {
            sdk::EncryptionConfiguration::builder()
                .encryption_option(sdk::EncryptionOption::from(option.as_str()))
                .set_kms_key(input.kms_key)
                .build()
                .map_err(invalid)
        })
        .transpose()?;
    let results = (input.output_location.is_some() || encryption.is_some()).then(|| {
        sdk::ResultConfiguration::builder()
            .set_output_location(input.output_location)
            .set_encryption_configuration(encryption)
            .build()
    });
    let reuse = input.result_reuse_max_age_minutes.map(|minutes| {
        let by_age = sdk::ResultReuseByAgeConfiguration::builder().enabled(true).max_age_in_minutes(minutes).build();
        sdk::ResultReuseConfiguration::builder().result_reuse_by_age_configuration(by_age).build()
    });
    let request = call
        .athena()
        .start_query_execution()
        .query_string(input.query_string)
        .set_client_request_token(call.token())
        .set_query_execution_context(context)
        .set_result_configuration(results)
        .set_work_group(input.work_group)
        .set_execution_parameters(some_list(input.execution_parameters))
        .set_result_reuse_configuration(reuse);
    let output = send!(call, request)?;
    output
        .query_execution_id
        .ok_or_else(|| Failure::new(Reason::Remote, "athena:StartQueryExecution gave no query execution id"))
}

/// GetQueryExecution.
pub async fn get_query_execution(call: AwsCall, query_execution_id: String) -> Result<QueryExecution, Failure> {
    let request = call.athena().get_query_execution().query_execution_id(&query_execution_id);
    let output = send!(call, request)?;
    let execution = output
        .query_execution
        .ok_or_else(|| Failure::new(Reason::Remote, "athena:GetQueryExecution gave no query execution"))?;
    let count = |number: i64| u64::try_from(number).ok();
    let (state, state_change_reason, error) = execution
        .status
        .map(|status| (status.state, status.state_change_reason, status.athena_error))
        .unwrap_or_default();
    let statistics = execution.statistics;
    Ok(QueryExecution {
        query_execution_id,
        state: state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        state_change_reason,
        retryable: error.map(|error| error.retryable),
        statement_type: execution.statement_type.map(|kind| kind.as_str().to_owned()),
        output_location: execution.result_configuration.and_then(|results| results.output_location),
        data_scanned_in_bytes: statistics.as_ref().and_then(|all| all.data_scanned_in_bytes).and_then(count),
        engine_execution_time_in_millis: statistics
            .as_ref()
            .and_then(|all| all.engine_execution_time_in_millis)
            .and_then(count),
        reused_previous_result: statistics
            .and_then(|all| all.result_reuse_information)
            .map(|reuse| reuse.reused_previous_result),
    })
}

/// GetQueryResults, one page.
pub async fn get_query_results(call: AwsCall, input: GetQueryResultsInput) -> Result<GetQueryResultsOutput, Failure> {
    let request = call
        .athena()
        .get_query_results()
        .query_execution_id(input.query_execution_id)
        .set_max_results(input.max_results)
        .set_next_token(input.next_token);
    let output = send!(call, request)?;
    let (rows, metadata) =
        output.result_set.map(|results| (results.rows, results.result_set_metadata)).unwrap_or_default();
    Ok(GetQueryResultsOutput {
        column_info: metadata
            .and_then(|metadata| metadata.column_info)
            .unwrap_or_default()
            .into_iter()
            .map(|column| ColumnInfo { name: column.name, column_type: column.r#type })
            .collect(),
        rows: rows
            .unwrap_or_default()
            .into_iter()
            .map(|row| row.data.unwrap_or_default().into_iter().map(|datum| datum.var_char_value).collect())
            .collect(),
        update_count: output.update_count.and_then(|count| u64::try_from(count).ok()),
        next_token: output.next_token.filter(|token| !token.is_empty()),
    })
}

/// StopQueryExecution.
pub async fn stop_query_execution(call: AwsCall, query_execution_id: String) -> Result<(), Failure> {
    send!(call, call.athena().stop_query_execution().query_execution_id(query_execution_id)).map(drop)
}
