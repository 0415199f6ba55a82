use std::time::Duration;

use outrigger_capabilities::aws::s3::Control;
use outrigger_capabilities::aws::s3::upload::{UploadItem, UploadRequest, upload};
use outrigger_door::Reason;
use outrigger_endpoints::{Fault, Field, Nth, Rule};
use serde_json::json;

use super::harness::{Fixture, MIB, failed, fine};

/// Waits until a begun upload is gone.
async fn none_begun(fixture: &Fixture) {
    for _ in 0..100 {
        if fixture.begun_uploads().await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("an upload was left behind");
}

#[tokio::test]
async fn a_failed_part_leaves_no_parts() {
    let fixture = Fixture::new("part").await;
    fixture.file("big", 16 * MIB);
    let refuse = Fault::Error { status: 403, code: "AccessDenied".into(), message: "no".into() };
    fixture.proxy.rule(Rule::every("s3:UploadPart", refuse).containing("partNumber=3"));
    let results = fixture.upload(&[("big", "big")]).await;
    assert_eq!(failed(&results).reason, Reason::AccessDenied);
    assert_eq!(fixture.begun_uploads().await, 0, "the abort is part of the transfer");
    assert!(fixture.proxy.count("s3:AbortMultipartUpload") >= 1);
}

#[tokio::test]
async fn a_refused_completion_leaves_no_parts() {
    let fixture = Fixture::new("completion").await;
    fixture.file("big", 11 * MIB);
    let refuse = Fault::Error { status: 400, code: "InvalidPart".into(), message: "no".into() };
    fixture.proxy.rule(Rule::every("s3:CompleteMultipartUpload", refuse));
    assert_eq!(failed(&fixture.upload(&[("big", "big")]).await).reason, Reason::InvalidInput);
    assert_eq!(fixture.begun_uploads().await, 0);
}

#[tokio::test]
async fn a_cancelled_upload_leaves_no_parts() {
    let fixture = Fixture::new("cancelled").await;
    fixture.file("big", 16 * MIB);
    fixture.proxy.rule(Rule::new("s3:UploadPart", Nth::From(2), Fault::Delay(Duration::from_secs(30))));
    let control = Control::default();
    let cancel = control.cancel.clone();
    let items = vec![UploadItem { path: "big".into(), key: "big".into() }];
    let request = UploadRequest { bucket: fixture.bucket.clone(), items, ..UploadRequest::default() };
    let transfer = upload(&fixture.access, &fixture.workspace, request, &fixture.settings, &control);
    let stop = async {
        while fixture.proxy.count("s3:UploadPart") < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel();
    };
    let (results, ()) = tokio::join!(transfer, stop);
    assert_eq!(failed(&results.unwrap()).reason, Reason::Cancelled);
    assert_eq!(fixture.begun_uploads().await, 0);
}

#[tokio::test]
async fn a_dropped_upload_leaves_no_parts() {
    let fixture = Fixture::new("dropped").await;
    fixture.file("big", 16 * MIB);
    fixture.proxy.rule(Rule::new("s3:UploadPart", Nth::From(2), Fault::Delay(Duration::from_secs(30))));
    tokio::select! {
        _ = fixture.upload(&[("big", "big")]) => panic!("it cannot end"),
        () = async {
            while fixture.proxy.count("s3:UploadPart") < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } => {}
    }
    none_begun(&fixture).await;
}

#[tokio::test]
async fn a_dropped_download_leaves_no_file() {
    let fixture = Fixture::new("dropped-down").await;
    fixture.file("big", 16 * MIB);
    fine(&fixture.upload(&[("big", "big")]).await);
    fixture.proxy.rule(Rule::new("s3:GetObject", Nth::From(3), Fault::Delay(Duration::from_secs(30))));
    tokio::select! {
        _ = fixture.download(&[("big", "copy")]) => panic!("it cannot end"),
        () = async {
            while fixture.proxy.count("s3:GetObject") < 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } => {}
    }
    for _ in 0..100 {
        if fixture.files() == ["big"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?} were left", fixture.files());
}

#[tokio::test]
async fn a_wrong_checksum_is_refused_by_the_server() {
    let fixture = Fixture::new("refused").await;
    let refused = fixture
        .access
        .client
        .put_object()
        .bucket(&fixture.bucket)
        .key("k")
        .checksum_sha256("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        .body(aws_sdk_s3::primitives::ByteStream::from_static(b"body"))
        .send()
        .await;
    // The endpoint compares what it is sent, so the transfers of these tests prove something.
    assert!(refused.is_err());
}

/// An answer with other bytes than the checksum beside them is of.
fn garbled(status: u16, headers: &[(&str, &str)], length: u64) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Respond { status, headers, body: vec![b'x'; usize::try_from(length).unwrap()].into() }
}

#[tokio::test]
async fn bytes_that_are_not_what_s3_has_are_never_written() {
    let mut fixture = Fixture::new("garbled").await;
    let small = fixture.file("small", 1_000);
    let large = fixture.file("large", 11 * MIB);
    // Sent in one piece, because the endpoint has no checksum of the whole for what was sent in parts.
    let threshold = std::mem::replace(&mut fixture.settings.multipart_threshold, 100 * MIB);
    fine(&fixture.upload(&[("small", "small"), ("large", "large")]).await);
    fixture.settings.multipart_threshold = threshold;
    let files = fixture.files();

    let crc = ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=");
    let middle = [("content-range", "bytes 5242880-10485759/11534336")];
    for (key, nth, fault, content) in [
        ("small", 1, garbled(200, &[crc], 1_000), &small),
        // One request for the whole, which is too large, and then one for each range.
        ("large", 3, garbled(206, &middle, 5 * MIB), &large),
    ] {
        fixture.settings.parts_in_flight = 1;
        for tries in [1, 2] {
            fixture.settings.tries = tries;
            fixture.proxy.clear_rules();
            fixture.proxy.rule(Rule::new("s3:GetObject", Nth::Only(nth), fault.clone()));
            let results = fixture.download(&[(key, "copy")]).await;
            if tries == 1 {
                assert_eq!(failed(&results).code.as_deref(), Some("ChecksumMismatch"), "{key}: {results:?}");
                assert_eq!(fixture.files(), files);
            } else {
                fine(&results);
                assert!(fixture.read("copy") == *content, "{key}");
                fixture.workspace.remove_files(&["copy"]).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn answers_that_break_off_are_fetched_again() {
    let fixture = Fixture::new("broken").await;
    let small = fixture.file("small", 100_000);
    let large = fixture.file("large", 16 * MIB);
    fine(&fixture.upload(&[("small", "small"), ("large", "large")]).await);
    fixture.proxy.rule(Rule::new("s3:GetObject", Nth::First(2), Fault::CutAnswer(50_000)));
    fixture.proxy.rule(Rule::new("s3:GetObject", Nth::Only(4), Fault::Reset));
    fine(&fixture.download(&[("large", "l"), ("small", "s")]).await);
    assert!(fixture.read("s") == small && fixture.read("l") == large);
}

#[tokio::test]
async fn requests_that_are_throttled_or_lost_are_sent_again() {
    let fixture = Fixture::new("throttled").await;
    let large = fixture.file("large", 11 * MIB);
    for index in 0..20 {
        fixture.file(&format!("f{index}"), 100);
    }
    fixture.proxy.rule(Rule::new("s3:PutObject", Nth::First(5), Fault::throttle("SlowDown")));
    fixture.proxy.rule(Rule::new("s3:UploadPart", Nth::Only(1), Fault::Reset));
    fixture.proxy.rule(Rule::new("s3:UploadPart", Nth::Only(3), Fault::internal()));
    fixture.proxy.rule(Rule::new("s3:CompleteMultipartUpload", Nth::Only(1), Fault::internal()));
    let names: Vec<String> = (0..20).map(|index| format!("f{index}")).collect();
    let mut items: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    items.push(("large", "large"));
    fine(&fixture.upload(&items).await);
    fine(&fixture.download(&[("large", "back")]).await);
    assert!(fixture.read("back") == large);
}

#[tokio::test]
async fn an_object_that_changes_while_it_is_fetched_is_a_conflict() {
    let fixture = Fixture::new("changes").await;
    fixture.file("f", 16 * MIB);
    fine(&fixture.upload(&[("f", "f")]).await);
    let header = Field::Header("etag".into());
    fixture.proxy.rule(Rule::new("s3:GetObject", Nth::Only(1), Fault::RewriteField(header, json!("\"older\""))));
    let results = fixture.download(&[("f", "copy")]).await;
    assert_eq!(failed(&results).reason, Reason::Conflict, "{results:?}");
    assert_eq!(fixture.files(), ["f"]);
}

#[tokio::test]
async fn a_bucket_that_cannot_be_reached_ends_soon() {
    let fixture = Fixture::new("unreached").await;
    fixture.file("f", 10);
    fixture.proxy.rule(Rule::every("s3:*", Fault::Reset));
    let items = vec![UploadItem { path: "f".into(), key: "f".into() }; 5_000];
    let request = UploadRequest { bucket: fixture.bucket.clone(), items, ..UploadRequest::default() };
    let control = Control::default();
    let results = upload(&fixture.access, &fixture.workspace, request, &fixture.settings, &control).await.unwrap();
    let unreached = |result: &outrigger_capabilities::aws::s3::ItemResult| {
        result.failure.as_ref().is_some_and(|failure| failure.reason == Reason::Connection)
    };
    assert!(results.iter().all(unreached));
    assert!(fixture.proxy.count("s3:PutObject") < 1_000);
}
