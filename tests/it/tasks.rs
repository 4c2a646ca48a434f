//! The death of each of the server's own tasks: it is restarted, no job is lost, and a task that dies again and again stops
//! the server in order.

use std::time::{Duration, Instant};

use dojang::app::{App, AppError, Config};
use dojang::supervisor::{Failpoint, Failpoints, Task};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Executor as _};

use crate::consistency::assert_consistent;
use crate::harness::{Client, Site, Stream, long_job, quick_job};
use crate::metrics::scrape;
use crate::webhooks::{Receiver, settings, with_hook};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server whose tasks panic where they are told to.
async fn site(failpoints: &Failpoints, set: impl FnOnce(&mut Config)) -> Site {
    let failpoints = failpoints.clone();
    Site::start_with(move |config| {
        config.failpoints = failpoints;
        set(config);
    })
    .await
}

async fn restarts(client: &Client, task: Task) -> f64 {
    scrape(client).await[&format!("dojang_task_restarts_total{{task=\"{}\"}}", task.name())]
}

async fn until_restarted(client: &Client, task: Task) {
    let deadline = Instant::now() + PATIENCE;
    while restarts(client, task).await < 1.0 {
        assert!(Instant::now() < deadline, "{task} is not restarted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A job with some checkpoints.
fn job() -> Value {
    let mut spec = quick_job();
    spec["checkpoint_every_seconds"] = json!(0.02);
    spec
}

/// Follows a job to its end, and returns it with its events, whose ids must have no gap.
async fn followed(client: &Client, id: &str) -> Value {
    let frames = tokio::time::timeout(PATIENCE, client.follow(id)).await.expect("readers hear of the end");
    assert!(frames.iter().enumerate().all(|(i, frame)| frame.id == i as u64 + 1), "the log has no gap");
    client.job(id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_is_restarted_and_its_job_goes_on() {
    let failpoints = Failpoints::armed();
    let site = site(&failpoints, |_| {}).await;
    let client = &site.client;
    let undisturbed = client.submit(&job()).await;
    let weights = followed(client, &undisturbed).await["weights_sha256"].clone();
    let points = [
        (Failpoint::Claim, 1),
        (Failpoint::BeforeTraining, 2),
        (Failpoint::BeforeCommit, 2),
        (Failpoint::AfterCommit, 2),
        (Failpoint::AfterFinish, 1),
    ];
    for (died, (point, attempt)) in points.into_iter().enumerate() {
        failpoints.panic_at(point, 1);
        let id = client.submit(&job()).await;
        let ended = followed(client, &id).await;
        let found = (&ended["status"], &ended["weights_sha256"], &ended["attempt"]);
        assert_eq!(found, (&json!("succeeded"), &weights, &json!(attempt)), "{point:?}");
        until_restarted(client, Task::Worker).await;
        assert_eq!((failpoints.left(point), restarts(client, Task::Worker).await), (0, died as f64 + 1.0), "{point:?}");
        assert_consistent(&site.database()).await;
    }
    // Nothing of the dead ones is left: a new job has all cores, and no job runs.
    let id = client.submit(&job()).await;
    assert_eq!(followed(client, &id).await["status"], "succeeded");
    let deadline = Instant::now() + PATIENCE;
    while scrape(client).await["dojang_running_jobs"] > 0.0 {
        assert!(Instant::now() < deadline, "a run is left over");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(client.get("/readyz").await.0, StatusCode::OK);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_worker_again_and_again_fails_and_the_next_one_is_trained() {
    let failpoints = Failpoints::armed();
    let site = site(&failpoints, |_| {}).await;
    failpoints.panic_at(Failpoint::BeforeCommit, 3);
    let poison = site.client.submit(&job()).await;
    let ended = followed(&site.client, &poison).await;
    assert_eq!((&ended["status"], &ended["attempt"]), (&json!("failed"), &json!(3)));
    assert!(ended["error"].as_str().expect("an error").contains("internal error"), "{ended}");
    let next = site.client.submit(&job()).await;
    assert_eq!(followed(&site.client, &next).await["status"], "succeeded");
    assert_eq!(site.client.get("/readyz").await.0, StatusCode::OK);
    assert_consistent(&site.database()).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_be_cancelled_while_its_worker_is_dead() {
    let failpoints = Failpoints::armed();
    let site = site(&failpoints, |_| {}).await;
    let id = site.client.submit(&long_job()).await;
    Stream::open(&site.client, &id, None).await.until(|frame| frame.event == "checkpoint").await;
    failpoints.panic_at(Failpoint::BeforeCommit, 1);
    until_restarted(&site.client, Task::Worker).await;
    site.client.ask(&id, "cancel").await;
    assert_eq!(followed(&site.client, &id).await["status"], "cancelled");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_thread_that_dies_costs_its_job_only() {
    let failpoints = Failpoints::armed();
    let site = site(&failpoints, |_| {}).await;
    failpoints.panic_at(Failpoint::TrainingThread, 1);
    let (dead, next) = (site.client.submit(&job()).await, site.client.submit(&job()).await);
    let ended = followed(&site.client, &dead).await;
    assert_eq!(ended["status"], "failed");
    assert!(ended["error"].as_str().expect("an error").contains("training thread"), "{ended}");
    assert_eq!(followed(&site.client, &next).await["status"], "succeeded");
    assert_eq!(restarts(&site.client, Task::Worker).await, 0.0);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_task_is_restarted() {
    let failpoints = Failpoints::armed();
    let points = [
        (Failpoint::SpaceReclaimer, Task::SpaceReclaimer),
        (Failpoint::CheckpointRetention, Task::CheckpointRetention),
        (Failpoint::WebhookDispatcher, Task::WebhookDispatcher),
        (Failpoint::MetricsUpkeep, Task::MetricsUpkeep),
        (Failpoint::AcceptLoop, Task::AcceptLoop),
    ];
    for (point, _) in points {
        failpoints.panic_at(point, 1);
    }
    failpoints.panic_at(Failpoint::WebhookAttempt, 1);
    let mut receiver = Receiver::start(&[]).await;
    let site = site(&failpoints, |config| config.webhooks = Some(settings(3))).await;
    for (_, task) in points {
        until_restarted(&site.client, task).await;
        assert_eq!(restarts(&site.client, task).await, 1.0, "{task}");
    }
    let id = site.client.submit(&with_hook(job(), &receiver.url)).await;
    assert_eq!(followed(&site.client, &id).await["status"], "succeeded");
    // The attempt that panicked was made again.
    assert_eq!(receiver.next().await.verified()["data"]["job"], json!(id));
    assert_eq!(failpoints.left(Failpoint::WebhookAttempt), 0);
    assert_eq!(site.client.delete(&format!("/v1/jobs/{id}")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(site.client.get("/readyz").await.0, StatusCode::OK);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_dies_again_and_again_stops_the_server_in_order() {
    for (point, task) in [
        (Failpoint::SpaceReclaimer, Task::SpaceReclaimer),
        (Failpoint::CheckpointRetention, Task::CheckpointRetention),
        (Failpoint::WebhookDispatcher, Task::WebhookDispatcher),
        (Failpoint::MetricsUpkeep, Task::MetricsUpkeep),
        (Failpoint::AcceptLoop, Task::AcceptLoop),
    ] {
        let (folder, failpoints) = (tempfile::tempdir().expect("a folder"), Failpoints::armed());
        failpoints.panic_at(point, u32::MAX);
        let mut config = Site::config(folder.path());
        (config.failpoints, config.webhooks) = (failpoints, Some(settings(1)));
        let app = App::build(config).await.expect("a server");
        let ended =
            tokio::time::timeout(PATIENCE, app.run_until_stopped(std::future::pending())).await.expect("in time");
        let Err(AppError::Died(dead)) = ended else { panic!("{task}: {ended:?}") };
        assert_eq!(dead.task, task);
        assert!(dead.cause.contains("on purpose"), "{dead}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_be_kept_alive_is_told_and_running_jobs_are_saved() {
    let (folder, failpoints) = (tempfile::tempdir().expect("a folder"), Failpoints::armed());
    let mut config = Site::config(folder.path());
    (config.failpoints, config.slots) = (failpoints.clone(), 2);
    let database = config.data_dir.join("dojang.db");
    let app = App::build(config).await.expect("a server");
    let client = Client::new(&format!("http://{}", app.addr()));
    let server = tokio::spawn(app.run_until_stopped(std::future::pending()));
    let id = client.submit(&long_job()).await;
    Stream::open(&client, &id, None).await.until(|frame| frame.event == "checkpoint").await;
    // The run cannot give its job back while somebody else holds the lock: so long the server winds down.
    let options = SqliteConnectOptions::new().filename(&database);
    let mut lock = SqliteConnection::connect_with(&options).await.expect("it");
    lock.execute("begin immediate").await.expect("the lock");
    // The other worker dies at its next look at the queue.
    failpoints.panic_at(Failpoint::Claim, u32::MAX);
    let deadline = Instant::now() + PATIENCE;
    let detail = loop {
        assert!(Instant::now() < deadline, "it is not told");
        // Before it is dead, the answer waits for the lock.
        let answer = tokio::time::timeout(Duration::from_millis(300), client.get("/readyz")).await;
        let Ok((status, problem)) = answer else { continue };
        let detail = problem["detail"].as_str().unwrap_or_default().to_owned();
        if status == StatusCode::SERVICE_UNAVAILABLE && detail.contains("worker") {
            break detail;
        }
    };
    assert!(detail.contains("the task `worker` died 6 times within 60 s") && detail.contains("on purpose"), "{detail}");
    lock.execute("rollback").await.expect("the lock is given back");
    lock.close().await.expect("closed");
    let ended = tokio::time::timeout(PATIENCE, server).await.expect("in time").expect("no panic");
    assert!(matches!(ended, Err(AppError::Died(_))), "{ended:?}");
    assert_consistent(&database).await;
    let site = Site::start_in(folder).await;
    let mut stream = Stream::open(&site.client, &id, None).await;
    stream.until(|frame| frame.data["status"] == "running" && frame.data["attempt"] == 2).await;
    assert!(site.client.job(&id).await["progress"]["step"].as_u64() > Some(0), "it goes on from its checkpoint");
    site.stop().await;
}
