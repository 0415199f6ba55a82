//! What a set-up makes is there and behaves: each part against the real endpoint.

use std::time::Duration;

use http::Method;
use outrigger_endpoints::{Account, AthenaTable, EndpointError, Ministack, functions};
use serde_json::{Value, json};

type Outcome = Result<(), EndpointError>;

async fn account() -> Result<Account, EndpointError> {
    Ok(Ministack::shared().await?.new_account())
}

#[tokio::test]
async fn instances_carry_tags_and_stop() -> Outcome {
    let account = account().await?;
    let ids = account.launch("t3.micro", 2, &[("Name", "web"), ("tier", "front")]).await?;
    assert_eq!(ids.len(), 2);
    account.stop(&ids[..1]).await?;
    assert_eq!(account.instance_state(&ids[0]).await?, "stopped");
    assert_eq!(account.instance_state(&ids[1]).await?, "running");
    let filter = [("Filter.1.Name", "tag:tier"), ("Filter.1.Value.1", "front")];
    let found = account.root().query("ec2", "DescribeInstances", "2016-11-15", &filter).await?;
    assert_eq!(found.elements("instanceId").len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_auto_scaling_group_has_its_sizes() -> Outcome {
    let account = account().await?;
    account.auto_scaling_group("web", 1, 4, 2).await?;
    assert_eq!(account.auto_scaling_sizes("web").await?, (2, 1, 4));
    Ok(())
}

#[tokio::test]
async fn objects_come_back_and_regions_hold() -> Outcome {
    let account = account().await?.in_region("eu-central-1");
    let bucket = format!("objects-{}", account.id());
    account.bucket(&bucket).await?;
    account.put_object(&bucket, "a/b.txt", "hello").await?;
    assert_eq!(account.get_object(&bucket, "a/b.txt").await?, "hello");
    let location = account.root().rest("s3", Method::GET, &format!("/{bucket}?location"), "").await?;
    assert_eq!(location.element("LocationConstraint").as_deref(), Some("eu-central-1"));
    assert_eq!(account.get_object(&bucket, "a/c.txt").await.unwrap_err().code(), Some("NoSuchKey"));
    Ok(())
}

#[tokio::test]
async fn athena_answers_over_the_table() -> Outcome {
    let account = account().await?;
    let bucket = format!("athena-{}", account.id());
    account.bucket(&bucket).await?;
    let csv = "apples,3\npears,4\napples,5\n";
    let table =
        AthenaTable { database: "shop", table: "orders", columns: "name string, amount int", bucket: &bucket, csv };
    let results = account.athena_table(table).await?;
    let sql = "SELECT name, sum(amount) AS total FROM orders GROUP BY name ORDER BY name";
    let body = json!({
        "QueryString": sql,
        "QueryExecutionContext": { "Database": "shop" },
        "ResultConfiguration": { "OutputLocation": results },
    });
    let id = account.root().json("athena", "AmazonAthena.StartQueryExecution", &body).await?;
    let mut state = Value::Null;
    for _ in 0..100 {
        let query = account.root().json("athena", "AmazonAthena.GetQueryExecution", &id).await?;
        state = query["QueryExecution"]["Status"]["State"].clone();
        if state != "QUEUED" && state != "RUNNING" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(state, "SUCCEEDED");
    let rows = account.root().json("athena", "AmazonAthena.GetQueryResults", &id).await?;
    let cells: Vec<Vec<&str>> = rows["ResultSet"]["Rows"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            row["Data"].as_array().into_iter().flatten().filter_map(|cell| cell["VarCharValue"].as_str()).collect()
        })
        .collect();
    assert_eq!(cells, [["name", "total"], ["apples", "8"], ["pears", "4"]]);
    Ok(())
}

#[tokio::test]
async fn log_events_are_found() -> Outcome {
    let account = account().await?;
    account.log_group("/shop/web", "one", &["GET /a 200", "GET /b 500", "GET /c 200"]).await?;
    let body = json!({ "logGroupName": "/shop/web", "filterPattern": "500" });
    let found = account.root().json("logs", "Logs_20140328.FilterLogEvents", &body).await?;
    let events = found["events"].as_array().cloned().unwrap_or_default();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["message"], "GET /b 500");
    Ok(())
}

#[tokio::test]
async fn functions_run() -> Outcome {
    let account = account().await?;
    account.function("echo", functions::ECHO, Duration::from_secs(5)).await?;
    account.function("raising", functions::RAISING, Duration::from_secs(5)).await?;
    account.function("slow", functions::SLOW, Duration::from_secs(1)).await?;
    let invoke = async |name: &str, payload: Value| {
        let path = format!("/2015-03-31/functions/{name}/invocations");
        account.root().rest("lambda", Method::POST, &path, payload.to_string()).await
    };
    let answer = invoke("echo", json!({ "a": 1 })).await?;
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).ok(), Some(json!({ "echo": { "a": 1 } })));
    let answer = invoke("raising", json!({ "order": 7 })).await?;
    assert_eq!(answer.headers["x-amz-function-error"], "Unhandled");
    assert!(answer.text().contains("no such order: 7"), "{}", answer.text());
    let answer = invoke("slow", json!({ "seconds": 5 })).await?;
    assert_eq!(answer.headers["x-amz-function-error"], "Unhandled");
    assert!(answer.text().contains("timed out"), "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn parameters_are_kept() -> Outcome {
    let account = account().await?;
    account.parameter("/shop/colour", "green", false).await?;
    account.parameter("/shop/password", "a value that is secret", true).await?;
    let body = json!({ "Name": "/shop/password", "WithDecryption": true });
    let found = account.root().json("ssm", "AmazonSSM.GetParameter", &body).await?;
    assert_eq!(found["Parameter"]["Value"], "a value that is secret");
    Ok(())
}
