//! Jobs made from others: forks go on from a checkpoint, reproductions do it all again.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Client, Site, Stream, long_job, quick_job};

/// Derives a job and returns its id.
async fn derive(client: &Client, job: &str, how: &str, body: &Value) -> String {
    let (status, derived) = client.post(&format!("/v1/jobs/{job}/{how}"), body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{derived}");
    derived["id"].as_str().expect("an id").to_owned()
}

/// `quick_job()` with some members replaced.
fn with(members: &Value) -> Value {
    let mut spec = quick_job();
    for (key, value) in members.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_trains_on_exactly_where_its_source_ended() {
    let site = Site::start().await;
    let client = &site.client;
    // Cut short in the middle of an epoch.
    let whole = client.submit(&quick_job()).await;
    let short = client.submit(&with(&json!({"epochs": null, "steps": 67}))).await;
    client.finished(&short).await;
    let request =
        client.request("POST", &format!("/v1/jobs/{short}/fork")).body(r#"{"epochs": 12, "model": "longer"}"#);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().expect("text").to_owned();
    let fork: Value = response.json().await.expect("JSON");
    assert_eq!(location, format!("/v1/jobs/{}", fork["id"].as_str().expect("an id")));
    assert_eq!((&fork["forked_from"], &fork["progress"]["step"]), (&json!(short), &json!(67)));
    assert_eq!((&fork["spec"]["epochs"], &fork["spec"]["steps"]), (&json!(12), &Value::Null));
    let fork = client.finished(fork["id"].as_str().expect("an id")).await;
    let whole = client.finished(&whole).await;
    assert_eq!(fork["weights_sha256"], whole["weights_sha256"]);
    assert_eq!((&fork["model"], &fork["progress"]["step"]), (&json!("longer"), &json!(144)));
    let id = fork["id"].as_str().expect("an id");
    let (_, history) = client.get(&format!("/v1/jobs/{id}/metrics")).await;
    assert!(history["steps"][0]["step"].as_u64() > Some(67), "what its source did is its source's");

    // It can be forked in its turn, and its source with another rate.
    let second = derive(client, id, "fork", &json!({"epochs": 13})).await;
    let other = derive(client, &short, "fork", &json!({"epochs": 12, "optimizer": {"type": "adam"}})).await;
    assert_eq!(client.finished(&second).await["progress"]["step"], 156);
    assert_ne!(client.finished(&other).await["weights_sha256"], whole["weights_sha256"]);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_its_checkpoint_cannot_bear_is_refused() {
    let site = Site::start().await;
    let client = &site.client;
    let done = client.submit(&quick_job()).await;
    client.finished(&done).await;
    let busy = client.submit(&long_job()).await;
    let fresh = client.submit(&quick_job()).await;
    let network = json!([{"type": "affine", "units": 10}]);
    for (overrides, pointer, word) in [
        (json!({}), "#/epochs", "144 of 144"),
        (json!({"steps": 144}), "#/steps", "give more steps"),
        (json!({"epochs": 20, "network": network}), "#/network", "submit a new job"),
        (json!({"epochs": 20, "optimizer": "sgd"}), "#/optimizer", "another type of optimizer"),
        (json!({"epochs": 20, "seed": 1}), "#/seed", "submit a new job"),
        (json!({"epochs": 20, "dataset": {"train_limit": 100}}), "#/dataset", "submit a new job"),
        (json!({"epohcs": 20}), "#/epohcs", "did you mean `epochs`?"),
        (json!([]), "#", "an object"),
    ] {
        let (status, problem) = client.post(&format!("/v1/jobs/{done}/fork"), &overrides).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(pointer)));
        assert!(problem["errors"][0]["detail"].as_str().expect("text").contains(word), "{problem}");
    }
    let (status, problem) = client.ask(&fresh, "fork").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().expect("text").contains("no checkpoint"), "{problem}");
    assert_eq!(client.ask(&busy, "reproduce").await.0, StatusCode::CONFLICT);
    let (status, problem) = client.post(&format!("/v1/jobs/{done}/reproduce"), &json!({"epochs": 3})).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("#")));
    for how in ["fork", "reproduce"] {
        assert_eq!(client.ask("01890000-0000-7000-8000-000000000000", how).await.0, StatusCode::NOT_FOUND);
    }
    assert_eq!(client.get("/v1/jobs").await.1["data"].as_array().map(Vec::len), Some(3));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_best_epoch_by_another_measure_is_forgotten() {
    let site = Site::start().await;
    let client = &site.client;
    let dataset = json!({"name": "mnist", "validation_fraction": 0.2});
    let source = client.submit(&with(&json!({"dataset": dataset, "early_stopping": {}, "epochs": 4}))).await;
    client.finished(&source).await;
    // A loss near zero would beat every accuracy, and stop the training after one epoch.
    let stop = json!({"monitor": "validation_accuracy", "patience": 1, "restore_best": false});
    let fork = derive(client, &source, "fork", &json!({"epochs": 6, "early_stopping": stop})).await;
    let ended = client.finished(&fork).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(client.finished(&derive(client, &fork, "reproduce", &json!({})).await).await["reproduced"], true);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reproduction_tells_whether_it_came_out_the_same() {
    let site = Site::start().await;
    let client = &site.client;
    let original = client.submit(&quick_job()).await;
    client.finished(&original).await;
    let again = derive(client, &original, "reproduce", &json!({})).await;
    let ended = client.finished(&again).await;
    assert_eq!((&ended["reproduces"], &ended["reproduced"]), (&json!(original), &json!(true)));
    assert_eq!(client.job(&original).await["reproduced"], Value::Null);

    // A fork is reproduced from the checkpoint that it began with, as long as its source has that.
    let source = client.submit(&long_job()).await;
    let mut stream = Stream::open(client, &source, None).await;
    stream.until(|frame| frame.event == "checkpoint").await;
    client.ask(&source, "pause").await;
    stream.until_state("paused").await;
    let step = client.job(&source).await["progress"]["step"].as_u64().expect("a number");
    let fork = derive(client, &source, "fork", &json!({"steps": step + 20})).await;
    client.finished(&fork).await;
    let again = derive(client, &fork, "reproduce", &json!({})).await;
    let ended = client.finished(&again).await;
    assert_eq!((&ended["reproduced"], &ended["forked_from"]), (&json!(true), &json!(source)));
    client.ask(&source, "resume").await;
    stream.until(|frame| frame.event == "checkpoint").await;
    let (status, problem) = client.ask(&fork, "reproduce").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().expect("text").contains(&source), "{problem}");
    site.stop().await;
}
