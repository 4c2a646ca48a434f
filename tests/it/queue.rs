//! Who waits, how long, how many, and requests that come twice.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Client, Site, Stream, long_job, quick_job};

/// A job of this priority.
fn of(priority: i32) -> Value {
    let mut spec = quick_job();
    spec["priority"] = json!(priority);
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_priority_is_served_first_and_the_wait_is_estimated() {
    let site = Site::start().await;
    let client = &site.client;
    let busy = client.submit(&long_job()).await;
    let mut stream = Stream::open(client, &busy, None).await;
    stream.until(|frame| frame.event == "metrics").await;
    let (low, high, late) = (client.submit(&of(-1)).await, client.submit(&of(9)).await, client.submit(&of(9)).await);
    for (job, place) in [(&low, 3), (&high, 1), (&late, 2)] {
        let shown = client.job(job).await;
        assert_eq!((&shown["queue_position"], &shown["spec"]["priority"]), (&json!(place), &shown["spec"]["priority"]));
        // Nobody knows how long a job takes that was never begun.
        assert_eq!(shown["queue_eta_seconds"].is_number(), place == 1, "{shown}");
    }
    let (_, list) = client.get("/v1/jobs?status=queued&order=asc").await;
    let places: Vec<_> =
        list["data"].as_array().expect("a list").iter().map(|job| job["queue_position"].clone()).collect();
    assert_eq!(places, [3, 1, 2]);
    client.ask(&busy, "cancel").await;
    let mut started = vec![];
    for job in [&low, &high, &late] {
        let ended = client.finished(job).await;
        started.push(ended["started_at"].as_str().expect("a time").to_owned());
    }
    assert!(started[1] < started[2] && started[2] < started[0], "{started:?}");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_jobs_train_at_once_as_there_are_slots() {
    let set = |config: &mut dojang::app::Config| (config.slots, config.threads) = (2, 2);
    let site = Site::start_with(set).await;
    let client = &site.client;
    let mut jobs = vec![];
    for _ in 0..3 {
        jobs.push(client.submit(&long_job()).await);
    }
    // Both get on, by turns: neither waits for the other's end.
    let (mut one, mut other) = (Stream::open(client, &jobs[0], None).await, Stream::open(client, &jobs[1], None).await);
    for _ in 0..3 {
        one.until(|frame| frame.event == "checkpoint").await;
        other.until(|frame| frame.event == "checkpoint").await;
    }
    let third = client.job(&jobs[2]).await;
    assert_eq!((&third["status"], &third["queue_position"]), (&json!("queued"), &json!(1)));
    // A slot that is free again is taken at once.
    client.ask(&jobs[0], "cancel").await;
    Stream::open(client, &jobs[2], None).await.until(|frame| frame.event == "checkpoint").await;
    assert_eq!(client.job(&jobs[1]).await["status"], "running");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_so_and_keeps_nothing() {
    let site = Site::start_with(|config| config.max_queued = 2).await;
    let client = &site.client;
    let busy = client.submit(&long_job()).await;
    Stream::open(client, &busy, None).await.until(|frame| frame.event == "checkpoint").await;
    let first = client.submit(&quick_job()).await;
    client.submit(&quick_job()).await;
    for (path, body) in [("/v1/jobs".to_owned(), quick_job()), (format!("/v1/jobs/{busy}/fork"), json!({}))] {
        let request = client.request("POST", &path).header("idempotency-key", "k").json(&body);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(response.headers()["retry-after"].to_str().expect("text").parse::<u32>().expect("seconds") > 0);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.json::<Value>().await.expect("JSON")["status"], 429);
    }
    assert_eq!(client.get("/v1/jobs").await.1["data"].as_array().map(Vec::len), Some(3));
    // Room is made, and the refusals have used no key.
    client.ask(&first, "cancel").await;
    let response = post(client, "/v1/jobs", "k", &quick_job()).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    site.stop().await;
}

async fn post(client: &Client, path: &str, key: &str, body: &Value) -> Response {
    client.request("POST", path).header("idempotency-key", key).json(body).send().await.expect("an answer")
}

async fn id(response: Response) -> String {
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().expect("text").to_owned();
    let job: Value = response.json().await.expect("JSON");
    assert_eq!(location, format!("/v1/jobs/{}", job["id"].as_str().expect("an id")));
    location["/v1/jobs/".len()..].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_makes_one_job() {
    let site = Site::start().await;
    let same = (0..8).map(|_| {
        let client = site.client.clone();
        tokio::spawn(async move { id(post(&client, "/v1/jobs", "\"one\"", &quick_job()).await).await })
    });
    let mut ids = vec![];
    for call in same.collect::<Vec<_>>() {
        ids.push(call.await.expect("no panic"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let job = ids.remove(0);
    site.client.finished(&job).await;

    // Another server on the same data, another day of the job: it is shown as it is now.
    let site = site.restart().await;
    let client = &site.client;
    let response = post(client, "/v1/jobs", "\"one\"", &quick_job()).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(response.json::<Value>().await.expect("JSON")["status"], "succeeded");
    for (path, body) in [
        ("/v1/jobs".to_owned(), of(1)),
        (format!("/v1/jobs/{job}/fork"), quick_job()),
        (format!("/v1/jobs/{job}/reproduce"), json!({})),
    ] {
        let response = post(client, &path, "\"one\"", &body).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        let problem: Value = response.json().await.expect("JSON");
        assert!(problem["detail"].as_str().expect("text").contains("Idempotency-Key"), "{problem}");
    }
    // Forks and reproductions have keys, too; a refusal uses none.
    for (how, key, wrong, right) in [
        ("fork", "f", json!({"epochs": 1}), json!({"epochs": 14})),
        ("reproduce", "r", json!({"epochs": 1}), json!({})),
    ] {
        let path = format!("/v1/jobs/{job}/{how}");
        assert_eq!(post(client, &path, key, &wrong).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let first = id(post(client, &path, key, &right).await).await;
        assert_eq!(id(post(client, &path, key, &right).await).await, first);
    }
    assert_eq!(client.get("/v1/jobs").await.1["data"].as_array().map(Vec::len), Some(3));
    for key in ["", "two words", &"x".repeat(256)] {
        assert_eq!(post(client, "/v1/jobs", key, &quick_job()).await.status(), StatusCode::BAD_REQUEST, "{key}");
    }
    site.stop().await;
}
