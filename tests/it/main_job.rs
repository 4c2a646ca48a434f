//! POST a job, watch it learn, predict: the path that every user takes.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Site, Stream, long_job, quick_job};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_from_post_to_predict() {
    let site = Site::start().await;
    let response = site.client.request("POST", "/v1/jobs").json(&quick_job()).send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().expect("text").to_owned();
    let job: Value = response.json().await.expect("JSON");
    let id = job["id"].as_str().expect("an id").to_owned();
    assert_eq!(location, format!("/v1/jobs/{id}"));
    assert_eq!((&job["status"], &job["parameters"]), (&json!("queued"), &json!(15_910)));

    let frames = site.client.follow(&id).await;
    let ids: Vec<_> = frames.iter().map(|frame| frame.id).collect();
    assert_eq!(ids, (1..=frames.len() as u64).collect::<Vec<_>>());
    assert_eq!(frames[0].data["status"], "queued");
    assert_eq!(frames[1].data["status"], "running");
    assert_eq!(frames.iter().filter(|frame| frame.event == "epoch").count(), 12);
    let done = frames.last().expect("events");
    assert_eq!((done.event.as_str(), &done.data["status"]), ("done", &json!("succeeded")));

    let (_, job) = site.client.get(&location).await;
    assert_eq!((&job["stop_reason"], &job["progress"]["fraction"]), (&json!("completed"), &json!(1.0)));
    assert_eq!((&job["model"], &job["model_version"]), (&json!("mnist"), &json!(1)));
    let accuracy = job["metrics"]["test_accuracy"].as_f64().expect("a number");
    assert!(accuracy > 0.7, "{accuracy}");

    // The weights are those whose hash the job names.
    let weights = site.client.request("GET", &format!("{location}/weights")).send().await.expect("an answer");
    let tag = weights.headers()["etag"].to_str().expect("text").to_owned();
    let bytes = weights.bytes().await.expect("a body");
    let sha256: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(job["weights_sha256"], sha256);
    assert_eq!(tag, format!("\"{sha256}\""));
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let shape = |name: &str| file.tensor(name).expect("a tensor").shape().to_vec();
    assert_eq!((shape("W1"), shape("b1"), shape("W2"), shape("b2")), (vec![784, 20], vec![20], vec![20, 10], vec![10]));
    let known = site.client.request("GET", &format!("{location}/weights")).header("if-none-match", tag);
    assert_eq!(known.send().await.expect("an answer").status(), StatusCode::NOT_MODIFIED);

    // `/predict` agrees with the job's own evaluation, image by image and in bulk, however the images come.
    let (_, samples) = site.client.get("/v1/datasets/mnist/samples?split=test&limit=100").await;
    let samples = samples["data"].as_array().expect("a list").clone();
    let images: Vec<_> = samples.iter().map(|sample| sample["pixels"].clone()).collect();
    let (status, bulk) = site.client.post("/predict", &json!({"images": images})).await;
    assert_eq!(status, StatusCode::OK, "{bulk}");
    let predictions = bulk["predictions"].as_array().expect("a list");
    let hits = samples.iter().zip(predictions).filter(|(sample, answer)| sample["label"] == answer["label"]).count();
    assert_eq!(hits, (accuracy * 100.0).round() as usize);
    let raw: Vec<u8> = images
        .iter()
        .flat_map(|image| image.as_array().expect("a list").iter().map(|p| p.as_u64().expect("a byte") as u8))
        .collect();
    let octets = site.client.request("POST", "/predict").header("content-type", "application/octet-stream").body(raw);
    let octets: Value = octets.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(octets["predictions"], bulk["predictions"]);
    let (_, one) = site.client.post("/predict?model=mnist@1", &json!({"image": images[0]})).await;
    assert_eq!(one["predictions"][0]["label"], bulk["predictions"][0]["label"]);
    assert_eq!(one["model"]["weights_sha256"], job["weights_sha256"]);
    let (_, models) = site.client.get("/v1/models").await;
    assert_eq!(models["data"][0]["versions"][0]["weights_sha256"], job["weights_sha256"]);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_there_as_json_and_csv() {
    let site = Site::start().await;
    let id = site.client.submit(&quick_job()).await;
    site.client.finished(&id).await;
    let (_, history) = site.client.get(&format!("/v1/jobs/{id}/metrics")).await;
    let (steps, epochs) = (history["steps"].as_array().expect("a list"), history["epochs"].as_array().expect("a list"));
    assert_eq!(epochs.len(), 12);
    assert_eq!(steps.last().expect("steps")["step"], 144);
    let (_, csv) = site.client.get(&format!("/v1/jobs/{id}/metrics?format=csv")).await;
    let csv = csv.as_str().expect("text").to_owned();
    assert_eq!(csv.lines().count(), 1 + steps.len() + epochs.len());
    let columns = csv.lines().next().expect("a head").split(',').count();
    assert!(csv.lines().all(|line| line.split(',').count() == columns));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_works_waiting_and_running_and_twice() {
    let site = Site::start().await;
    let running = site.client.submit(&long_job()).await;
    let waiting = site.client.submit(&long_job()).await;
    let mut stream = Stream::open(&site.client, &running, None).await;
    while stream.next().await.expect("events").event != "checkpoint" {}
    let (_, job) = site.client.get(&format!("/v1/jobs/{waiting}")).await;
    assert_eq!((&job["status"], &job["queue_position"]), (&json!("queued"), &json!(1)));

    // A job that still trains already predicts.
    let (status, answer) =
        site.client.post(&format!("/predict?model=job:{running}"), &json!({"image": vec![0; 784]})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["model"]["version"], Value::Null);

    let (status, job) = site.client.post(&format!("/v1/jobs/{waiting}/cancel"), &json!({})).await;
    assert_eq!((status, &job["status"]), (StatusCode::OK, &json!("cancelled")));
    for _ in 0..2 {
        let (status, _) = site.client.post(&format!("/v1/jobs/{running}/cancel"), &json!({})).await;
        assert!(status == StatusCode::ACCEPTED || status == StatusCode::OK);
    }
    let rest = stream.rest().await;
    assert_eq!(rest.last().expect("events").data["status"], "cancelled");
    let (_, job) = site.client.get(&format!("/v1/jobs/{running}")).await;
    assert_eq!((&job["status"], &job["stop_reason"]), (&json!("cancelled"), &json!("user")));
    // What it had learned is kept.
    let weights = site.client.request("GET", &format!("/v1/jobs/{running}/weights")).send().await.expect("an answer");
    assert_eq!(weights.status(), StatusCode::OK);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_when_its_time_is_over_or_it_diverges() {
    let site = Site::start().await;
    let mut spec = long_job();
    spec["max_seconds"] = json!(0.2);
    let timed = site.client.submit(&spec).await;
    let mut spec = long_job();
    spec["optimizer"] = json!({"type": "sgd", "learning_rate": 1000.0});
    spec["weight_decay"] = json!(1.0);
    let wild = site.client.submit(&spec).await;
    let job = site.client.finished(&timed).await;
    assert_eq!((&job["status"], &job["stop_reason"]), (&json!("succeeded"), &json!("max_seconds")));
    assert!(job["metrics"]["test_accuracy"].is_number() && job["model_version"] == 1);
    let frames = site.client.follow(&wild).await;
    assert!(frames.iter().any(|frame| frame.event == "alert" && frame.data["code"] == "diverged"));
    let (_, job) = site.client.get(&format!("/v1/jobs/{wild}")).await;
    assert_eq!((&job["status"], &job["stop_reason"]), (&json!("failed"), &json!("diverged")));
    assert!(job["error"].as_str().expect("text").contains("learning rate"));
    site.stop().await;
}
