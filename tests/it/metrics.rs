//! `/metrics`, as Prometheus reads it.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{Client, Site, Stream, long_job, quick_job};

/// All samples by their name and labels, once the text is what Prometheus can read.
pub(crate) async fn scrape(client: &Client) -> HashMap<String, f64> {
    let response = client.request("GET", "/metrics").send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let text = response.text().await.expect("text");
    let mut samples = HashMap::new();
    let mut types = HashMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name, rest) = (words.next(), words.next().expect("a name"), words.next().expect("more"));
            assert!(name.starts_with("dojang_") || name.starts_with("process_"), "{line}");
            if kind == Some("TYPE") {
                assert!(types.insert(name.to_owned(), rest.to_owned()).is_none(), "{line} comes twice");
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a value");
        assert!(samples.insert(name.to_owned(), value.parse().expect("a number")).is_none(), "{line} comes twice");
        let family = name.split('{').next().expect("a name");
        let of = |ending: &str| family.strip_suffix(ending).and_then(|name| types.get(name));
        let kind = types.get(family).or_else(|| of("_bucket")).or_else(|| of("_sum")).or_else(|| of("_count"));
        match kind.unwrap_or_else(|| panic!("{line} has no type")).as_str() {
            "counter" => assert!(family.ends_with("_total"), "{line}"),
            "gauge" => assert!(!family.ends_with("_total"), "{line}"),
            other => assert_eq!(other, "histogram", "{line}"),
        }
    }
    samples
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_follow_what_happens() {
    let (site, other) = (Site::start().await, Site::start().await);
    let client = &site.client;
    let job = client.submit(&quick_job()).await;
    let ended = client.finished(&job).await;
    client.post("/predict", &json!({"images": [vec![0; 784], vec![0; 784]]})).await;
    client.get("/v1/jobs/7").await;
    client.get("/none/of/these").await;
    let busy = client.submit(&long_job()).await;
    let mut stream = Stream::open(client, &busy, None).await;
    stream.until(|frame| frame.event == "checkpoint").await;
    client.submit(&quick_job()).await;
    let found = scrape(client).await;
    let at = |name: &str| *found.get(name).unwrap_or_else(|| panic!("{name} is missing in {found:#?}"));
    for (name, value) in [
        ("dojang_jobs{status=\"succeeded\"}", 1.0),
        ("dojang_jobs{status=\"running\"}", 1.0),
        ("dojang_jobs{status=\"failed\"}", 0.0),
        ("dojang_queue_depth", 1.0),
        ("dojang_running_jobs", 1.0),
        ("dojang_sse_readers{stream=\"job\"}", 1.0),
        ("dojang_sse_readers{stream=\"all\"}", 0.0),
        ("dojang_stalled_readers_dropped_total", 0.0),
        ("dojang_predict_duration_seconds_count", 1.0),
        ("dojang_predict_duration_seconds_bucket{le=\"+Inf\"}", 1.0),
        ("dojang_predicted_samples_total", 2.0),
        ("dojang_http_requests_total{method=\"POST\",route=\"/v1/jobs\",status=\"202\"}", 3.0),
        ("dojang_http_requests_total{method=\"POST\",route=\"/predict\",status=\"200\"}", 1.0),
        ("dojang_http_requests_total{method=\"GET\",route=\"/v1/jobs/{id}\",status=\"404\"}", 1.0),
        ("dojang_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"}", 1.0),
        ("dojang_http_request_duration_seconds_count{method=\"POST\",route=\"/v1/jobs\",status=\"2xx\"}", 3.0),
        ("dojang_http_request_duration_seconds_count{method=\"GET\",route=\"/v1/jobs/{id}\",status=\"4xx\"}", 1.0),
        ("dojang_jobs_ended_total{status=\"succeeded\"}", 1.0),
        ("dojang_jobs_ended_total{status=\"cancelled\"}", 0.0),
        ("dojang_model_loads_total", 1.0),
    ] {
        assert_eq!(at(name), value, "{name}");
    }
    assert!(at("dojang_training_steps_total") >= ended["progress"]["step"].as_f64().expect("a number"));
    assert!(at("dojang_training_samples_total") >= 12.0 * 600.0);
    assert!(at("dojang_checkpoint_write_duration_seconds_count") >= 1.0);
    assert!(at("dojang_checkpoint_write_duration_seconds_sum") > 0.0);
    assert!(at("dojang_uptime_seconds") > 0.0);
    assert!(found.keys().any(|name| name.starts_with("dojang_build_info{version=\"")), "{found:#?}");
    // The same as the storage says, once nothing is written any more.
    client.ask(&busy, "cancel").await;
    stream.rest().await;
    let (found, (_, storage)) = (scrape(client).await, client.get("/v1/storage").await);
    assert_eq!(found["dojang_sse_readers{stream=\"job\"}"], 0.0);
    assert_eq!(found["dojang_jobs_ended_total{status=\"cancelled\"}"], 1.0);
    // A stream is timed until it begins, not until it ends.
    let stream = "{method=\"GET\",route=\"/v1/jobs/{id}/events\",status=\"2xx\"}";
    assert_eq!(found[&format!("dojang_http_request_duration_seconds_count{stream}")], 2.0);
    assert_eq!(found["dojang_database_bytes{kind=\"weights\"}"], storage["weights_bytes"].as_f64().expect("a number"));
    assert!(found["dojang_data_dir_bytes{kind=\"database\"}"] > 0.0);
    // Another server in this process counts for itself.
    let found = scrape(&other.client).await;
    assert_eq!(found["dojang_training_steps_total"], 0.0);
    assert!(!found.keys().any(|name| name.contains("/predict")), "{found:#?}");
    site.stop().await;
    other.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_process_is_measured() {
    let site = Site::start().await;
    let found = scrape(&site.client).await;
    let at = |name: &str| found[&format!("process_{name}")];
    assert!(at("cpu_seconds_total") > 0.0 && at("threads") >= 2.0);
    assert!(at("resident_memory_bytes") > 1e6 && at("virtual_memory_bytes") > at("resident_memory_bytes"));
    assert!(at("open_fds") > 2.0 && at("max_fds") >= at("open_fds"));
    assert!(at("start_time_seconds") > 1.6e9);
    site.stop().await;
}

/// Prometheus' own checks of names, types and texts.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_finds_nothing_to_complain_of() {
    let site = Site::start().await;
    let job = site.client.submit(&quick_job()).await;
    site.client.finished(&job).await;
    site.client.post("/predict", &json!({"image": vec![0; 784]})).await;
    site.client.get("/v1/jobs/7").await;
    let response = site.client.request("GET", "/metrics").send().await.expect("an answer");
    let text = response.text().await.expect("text");
    site.stop().await;
    let command =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut promtool = match command {
        Ok(promtool) => promtool,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "promtool cannot be run: {error}");
            return eprintln!("SKIPPED: promtool cannot be run ({error}); apt-get install prometheus brings it");
        }
    };
    promtool.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("it ends");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
}
