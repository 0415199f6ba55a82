use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use bytes::Bytes;
use outrigger_capabilities::aws::s3::S3Access;
use outrigger_capabilities::aws::s3::objects::{ListRequest, delete_objects, head_object, list_objects_v2};
use outrigger_door::Reason;
use outrigger_endpoints::{Fault, Nth, Rule};

use super::harness::Fixture;

#[tokio::test]
async fn objects_are_listed_looked_at_and_deleted() {
    let fixture = Fixture::new("objects").await;
    for key in ["a/1", "a/2", "b", "ü +&.txt"] {
        let put = fixture.access.client.put_object().bucket(&fixture.bucket).key(key);
        put.body(ByteStream::from_static(b"body")).content_type("text/plain").send().await.unwrap();
    }
    let list = |token: Option<String>| ListRequest {
        bucket: fixture.bucket.clone(),
        delimiter: Some("/".into()),
        max_keys: Some(2),
        continuation_token: token,
        ..ListRequest::default()
    };
    let first = list_objects_v2(&fixture.access, list(None)).await.unwrap();
    assert_eq!(first.common_prefixes, ["a/"]);
    assert_eq!(first.contents.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(first.contents[0].size == 4 && first.contents[0].last_modified > 1_600_000_000_000);
    assert!(first.contents[0].e_tag.as_deref().is_some_and(|tag| tag.starts_with('"')));
    let second = list_objects_v2(&fixture.access, list(first.next_continuation_token)).await.unwrap();
    assert_eq!(second.contents.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["ü +&.txt"]);
    assert_eq!(second.next_continuation_token, None);

    let head = head_object(&fixture.access, &fixture.bucket, "ü +&.txt", None).await.unwrap();
    assert_eq!((head.content_length, head.content_type.as_deref()), (4, Some("text/plain")));
    let missing = head_object(&fixture.access, &fixture.bucket, "none", None).await.unwrap_err();
    assert_eq!(missing.reason, Reason::NotFound);

    let keys: Vec<String> = ["a/1", "ü +&.txt", "none"].map(str::to_owned).to_vec();
    let mut deleted = delete_objects(&fixture.access, &fixture.bucket, keys.clone()).await.unwrap();
    deleted.deleted.sort();
    assert_eq!((deleted.deleted.len(), deleted.errors.len()), (3, 0));
    for keys in [Vec::new(), vec!["k".to_owned(); 1_001]] {
        let failure = delete_objects(&fixture.access, &fixture.bucket, keys).await.unwrap_err();
        assert_eq!(failure.reason, Reason::InvalidInput);
    }
}

/// The endpoint redirects to the bucket's region, as S3 does.
#[tokio::test]
async fn a_bucket_in_another_region_is_followed_and_remembered() {
    let fixture = Fixture::new("elsewhere").await;
    let bucket = "transfers-in-ireland";
    let place = CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::EuWest1).build();
    let ireland = fixture.access.client(Some("eu-west-1"));
    ireland.create_bucket().bucket(bucket).create_bucket_configuration(place).send().await.unwrap();
    fixture.proxy.forget_requests();
    for _ in 0..2 {
        list_objects_v2(&fixture.access, ListRequest { bucket: bucket.into(), ..ListRequest::default() })
            .await
            .unwrap();
    }
    head_object(&fixture.access, bucket, "k", None).await.unwrap_err();
    let regions: Vec<Option<String>> = fixture.proxy.requests().into_iter().map(|request| request.region).collect();
    assert_eq!(regions, ["us-east-1", "eu-west-1", "eu-west-1", "eu-west-1"].map(|region| Some(region.to_owned())));
    assert_eq!(fixture.access.regions().get(bucket).as_deref(), Some("eu-west-1"));
}

/// The answers are those of the "Error responses" page of the Amazon S3 API reference.
#[tokio::test]
async fn a_server_that_sends_clients_to_and_fro_is_given_up() {
    let fixture = Fixture::new("fro").await;
    for (nth, region) in [(1, "eu-west-2"), (2, "eu-west-3"), (3, "eu-west-2")] {
        let redirect = Fault::Respond {
            status: 301,
            headers: vec![("x-amz-bucket-region".into(), region.into())],
            body: Bytes::from_static(b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>"),
        };
        fixture.proxy.rule(Rule::new("s3:ListObjectsV2", Nth::Only(nth), redirect));
    }
    fixture.proxy.forget_requests();
    let list = ListRequest { bucket: fixture.bucket.clone(), ..ListRequest::default() };
    let failure = list_objects_v2(&fixture.access, list).await.unwrap_err();
    assert_eq!(failure.code.as_deref(), Some("PermanentRedirect"));
    assert_eq!(fixture.proxy.requests().len(), 3);
}
