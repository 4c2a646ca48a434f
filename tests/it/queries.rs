//! Query fields: each route refuses those that it does not read, whatever the method, before it does anything.

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Site, quick_job};

/// The page that names every route.
const ROUTER: &str = include_str!("../../src/http/router.rs");

/// Every route with its methods, as the router's page has them. Those within `/v1` are written without it there.
fn routes() -> Vec<(&'static str, String)> {
    let (inner, outer) = ROUTER.split_once(".nest(\"/v1\", v1)").expect("the router nests /v1");
    let mut found = vec![];
    for (prefix, text) in [("/v1", inner), ("", outer)] {
        for route in text.split(".route(\"").skip(1) {
            let (path, rest) = route.split_once('"').expect("a path");
            // To where the next route or layer of the router begins.
            let handlers = rest.split("\n        .").next().expect("the first part");
            for (word, method) in
                [("get(", "GET"), ("post(", "POST"), ("put(", "PUT"), ("patch(", "PATCH"), ("delete(", "DELETE")]
            {
                if handlers.contains(word) {
                    found.push((method, format!("{prefix}{path}")));
                }
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_a_field_that_it_does_not_read() {
    let site = Site::start().await;
    let routes = routes();
    assert!(routes.len() >= 38, "the router's page is read: {routes:?}");
    for (method, route) in routes {
        let path = route
            .replace("{id}", "01890000-0000-7000-8000-000000000000")
            .replace("{name}", "mnist")
            .replace("{version}", "1")
            .replace("{*path}", "app.js");
        let answer = |query: &str| site.client.request(method, &format!("{path}{query}")).send();
        let refused = answer("?nonsense=1").await.expect("an answer");
        if route == "/" || route.starts_with("/assets/") {
            assert_eq!(refused.status(), StatusCode::OK, "a link to {route} may carry a query");
            continue;
        }
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{method} {route}");
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
        let problem: serde_json::Value = refused.json().await.expect("JSON");
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.starts_with("the query string: unknown field `nonsense`; this route takes "), "{detail}");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_for_a_request_with_an_unknown_field() {
    let site = Site::start().await;
    let client = &site.client;
    let id = client.submit(&quick_job()).await;
    client.finished(&id).await;
    let wrong = [
        ("POST", "/v1/jobs?dry-run=true".to_owned(), "did you mean `dry_run`?"),
        ("POST", "/v1/jobs?DRY_RUN=true".to_owned(), "did you mean `dry_run`?"),
        ("POST", format!("/v1/jobs/{id}/fork?dry_run=true"), "takes none"),
        ("POST", format!("/v1/jobs/{id}/reproduce?x"), "takes none"),
        ("DELETE", format!("/v1/jobs/{id}?force=true"), "takes none"),
        ("DELETE", "/v1/models/mnist?version=1".to_owned(), "takes none"),
        ("HEAD", "/v1/jobs?limt=1".to_owned(), ""),
        ("GET", "/v1/jobs?limt=1".to_owned(), "did you mean `limit`?"),
        ("GET", "/healthz?verbose".to_owned(), "takes none"),
    ];
    for (method, path, words) in wrong {
        let response = client.request(method, &path).json(&quick_job()).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{method} {path}");
        let text = response.text().await.expect("a body");
        assert!(text.contains(words), "{method} {path}: {text}");
    }
    assert_eq!(client.get("/v1/jobs").await.1["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(client.get("/v1/models/mnist").await.0, StatusCode::OK);
    // A field that is known is not enough: its value is read, too, and comes once.
    for query in ["dry_run=yes", "dry_run", "dry_run=true&dry_run=true"] {
        assert_eq!(client.post(&format!("/v1/jobs?{query}"), &quick_job()).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_the_plan_and_queues_nothing() {
    let site = Site::start().await;
    let client = &site.client;
    let (status, plan) = client.post("/v1/jobs?dry_run=true", &quick_job()).await;
    assert_eq!(status, StatusCode::OK, "{plan}");
    assert_eq!(plan["estimated_seconds"], json!(null), "no job like it has been trained");
    assert!(plan["peak_memory_bytes"].as_u64().expect("a number") > 0);
    assert_eq!((&plan["total_steps"], &plan["train_samples"]), (&json!(144), &json!(600)));
    assert_eq!(client.get("/v1/jobs").await.1["data"], json!([]));

    let (status, _) = client.submit_keyed(&quick_job(), "once").await.expect("an answer");
    assert_eq!(status, StatusCode::ACCEPTED);
    let (status, job) = client.post("/v1/jobs?dry_run=false", &quick_job()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{job}");
    assert_eq!((&job["network"], &job["parameters"]), (&plan["network"], &plan["parameters"]));
    assert_eq!(job["peak_memory_bytes"], plan["peak_memory_bytes"]);
    let job = client.finished(job["id"].as_str().expect("an id")).await;
    let seconds = async |members: serde_json::Value| {
        let mut spec = quick_job();
        spec.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
        let (status, plan) = client.post("/v1/jobs?dry_run=true", &spec).await;
        assert_eq!(status, StatusCode::OK, "{plan}");
        plan["estimated_seconds"].as_f64()
    };
    let took = |end: &str| job[end].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
    let took = took("finished_at").duration_since(took("started_at")).as_secs_f64();
    let same = seconds(json!({})).await.expect("one like it has been trained");
    assert!((same - took).abs() < 1e-6, "{same} {took}");
    let longer = seconds(json!({"epochs": 120, "optimizer": {"type": "adam", "learning_rate": 0.1}})).await;
    assert!((longer.expect("known") / same - 10.0).abs() < 1e-6, "{longer:?} {same}");
    assert_eq!(seconds(json!({"epochs": 1_000_000, "max_seconds": 60})).await, Some(60.0));
    for other in [json!({"batch_size": 49}), json!({"optimizer": "sgd"}), json!({"diagnostics": false})] {
        assert_eq!(seconds(other.clone()).await, None, "{other}");
    }

    // The refusals are those of a submit.
    for wrong in [json!({"dataset": {"name": "mnits"}}), json!({"epochs": 0}), json!({"recipe": "none"})] {
        let mut spec = quick_job();
        spec.as_object_mut().expect("an object").extend(wrong.as_object().expect("an object").clone());
        let (dry, submitted) =
            (client.post("/v1/jobs?dry_run=true", &spec).await, client.post("/v1/jobs", &spec).await);
        assert_eq!(dry.0, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(dry, submitted);
    }
    assert_eq!(client.get("/v1/jobs").await.1["data"].as_array().map(Vec::len), Some(2));
    site.stop().await;
}
