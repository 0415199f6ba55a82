//! Lines per second with as many secrets as a large run knows: 50 secrets, lines of 120 bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use outrigger_redaction::{Redactor, Secret};

const LINES: usize = 10_000;

fn secrets() -> Vec<Secret> {
    // Keys of 40 characters, as AWS's secret access keys are; a few session tokens of 900.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut character = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[(state % 64) as usize])
    };
    (0..50).map(|n| (0..if n % 10 == 0 { 900 } else { 40 }).map(|_| character()).collect::<String>().into()).collect()
}

fn lines(with: Option<&Secret>) -> Vec<String> {
    (0..LINES)
        .map(|n| {
            let mut line =
                format!("2026-03-04T05:06:07.{n:06}Z INFO web-{n}.example.org instance i-0{n:016x} is running ");
            if let (Some(secret), 0) = (with, n % 100) {
                line.push_str(secret.expose());
            }
            while line.len() < 120 {
                line.push_str("and ok ");
            }
            line.truncate(120);
            line
        })
        .collect()
}

fn bench(criterion: &mut Criterion) {
    let secrets = secrets();
    let redactor = Redactor::new();
    redactor.register_all(&secrets);
    let plain = lines(None);
    let some = lines(secrets.get(1));
    let mut group = criterion.benchmark_group("redact");
    group.throughput(Throughput::Elements(LINES as u64));
    group.sample_size(20);
    for (name, lines) in [("no-secret", &plain), ("secret-in-1-of-100", &some)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| lines.iter().map(|line| redactor.redact(black_box(line)).len()).sum::<usize>());
        });
    }
    group.bench_function("stream", |bencher| {
        bencher.iter(|| {
            let mut stream = redactor.stream();
            let given: usize = some.iter().map(|line| stream.push(black_box(line.as_bytes())).len()).sum();
            given + stream.finish().len()
        });
    });
    group.finish();
    criterion.bench_function("register-50-secrets-and-build", |bencher| {
        bencher.iter(|| {
            let redactor = Redactor::new();
            redactor.register_all(&secrets);
            redactor.contains_secret("x")
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
