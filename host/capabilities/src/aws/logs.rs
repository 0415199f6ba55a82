//! Amazon CloudWatch Logs.

use outrigger_door::{Failure, Reason};

use super::ec2::some_list;
use super::{AwsCall, send};
use crate::bindings::outrigger::aws_logs::events::{GetLogEventsInput, GetLogEventsOutput, OutputLogEvent};
use crate::bindings::outrigger::aws_logs::queries::{GetQueryResultsOutput, ResultField, StartQueryInput};

fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// StartQuery.
pub async fn start_query(call: AwsCall, input: StartQueryInput) -> Result<String, Failure> {
    let request = call
        .logs()
        .start_query()
        .set_log_group_names(some_list(input.log_group_names))
        .set_log_group_identifiers(some_list(input.log_group_identifiers))
        .start_time(seconds(input.start_time))
        .end_time(seconds(input.end_time))
        .query_string(input.query_string)
        .set_limit(input.limit);
    let output = send!(call, request)?;
    output.query_id.ok_or_else(|| Failure::new(Reason::Remote, "logs:StartQuery gave no query id"))
}

/// GetQueryResults.
pub async fn get_query_results(call: AwsCall, query_id: String) -> Result<GetQueryResultsOutput, Failure> {
    let output = send!(call, call.logs().get_query_results().query_id(query_id))?;
    let statistics = output.statistics;
    Ok(GetQueryResultsOutput {
        status: output.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        results: output
            .results
            .unwrap_or_default()
            .into_iter()
            .map(|row| {
                row.into_iter()
                    .map(|field| ResultField {
                        field: field.field.unwrap_or_default(),
                        value: field.value.unwrap_or_default(),
                    })
                    .collect()
            })
            .collect(),
        records_matched: statistics.as_ref().map(|all| all.records_matched),
        records_scanned: statistics.as_ref().map(|all| all.records_scanned),
        bytes_scanned: statistics.map(|all| all.bytes_scanned),
    })
}

/// StopQuery.
pub async fn stop_query(call: AwsCall, query_id: String) -> Result<(), Failure> {
    send!(call, call.logs().stop_query().query_id(query_id)).map(drop)
}

/// GetLogEvents, one page, oldest first.
pub async fn get_log_events(call: AwsCall, input: GetLogEventsInput) -> Result<GetLogEventsOutput, Failure> {
    let request = call
        .logs()
        .get_log_events()
        .log_group_name(input.log_group_name)
        .log_stream_name(input.log_stream_name)
        .start_from_head(true)
        .set_next_token(input.next_token)
        .set_limit(input.limit);
    let output = send!(call, request)?;
    Ok(GetLogEventsOutput {
        events: output
            .events
            .unwrap_or_default()
            .into_iter()
            .map(|event| OutputLogEvent {
                timestamp: event.timestamp.and_then(|time| u64::try_from(time).ok()).unwrap_or_default(),
                message: event.message.unwrap_or_default(),
            })
            .collect(),
        next_forward_token: output.next_forward_token,
    })
}
