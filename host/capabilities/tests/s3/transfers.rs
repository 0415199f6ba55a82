use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use outrigger_capabilities::aws::s3::copy::{CopyItem, CopyRequest, copy};
use outrigger_capabilities::aws::s3::download::{DownloadItem, DownloadRequest, download};
use outrigger_capabilities::aws::s3::options::WriteOptions;
use outrigger_capabilities::aws::s3::upload::{UploadItem, UploadRequest, upload};
use outrigger_capabilities::aws::s3::{Control, Progress, TransferSettings};
use outrigger_door::Reason;

use super::harness::{Fixture, MIB, failed, fine};

#[tokio::test]
async fn files_of_all_sizes_come_back_as_they_were() {
    let fixture = Fixture::new("sizes").await;
    let part = fixture.settings.part_size;
    let sizes =
        [0, 1, 1_023, 128 * 1024, 128 * 1024 + 1, MIB, part - 1, part, part + 1, 2 * part, 2 * part + 1, 3 * part - 7];
    let mut contents = Vec::new();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for (index, size) in sizes.into_iter().enumerate() {
        contents.push(fixture.file(&format!("in/{index}.bin"), size));
        up.push((format!("in/{index}.bin"), format!("k/{index}")));
        down.push((format!("k/{index}"), format!("out/{index}")));
    }
    let names = |pairs: &[(String, String)]| pairs.iter().map(|(a, b)| (a.clone(), b.clone())).collect::<Vec<_>>();
    let (up, down) = (names(&up), names(&down));
    let up: Vec<(&str, &str)> = up.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let down: Vec<(&str, &str)> = down.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let results = fixture.upload(&up).await;
    fine(&results);
    assert_eq!(results.iter().map(|result| result.bytes).collect::<Vec<_>>(), sizes);
    fine(&fixture.download(&down).await);
    for (index, content) in contents.iter().enumerate() {
        assert!(fixture.read(&format!("out/{index}")) == *content, "file of {} bytes", content.len());
    }
    assert_eq!(fixture.begun_uploads().await, 0);
    let multipart = sizes.iter().filter(|size| **size >= part).count();
    assert_eq!(fixture.proxy.count("s3:CreateMultipartUpload"), multipart);
    assert_eq!(fixture.proxy.count("s3:PutObject"), sizes.len() - multipart);
}

#[tokio::test]
async fn keys_may_hold_anything_and_paths_may_not() {
    let fixture = Fixture::new("keys").await;
    fixture.file("f", 10);
    let keys = ["ü/日本語 +&=?#%41.txt", "../up", "/leading", "a//b", "./dot", " space ", "quote'\"<>"];
    let items: Vec<(&str, &str)> = keys.iter().map(|key| ("f", *key)).collect();
    fine(&fixture.upload(&items).await);

    let results = fixture.download(&[(keys[0], keys[0]), (keys[5], keys[5]), (keys[6], "q")]).await;
    fine(&results);
    assert_eq!(fixture.read(keys[0]).len(), 10);
    // A key that is used as a path without thought does not leave the workspace.
    for (key, reason) in [("../up", Reason::InvalidInput), ("/leading", Reason::AccessDenied)] {
        assert_eq!(failed(&fixture.download(&[(key, key)]).await).reason, reason, "{key}");
    }
    assert!(!fixture.folder.path().join("../up").exists());
    assert_eq!(failed(&fixture.upload(&[("../f", "k")]).await).reason, Reason::InvalidInput);
    assert_eq!(failed(&fixture.upload(&[("/etc/passwd", "k")]).await).reason, Reason::AccessDenied);
    assert_eq!(failed(&fixture.upload(&[("f", "")]).await).reason, Reason::InvalidInput);
}

#[tokio::test]
async fn one_failure_does_not_stop_the_others() {
    let fixture = Fixture::new("others").await;
    fixture.file("a", 10);
    let results = fixture.upload(&[("a", "1"), ("missing", "2"), ("a", "3")]).await;
    assert_eq!(results.iter().map(|result| result.failure.is_some()).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(results[1].failure.as_ref().unwrap().reason, Reason::NotFound);
    let results = fixture.download(&[("1", "x"), ("2", "y"), ("3", "z")]).await;
    assert_eq!(results[1].failure.as_ref().unwrap().reason, Reason::NotFound);
    assert_eq!(fixture.files(), ["a", "x", "z"]);
}

#[tokio::test]
async fn what_is_written_is_what_was_asked_for() {
    let fixture = Fixture::new("options").await;
    fixture.file("page.html", 10);
    fixture.file("big.json", 6 * MIB);
    let options = WriteOptions {
        storage_class: Some("STANDARD_IA".into()),
        cache_control: Some("max-age=60".into()),
        content_disposition: Some("inline".into()),
        server_side_encryption: Some("AES256".into()),
        metadata: vec![("owner".into(), "web".into())],
        checksum_algorithm: Some("SHA256".into()),
        ..WriteOptions::default()
    };
    let items = ["page.html", "big.json"].map(|name| UploadItem { path: name.into(), key: name.into() }).to_vec();
    let request = UploadRequest { bucket: fixture.bucket.clone(), items, options };
    let control = Control::default();
    fine(&upload(&fixture.access, &fixture.workspace, request, &fixture.settings, &control).await.unwrap());
    for (key, media_type) in [("page.html", "text/html"), ("big.json", "application/json")] {
        let head = fixture.access.client.head_object().bucket(&fixture.bucket).key(key).send().await.unwrap();
        assert_eq!(head.content_type(), Some(media_type));
        assert_eq!(head.cache_control(), Some("max-age=60"));
        assert_eq!(head.metadata().and_then(|metadata| metadata.get("owner")).map(String::as_str), Some("web"));
    }
    fine(&fixture.download(&[("page.html", "p"), ("big.json", "b")]).await);

    let options = WriteOptions { checksum_algorithm: Some("MD5".into()), ..WriteOptions::default() };
    let request = UploadRequest { bucket: fixture.bucket.clone(), options, ..UploadRequest::default() };
    let refused = upload(&fixture.access, &fixture.workspace, request, &fixture.settings, &control).await.unwrap_err();
    assert_eq!(refused.reason, Reason::InvalidInput);
}

#[tokio::test]
async fn every_checksum_can_be_chosen() {
    let fixture = Fixture::new("checksums").await;
    fixture.file("small", 1_000);
    fixture.file("large", 5 * MIB + 1);
    for name in ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] {
        let items =
            ["small", "large"].map(|path| UploadItem { path: path.into(), key: format!("{name}/{path}") }).to_vec();
        let options = WriteOptions { checksum_algorithm: Some(name.into()), ..WriteOptions::default() };
        let request = UploadRequest { bucket: fixture.bucket.clone(), items, options };
        fine(
            &upload(&fixture.access, &fixture.workspace, request, &fixture.settings, &Control::default())
                .await
                .unwrap(),
        );
        let (small, large) = (format!("{name}/small"), format!("{name}/large"));
        fine(&fixture.download(&[(&small, &small), (&large, &large)]).await);
        assert!(fixture.read(&large) == fixture.read("large"), "{name}");
    }
    let without = TransferSettings { checksum: None, ..fixture.settings.clone() };
    let items = vec![UploadItem { path: "small".into(), key: "default".into() }];
    let request = UploadRequest { bucket: fixture.bucket.clone(), items, ..UploadRequest::default() };
    fine(&upload(&fixture.access, &fixture.workspace, request, &without, &Control::default()).await.unwrap());
}

#[tokio::test]
async fn large_parts_are_streamed() {
    let mut fixture = Fixture::new("streamed").await;
    fixture.settings.most_buffered_part = MIB;
    let content = fixture.file("big", 12 * MIB + 3);
    fine(&fixture.upload(&[("big", "big")]).await);
    fine(&fixture.download(&[("big", "back")]).await);
    assert!(fixture.read("back") == content);
}

#[tokio::test]
async fn modification_times_are_kept() {
    let fixture = Fixture::new("times").await;
    fixture.file("a", 1);
    fixture.file("b", 6 * MIB);
    fine(&fixture.upload(&[("a", "a"), ("b", "b")]).await);
    let modified = 1_234_567_890_123;
    let item = |key: &str, size, modified| DownloadItem { key: key.into(), path: format!("to/{key}"), size, modified };
    let items = vec![item("a", Some(1), Some(modified)), item("b", Some(6 * MIB), Some(modified))];
    let request = DownloadRequest { bucket: fixture.bucket.clone(), items };
    let control = Control::default();
    fine(&download(&fixture.access, &fixture.workspace, request, &fixture.settings, &control).await.unwrap());
    for key in ["to/a", "to/b"] {
        let time = std::fs::metadata(fixture.folder.path().join(key)).unwrap().modified().unwrap();
        assert_eq!(time, UNIX_EPOCH + Duration::from_millis(modified), "{key}");
    }
    let head = fixture.access.client.head_object().bucket(&fixture.bucket).key("a").send().await.unwrap();
    fine(&fixture.download(&[("a", "own")]).await);
    let own = fixture.workspace.stat("own").unwrap().modified;
    assert_eq!(Some(own), head.last_modified().and_then(|time| u64::try_from(time.to_millis().unwrap()).ok()));
}

#[tokio::test]
async fn objects_are_copied_whole_and_in_parts() {
    let mut fixture = Fixture::new("copy").await;
    fixture.settings.copy_threshold = 6 * MIB;
    fixture.settings.copy_part_size = 5 * MIB;
    let small = fixture.file("s.txt", 5);
    let exact = fixture.file("e.txt", 6 * MIB);
    let large = fixture.file("l.txt", 11 * MIB);
    let options = WriteOptions { metadata: vec![("owner".into(), "web".into())], ..WriteOptions::default() };
    let items =
        ["s.txt", "e.txt", "l.txt"].map(|name| UploadItem { path: name.into(), key: format!("ü +/{name}") }).to_vec();
    let request = UploadRequest { bucket: fixture.bucket.clone(), items, options };
    let control = Control::default();
    fine(&upload(&fixture.access, &fixture.workspace, request, &fixture.settings, &control).await.unwrap());

    let item = |name: &str, size| CopyItem { source_key: format!("ü +/{name}"), key: format!("c/{name}"), size };
    let items =
        vec![item("s.txt", None), item("e.txt", Some(6 * MIB)), item("l.txt", Some(11 * MIB)), item("none", None)];
    let request = CopyRequest {
        source_bucket: fixture.bucket.clone(),
        bucket: fixture.bucket.clone(),
        items,
        options: WriteOptions::default(),
    };
    let results = copy(&fixture.access, request, &fixture.settings, &control).await.unwrap();
    fine(&results[..3]);
    assert_eq!(results[3].failure.as_ref().unwrap().reason, Reason::NotFound);
    assert_eq!(fixture.proxy.count("s3:UploadPartCopy"), 3);
    assert_eq!(fixture.proxy.count("s3:CopyObject"), 2);
    fine(&fixture.download(&[("c/s.txt", "1"), ("c/e.txt", "2"), ("c/l.txt", "3")]).await);
    assert!(fixture.read("1") == small && fixture.read("2") == exact && fixture.read("3") == large);
    for key in ["c/s.txt", "c/l.txt"] {
        let head = fixture.access.client.head_object().bucket(&fixture.bucket).key(key).send().await.unwrap();
        assert_eq!(
            head.metadata().and_then(|metadata| metadata.get("owner")).map(String::as_str),
            Some("web"),
            "{key}"
        );
        assert_eq!(head.content_type(), Some("text/plain"), "{key}");
    }
}

#[tokio::test]
async fn progress_ends_with_everything() {
    let fixture = Fixture::new("progress").await;
    fixture.file("a", 3 * MIB);
    fixture.file("b", 11 * MIB);
    let seen = Arc::new(Mutex::new(Vec::<Progress>::new()));
    let keep = Arc::clone(&seen);
    let control = Control { progress: Arc::new(move |now| keep.lock().unwrap().push(now)), ..Control::default() };
    let items = ["a", "b", "none"].map(|path| UploadItem { path: path.into(), key: path.into() }).to_vec();
    let request = UploadRequest { bucket: fixture.bucket.clone(), items, ..UploadRequest::default() };
    upload(&fixture.access, &fixture.workspace, request, &fixture.settings, &control).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.last(), Some(&Progress { items: 3, all_items: 3, bytes: 14 * MIB }));
    assert!(seen.is_sorted_by_key(|now| now.bytes));
}

#[tokio::test]
async fn too_many_items_are_refused() {
    let fixture = Fixture::new("many").await;
    let items = vec![UploadItem { path: "a".into(), key: "a".into() }; 10_001];
    let request = UploadRequest { bucket: fixture.bucket.clone(), items, ..UploadRequest::default() };
    let control = Control::default();
    let refused = upload(&fixture.access, &fixture.workspace, request, &fixture.settings, &control).await.unwrap_err();
    assert_eq!(refused.reason, Reason::InvalidInput);
}
