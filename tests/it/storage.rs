//! A store that cannot be written shows in its jobs, in `/readyz` and in `/metrics`; nothing is accepted that is not kept.

use std::path::Path;
use std::time::{Duration, Instant};

use dojang::store::{Fault, Faults};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Client, Site, Stream, long_job, quick_job};
use crate::metrics::scrape;

/// Asks for a job until this holds of it.
async fn job_until(client: &Client, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let job = client.job(id).await;
        if holds(&job) {
            return job;
        }
        assert!(Instant::now() < deadline, "{job}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_waiting(client: &Client, id: &str) {
    job_until(client, id, |job| job["waiting_for"] == "storage").await;
}

/// Asks whether the server is ready until it is; what a probe has found holds for a second.
async fn until_ready(client: &Client) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.get("/readyz").await.0 != StatusCode::OK {
        assert!(Instant::now() < deadline, "it does not become ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A job that has begun to train, with a checkpoint.
async fn begun(client: &Client) -> String {
    let id = client.submit(&long_job()).await;
    Stream::open(client, &id, None).await.until(|frame| frame.event == "checkpoint").await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_write_shows_and_goes_on() {
    let faults = Faults::on_call();
    let site = Site::start_failing(tempfile::tempdir().expect("a folder"), &faults).await;
    let client = &site.client;
    let id = begun(client).await;
    assert_eq!(client.job(&id).await["waiting_for"], Value::Null);
    faults.fail(Fault::Commit, 1..u64::MAX);
    until_waiting(client, &id).await;
    let (status, problem) = client.get("/readyz").await;
    assert_eq!((status.as_u16(), &problem["detail"]), (503, &json!("storage cannot be written: the disk fails")));
    assert_eq!(client.get("/v1/jobs").await.1["data"][0]["waiting_for"], "storage", "the list says so, too");
    let refused = client.request("POST", "/v1/jobs").json(&quick_job()).send().await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(client.get("/v1/jobs").await.1["data"].as_array().map(Vec::len), Some(1), "nothing is queued");
    let failures = scrape(client).await["dojang_store_write_failures_total{kind=\"io\"}"];
    assert!(failures >= 2.0, "{failures}");

    faults.fail(Fault::Commit, 0..0);
    job_until(client, &id, |job| job["waiting_for"].is_null()).await;
    until_ready(client).await;
    let before = client.job(&id).await["progress"]["step"].as_u64();
    job_until(client, &id, |job| job["progress"]["step"].as_u64() > before).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_job_waits_for_storage_too() {
    let faults = Faults::on_call();
    let site = Site::start_failing(tempfile::tempdir().expect("a folder"), &faults).await;
    let id = begun(&site.client).await;
    // The cancellation is kept; what the run leaves behind cannot be. A commit of the run itself may come first.
    for tries in 1.. {
        faults.fail(Fault::Commit, 2..u64::MAX);
        if site.client.ask(&id, "cancel").await.0 == StatusCode::ACCEPTED {
            break;
        }
        assert!(tries < 100, "it cannot be cancelled");
        faults.fail(Fault::Commit, 0..0);
    }
    until_waiting(&site.client, &id).await;
    faults.fail(Fault::Commit, 0..0);
    let job = job_until(&site.client, &id, |job| job["status"] == "cancelled").await;
    assert_eq!(job["waiting_for"], Value::Null);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_be_claimed_waits_for_storage() {
    let faults = Faults::on_call();
    let site = Site::start_failing(tempfile::tempdir().expect("a folder"), &faults).await;
    // It is accepted; from then on nothing can be written.
    faults.fail(Fault::Commit, 2..u64::MAX);
    let id = site.client.submit(&quick_job()).await;
    let job = job_until(&site.client, &id, |job| job["waiting_for"] == "storage").await;
    assert_eq!(job["status"], "queued");
    assert_eq!(site.client.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    faults.fail(Fault::Commit, 0..0);
    assert_eq!(site.client.finished(&id).await["status"], "succeeded");
    until_ready(&site.client).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_finds_a_disk_that_nothing_else_writes_to() {
    let faults = Faults::on_call();
    let site = Site::start_failing(tempfile::tempdir().expect("a folder"), &faults).await;
    until_ready(&site.client).await;
    faults.fail(Fault::Commit, 1..u64::MAX);
    let deadline = Instant::now() + Duration::from_secs(20);
    while site.client.get("/readyz").await.0 == StatusCode::OK {
        assert!(Instant::now() < deadline, "it stays ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    faults.fail(Fault::Commit, 0..0);
    until_ready(&site.client).await;
    site.stop().await;
}

/// Something that happens to the files under a server, and whether it goes on afterwards.
type Loss = (&'static str, fn(&Path));

const LOSSES: [Loss; 5] = [
    ("the folder is deleted", |data| std::fs::remove_dir_all(data).expect("it goes")),
    ("the database is deleted", |data| std::fs::remove_file(data.join("dojang.db")).expect("it goes")),
    ("the log is deleted", |data| std::fs::remove_file(data.join("dojang.db-wal")).expect("it goes")),
    ("the database is replaced by a copy", |data| {
        let copy = data.join("copy");
        std::fs::copy(data.join("dojang.db"), &copy).expect("a copy");
        std::fs::rename(copy, data.join("dojang.db")).expect("it is replaced");
    }),
    ("the folder is replaced by an empty one", |data| {
        std::fs::remove_dir_all(data).expect("it goes");
        std::fs::create_dir(data).expect("a folder");
    }),
];

const GONE: &str = "the data folder was removed or replaced while the server runs; restart it";

/// Nothing is accepted any more, and whoever asks is told why.
async fn assert_gone(client: &Client, what: &str) {
    let (status, problem) = client.post("/v1/jobs", &quick_job()).await;
    assert_eq!((status.as_u16(), &problem["detail"]), (503, &json!(GONE)), "{what}");
    let (status, _, problem) = client.post_form("/v1/datasets", &[("name", false, b"mine")]).await;
    assert_eq!((status.as_u16(), &problem["detail"]), (503, &json!(GONE)), "{what}");
    let (status, _, problem) = client.post_form("/v1/models", &[("name", false, b"mine")]).await;
    assert_eq!((status.as_u16(), &problem["detail"]), (503, &json!(GONE)), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_accepted_into_a_folder_that_is_gone() {
    for (what, lose) in LOSSES {
        let site = Site::start().await;
        let client = &site.client;
        let id = begun(client).await;
        lose(&site.data_dir());
        assert_gone(client, what).await;
        let (status, problem) = client.ask(&id, "cancel").await;
        assert_eq!((status.as_u16(), &problem["detail"]), (503, &json!(GONE)), "{what}");
        until_waiting(client, &id).await;
        let (status, problem) = client.get("/readyz").await;
        assert_eq!(
            (status.as_u16(), problem["detail"].as_str().map(|d| d.ends_with(GONE))),
            (503, Some(true)),
            "{what}"
        );
        assert!(scrape(client).await["dojang_store_write_failures_total{kind=\"replaced\"}"] > 0.0, "{what}");
        // It is up, and stops in order.
        assert_eq!(client.get("/healthz").await.0, StatusCode::OK);
        site.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_comes_back_is_written_again() {
    let site = Site::start().await;
    let id = begun(&site.client).await;
    let elsewhere = site.data_dir().with_file_name("elsewhere");
    std::fs::rename(site.data_dir(), &elsewhere).expect("it is moved");
    assert_gone(&site.client, "the folder is moved").await;
    until_waiting(&site.client, &id).await;
    assert!(!site.data_dir().exists(), "nothing is made in its place");
    std::fs::rename(&elsewhere, site.data_dir()).expect("it is moved back");
    job_until(&site.client, &id, |job| job["waiting_for"].is_null()).await;
    until_ready(&site.client).await;
    let site = site.restart().await;
    assert_ne!(site.client.job(&id).await["status"], "failed");
    site.stop().await;
}
