//! A disk without room: nothing is acknowledged that is not kept, and all goes on once there is room.

use std::path::Path;
use std::process::Command;

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::consistency::assert_consistent;
use crate::harness::{Client, Stream, quick_job, small_mnist};
use crate::process::{Process, command};

/// Largest file that the limited server may write, in the 512 bytes of `ulimit -f`: less than a checkpoint of [`job`].
const BLOCKS: u32 = 600;

/// A job of a second or two whose checkpoints have half a megabyte.
fn job() -> Value {
    json!({
        "dataset": {"name": "mnist"},
        "network": [{"type": "affine", "units": 50}, {"type": "relu"}, {"type": "affine", "units": 10}],
        "optimizer": {"type": "adam", "learning_rate": 0.0005},
        "batch_size": 50, "epochs": 300, "checkpoint_every_seconds": 0.05,
    })
}

/// A server that may write no larger file than [`BLOCKS`].
fn start_limited(folder: &Path) -> Process {
    let server = command(folder, 1);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f \"$0\" && exec \"$@\"", &BLOCKS.to_string()]);
    limited.arg(server.get_program()).args(server.get_args());
    Process::of(limited)
}

/// The ids of all jobs, oldest first.
async fn ids(client: &Client) -> Vec<String> {
    let (status, jobs) = client.get("/v1/jobs?order=asc&limit=200").await;
    assert_eq!(status, StatusCode::OK);
    jobs["data"].as_array().expect("a list").iter().map(|job| job["id"].as_str().expect("an id").to_owned()).collect()
}

async fn checkpoints(client: &Client, job: &str) -> Vec<Value> {
    let request = client.request("GET", &format!("/v1/jobs/{job}/events?limit=10000"));
    let log = request.header("accept", "application/json").send().await.expect("an answer");
    let log: Value = log.json().await.expect("JSON");
    let events = log["data"].as_array().expect("a list").iter();
    events.filter(|event| event["type"] == "checkpoint").cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_jobs_and_loses_none() {
    let folder = tempfile::tempdir().expect("a folder");
    small_mnist(folder.path());
    let database = folder.path().join("data/dojang.db");
    let process = Process::start(folder.path(), 1);
    let begun = process.client.submit(&job()).await;
    Stream::open(&process.client, &begun, None).await.until(|frame| frame.event == "checkpoint").await;
    assert_eq!(process.stop(Signal::TERM).await, Some(0));

    let process = start_limited(folder.path());
    let kept = checkpoints(&process.client, &begun).await;
    let mut accepted = vec![begun.clone()];
    let (key, problem) = loop {
        let key = format!("request-{}", accepted.len());
        let (status, answer) = process.client.submit_keyed(&quick_job(), &key).await.expect("an answer");
        if status != StatusCode::ACCEPTED {
            break (key, answer);
        }
        accepted.push(answer["id"].as_str().expect("an id").to_owned());
        assert!(accepted.len() < 200, "the disk is full some time");
    };
    assert_eq!(problem["status"], 507, "{problem}");
    // It is up, it knows what it has accepted, and the last good checkpoint is the one from before.
    assert_eq!(process.client.get("/healthz").await.0, StatusCode::OK);
    assert_eq!(ids(&process.client).await, accepted);
    assert_eq!(checkpoints(&process.client, &begun).await, kept);
    assert_consistent(&database).await;
    assert_eq!(process.stop(Signal::TERM).await, Some(0));

    let process = Process::start(folder.path(), 2);
    assert_eq!(ids(&process.client).await, accepted, "what was refused is not there");
    let (status, answer) = process.client.submit_keyed(&quick_job(), &key).await.expect("an answer");
    assert_eq!(status, StatusCode::ACCEPTED);
    accepted.push(answer["id"].as_str().expect("an id").to_owned());
    let control = process.client.submit(&job()).await;
    let control = process.client.finished(&control).await;
    for id in accepted {
        assert_eq!(process.client.finished(&id).await["status"], "succeeded");
    }
    assert_eq!(process.client.job(&begun).await["weights_sha256"], control["weights_sha256"]);
    assert_eq!(process.stop(Signal::TERM).await, Some(0));
    assert_consistent(&database).await;
}
