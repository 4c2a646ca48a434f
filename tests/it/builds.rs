//! A job says which build and kernels trained it, and a reproduction in what it differs.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Site, Stream, long_job, quick_job, small_mnist};
use crate::process::{Process, command};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_names_what_trained_it() {
    let site = Site::start_with(|config| config.slots = 1).await;
    let client = &site.client;
    let job = client.submit(&long_job()).await;
    let waiting = client.submit(&quick_job()).await;
    assert_eq!(client.job(&waiting).await["trained_with"], json!([]), "nothing yet");
    let mut stream = Stream::open(client, &job, None).await;
    stream.until(|frame| frame.event == "checkpoint").await;
    let (_, version) = client.get("/version").await;
    let trained_with = client.job(&job).await["trained_with"].clone();
    assert_eq!(trained_with.as_array().map(Vec::len), Some(1), "{trained_with}");
    for member in ["version", "commit", "kernels"] {
        assert_eq!(trained_with[0][member], version[member], "{member}");
    }
    assert!(!trained_with[0]["cpu"].as_str().expect("text").is_empty());
    // The same build after a pause is no other one.
    client.ask(&job, "pause").await;
    stream.until_state("paused").await;
    client.ask(&job, "resume").await;
    client.finished(&waiting).await;
    stream.until(|frame| frame.event == "checkpoint").await;
    assert_eq!(client.job(&job).await["trained_with"], trained_with);
    assert_eq!(client.job(&waiting).await["trained_with"], trained_with, "as in a list");
    let (_, list) = client.get("/v1/jobs").await;
    assert_eq!(list["data"][0]["trained_with"], trained_with);
    client.ask(&job, "cancel").await;
    stream.rest().await;
    site.stop().await;
}

/// Needs two kinds of kernels: the processor's best ones, and the portable ones that every processor has.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_reproduction_with_other_kernels_names_them() {
    use rustix::process::Signal;
    let folder = tempfile::tempdir().expect("a folder");
    small_mnist(folder.path());
    let server = Process::start(folder.path(), 1);
    let (_, version) = server.client.get("/version").await;
    let best = version["kernels"].as_str().expect("text").to_owned();
    if best == "portable" {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "this processor has no kernels but the portable ones");
        eprintln!("SKIPPED: this processor has no kernels but the portable ones, so nothing can differ");
        return;
    }
    let original = server.client.submit(&quick_job()).await;
    server.client.finished(&original).await;
    assert_eq!(server.stop(Signal::TERM).await, Some(0));

    let mut portable = command(folder.path(), 1);
    portable.env("DOJANG_KERNELS", "portable");
    let server = Process::of(portable);
    let client = &server.client;
    let (status, again) = client.ask(&original, "reproduce").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{again}");
    let again = again["id"].as_str().expect("an id").to_owned();
    let frames = client.follow(&again).await;
    let ended = client.job(&again).await;
    assert_eq!(ended["reproduced"], false, "{ended}");
    let expected = json!([{"field": "kernels", "original": best, "reproduction": "portable"}]);
    assert_eq!(ended["differs_in"], expected);
    let alert = frames.iter().find(|frame| frame.data["code"] == "not_reproduced").expect("an alert");
    let detail = alert.data["detail"].as_str().expect("text");
    assert!(detail.contains(&original) && detail.contains(&format!("kernels: {best} (original)")), "{detail}");
    assert_eq!(frames.last().map(|frame| frame.event.as_str()), Some("done"));

    // It stays known when the original is gone; and a reproduction of the portable one comes out the same.
    assert_eq!(client.delete(&format!("/v1/jobs/{original}")).await.0, StatusCode::NO_CONTENT);
    let ended = client.job(&again).await;
    assert_eq!((&ended["reproduced"], &ended["differs_in"]), (&json!(false), &expected));
    let (_, third) = client.ask(&again, "reproduce").await;
    let third = client.finished(third["id"].as_str().expect("an id")).await;
    assert_eq!((&third["reproduced"], &third["differs_in"]), (&Value::Bool(true), &json!([])));
    assert_eq!(server.stop(Signal::TERM).await, Some(0));
}
