//! Jobs and models that go for good.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Client, Site, Stream, long_job, quick_job};
use crate::metrics::scrape;

/// A trained job's id, and a question to its model.
async fn trained(client: &Client) -> (String, Value) {
    let job = client.submit(&quick_job()).await;
    assert_eq!(client.finished(&job).await["status"], "succeeded");
    let (_, samples) = client.get("/v1/datasets/mnist/samples?limit=1").await;
    (job, json!({"image": samples["data"][0]["pixels"]}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_job_leaves_its_model_and_a_deleted_model_nothing() {
    let site = Site::start().await;
    let client = &site.client;
    let (job, image) = trained(client).await;
    let last = client.follow(&job).await.last().expect("events").id;
    let before = client.post("/predict?model=mnist", &image).await;
    assert_eq!(before.0, StatusCode::OK, "{}", before.1);
    assert_eq!(client.post(&format!("/predict?model=job:{job}"), &image).await, before);
    // A reader that has not seen the end gets it, though the job goes meanwhile or has gone.
    let reading = Stream::open(client, &job, Some(last - 1)).await;
    assert_eq!(client.delete(&format!("/v1/jobs/{job}")).await, (StatusCode::NO_CONTENT, json!("")));
    let rest = reading.rest().await;
    assert!(rest.is_empty() || rest.len() == 1 && rest[0].event == "done", "{rest:?}");

    for path in ["", "/events", "/metrics", "/diagnostics", "/weights"] {
        assert_eq!(client.get(&format!("/v1/jobs/{job}{path}")).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    for how in ["fork", "reproduce", "cancel", "resume"] {
        assert_eq!(client.ask(&job, how).await.0, StatusCode::NOT_FOUND, "{how}");
    }
    assert_eq!(client.delete(&format!("/v1/jobs/{job}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(client.get("/v1/jobs").await.1["data"], json!([]));
    assert_eq!(client.post(&format!("/predict?model=job:{job}"), &image).await.0, StatusCode::NOT_FOUND);
    let site = site.restart().await;
    let client = &site.client;
    assert_eq!(client.post("/predict?model=mnist@1", &image).await, before, "the version names its job still");
    assert_eq!(client.get("/v1/models/mnist").await.1["versions"][0]["source"], "job");

    assert_eq!(client.delete("/v1/models/mnist/versions/1").await.0, StatusCode::NO_CONTENT);
    assert_eq!(client.delete("/v1/models/mnist/versions/1").await.0, StatusCode::NOT_FOUND);
    assert_eq!(client.post("/predict?model=mnist@1", &image).await.0, StatusCode::NOT_FOUND);
    assert_eq!(client.get("/v1/models").await.1["data"], json!([]));
    let (status, storage) = client.get("/v1/storage").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&storage["weights_bytes"], &storage["checkpoints_bytes"]), (&json!(0), &json!(0)), "{storage}");
    let part = |name: &str| storage[name].as_u64().expect("a number");
    assert_eq!(part("total_bytes"), part("database_bytes") + part("log_bytes") + part("datasets_bytes"));

    // Numbers go on, and what is left of a model is all that goes with it.
    for version in [2, 3] {
        let (job, _) = trained(client).await;
        assert_eq!(client.job(&job).await["model_version"], version);
    }
    assert_eq!(client.delete("/v1/models/mnist/versions/3").await.0, StatusCode::NO_CONTENT);
    assert_eq!(client.post("/predict?model=mnist", &image).await.1["model"]["version"], 2);
    assert_eq!(client.delete("/v1/models/mnist").await.0, StatusCode::NO_CONTENT);
    assert_eq!(client.delete("/v1/models/mnist").await.0, StatusCode::NOT_FOUND);
    assert_eq!(client.get("/v1/models/mnist").await.0, StatusCode::NOT_FOUND);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_not_ended_is_cancelled_first() {
    let site = Site::start().await;
    let client = &site.client;
    let busy = client.submit(&long_job()).await;
    let waits = client.submit(&quick_job()).await;
    let mut stream = Stream::open(client, &busy, None).await;
    stream.until_state("running").await;
    for (job, status) in [(&waits, "queued"), (&busy, "running")] {
        let (code, problem) = client.delete(&format!("/v1/jobs/{job}")).await;
        let advice = format!("the job is {status}: cancel it first, and delete it when it has ended");
        assert_eq!((code, &problem["detail"]), (StatusCode::CONFLICT, &json!(advice)));
        client.ask(job, "cancel").await;
        client.finished(job).await;
        assert_eq!(client.delete(&format!("/v1/jobs/{job}")).await.0, StatusCode::NO_CONTENT);
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn predictions_and_claims_at_the_same_time_see_all_or_nothing() {
    let site = Site::start().await;
    let client = &site.client;
    let (job, image) = trained(client).await;
    let answered = AtomicU32::new(0);
    let ask = async || {
        loop {
            let (status, answer) = client.post("/predict?model=mnist@1", &image).await;
            if status == StatusCode::NOT_FOUND {
                return;
            }
            assert_eq!(status, StatusCode::OK, "{answer}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    // Jobs that are claimed meanwhile, stopped, and deleted as soon as they have ended.
    let live = async || {
        let job = client.submit(&long_job()).await;
        client.ask(&job, "cancel").await;
        client.finished(&job).await;
        assert_eq!(client.delete(&format!("/v1/jobs/{job}")).await.0, StatusCode::NO_CONTENT);
    };
    let delete = async {
        join_all((0..8).map(|_| live())).await;
        assert_eq!(client.delete(&format!("/v1/jobs/{job}")).await.0, StatusCode::NO_CONTENT);
        assert_eq!(client.delete("/v1/models/mnist").await.0, StatusCode::NO_CONTENT);
    };
    tokio::join!(join_all((0..8).map(|_| ask())), delete);
    assert!(answered.into_inner() > 0);
    assert_eq!(client.get("/v1/jobs").await.1["data"], json!([]));
    assert_eq!(client.get("/v1/storage").await.1["weights_bytes"], 0);
    trained(client).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_of_ended_jobs_are_kept_or_not() {
    for keep in [true, false] {
        let site = Site::start_with(|config| config.keep_checkpoints = keep).await;
        let client = &site.client;
        let (job, _) = trained(client).await;
        let bytes = client.get("/v1/storage").await.1["checkpoints_bytes"].as_u64().expect("a number");
        assert_eq!(bytes > 0, keep);
        let (status, problem) = client.post(&format!("/v1/jobs/{job}/fork"), &json!({"epochs": 13})).await;
        assert_eq!(status, if keep { StatusCode::ACCEPTED } else { StatusCode::CONFLICT }, "{problem}");
        // A cancelled one can be resumed either way.
        let job = client.submit(&long_job()).await;
        let mut stream = Stream::open(client, &job, None).await;
        stream.until(|frame| frame.event == "checkpoint").await;
        client.ask(&job, "cancel").await;
        stream.until_state("cancelled").await;
        assert!(client.get("/v1/storage").await.1["checkpoints_bytes"].as_u64() > Some(bytes));
        site.stop().await;
    }
}

/// Asks for a job until its checkpoint is removed.
async fn without_checkpoint(client: &Client, job: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let job = client.job(job).await;
        if !job["checkpoint_removed_at"].is_null() {
            return job;
        }
        assert!(Instant::now() < deadline, "{job}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_checkpoints_go_and_whoever_needs_one_is_told() {
    let site = Site::start_with(|config| config.checkpoints.max_count = 1).await;
    let client = &site.client;
    let cancelled = client.submit(&long_job()).await;
    let mut stream = Stream::open(client, &cancelled, None).await;
    stream.until(|frame| frame.event == "checkpoint").await;
    client.ask(&cancelled, "cancel").await;
    stream.until_state("cancelled").await;
    assert_eq!(client.job(&cancelled).await["checkpoint_removed_at"], Value::Null);
    let (first, _) = trained(client).await;
    let gone = without_checkpoint(client, &cancelled).await;
    assert_eq!((&gone["status"], &gone["spec"]), (&json!("cancelled"), &client.job(&cancelled).await["spec"]));
    let (status, problem) = client.ask(&cancelled, "resume").await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert!(problem["detail"].as_str().expect("a text").contains("was removed at"), "{problem}");
    assert_eq!(client.job(&cancelled).await["status"], "cancelled");
    let (status, problem) = client.post(&format!("/v1/jobs/{cancelled}/fork"), &json!({"epochs": 70_000})).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert!(problem["detail"].as_str().expect("a text").contains("was removed at"), "{problem}");

    let (second, _) = trained(client).await;
    without_checkpoint(client, &first).await;
    assert_eq!(client.post(&format!("/v1/jobs/{first}/fork"), &json!({"epochs": 13})).await.0, StatusCode::CONFLICT);
    let found = scrape(client).await;
    assert_eq!(found["dojang_checkpoints_removed_total"], 2.0);
    let (status, fork) = client.post(&format!("/v1/jobs/{second}/fork"), &json!({"epochs": 13})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "the newest is there: {fork}");
    let fork = fork["id"].as_str().expect("an id").to_owned();
    assert_eq!(client.finished(&fork).await["status"], "succeeded");
    // Its source's has gone since, so the fork cannot be done again; its weights and its model are untouched.
    without_checkpoint(client, &second).await;
    assert_eq!(client.ask(&fork, "reproduce").await.0, StatusCode::CONFLICT);
    assert_eq!(
        client.request("GET", &format!("/v1/jobs/{first}/weights")).send().await.expect("an answer").status(),
        200
    );
    // Other bounds hold from the next start on.
    let folder = site.stop().await;
    let site = Site::start_in_with(folder, |config| config.checkpoints.max_bytes = 1).await;
    without_checkpoint(&site.client, &fork).await;
    assert_eq!(site.client.get("/v1/storage").await.1["checkpoints_bytes"], 0);
    site.stop().await;
}
