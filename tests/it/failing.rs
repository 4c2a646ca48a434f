//! Every write transaction of a job fails once, or from then on: nothing is lost, nothing is half there.

use dojang::store::{Fault, Faults};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::consistency::assert_consistent;
use crate::harness::{Client, Site, Stream, quick_job};

/// A job of about a dozen write transactions: accepted, claimed, events, checkpoints, its end.
fn job() -> Value {
    let mut spec = quick_job();
    spec["epochs"] = json!(25);
    spec["checkpoint_every_seconds"] = json!(0.02);
    spec
}

/// What a client is told whose job could not be kept.
fn refusal(fault: Fault) -> StatusCode {
    match fault {
        Fault::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Fault::Full | Fault::Commit => StatusCode::INSUFFICIENT_STORAGE,
        Fault::Unforeseen => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn jobs(client: &Client) -> Vec<Value> {
    client.get("/v1/jobs?limit=200").await.1["data"].as_array().expect("a list").clone()
}

/// Submits the job; `None` if it was refused, as it must be where its write failed, without a trace.
async fn submit(site: &Site, fault: Fault, key: &str) -> Option<String> {
    let before = jobs(&site.client).await.len();
    let (status, answer) = site.client.submit_keyed(&job(), key).await.expect("an answer");
    if status == StatusCode::ACCEPTED {
        return Some(answer["id"].as_str().expect("an id").to_owned());
    }
    assert_eq!(status, refusal(fault), "{answer}");
    assert_eq!(jobs(&site.client).await.len(), before, "what is refused leaves nothing");
    None
}

/// Waits for the job's end, which must be that of an undisturbed one.
async fn ends_well(site: &Site, id: &str, weights: &Value) {
    let frames = site.client.follow(id).await;
    assert!(frames.iter().enumerate().all(|(i, frame)| frame.id == i as u64 + 1), "the log has no gap");
    let job = site.client.job(id).await;
    assert_eq!((&job["status"], &job["weights_sha256"]), (&json!("succeeded"), weights), "{job}");
}

/// The weights of a job that nothing disturbs.
async fn control(site: &Site) -> Value {
    let id = site.client.submit(&job()).await;
    site.client.finished(&id).await["weights_sha256"].clone()
}

async fn each_write_fails_once(fault: Fault) {
    let faults = Faults::on_call();
    let site = Site::start_failing(tempfile::tempdir().expect("a folder"), &faults).await;
    let weights = control(&site).await;
    let mut refused = 0;
    for n in 1.. {
        faults.fail(fault, n..n + 1);
        let id = match submit(&site, fault, &format!("request-{n}")).await {
            Some(id) => id,
            None => {
                refused += 1;
                submit(&site, fault, &format!("again-{n}")).await.expect("once only")
            }
        };
        ends_well(&site, &id, &weights).await;
        assert_consistent(&site.database()).await;
        if faults.struck() == 0 {
            // The whole job has fewer writes than that: each has failed once.
            println!("{fault:?}: {} writes", n - 1);
            assert!(n > 4, "{fault:?}: only {} writes", n - 1);
            break;
        }
    }
    // A job that fits into the pages there are is accepted on a full disk, too.
    assert!(refused > 0 || fault == Fault::Full, "the write that accepts a job is one of them");
    site.stop().await;
}

async fn each_write_fails_until_the_restart(fault: Fault) {
    let faults = Faults::on_call();
    let mut site = Site::start_failing(tempfile::tempdir().expect("a folder"), &faults).await;
    let weights = control(&site).await;
    for n in 1.. {
        let key = format!("request-{n}");
        faults.fail(fault, n..u64::MAX);
        let accepted = submit(&site, fault, &key).await;
        if let Some(id) = &accepted {
            tokio::select! {
                () = faults.strike() => {}
                _ = site.client.finished(id) => {}
            }
        }
        let struck = faults.struck();
        let database = site.database();
        let folder = site.stop().await;
        assert_consistent(&database).await;
        faults.fail(fault, 0..0);
        site = Site::start_failing(folder, &faults).await;
        let id = submit(&site, fault, &key).await.expect("the disk is well again");
        assert!(accepted.is_none_or(|accepted| accepted == id), "the request that was acknowledged has made this job");
        ends_well(&site, &id, &weights).await;
        assert_consistent(&database).await;
        if struck == 0 {
            println!("{fault:?}: {} writes", n - 1);
            assert!(n > 4, "{fault:?}: only {} writes", n - 1);
            break;
        }
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_database_at_any_write_of_a_job_costs_nothing() {
    each_write_fails_once(Fault::Busy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_any_write_of_a_job_costs_nothing() {
    each_write_fails_once(Fault::Full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_commit_at_any_write_of_a_job_costs_nothing() {
    each_write_fails_once(Fault::Commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unforeseen_failure_at_any_write_of_a_job_costs_nothing() {
    each_write_fails_once(Fault::Unforeseen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_from_any_write_on_costs_a_restart_only() {
    each_write_fails_until_the_restart(Fault::Commit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_from_any_write_on_costs_a_restart_only() {
    each_write_fails_until_the_restart(Fault::Full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_gives_up_writing_is_followed_by_another() {
    let faults = Faults::on_call();
    let site = Site::start_failing(tempfile::tempdir().expect("a folder"), &faults).await;
    let weights = control(&site).await;
    // Accepted and claimed; then so many failures that the run does not try again, and one to put its job back.
    faults.fail(Fault::Unforeseen, 3..9);
    let id = submit(&site, Fault::Unforeseen, "key").await.expect("it is accepted");
    ends_well(&site, &id, &weights).await;
    assert_eq!((&site.client.job(&id).await["attempt"], faults.struck()), (&json!(2), 6));
    assert_consistent(&site.database()).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_consistent_at_any_moment() {
    let site = Site::start().await;
    let mut spec = job();
    spec["epochs"] = json!(150);
    let id = site.client.submit(&spec).await;
    let mut stream = Stream::open(&site.client, &id, None).await;
    while let Some(frame) = stream.next().await {
        if frame.event == "epoch" {
            let step = site.client.job(&id).await["progress"]["step"].as_u64();
            assert!(step >= frame.data["step"].as_u64(), "the progress is behind the figures of {frame:?}");
        }
    }
    site.stop().await;
}
