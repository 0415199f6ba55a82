//! A component that does what a host must withstand. Its input says which of it.

mod allocator;

use std::hint::black_box;

use outrigger_plugin_sdk::aws::{Credentials, credentials, ec2, s3_transfer, ssm, sts};
use outrigger_plugin_sdk::bindings::outrigger::run::{log as contract, output as outputs_of_run};
use outrigger_plugin_sdk::bindings::outrigger::secrets::secrets;
use outrigger_plugin_sdk::http::{self, Request, SecretHeader};
use outrigger_plugin_sdk::prelude::*;
use outrigger_plugin_sdk::{clock, files};

/// The step.
pub struct Hostile;

/// What to do.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Input {
    /// Name of the deed.
    pub what: String,
    /// How often, or how much.
    #[serde(default)]
    pub number: u64,
    /// A text to say.
    #[serde(default)]
    pub text: String,
    /// Paths or URLs.
    #[serde(default)]
    pub list: Vec<String>,
}

/// What a well-behaved one leaves behind.
#[derive(Serialize, JsonSchema)]
pub struct Outputs {
    /// Rounds that it made.
    pub rounds: u64,
}

impl JobStep for Hostile {
    const PROVIDER: &'static str = "hostile-step";
    const TITLE: &'static str = "Hostile";
    const SUMMARY: &'static str = "Does what a host must withstand.";
    type Input = Input;
    type Outputs = Outputs;

    fn run(input: Input) -> Result<(), Failure> {
        match input.what.as_str() {
            "work" => work(input.number),
            "spin" => spin(),
            "hoard" => hoard(),
            "hoard-handles" => hoard_handles(),
            "recurse" => {
                black_box(recurse(&[0; 64], 1));
                Ok(())
            }
            "long-string" => long_string(input.number),
            "flood" => flood(input.number, &input.text),
            "flood-breaks" => flood_breaks(input.number),
            "flood-progress" => flood_progress(input.number, &input.text),
            "flood-outputs" => flood_outputs(input.number),
            "say" => say(&input.text),
            "panic" => panic!("{}", input.text),
            "sleep-on" => sleep_on(),
            "spin-on" => spin_on(),
            "use-grace" => use_grace(),
            "start" => ec2_start(),
            "forge" => forge(input.number),
            "stale" => stale(),
            "forge-secret" => forge_secret(input.number),
            "trap-in-call" => trap_in_call(input.number),
            "trap-in-write" => trap_in_write(input.number),
            "escape" => escape(&input.list),
            "fetch" => fetch(&input.list),
            "secret" => secret(&input.text),
            other => Err(Failure::invalid_input(format!("no such deed: {other}"))),
        }
    }
}

/// What a step should be: logs, waits, calls AWS, sets an output.
fn work(rounds: u64) -> Result<(), Failure> {
    let aws = credentials()?;
    for round in 0..rounds {
        info!("round {round}");
        clock::sleep(5)?;
        sts::get_caller_identity(&aws)?;
    }
    outputs(&Outputs { rounds })
}

fn spin() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

fn hoard() -> Result<(), Failure> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    loop {
        all.push(vec![1; 1024 * 1024]);
        black_box(&all);
    }
}

fn hoard_handles() -> Result<(), Failure> {
    let mut all = Vec::new();
    loop {
        all.push(credentials()?);
    }
}

#[expect(unconditional_recursion, reason = "that is what it is for")]
fn recurse(upper: &[u8; 64], depth: u8) -> u8 {
    let mut frame = [depth; 64];
    frame[0] = black_box(upper)[usize::from(depth) % 64];
    recurse(black_box(&frame), depth.wrapping_add(1)).wrapping_add(frame[1])
}

fn long_string(bytes: u64) -> Result<(), Failure> {
    let text = "x".repeat(usize::try_from(bytes).unwrap_or(usize::MAX));
    contract::write(contract::Level::Info, &text);
    Ok(())
}

fn flood(lines: u64, text: &str) -> Result<(), Failure> {
    for _ in 0..lines {
        contract::write(contract::Level::Info, text);
    }
    Ok(())
}

fn flood_breaks(lines: u64) -> Result<(), Failure> {
    contract::write(contract::Level::Info, &"\n".repeat(usize::try_from(lines).unwrap_or(usize::MAX)));
    Ok(())
}

fn flood_progress(reports: u64, text: &str) -> Result<(), Failure> {
    for done in 0..reports {
        contract::progress(done, Some(reports), text);
    }
    Ok(())
}

fn flood_outputs(bytes: u64) -> Result<(), Failure> {
    let value = format!("\"{}\"", "y".repeat(usize::try_from(bytes).unwrap_or(usize::MAX)));
    for index in 0.. {
        outputs_of_run::set(&format!("output-{index}"), &value)?;
    }
    Ok(())
}

fn say(text: &str) -> Result<(), Failure> {
    info!("{text}");
    contract::document("text/plain", text);
    contract::progress(1, None, text);
    outputs_of_run::set("said", &outrigger_plugin_sdk::json::Value::from(text).to_string())?;
    Err(Failure::remote(format!("it said {text}")))
}

fn sleep_on() -> Result<(), Failure> {
    loop {
        drop(clock::sleep(10_000));
    }
}

fn spin_on() -> Result<(), Failure> {
    drop(clock::sleep(60_000));
    spin()
}

/// Waits for the end and then writes: once with what may write now, and once with what may not.
fn use_grace() -> Result<(), Failure> {
    let aws = credentials()?;
    let end = clock::sleep(60_000);
    info!("woken: {:?}", end.err().map(|failure| failure.reason));
    match ssm::cancel_command(&aws, "11111111-2222-3333-4444-555555555555") {
        Ok(()) => info!("the clean-up was sent"),
        Err(failure) => info!("the clean-up failed: {}", failure.message),
    }
    ec2_start()
}

fn ec2_start() -> Result<(), Failure> {
    let aws = credentials()?;
    ec2::start_instances(&aws, &start_input())?;
    Ok(())
}

fn start_input() -> ec2::StartInstancesInput {
    ec2::StartInstancesInput { instance_ids: vec!["i-0123456789abcdef0".to_owned()] }
}

fn forge(handle: u64) -> Result<(), Failure> {
    // SAFETY: memory safety does not depend on the number; the host must see that it means nothing.
    let forged = unsafe { Credentials::from_handle(u32::try_from(handle).unwrap_or(u32::MAX)) };
    forged.region()?;
    Ok(())
}

fn forge_secret(handle: u64) -> Result<(), Failure> {
    // SAFETY: as above. The number is that of a handle of another kind.
    let aws = credentials()?;
    let number = if handle == 0 { aws.handle() } else { u32::try_from(handle).unwrap_or(u32::MAX) };
    let forged = unsafe { secrets::Secret::from_handle(number) };
    info!("a secret of {} bytes", forged.size());
    Ok(())
}

fn stale() -> Result<(), Failure> {
    let aws = credentials()?;
    // SAFETY: as above. The second one is dropped before the first is used.
    drop(unsafe { Credentials::from_handle(aws.handle()) });
    aws.region()?;
    Ok(())
}

/// Traps when the host puts the answer of a read into its memory.
fn trap_in_call(skipped: u64) -> Result<(), Failure> {
    let aws = credentials()?;
    allocator::trap_after(skipped);
    sts::get_caller_identity(&aws)?;
    Ok(())
}

/// Traps when the host puts the answer of a write into its memory.
fn trap_in_write(skipped: u64) -> Result<(), Failure> {
    let (aws, input) = (credentials()?, start_input());
    allocator::trap_after(skipped);
    ec2::start_instances(&aws, &input)?;
    Ok(())
}

/// Tries every way to a file for each path, and tells which one worked.
fn escape(paths: &[String]) -> Result<(), Failure> {
    let aws = credentials()?;
    let mut open = Vec::new();
    for path in paths {
        let listed = files::list_files(&files::ListFilesInput {
            path: path.clone(),
            follow_symlinks: true,
            max_entries: None,
            next_token: None,
        });
        let uploaded = s3_transfer::upload(
            &aws,
            &s3_transfer::UploadInput {
                bucket: "bucket".to_owned(),
                items: vec![s3_transfer::UploadItem { path: path.clone(), key: "stolen".to_owned() }],
                options: plain_options(),
            },
        );
        let downloaded = s3_transfer::download(
            &aws,
            &s3_transfer::DownloadInput {
                bucket: "bucket".to_owned(),
                items: vec![s3_transfer::DownloadItem {
                    key: "planted".to_owned(),
                    path: format!("{path}/planted"),
                    size: Some(7),
                    modified: None,
                }],
            },
        );
        for (what, refusal) in [
            ("stat", files::stat(path).err()),
            ("list", listed.err()),
            ("upload", refusal(uploaded)),
            ("download", refusal(downloaded)),
            ("remove", files::remove_files(&[format!("{path}/secret")]).err()),
        ] {
            match refusal {
                Some(failure) => info!("{what} {path}: {:?}: {}", failure.reason, failure.message),
                None => open.push(format!("{what} {path}")),
            }
        }
    }
    if open.is_empty() {
        Err(Failure::new(Reason::AccessDenied, "every way was shut"))
    } else {
        Err(Failure::internal(open.join(", ")))
    }
}

/// Why a transfer, or its only item, failed.
fn refusal(ended: Result<s3_transfer::TransferOutput, Failure>) -> Option<Failure> {
    match ended {
        Ok(output) => output.results.into_iter().find_map(|item| item.failure),
        Err(failure) => Some(failure),
    }
}

fn plain_options() -> s3_transfer::WriteOptions {
    s3_transfer::WriteOptions {
        storage_class: None,
        acl: None,
        server_side_encryption: None,
        ssekms_key_id: None,
        content_type: None,
        cache_control: None,
        content_disposition: None,
        content_encoding: None,
        metadata: Vec::new(),
        checksum_algorithm: None,
    }
}

/// Tries to reach each URL, and tells which one answered.
fn fetch(urls: &[String]) -> Result<(), Failure> {
    let mut reached = Vec::new();
    for url in urls {
        match http::send(&get(url), &[]) {
            Ok(response) => reached.push(format!("{url} ({})", response.status)),
            Err(failure) => info!("{url}: {:?}: {}", failure.reason, failure.message),
        }
    }
    if reached.is_empty() {
        Err(Failure::new(Reason::AccessDenied, "nothing was reached"))
    } else {
        Err(Failure::internal(reached.join(", ")))
    }
}

fn get(url: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        secret_headers: Vec::new(),
        body: Vec::new(),
    }
}

/// Does all that it may do with a secret, to have it shown.
fn secret(origin: &str) -> Result<(), Failure> {
    let secret = secrets::get("password")?;
    info!("it has {} bytes", secret.size());
    let mut request = get(&format!("{origin}/echo"));
    request.secret_headers.push(SecretHeader { name: "bad name\n".to_owned(), prefix: String::new(), secret: 0 });
    let refused = http::send(&request, &[&secret]);
    Err(Failure::remote(format!("{refused:?}")))
}

outrigger_plugin_sdk::export_job_step!(Hostile);
