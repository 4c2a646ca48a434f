//! The toy datasets show what they say: what a perceptron can learn, and what it cannot.

use serde_json::{Value, json};

use crate::harness::Site;

/// Share of the test samples that a trained network reads right.
async fn accuracy(site: &Site, dataset: &str, network: Value) -> f64 {
    let spec = json!({
        "dataset": {"name": dataset}, "network": network,
        "optimizer": {"type": "adam", "learning_rate": 0.03}, "batch_size": 50, "epochs": 300,
    });
    let job = site.client.submit(&spec).await;
    let job = site.client.finished(&job).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    job["metrics"]["test_accuracy"].as_f64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_separates_the_gates_but_xor() {
    let site = Site::start().await;
    let perceptron = |classes: usize| json!([{"type": "affine", "units": classes}]);
    let hidden =
        |classes: usize| json!([{"type": "affine", "units": 32}, "tanh", {"type": "affine", "units": classes}]);
    for gate in ["and", "or", "nand"] {
        assert_eq!(accuracy(&site, gate, perceptron(2)).await, 1.0, "{gate}");
    }
    assert!(accuracy(&site, "xor", perceptron(2)).await <= 0.75, "no line separates it");
    assert_eq!(accuracy(&site, "xor", hidden(2)).await, 1.0);
    assert!(accuracy(&site, "spiral", perceptron(3)).await < 0.7);
    assert!(accuracy(&site, "spiral", hidden(3)).await > 0.85);
    assert!(accuracy(&site, "moons", hidden(2)).await > 0.9);

    let (_, samples) = site.client.get("/v1/datasets/xor/samples?split=train&offset=1&limit=1").await;
    assert_eq!(samples["data"], json!([{"index": 1, "label": 1, "values": [0.0, 1.0]}]));
    let (_, listed) = site.client.get("/v1/datasets").await;
    let moons = listed["data"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "moons")).expect("moons");
    assert_eq!(
        (&moons["input"], &moons["dtype"], &moons["test_samples"]),
        (&json!([2]), &json!("float32"), &json!(200))
    );
    site.stop().await;
}
