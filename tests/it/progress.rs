//! What a job says of itself while it trains, however long its plan is and however often it is interrupted.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Client, Site, Stream, long_job, small_mnist};
use crate::process::Process;

/// A job with a hundred samples, of which some are held out.
fn tiny_job() -> Value {
    let mut spec = long_job();
    spec["dataset"] = json!({"name": "mnist", "train_limit": 100, "test_limit": 50, "validation_fraction": 0.3});
    spec["optimizer"] = json!({"type": "adam", "learning_rate": 0.02});
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn early_stopping_does_not_depend_on_the_planned_length() {
    let site = Site::start().await;
    let mut ends = Vec::new();
    for epochs in [200, 1_000, 5_000, 20_000, 100_000] {
        let mut spec = tiny_job();
        (spec["epochs"], spec["early_stopping"]) = (json!(epochs), json!({"patience": 3}));
        let id = site.client.submit(&spec).await;
        let job = site.client.finished(&id).await;
        assert_eq!(job["stop_reason"], "early_stopping", "{job}");
        let (_, history) = site.client.get(&format!("/v1/jobs/{id}/metrics")).await;
        let losses = |point: &Value| (point["epoch"].clone(), point["validation_loss"].clone());
        let epochs: Vec<_> = history["epochs"].as_array().expect("a list").iter().map(losses).collect();
        assert_eq!(epochs.len() as u64, job["progress"]["epoch"].as_u64().expect("a number"), "every epoch is there");
        ends.push((
            job["progress"]["step"].clone(),
            job["metrics"]["test_loss"].clone(),
            job["weights_sha256"].clone(),
            epochs,
        ));
    }
    assert!(ends[1..].iter().all(|end| *end == ends[0]), "{ends:?}");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_very_many_epochs_is_reported_as_any_other() {
    let site = Site::start().await;
    let mut spec = tiny_job();
    (spec["epochs"], spec["max_seconds"]) = (json!(100_000), json!(3));
    let id = site.client.submit(&spec).await;
    let began = Instant::now();
    let early = loop {
        let job = site.client.job(&id).await;
        if job["metrics"]["loss"].is_number() && job["metrics"]["test_loss"].is_number() {
            break job;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{job}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(early["status"], "running");
    let progress = &early["progress"];
    assert!(progress["samples_per_second"].as_f64().expect("a number") > 0.0);
    assert!(progress["eta_seconds"].as_f64().expect("a number") <= 3.0, "{progress}");
    let frames = site.client.follow(&id).await;
    let of = |kind: &str| frames.iter().filter(|frame| frame.event == kind).collect::<Vec<_>>();
    assert!(of("metrics").len() >= 2 && of("epoch").len() >= 10, "{} and {}", of("metrics").len(), of("epoch").len());
    for kind in ["metrics", "epoch"] {
        let times: Vec<_> = of(kind).iter().map(|frame| seconds(&frame.data["at"])).collect();
        // Written a tenth of a second late at most, under load later: never in a heap.
        assert!(times.len() as f64 <= 20.0 * (times[times.len() - 1] - times[0] + 1.2), "{kind}: {times:?}");
    }
    let ended = site.client.job(&id).await;
    let last = of("epoch").last().expect("epochs").data["epoch"].as_u64().expect("a number");
    assert!(ended["progress"]["epoch"].as_u64().expect("a number") <= last + 1, "the last evaluation is told");
    let (_, history) = site.client.get(&format!("/v1/jobs/{id}/metrics")).await;
    let points = |kind: &str| history[kind].as_array().expect("a list").len();
    assert!((10..=2000).contains(&points("epochs")) && (2..=2000).contains(&points("steps")));
    assert!(points("epochs") >= of("epoch").len(), "points are not fewer than events");
    let resolution = &history["resolution"];
    assert!(resolution["steps"].as_u64() >= Some(1) && resolution["epochs"].as_u64() >= Some(1), "{resolution}");
    // A window keeps its first and its last point: two neighbours are less than two windows apart.
    let places =
        history["epochs"].as_array().expect("points").iter().map(|point| point["epoch"].as_u64().expect("one"));
    let places: Vec<_> = places.collect();
    let gap = places.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(gap < resolution["epochs"].as_u64().map(|window| 2 * window), "{gap:?} {resolution}");
    site.stop().await;
}

fn seconds(at: &Value) -> f64 {
    let at: Timestamp = at.as_str().expect("text").parse().expect("a time");
    at.as_millisecond() as f64 / 1e3
}

/// The job, once it is as it should be at any time.
async fn sound(client: &Client, id: &str) -> Value {
    let job = client.job(id).await;
    let progress = &job["progress"];
    let number = |name: &str| progress[name].as_f64().unwrap_or_else(|| panic!("{name} of {progress}"));
    assert_eq!((&progress["total_steps"], &progress["epochs"]), (&json!(720_000), &json!(60_000)), "{progress}");
    assert!((number("fraction") - number("step") / number("total_steps")).abs() < 1e-12, "{progress}");
    assert!(number("epoch") <= number("epochs") && number("epoch") == (number("step") / 12.0).ceil(), "{progress}");
    let eta = progress["eta_seconds"].as_f64().unwrap_or(0.0);
    assert!((0.0..=1000.0).contains(&eta) && progress["eta_at_most"] == false, "{progress}");
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_of_the_plan_before_the_first_report_and_after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    small_mnist(folder.path());
    let mut process = Process::start(folder.path(), 1);
    let mut spec = long_job();
    spec["max_seconds"] = json!(1000);
    let id = process.client.submit(&spec).await;
    let mut step = 0;
    for attempt in 1..=3 {
        let began = Instant::now();
        let mut reports = 0;
        // From the very start of the run until it has reported some times and saved something.
        while reports < 10 {
            let job = sound(&process.client, &id).await;
            if attempt > 1 {
                assert!(job["metrics"]["loss"].is_number() && job["metrics"]["test_loss"].is_number(), "{job}");
                assert!(job["progress"]["step"].as_u64() > Some(0), "{job}");
            }
            if job["attempt"] == attempt && job["progress"]["eta_seconds"].is_number() {
                reports += 1;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{job}");
        }
        let mut stream = Stream::open(&process.client, &id, None).await;
        stream.until(|frame| frame.data["status"] == "running" && frame.data["attempt"] == attempt).await;
        let saved = stream.until(|frame| frame.event == "checkpoint").await.data["step"].as_u64().expect("a number");
        assert!(saved >= step);
        step = saved;
        process.kill();
        process = Process::start(folder.path(), 1);
    }
    let speed = truth(&process.client, &id).await;
    let said = sound(&process.client, &id).await["progress"]["samples_per_second"].as_f64().expect("a number");
    assert!(said < 3.0 * speed && said > speed / 3.0, "{said} where {speed} samples are trained a second");
    process.kill();
}

/// Samples a second between two looks at a running job.
async fn truth(client: &Client, id: &str) -> f64 {
    let mut stream = Stream::open(client, id, None).await;
    stream.until(|frame| frame.data["status"] == "running" && frame.data["attempt"] == 4).await;
    let mut ends = Vec::new();
    while ends.len() < 12 {
        ends.push(stream.until(|frame| frame.event == "metrics").await.data);
    }
    let (first, last) = (&ends[0], &ends[11]);
    let steps = last["step"].as_f64().expect("a number") - first["step"].as_f64().expect("a number");
    steps * 50.0 / (seconds(&last["at"]) - seconds(&first["at"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_are_evaluated_as_often_as_the_spec_says() {
    let site = Site::start().await;
    let mut spec = tiny_job();
    (spec["epochs"], spec["evaluate_every"]) = (json!(23), json!(5));
    let id = site.client.submit(&spec).await;
    let job = site.client.finished(&id).await;
    assert_eq!((&job["status"], &job["spec"]["evaluate_every"]), (&json!("succeeded"), &json!(5)));
    let (_, history) = site.client.get(&format!("/v1/jobs/{id}/metrics")).await;
    let epochs: Vec<_> = history["epochs"].as_array().expect("a list").iter().map(|p| p["epoch"].clone()).collect();
    assert_eq!(epochs, [5, 10, 15, 20, 23]);
    let (status, problem) =
        site.client.post("/v1/jobs", &json!({"dataset": {"name": "mnist"}, "network": [], "evaluate_every": 0})).await;
    assert_eq!(status, 422);
    assert!(
        problem["errors"].as_array().expect("a list").iter().any(|fault| fault["pointer"] == "#/evaluate_every"),
        "{problem}"
    );
    site.stop().await;
}
