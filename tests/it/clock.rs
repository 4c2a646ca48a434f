//! Neither a clock on the wall that jumps nor a process that is stopped for a while changes anything.

use std::time::Duration;

use dojang::clock::Wall;
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::consistency::assert_consistent;
use crate::harness::{Site, Stream, long_job, quick_job, small_mnist, steady_job};
use crate::process::Process;

/// An hour and ten years, forward and back, to end where it began.
const JUMPS: [i64; 6] = [3600, -7200, 3600, 315_360_000, -630_720_000, 315_360_000];

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_by_years_changes_no_order_and_loses_nothing() {
    let wall = Wall::default();
    let site = Site::start_with(|config| config.wall = wall.clone()).await;
    let client = &site.client;
    let mut spec = steady_job();
    // Neither its time nor that between two checkpoints is the wall's.
    spec["max_seconds"] = json!(600);
    spec["checkpoint_every_seconds"] = json!(0.02);
    spec["epochs"] = json!(400);
    let first = client.submit(&spec).await;
    let mut stream = Stream::open(client, &first, None).await;
    stream.until(|frame| frame.event == "checkpoint").await;
    let (mut ids, mut seen) = (vec![first.clone()], 0);
    for (n, seconds) in JUMPS.into_iter().enumerate() {
        wall.put_forward(seconds);
        // A checkpoint is due in time, whether the clock says that it was long ago or is years ahead.
        seen = stream.until(|frame| frame.event == "checkpoint").await.id;
        let key = format!("request-{n}");
        let (status, job) = client.submit_keyed(&quick_job(), &key).await.expect("an answer");
        assert_eq!(status, StatusCode::ACCEPTED, "{job}");
        ids.push(job["id"].as_str().expect("an id").to_owned());
    }
    for (n, id) in ids.iter().skip(1).enumerate() {
        assert_eq!(client.job(id).await["queue_position"], n + 1);
        // Sent again after all the years: it is still the same request.
        let (_, job) = client.submit_keyed(&quick_job(), &format!("request-{n}")).await.expect("an answer");
        assert_eq!(job["id"], *id);
    }
    let (_, list) = client.get("/v1/jobs?order=asc").await;
    let listed: Vec<_> = list["data"].as_array().expect("a list").iter().map(|job| job["id"].clone()).collect();
    assert_eq!(listed, ids);
    assert!(ids.is_sorted(), "ids are in the order of the list, too: {ids:?}");
    let frames = stream.rest().await;
    assert!(frames.iter().zip(seen + 1..).all(|(frame, id)| frame.id == id), "no gap");
    let first = client.job(&first).await;
    assert_eq!((&first["status"], &first["stop_reason"]), (&json!("succeeded"), &json!("completed")), "{first}");
    let mut ends: Vec<(u64, String)> = vec![];
    for id in ids.iter().skip(1) {
        let job = client.finished(id).await;
        assert_eq!(job["status"], "succeeded", "{job}");
        ends.push((job["model_version"].as_u64().expect("a version"), id.clone()));
    }
    assert!(ends.is_sorted(), "they were trained as they came: {ends:?}");
    let control = client.submit(&spec).await;
    assert_eq!(client.finished(&control).await["weights_sha256"], first["weights_sha256"]);
    assert_consistent(&site.database()).await;
    site.stop().await;
}

/// The seconds that the server says it is up.
async fn up(process: &Process) -> f64 {
    crate::metrics::scrape(&process.client).await["dojang_uptime_seconds"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_takes_nobodys_time() {
    let folder = tempfile::tempdir().expect("a folder");
    small_mnist(folder.path());
    let process = Process::start(folder.path(), 1);
    let client = process.client.clone();
    let mut spec = long_job();
    // Longer than the stop and the moments around it, though not by much.
    spec["max_seconds"] = json!(4.0);
    let job = client.submit(&spec).await;
    let mut stream = Stream::open(&client, &job, None).await;
    let mut last = stream.until(|frame| frame.event == "checkpoint").await.id;
    let before = up(&process).await;
    process.signal(Signal::STOP);
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.submit_keyed(&quick_job(), "while-it-is-stopped").await.expect("an answer") }
    });
    // The length of the stop is what is tested.
    tokio::time::sleep(Duration::from_secs(4)).await;
    process.signal(Signal::CONT);
    let (status, other) = asked.await.expect("no panic");
    assert_eq!(status, StatusCode::ACCEPTED, "{other}");
    assert!(up(&process).await < before + 3.0, "the stop counts for a second at most");
    // The stream goes on, and so does the job: its time is not over.
    while let Some(frame) = stream.next().await {
        assert_eq!(frame.id, last + 1);
        last = frame.id;
    }
    let ended = client.job(&job).await;
    assert_eq!((&ended["status"], &ended["stop_reason"]), (&json!("succeeded"), &json!("max_seconds")), "{ended}");
    let seconds = seconds(&ended["finished_at"]) - seconds(&ended["started_at"]);
    assert!(seconds > 7.0, "four seconds of training and four of standing still: {seconds}");
    assert_eq!(client.finished(other["id"].as_str().expect("an id")).await["status"], "succeeded");
    assert_eq!(process.stop(Signal::TERM).await, Some(0));
}

fn seconds(time: &Value) -> f64 {
    let time: jiff::Timestamp = time.as_str().expect("a time").parse().expect("a time");
    time.as_millisecond() as f64 / 1000.0
}
