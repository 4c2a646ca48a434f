//! Weights that were trained elsewhere become models.

use reqwest::StatusCode;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

use crate::harness::{Site, quick_job};

async fn import(site: &Site, name: &str, spec: &Value, file: &[u8]) -> (StatusCode, Option<String>, Value) {
    let spec = format!("{spec:#}");
    let parts = [("name", false, name.as_bytes()), ("spec", false, spec.as_bytes()), ("file", true, file)];
    site.client.post_form("/v1/models", &parts).await
}

/// A trained job, and its weights.
async fn trained(site: &Site, spec: &Value) -> (Value, Vec<u8>) {
    let id = site.client.submit(spec).await;
    let job = site.client.finished(&id).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let weights = site.client.request("GET", &format!("/v1/jobs/{id}/weights")).send().await.expect("an answer");
    (job, weights.bytes().await.expect("a body").to_vec())
}

/// A convolutional network: its weights lie otherwise in a file than in memory.
fn convnet() -> Value {
    let mut spec = quick_job();
    spec["network"] = json!([
        {"type": "conv2d", "filters": 4, "kernel": 5, "stride": 3}, "batch_norm", "relu",
        {"type": "affine", "units": 10},
    ]);
    spec["epochs"] = json!(3);
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_weights_predict_as_the_job_that_trained_them() {
    let site = Site::start().await;
    let (job, weights) = trained(&site, &convnet()).await;
    let spec = json!({"dataset": {"name": "mnist"}, "network": convnet()["network"]});
    let (status, location, version) = import(&site, "copy", &spec, &weights).await;
    assert_eq!((status, location.as_deref()), (StatusCode::CREATED, Some("/v1/models/copy")), "{version}");
    assert_eq!(
        (&version["name"], &version["version"], &version["source"]),
        (&json!("copy"), &json!(1), &json!("import"))
    );
    assert_eq!((&version["job"], &version["dataset"]), (&Value::Null, &json!("mnist")));
    // The file as it came, so that it can be compared with sha256sum.
    assert_eq!(version["weights_sha256"], job["weights_sha256"]);
    assert_eq!(version["parameters"], job["parameters"]);
    assert_eq!(version["test_accuracy"], job["metrics"]["test_accuracy"]);

    let (_, samples) = site.client.get("/v1/datasets/mnist/samples?limit=20").await;
    let images: Vec<_> = samples["data"].as_array().expect("a list").iter().map(|s| s["pixels"].clone()).collect();
    let ask = async |site: &Site, model: &str| {
        let (status, answer) = site.client.post(&format!("/predict?model={model}"), &json!({"images": images})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    };
    let (ours, theirs) = (ask(&site, "mnist@1").await, ask(&site, "copy").await);
    assert_eq!(ours["predictions"], theirs["predictions"]);
    assert_eq!((&theirs["model"]["name"], &theirs["model"]["job"]), (&json!("copy"), &Value::Null));
    assert_eq!(ours["model"]["job"], job["id"]);

    // It outlives the server, and stands beside what jobs have trained.
    let site = site.restart().await;
    assert_eq!(ask(&site, "copy@1").await, theirs);
    let (_, model) = site.client.get("/v1/models/copy").await;
    assert_eq!((&model["name"], &model["latest_version"]), (&json!("copy"), &json!(1)));
    assert_eq!(model["versions"][0]["test_accuracy"], version["test_accuracy"]);
    let (_, models) = site.client.get("/v1/models").await;
    let sources: Vec<_> =
        models["data"].as_array().expect("a list").iter().map(|m| &m["versions"][0]["source"]).collect();
    assert_eq!(sources, ["import", "job"]);
    assert_eq!(site.client.get("/v1/models/none").await.0, StatusCode::NOT_FOUND);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_and_jobs_count_up_the_same_versions() {
    let site = Site::start().await;
    let (_, weights) = trained(&site, &quick_job()).await;
    // A whole spec, whose model gives way to the name.
    let (_, _, second) = import(&site, "mnist", &quick_job(), &weights).await;
    assert_eq!(second["version"], 2, "{second}");
    let (job, _) = trained(&site, &quick_job()).await;
    assert_eq!(job["model_version"], 3);
    let (_, _, other) = import(&site, "other", &quick_job(), &weights).await;
    let (_, answer) = site.client.post("/predict?model=other", &json!({"image": vec![0; 784]})).await;
    assert_eq!(
        (&other["version"], &answer["model"]["name"]),
        (&json!(1), &json!("other")),
        "not who else has these weights"
    );
    site.stop().await;
}

/// A safetensors file of tensors of zeros.
fn zeros(tensors: &[(&str, &[usize], Dtype)]) -> Vec<u8> {
    let bytes = vec![0; 1 << 16];
    let views = tensors.iter().map(|(name, shape, dtype)| {
        let len = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        (*name, TensorView::new(*dtype, shape.to_vec(), &bytes[..len]).expect("as many bytes as values"))
    });
    serialize(views, None).expect("a file")
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_that_do_not_fit_are_told_tensor_by_tensor() {
    let site = Site::start().await;
    let spec = json!({"dataset": {"name": "mnist"}, "network": [{"type": "affine", "units": 10}]});
    let tensor = |name, shape: &'static [usize]| (name, shape, Dtype::F32);
    let (w, b) = (tensor("W1", &[784, 10]), tensor("b1", &[10]));
    for (file, words) in [
        (zeros(&[tensor("W1", &[10, 784]), b]), "its transpose"),
        (zeros(&[w]), "`b1` of shape [10] is missing"),
        (zeros(&[w, b, tensor("W2", &[10])]), "no tensor `W2`"),
        (zeros(&[("W1", &[784, 10], Dtype::F16), b]), "only F32"),
        (b"nonsense".to_vec(), "not a safetensors file"),
        (vec![], "not a safetensors file"),
    ] {
        let (status, _, problem) = import(&site, "m", &spec, &file).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{words}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], "#/file", "{problem}");
        assert!(problem["errors"][0]["detail"].as_str().expect("text").contains(words), "{words}: {problem}");
    }
    assert_eq!(site.client.get("/v1/models").await.1["data"], json!([]), "nothing is left behind");
    // The same file is taken where nothing is wrong.
    let (status, _, version) = import(&site, "m", &spec, &zeros(&[w, b])).await;
    assert_eq!((status, &version["parameters"]), (StatusCode::CREATED, &json!(7850)), "{version}");
    site.stop().await;
}

/// Fields of a form, and the place and a word of what is wrong with them.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_form_is_told_field_by_field() {
    let site = Site::start().await;
    let file = zeros(&[("W1", &[784, 10], Dtype::F32), ("b1", &[10], Dtype::F32)]);
    let sound = r#"{"dataset": {"name": "mnist"}, "network": [{"type": "affine", "units": 10}]}"#;
    let unknown = r#"{"dataset": {"name": "mnits"}, "network": ["relu"]}"#;
    let typo = r#"{"dataset": {"name": "mnist"}, "network": ["rleu"]}"#;
    let (name, spec, file) = (("name", "m"), ("spec", sound), ("file", &file[..]));
    let cases: [Case<'_>; 11] = [
        (&[("name", "a b"), spec], "#/name", "may hold only"),
        (&[name, ("spec", unknown)], "#/spec/dataset/name", "`mnist`"),
        (&[name, ("spec", typo)], "#/spec/network/0", "`relu`"),
        (&[name, ("spec", r#"{"recipe": "two_layer_nte"}"#)], "#/spec/recipe", "`two_layer_net`"),
        (&[name, ("spec", "[]")], "#/spec", "an object"),
        (&[name, ("spec", "{")], "#/spec", "not readable"),
        (&[name, spec, ("nmae", "x")], "#/nmae", "`name`"),
        (&[name, spec, ("name", "x")], "#/name", "twice"),
        (&[name, spec, ("spec", "x")], "#/spec", "twice"),
        (&[name], "#", "`spec` is missing"),
        (&[], "#", "`name` is missing"),
    ];
    for (texts, pointer, words) in cases {
        let parts: Vec<_> = texts.iter().map(|(name, text)| (*name, false, text.as_bytes())).collect();
        let parts = [&parts[..], &[(file.0, true, file.1)]].concat();
        let (status, _, problem) = site.client.post_form("/v1/models", &parts).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{pointer} {words}: {problem}");
        let detail = problem["errors"][0]["detail"].as_str().expect("text");
        assert!(problem["errors"][0]["pointer"] == pointer && detail.contains(words), "{pointer} {words}: {problem}");
    }
    let parts = [("name", false, &b"m"[..]), ("spec", false, sound.as_bytes())];
    let (_, _, problem) = site.client.post_form("/v1/models", &parts).await;
    assert!(problem["errors"][0]["detail"].as_str().expect("text").contains("`file` is missing"), "{problem}");
    let (status, _) = site.client.post("/v1/models", &json!({"name": "m"})).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(site.client.get("/v1/models").await.1["data"], json!([]), "nothing is left behind");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_weights_of_every_version_can_be_fetched() {
    let site = Site::start().await;
    let client = &site.client;
    let (job, weights) = trained(&site, &quick_job()).await;
    let spec = json!({"dataset": {"name": "mnist"}, "network": quick_job()["network"]});
    assert_eq!(import(&site, "mnist", &spec, &weights).await.0, StatusCode::CREATED);
    let job_id = job["id"].as_str().expect("an id");
    assert_eq!(client.delete(&format!("/v1/jobs/{job_id}")).await.0, StatusCode::NO_CONTENT);
    let sha256 = job["weights_sha256"].as_str().expect("text");
    let tag = format!("\"{sha256}\"");
    // The first was trained by a job that is gone, the second was imported.
    for version in [1, 2] {
        let path = format!("/v1/models/mnist/versions/{version}/weights");
        for query in ["", "?format=safetensors"] {
            let response = client.request("GET", &format!("{path}{query}")).send().await.expect("an answer");
            assert_eq!(
                (response.status(), response.headers()["etag"].to_str().expect("text")),
                (StatusCode::OK, &*tag)
            );
            let name = format!("attachment; filename=\"mnist-{}.safetensors\"", &sha256[..12]);
            assert_eq!(response.headers()["content-disposition"], name);
            assert_eq!(response.bytes().await.expect("a body"), weights);
        }
        let again = client.request("GET", &path).header("if-none-match", &tag).send().await.expect("an answer");
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let head = client.request("HEAD", &path).send().await.expect("an answer");
        assert_eq!(
            (head.status(), head.headers()["content-length"].to_str().ok()),
            (StatusCode::OK, Some(&*weights.len().to_string()))
        );
        let (status, problem) = client.get(&format!("{path}?format=onnx")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(problem["detail"].as_str().expect("text").contains("`onnx` is not available; there is safetensors"));
    }
    for none in ["mnist/versions/3", "mnist/versions/0", "mnist/versions/latest", "none/versions/1"] {
        assert_eq!(client.get(&format!("/v1/models/{none}/weights")).await.0, StatusCode::NOT_FOUND, "{none}");
    }
    assert_eq!(client.delete("/v1/models/mnist/versions/1").await.0, StatusCode::NO_CONTENT);
    assert_eq!(client.get("/v1/models/mnist/versions/1/weights").await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        client.request("GET", "/v1/models/mnist/versions/2/weights").send().await.expect("an answer").status(),
        200
    );
    site.stop().await;
}
