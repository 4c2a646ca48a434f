//! However often a spec asks for checkpoints, they take a bounded share of time and memory.

use serde_json::{Value, json};

use crate::harness::{Site, Stream, quick_job};

/// A job that asks for a checkpoint after every mini-batch.
fn greedy_job(units: u32) -> Value {
    let mut spec = quick_job();
    spec["network"][0]["units"] = json!(units);
    spec["epochs"] = json!(60_000);
    spec["checkpoint_every_seconds"] = json!(1e-9);
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_interval_than_checkpoints_allow_is_raised_and_told() {
    let site = Site::start().await;
    let id = site.client.submit(&greedy_job(200)).await;
    let mut stream = Stream::open(&site.client, &id, None).await;
    let alert = stream.until(|frame| frame.event == "alert").await;
    assert_eq!(alert.data["code"], "checkpoint_interval_raised");
    let detail = alert.data["detail"].as_str().expect("a text");
    assert!(detail.ends_with("not every 0.000000001 s"), "{detail}");
    stream.until(|frame| frame.event == "checkpoint").await;
    let job = site.client.job(&id).await;
    assert_eq!(job["spec"]["checkpoint_every_seconds"], json!(1e-9), "the spec stays as it is");
    let interval = job["progress"]["checkpoint_interval_seconds"].as_f64().expect("a number");
    assert!(interval > 0.001, "{interval}");
    site.client.ask(&id, "cancel").await;
    let told = stream.rest().await.into_iter().filter(|frame| frame.event == "alert").count();
    assert_eq!(told, 0, "once a run");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_that_is_long_enough_stays() {
    let site = Site::start().await;
    let mut spec = quick_job();
    spec["checkpoint_every_seconds"] = json!(600);
    let id = site.client.submit(&spec).await;
    let job = site.client.finished(&id).await;
    assert_eq!(job["progress"]["checkpoint_interval_seconds"], json!(600.0));
    assert!(site.client.follow(&id).await.iter().all(|frame| frame.event != "alert"));
    site.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_job_takes_no_more_memory_than_it_was_admitted_with() {
    let folder = tempfile::tempdir().expect("a folder");
    crate::harness::small_mnist(folder.path());
    let process = crate::process::Process::start(folder.path(), 2);
    let before = process.memory("VmRSS");
    let id = process.client.submit(&greedy_job(4096)).await;
    let mut stream = Stream::open(&process.client, &id, None).await;
    for _ in 0..3 {
        stream.until(|frame| frame.event == "checkpoint").await;
    }
    let (job, peak) = (process.client.job(&id).await, process.memory("VmHWM"));
    let admitted = job["peak_memory_bytes"].as_u64().expect("a number");
    println!("admitted with {admitted}, took {}", peak - before);
    assert!(peak - before <= admitted, "{} bytes, admitted with {admitted}", peak - before);
    process.kill();
}
