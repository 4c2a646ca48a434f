//! A client's own dataset: uploaded, learned from, asked about, found again, removed.

use std::io::{Cursor, Write};

use dojang::data::idx::Idx;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::harness::{Client, Part, Site, quick_job};

/// An array as NumPy writes it.
fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), values].concat()
}

/// Twelve points, left and right of zero, as `np.savez_compressed("points.npz", x=…, y=…)` writes them.
pub(crate) fn points() -> Vec<u8> {
    let side = |i: usize| if i.is_multiple_of(2) { -1.0f32 } else { 1.0 };
    let x: Vec<f32> = (0..12).flat_map(|i| [side(i) * 40.0, i as f32]).collect();
    let y: Vec<u64> = (0..12).map(|i| i % 2).collect();
    npz(&x, &y)
}

/// As README's blobs: three classes of points of four numbers, each about a corner of its own.
pub(crate) fn blobs() -> Vec<u8> {
    let noise = |i: usize| ((i * 7919) % 1000) as f32 / 500.0 - 1.0;
    let at = |i: usize| (0..4).map(move |axis| noise(4 * i + axis) + if i % 3 == axis { 2.0 } else { 0.0 });
    let y: Vec<u64> = (0..600).map(|i| i % 3).collect();
    npz(&(0..600).flat_map(at).collect::<Vec<_>>(), &y)
}

/// An archive of inputs `x` and labels `y`.
fn npz(x: &[f32], y: &[u64]) -> Vec<u8> {
    let (rows, width) = (y.len(), x.len() / y.len());
    let inputs = npy("<f4", &format!("({rows}, {width})"), &x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
    let labels = npy("<i8", &format!("({rows},)"), &y.iter().flat_map(|y| y.to_le_bytes()).collect::<Vec<_>>());
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, array) in [("x.npy", inputs), ("y.npy", labels)] {
        archive.start_file(name, SimpleFileOptions::default()).expect("an entry");
        archive.write_all(&array).expect("a cursor takes all");
    }
    archive.finish().expect("an archive").into_inner()
}

/// Sends a form, and returns status, `Location` and answer.
async fn upload(client: &Client, parts: &[Part<'_>]) -> (StatusCode, Option<String>, Value) {
    client.post_form("/v1/datasets", parts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_from_upload_to_predict_and_removal() {
    let site = Site::start().await;
    let archive = points();
    let form = [("name", false, &b"points"[..]), ("class_names", false, b"left, right"), ("file", true, &archive)];
    let (status, location, listing) = upload(&site.client, &form).await;
    assert_eq!((status, location.as_deref()), (StatusCode::CREATED, Some("/v1/datasets/points")), "{listing}");
    assert_eq!(listing["class_names"], json!(["left", "right"]));
    assert_eq!(
        (&listing["input"], &listing["dtype"], &listing["uploaded"]),
        (&json!([2]), &json!("float32"), &json!(true))
    );
    assert_eq!((&listing["train_samples"], &listing["test_samples"]), (&json!(10), &json!(2)));
    assert_eq!(site.client.get("/v1/datasets/points").await, (StatusCode::OK, listing.clone()));
    assert_eq!(upload(&site.client, &form).await.0, StatusCode::CONFLICT);

    let network = json!([{"type": "affine", "units": 2}]);
    let sgd = json!({"type": "sgd", "learning_rate": 1.0});
    let spec =
        json!({"dataset": {"name": "points"}, "network": network, "optimizer": sgd, "epochs": 1, "batch_size": 1});
    let job = site.client.submit(&spec).await;
    let job = site.client.finished(&job).await;
    assert_eq!((&job["status"], &job["metrics"]["test_accuracy"]), (&json!("succeeded"), &json!(1.0)), "{job}");
    let (_, answer) = site.client.post("/predict?model=points", &json!({"instances": [[-40, 0], [40, 0]]})).await;
    let classes: Vec<_> = answer["predictions"].as_array().expect("two").iter().map(|one| &one["class"]).collect();
    assert_eq!(classes, ["left", "right"], "numbers beyond 0-255 are taken as they are: {answer}");

    let site = site.restart().await;
    assert_eq!(site.client.get("/v1/datasets/points").await.1, listing);
    let (_, samples) = site.client.get("/v1/datasets/points/samples?split=test").await;
    assert_eq!(samples["data"][0], json!({"index": 0, "label": 0, "values": [-40.0, 10.0]}));
    assert_eq!(site.client.post("/predict?model=points", &json!([[-40, 0]])).await.0, StatusCode::OK);

    // The model reads its input by the dataset.
    let (status, problem) = site.client.delete("/v1/datasets/points").await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert_eq!(problem["detail"], "the dataset `points` is needed: the model points@1 was made for it");
    assert_eq!(site.client.delete("/v1/datasets/mnist").await.0, StatusCode::CONFLICT);
    assert_eq!(site.client.delete("/v1/datasets/none").await.0, StatusCode::NOT_FOUND);
    let again = [("name", false, &b"more"[..]), ("file", true, &archive)];
    assert_eq!(upload(&site.client, &again).await.0, StatusCode::CREATED);
    assert_eq!(site.client.delete("/v1/datasets/more").await, (StatusCode::NO_CONTENT, json!("")));
    assert_eq!(site.client.get("/v1/datasets/more").await.0, StatusCode::NOT_FOUND);
    let (_, gone) = site.client.post("/v1/jobs", &json!({"dataset": {"name": "more"}, "network": network})).await;
    assert_eq!(gone["errors"][0]["pointer"], "#/dataset/name");
    let site = site.restart().await;
    assert_eq!(site.client.get("/v1/datasets/more").await.0, StatusCode::NOT_FOUND);
    // Without its model, nothing needs it.
    assert_eq!(site.client.delete("/v1/models/points").await.0, StatusCode::NO_CONTENT);
    assert_eq!(site.client.delete("/v1/datasets/points").await.0, StatusCode::NO_CONTENT);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_stays_while_a_job_waits_for_it() {
    let site = Site::start().await;
    let images = |n: usize| Idx { axes: vec![n, 28, 28], values: vec![9; n * 784].into() }.to_bytes();
    let labels = |n: usize| Idx { axes: vec![n], values: (0..n).map(|i| (i % 10) as u8).collect() }.to_bytes();
    let (train, test) = ((images(20), labels(20)), (images(10), labels(10)));
    let form = [
        ("train_images", true, &train.0[..]),
        ("train_labels", true, &train.1),
        ("test_images", true, &test.0),
        ("test_labels", true, &test.1),
        ("name", false, b"grey"),
    ];
    let (status, _, listing) = upload(&site.client, &form).await;
    assert_eq!((status, &listing["input"]), (StatusCode::CREATED, &json!([1, 28, 28])), "{listing}");
    let mut spec = quick_job();
    spec["dataset"]["name"] = json!("grey");
    spec["epochs"] = json!(1_000_000);
    let job = site.client.submit(&spec).await;
    let (status, problem) = site.client.delete("/v1/datasets/grey").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(&job)), "{problem}");
    site.client.post(&format!("/v1/jobs/{job}/cancel"), &json!({})).await;
    site.client.finished(&job).await;
    assert_eq!(site.client.delete("/v1/datasets/grey").await.0, StatusCode::NO_CONTENT);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_dataset_is_refused_with_its_field_and_leaves_nothing() {
    let site = Site::start().await;
    let (_, before) = site.client.get("/v1/datasets").await;
    let archive = points();
    let name = ("name", false, &b"set"[..]);
    for (parts, pointers) in [
        (vec![name, ("file", true, &b"<html>"[..])], vec!["#/file"]),
        (vec![name, ("file", true, &archive[..50])], vec!["#/file"]),
        (vec![name, ("file", false, b"points.npz")], vec!["#/file", "#"]),
        (vec![name, ("file", true, &archive), ("class_names", false, b"one")], vec!["#/class_names"]),
        (vec![("name", false, b"a b"), ("file", true, &archive), ("flie", true, b"")], vec!["#/flie", "#/name"]),
        (vec![], vec!["#", "#"]),
    ] {
        let (status, _, problem) = upload(&site.client, &parts).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        let found = problem["errors"].as_array().expect("a list").iter().map(|e| e["pointer"].as_str().expect("text"));
        assert_eq!(found.collect::<Vec<_>>(), pointers, "{problem}");
    }
    let taken = [("name", false, &b"digits"[..]), ("file", true, &archive)];
    assert_eq!(upload(&site.client, &taken).await.0, StatusCode::CONFLICT);
    let response = site.client.request("POST", "/v1/datasets").json(&json!({})).send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(site.client.get("/v1/datasets").await.1, before);
    let folder = site.stop().await;
    let left: Vec<_> = std::fs::read_dir(folder.path().join("data/datasets")).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_announces_too_much_is_refused_before_it_comes() {
    let site = Site::start().await;
    let host = site.base.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("a connection");
    let head = format!(
        "POST /v1/datasets HTTP/1.1\r\nhost: {host}\r\ncontent-type: multipart/form-data; boundary=B\r\n\
         content-length: {}\r\n\r\n",
        (512 << 20) + 1
    );
    stream.write_all(head.as_bytes()).await.expect("a head");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer, and the end of the connection");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    site.stop().await;
}
