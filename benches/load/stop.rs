//! The end of a server that has a running job and many readers.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Stream, long_job};
use crate::readers::{Bench, connect, reading};

/// Seconds from a SIGTERM to the end of a process.
pub(crate) async fn measure(readers: usize) {
    let bench = Bench::start(2);
    let client = bench.process.client.clone();
    let id = client.submit(&long_job()).await;
    let reading = reading(&client, &id, readers).await;
    let mut stalled = Vec::new();
    for _ in 0..readers {
        stalled.push(connect(&client, &id).await);
    }
    Stream::open(&client, &id, None).await.until(|frame| frame.event == "checkpoint").await;
    let asked = Instant::now();
    bench.process.signal(Signal::TERM);
    // Until the signal has come through it is ready; then not, or it is gone already.
    let unready = loop {
        match client.request("GET", "/readyz").timeout(Duration::from_secs(5)).send().await {
            Ok(answer) if answer.status() == StatusCode::OK => {}
            Ok(answer) => break Some((answer.status().as_u16(), asked.elapsed().as_secs_f64())),
            Err(_) => break None,
        }
    };
    reading.join_all().await;
    let streams = asked.elapsed().as_secs_f64();
    let code = bench.process.ended().await;
    let line = json!({
        "what": "stop", "readers": readers, "stalled": readers, "exit_code": code,
        "readyz_then": unready.map(|(status, _)| status), "readyz_seconds": unready.map(|(_, seconds)| seconds),
        "streams_ended_seconds": streams, "seconds": asked.elapsed().as_secs_f64(),
    });
    println!("{line}");
    drop(stalled);
}
