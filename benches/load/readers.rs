//! Readers of a running job: those that read, and those that never do.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::{Client, Stream, small_mnist};
use crate::process::Process;
use crate::{median, memory};

/// A server for this, and where it is.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) process: Process,
}

impl Bench {
    pub(crate) fn start(threads: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        small_mnist(folder.path());
        let process = Process::start(folder.path(), threads);
        Self { folder, process }
    }
}

/// The book's two-layer network, for about eight seconds of a core.
fn job() -> Value {
    json!({
        "dataset": {"name": "digits", "train_limit": 10_000, "test_limit": 1000}, "diagnostics": false,
        "network": [{"type": "affine", "units": 50}, "relu", {"type": "affine", "units": 10}],
        "optimizer": {"type": "sgd", "learning_rate": 0.1}, "batch_size": 100, "epochs": 250,
    })
}

/// A connection that has asked for a job's events.
pub(crate) async fn connect(client: &Client, job: &str) -> TcpStream {
    let request = client.request("GET", &format!("/v1/jobs/{job}/events")).build().expect("a request");
    let (host, port) = (request.url().host_str().expect("a host"), request.url().port().expect("a port"));
    let mut stream = TcpStream::connect((host, port)).await.expect("a connection");
    let head = format!("GET {} HTTP/1.1\r\nhost: {host}\r\n\r\n", request.url().path());
    stream.write_all(head.as_bytes()).await.expect("a request");
    stream
}

/// Readers who read: the bytes that each of them gets.
pub(crate) async fn reading(client: &Client, job: &str, readers: usize) -> JoinSet<usize> {
    let mut all = JoinSet::new();
    for _ in 0..readers {
        let mut stream = connect(client, job).await;
        all.spawn(async move {
            let (mut piece, mut bytes) = (vec![0; 16 << 10], 0);
            while let Ok(n @ 1..) = stream.read(&mut piece).await {
                bytes += n;
            }
            bytes
        });
    }
    all
}

fn seconds(job: &Value) -> f64 {
    let at = |name: &str| job[name].as_str().expect("a time").parse::<Timestamp>().expect("a time");
    at("finished_at").duration_since(at("started_at")).as_secs_f64()
}

/// Trains once, with so many readers of both kinds. Returns the job's seconds, and the most memory that was seen, in MiB.
async fn train(bench: &Bench, readers: usize) -> (f64, f64) {
    let client = &bench.process.client;
    let id = client.submit(&job()).await;
    let reading = reading(client, &id, readers).await;
    let mut stalled = Vec::new();
    for _ in 0..readers {
        stalled.push(connect(client, &id).await);
    }
    let mut most: f64 = 0.0;
    // Seldom, so that it costs nothing: this is not a test that waits for something.
    let ended = loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        most = most.max(memory(bench.folder.path()));
        let job = client.job(&id).await;
        if job["finished_at"].is_string() {
            break job;
        }
    };
    assert_eq!(ended["status"], "succeeded", "{ended}");
    drop(stalled);
    let bytes = reading.join_all().await;
    assert!(bytes.iter().all(|bytes| *bytes > 10_000), "all of them have read: {bytes:?}");
    (seconds(&ended), most)
}

/// The speed of a training with readers and without, in turns.
pub(crate) async fn speed(threads: usize, readers: usize, pairs: usize) {
    let bench = Bench::start(threads);
    train(&bench, 0).await;
    let (mut without, mut with) = (vec![], vec![]);
    let (mut memory_without, mut memory_with) = (vec![], vec![]);
    for pair in 1..=pairs {
        // Whichever comes second has the warmer machine: they take turns in that, too.
        let order = if pair % 2 == 0 { [0, readers] } else { [readers, 0] };
        for readers in order {
            let (seconds, most) = train(&bench, readers).await;
            let (times, memories) =
                if readers == 0 { (&mut without, &mut memory_without) } else { (&mut with, &mut memory_with) };
            times.push(seconds);
            memories.push(most);
        }
        println!("{}", json!({"pair": pair, "without": without[pair - 1], "with": with[pair - 1]}));
    }
    let ratios: Vec<_> = with.iter().zip(&without).map(|(with, without)| with / without).collect();
    let grown = memory_with.iter().fold(0.0_f64, |most, m| most.max(*m)) - median(memory_without.clone());
    let line = json!({
        "what": "readers", "threads": threads, "readers": readers, "stalled": readers, "pairs": pairs,
        "seconds_without": median(without), "seconds_with": median(with), "median_ratio": median(ratios),
        "memory_without_mib": median(memory_without), "memory_with_mib": median(memory_with), "memory_grown_mib": grown,
    });
    println!("{line}");
    bench.process.kill();
}

/// Seconds until readers who take nothing are dropped, from when they came.
pub(crate) async fn stalled(readers: usize) {
    let bench = Bench::start(1);
    let client = &bench.process.client;
    // About 1,400 events, and then they would be quiet: a log that is larger than the buffers on the way.
    let told = json!({
        "dataset": {"name": "xor"}, "network": [{"type": "affine", "units": 2}], "batch_size": 4, "epochs": 2000,
    });
    let told = client.submit(&told).await;
    client.finished(&told).await;
    let mut job = job();
    job["epochs"] = json!(1_000_000);
    let busy = client.submit(&job).await;
    // Its data are loaded when it trains.
    Stream::open(client, &busy, None).await.until(|frame| frame.event == "epoch").await;
    let before = memory(bench.folder.path());
    let came = Instant::now();
    let mut streams = Vec::new();
    for _ in 0..readers {
        streams.push(connect(client, &told).await);
    }
    let (mut first, mut most) = (None, before);
    let all = loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (_, text) = client.get("/metrics").await;
        let dropped = text.as_str().and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("dojang_stalled_readers_dropped_total ")?.parse().ok())
        });
        let dropped: usize = dropped.expect("a counter");
        most = most.max(memory(bench.folder.path()));
        if dropped > 0 && first.is_none() {
            first = Some(came.elapsed().as_secs_f64());
        }
        if dropped >= readers {
            break came.elapsed().as_secs_f64();
        }
        assert!(came.elapsed() < Duration::from_secs(120), "{dropped} of {readers} were dropped");
    };
    client.ask(&busy, "cancel").await;
    let line = json!({
        "what": "stalled", "readers": readers, "first_dropped_seconds": first, "all_dropped_seconds": all,
        "memory_grown_mib": most - before,
    });
    println!("{line}");
    bench.process.kill();
}
