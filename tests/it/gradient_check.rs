//! Backpropagation against numerical differentiation, over HTTP.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::Site;

/// A convolutional network with all that makes gradients hard to get right.
fn spec() -> Value {
    json!({
        "dataset": {"name": "mnist"},
        "network": [
            {"type": "conv2d", "filters": 6, "kernel": 5, "stride": 2}, "batch_norm", "relu", {"type": "max_pool2d"},
            {"type": "affine", "units": 20}, "tanh", {"type": "dropout", "rate": 0.3}, {"type": "affine", "units": 10},
        ],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gradients_of_a_convnet_agree() {
    let site = Site::start().await;
    let (status, report) = site.client.post("/v1/gradient-check", &spec()).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    assert_eq!((&report["agrees"], &report["samples"], &report["tolerance"]), (&json!(true), &json!(4), &json!(1e-4)));
    let tensors = report["tensors"].as_array().expect("a list");
    let names: Vec<_> = tensors.iter().map(|tensor| tensor["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["W1", "b1", "gamma2", "beta2", "W3", "b3", "W4", "b4", "x"]);
    assert_eq!(
        (&tensors[4]["layer"], &tensors[4]["type"], &tensors[4]["checked"]),
        (&json!(4), &json!("affine"), &json!(16))
    );
    assert!(tensors.iter().all(|tensor| tensor["relative_error"].as_f64().expect("a number") < 1e-4));

    // A spec within a request, and one that is a recipe.
    let body = json!({"spec": {"recipe": "two_layer_net"}, "samples": 2, "values_per_tensor": 3, "seed": 7});
    let (status, report) = site.client.post("/v1/gradient-check", &body).await;
    assert_eq!((status, &report["samples"], &report["tensors"][0]["checked"]), (StatusCode::OK, &json!(2), &json!(3)));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_checked_is_refused_with_its_place() {
    let site = Site::start().await;
    let wide = json!({"dataset": {"name": "mnist"}, "network": [{"type": "affine", "units": 60_000}, {"type": "affine", "units": 10}]});
    for (body, pointer) in [
        (json!({"spec": spec(), "samples": 17}), "#/samples"),
        (json!({"spec": spec(), "smaples": 1}), "#/smaples"),
        (json!({"spec": {"recipe": "simple_convnet", "network": ["rleu"]}}), "#/spec/network/0"),
        (json!({"spec": wide}), "#/spec/network"),
        (json!({"dataset": {"name": "mnits"}, "network": ["relu"]}), "#/dataset/name"),
        (json!({}), "#"),
    ] {
        let (status, problem) = site.client.post("/v1/gradient-check", &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_check_runs_at_a_time() {
    let site = Site::start().await;
    let body = json!({"spec": spec(), "samples": 16, "values_per_tensor": 64});
    let send = || site.client.request("POST", "/v1/gradient-check").json(&body).send();
    let answers = join_all((0..8).map(|_| send())).await;
    let (mut made, mut refused) = (0, 0);
    for answer in answers.into_iter().map(|answer| answer.expect("an answer")) {
        match answer.status() {
            StatusCode::OK => made += 1,
            StatusCode::TOO_MANY_REQUESTS => {
                assert_eq!(answer.headers()["content-type"], "application/problem+json");
                assert!(answer.headers().contains_key("retry-after"));
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(made >= 1 && refused >= 1, "{made} made, {refused} refused");
    // And the room is free again.
    assert_eq!(site.client.post("/v1/gradient-check", &spec()).await.0, StatusCode::OK);
    site.stop().await;
}
