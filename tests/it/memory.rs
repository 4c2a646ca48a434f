//! Memory: what requests, models and runs take is reserved first, and never more than there is.

use std::io::Cursor;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dojang::data::Dtype;
use dojang::engine::shape::Shape;
use dojang::memory::{MemoryAccount, MemoryShares, MemoryUse};
use dojang::serving::input::{DecodeError, Encoded, Input, decode};
use image::{DynamicImage, GrayImage, ImageFormat, Rgb32FImage, RgbImage, RgbaImage};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::allocation::peak_of;
use crate::harness::{Client, Site, Stream, long_job, quick_job};
use crate::metrics::scrape;

/// A progressive JPEG of two kilobytes, of any size: its first scan says nothing and no other follows.
fn progressive(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    bytes.extend([1; 64]);
    bytes.extend([0xff, 0xc2, 0, 17, 8]);
    bytes.extend([height.to_be_bytes(), width.to_be_bytes()].concat());
    bytes.extend([3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
    bytes.extend([0xff, 0xc4, 0, 20, 0, 1]);
    bytes.extend([0; 16]);
    bytes.extend([0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0]);
    bytes.extend([0; 1900]);
    bytes.extend([0xff, 0xd9]);
    bytes
}

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).expect("a picture");
    bytes.into_inner()
}

/// The peak of decoding a body, and what was reserved for it; `what` names it.
fn measured(what: &str, bytes: &[u8], content_type: &str) -> (u64, u64) {
    let account = MemoryAccount::new(MemoryShares { training: 0, serving: 1 << 40 }, Duration::ZERO);
    let input = Input::new(&Shape::new(&[1, 28, 28]), Dtype::Uint8);
    let body = Encoded { bytes, content_type: Some(content_type), pixel_range: None };
    let mut memory = account.open(MemoryUse::Requests);
    let (first, peak) = peak_of(|| decode(body, &input, &mut memory));
    let needed = match first {
        Ok(_) => return (peak + bytes.len() as u64, memory.bytes()),
        Err(DecodeError::Memory(needed)) => needed,
        Err(error) => panic!("{what}: {error}"),
    };
    assert!(peak <= 8 << 20, "{what}: {peak} bytes were taken to find out that {needed} are needed");
    assert!(memory.try_resize(needed));
    let (second, peak) = peak_of(|| decode(body, &input, &mut memory));
    second.unwrap_or_else(|error| panic!("{what}: {error}"));
    (peak + bytes.len() as u64, needed)
}

#[test]
fn decoding_takes_no_more_than_was_reserved() {
    let (width, height) = (700, 600);
    let jpeg = |image: DynamicImage| encode(image, ImageFormat::Jpeg);
    let png = |image: DynamicImage| encode(image, ImageFormat::Png);
    let colour = DynamicImage::from(RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 200])));
    let grey = DynamicImage::from(GrayImage::from_fn(width, height, |x, _| image::Luma([x as u8])));
    let base64 = |bytes: &[u8]| STANDARD.encode(bytes);
    let pictures = [base64(&png(colour.clone())), base64(&progressive(500, 900)), base64(&jpeg(grey.clone()))];
    let tiny = base64(&png(GrayImage::new(1, 1).into()));
    for (what, bytes, content_type) in [
        ("a progressive JPEG", progressive(700, 600), "image/jpeg"),
        ("a wide one", progressive(4096, 96), "image/jpeg"),
        ("a JPEG in colour", jpeg(colour.clone()), "image/jpeg"),
        ("a grey one", jpeg(grey.clone()), "image/jpeg"),
        ("a PNG in colour", png(colour.clone()), "image/png"),
        ("a grey one", png(grey), "image/png"),
        ("one of four channels", png(RgbaImage::new(width, height).into()), "image/png"),
        ("one of 16 bits", png(DynamicImage::from(Rgb32FImage::new(width, height)).into_rgb16().into()), "image/png"),
        ("three in JSON", json!(pictures).to_string().into(), "application/json"),
        ("a thousand tiny ones", json!(vec![tiny; 1000]).to_string().into(), "application/json"),
        ("numbers", json!(vec![vec![9; 784]; 1000]).to_string().into(), "application/json"),
        ("fractions", json!(vec![vec![0.25; 784]; 1000]).to_string().into(), "application/json"),
        ("raw bytes", vec![9; 784 * 1000], "application/octet-stream"),
    ] {
        let (peak, reserved) = measured(what, &bytes, content_type);
        assert!(peak <= reserved, "{what}: {peak} bytes were taken, {reserved} reserved");
        assert!(reserved <= 3 * peak + (1 << 20), "{what}: {reserved} bytes were reserved, {peak} taken");
    }
}

#[test]
fn what_is_measured_is_the_largest_of_all() {
    let large = STANDARD.encode(progressive(2000, 2000));
    let larger = STANDARD.encode(progressive(3000, 3000));
    let (_, first) = measured("one", json!([large]).to_string().as_bytes(), "application/json");
    // Its size is known without decoding it.
    let account = MemoryAccount::new(MemoryShares { training: 0, serving: 1 << 40 }, Duration::ZERO);
    let input = Input::new(&Shape::new(&[1, 28, 28]), Dtype::Uint8);
    let body = json!([large, larger, large]).to_string();
    let body = Encoded { bytes: body.as_bytes(), content_type: None, pixel_range: None };
    let (outcome, peak) = peak_of(|| decode(body, &input, &mut account.open(MemoryUse::Requests)));
    let Err(DecodeError::Memory(needed)) = outcome else { panic!("{outcome:?}") };
    assert!(needed > 2 * first && peak < 1 << 20, "{needed} bytes, of which {peak} were taken");
}

/// Sends a picture, and returns the status, the header `Retry-After` and the answer.
async fn predict(client: &Client, picture: Vec<u8>) -> (StatusCode, Option<String>, Value) {
    let request = client.request("POST", "/predict").header("content-type", "image/jpeg").body(picture);
    let response = request.send().await.expect("an answer");
    let retry = response.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
    (response.status(), retry, response.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_pictures_at_once_take_turns_or_are_told_to_come_back() {
    // Room for three of these pictures, and time for some.
    let site = Site::start_with(|config| {
        config.serving_memory = 32 << 20;
        config.limits.memory_wait = Duration::from_millis(1500);
    })
    .await;
    let client = &site.client;
    let job = client.submit(&quick_job()).await;
    client.finished(&job).await;
    let picture = progressive(1000, 900);
    let burst: Vec<_> = (0..60)
        .map(|_| {
            let (client, picture) = (client.clone(), picture.clone());
            tokio::spawn(async move { predict(&client, picture).await })
        })
        .collect();
    while !burst.iter().all(tokio::task::JoinHandle::is_finished) {
        let (status, answer) = client.post("/predict", &json!({"image": vec![0; 784]})).await;
        assert_eq!(status, 200, "a small request is answered meanwhile: {answer}");
        let found = scrape(client).await;
        let reserved = |of: &str| found[&format!("dojang_memory_reserved_bytes{{use=\"{of}\"}}")];
        assert!(reserved("models") + reserved("requests") <= f64::from(32 << 20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut answered = 0;
    for outcome in burst {
        let (status, retry, problem) = outcome.await.expect("no panic");
        match status.as_u16() {
            200 => answered += 1,
            503 => assert_eq!(retry.as_deref(), Some("1"), "{problem}"),
            _ => panic!("{status}: {problem}"),
        }
    }
    assert!(answered > 0);
    let found = scrape(client).await;
    assert_eq!(found["dojang_memory_reserved_bytes{use=\"requests\"}"], 0.0, "all was given back");
    assert_eq!(found["dojang_memory_budget_bytes{share=\"serving\"}"], f64::from(32 << 20));
    // One that would never fit is told at once that it is too large.
    let (status, retry, problem) = predict(client, progressive(4096, 4096)).await;
    assert_eq!((status.as_u16(), retry), (413, None));
    assert!(problem["detail"].as_str().expect("a sentence").contains("--serving-memory"), "{problem}");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_cold_requests_load_a_model_once() {
    let site = Site::start().await;
    let job = site.client.submit(&quick_job()).await;
    site.client.finished(&job).await;
    let site = site.restart().await;
    let training = site.client.submit(&long_job()).await;
    Stream::open(&site.client, &training, None).await.until(|frame| frame.event == "checkpoint").await;
    site.client.ask(&training, "pause").await;
    Stream::open(&site.client, &training, None).await.until_state("paused").await;
    for (loads, model) in [(1.0, "mnist".to_owned()), (2.0, format!("job:{training}"))] {
        let requests = (0..8).map(|_| {
            let (client, path) = (site.client.clone(), format!("/predict?model={model}"));
            tokio::spawn(async move { client.post(&path, &json!({"image": vec![0; 784]})).await })
        });
        for request in requests.collect::<Vec<_>>() {
            let (status, answer) = request.await.expect("no panic");
            assert_eq!(status, 200, "{answer}");
        }
        assert_eq!(scrape(&site.client).await["dojang_model_loads_total"], loads, "{model}");
    }
    // Whoever asked first and is gone has not stopped the load.
    let site = site.restart().await;
    let path = "/predict?model=mnist";
    let gone = site.client.request("POST", path).body("[0]").timeout(Duration::from_millis(1)).send().await;
    drop(gone);
    assert_eq!(site.client.post(path, &json!(vec![0; 784])).await.0, 200);
    assert!(scrape(&site.client).await["dojang_model_loads_total"] <= 1.0);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_give_way_to_each_other_and_to_requests() {
    let mut site = Site::start().await;
    for (model, units) in [("small", 20), ("other", 20), ("large", 1000)] {
        let mut spec = quick_job();
        spec["model"] = json!(model);
        spec["network"][0]["units"] = json!(units);
        spec["epochs"] = json!(1);
        let job = site.client.submit(&spec).await;
        assert_eq!(site.client.finished(&job).await["status"], "succeeded");
    }
    // Room for one of the small ones, whose passes take the most.
    site = Site::start_in_with(site.stop().await, |config| {
        config.threads = 1;
        config.serving_memory = 5 << 19;
    })
    .await;
    let ask = async |model: &str| {
        let response = site.client.request("POST", &format!("/predict?model={model}")).json(&vec![0; 784]);
        let response = response.send().await.expect("an answer");
        let retry = response.headers().contains_key("retry-after");
        (response.status().as_u16(), retry, response.json::<Value>().await.expect("JSON"))
    };
    for (loads, model) in [(1.0, "small"), (1.0, "small"), (2.0, "other"), (3.0, "small")] {
        let (status, _, answer) = ask(model).await;
        assert_eq!((status, answer["model"]["name"].as_str()), (200, Some(model)), "{answer}");
        let found = scrape(&site.client).await;
        assert_eq!(found["dojang_model_loads_total"], loads, "{model}");
        assert!(found["dojang_memory_reserved_bytes{use=\"models\"}"] <= f64::from(5 << 19));
    }
    let (status, retry, problem) = ask("large").await;
    assert_eq!((status, retry), (503, false), "waiting would not help: {problem}");
    assert!(problem["detail"].as_str().expect("a sentence").contains("--serving-memory"), "{problem}");
    assert_eq!(ask("small").await.0, 200);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_larger_budget_runs_alone() {
    let site = Site::start().await;
    // Both wait while another trains, so that neither has begun.
    let busy = site.client.submit(&long_job()).await;
    let (first, second) = (site.client.submit(&long_job()).await, site.client.submit(&long_job()).await);
    for job in [&first, &second] {
        assert_eq!(site.client.ask(job, "pause").await.0, 200);
    }
    site.client.ask(&busy, "cancel").await;
    site.client.finished(&busy).await;
    let peak = site.client.job(&first).await["peak_memory_bytes"].as_u64().expect("a number");
    // Half of it is not enough for either, and all of it not for both.
    let site = Site::start_in_with(site.stop().await, |config| {
        config.slots = 2;
        config.memory_budget = peak + peak / 4;
    })
    .await;
    let (status, _) = site.client.post("/v1/jobs", &long_job()).await;
    assert_eq!(status, 422, "a new one is not accepted");
    for job in [&first, &second] {
        assert_eq!(site.client.ask(job, "resume").await.0, 200);
    }
    let steps = async |job: &str| site.client.job(job).await["progress"]["step"].as_u64().expect("a number");
    let (runs, waits) = loop {
        match (steps(&first).await, steps(&second).await) {
            (0, 0) => tokio::time::sleep(Duration::from_millis(20)).await,
            (_, 0) => break (&first, &second),
            (0, _) => break (&second, &first),
            both => panic!("both train: {both:?}"),
        }
    };
    Stream::open(&site.client, runs, None).await.until(|frame| frame.event == "checkpoint").await;
    let found = scrape(&site.client).await;
    assert_eq!(found["dojang_memory_reserved_bytes{use=\"training\"}"], peak as f64);
    assert_eq!(steps(waits).await, 0);
    // Whether the other one waits in the queue or was claimed, it can be paused, and goes on.
    site.client.ask(waits, "pause").await;
    Stream::open(&site.client, waits, None).await.until_state("paused").await;
    site.client.ask(waits, "resume").await;
    site.client.ask(runs, "cancel").await;
    Stream::open(&site.client, waits, None).await.until(|frame| frame.event == "checkpoint").await;
    site.client.ask(waits, "cancel").await;
    assert_eq!(site.client.finished(waits).await["status"], "cancelled");
    let site = site.restart().await;
    assert_eq!(scrape(&site.client).await["dojang_memory_reserved_bytes{use=\"training\"}"], 0.0);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_at_most_a_mebibyte() {
    let site = Site::start_with(|config| config.serving_memory = 16 << 20).await;
    let spec = |length: usize| {
        let spec = quick_job().to_string();
        format!("{spec}{}", " ".repeat(length - spec.len()))
    };
    for (length, expected) in [(200_000, 202), (600_000, 413), (2 << 20, 413)] {
        let response = site.client.request("POST", "/v1/jobs").body(spec(length)).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), expected, "{length} bytes");
    }
    site.stop().await;
}
