//! What was acknowledged survives a kill at any moment, and a killed job ends as if nothing had happened.

use serde_json::Value;

use crate::harness::{Site, Stream, long_job, quick_job, small_mnist, steady_job};
use crate::process::{Process, command};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_job_ends_with_the_weights_of_an_undisturbed_one() {
    let spec = steady_job();
    let site = Site::start().await;
    let control = site.client.submit(&spec).await;
    let control = site.client.finished(&control).await;
    site.stop().await;
    assert_eq!(control["status"], "succeeded");

    let folder = tempfile::tempdir().expect("a folder");
    small_mnist(folder.path());
    let mut process = Process::start(folder.path(), 1);
    let job = process.client.submit(&spec).await;
    let mut waiting = Vec::new();
    for threads in [2, 1, 3] {
        // Acknowledged just before the kill.
        waiting.push(process.client.submit(&quick_job()).await);
        let mut stream = Stream::open(&process.client, &job, None).await;
        let mut running = false;
        // Killed somewhere after a checkpoint of this very run.
        while let Some(frame) = stream.next().await {
            running |= frame.data["status"] == "running" && frame.data["attempt"] == waiting.len();
            if running && frame.event == "checkpoint" {
                break;
            }
        }
        process.kill();
        process = Process::start(folder.path(), threads);
    }
    let ended = process.client.finished(&job).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert_eq!(ended["weights_sha256"], control["weights_sha256"]);
    assert_eq!(ended["attempt"], 4);
    let frames = process.client.follow(&job).await;
    assert!(frames.iter().enumerate().all(|(i, frame)| frame.id == i as u64 + 1));
    for id in waiting {
        assert_eq!(process.client.finished(&id).await["status"], "succeeded");
    }
    #[cfg(unix)]
    assert_eq!(process.stop(rustix::process::Signal::TERM).await, Some(0));
    #[cfg(not(unix))]
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_pause_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    small_mnist(folder.path());
    let process = Process::start(folder.path(), 1);
    let job = process.client.submit(&long_job()).await;
    Stream::open(&process.client, &job, None).await.until(|frame| frame.event == "checkpoint").await;
    let (status, asked) = process.client.ask(&job, "pause").await;
    assert!(status.is_success(), "{asked}");
    process.kill();

    let process = Process::start(folder.path(), 2);
    let paused = process.client.job(&job).await;
    assert_eq!(
        (&paused["status"], &paused["attempt"], &paused["finished_at"]),
        (&"paused".into(), &1.into(), &Value::Null)
    );
    // Jobs that come later are trained; it is not.
    let other = process.client.submit(&quick_job()).await;
    assert_eq!(process.client.finished(&other).await["status"], "succeeded");
    assert_eq!(process.client.job(&job).await, paused);

    process.client.ask(&job, "resume").await;
    let mut stream = Stream::open(&process.client, &job, None).await;
    let again = stream.until(|frame| frame.data["attempt"] == 2).await;
    assert_eq!(again.data["status"], "running");
    stream.until(|frame| frame.event == "checkpoint").await;
    process.client.ask(&job, "cancel").await;
    assert_eq!(stream.rest().await.last().expect("an end").data["status"], "cancelled");
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_at_whose_every_start_the_server_dies_is_held_back_but_lives() {
    let folder = tempfile::tempdir().expect("a folder");
    small_mnist(folder.path());
    let mut process = Process::start(folder.path(), 1);
    let mut spec = long_job();
    spec["checkpoint_every_seconds"] = 1e6.into();
    let job = process.client.submit(&spec).await;
    let other = process.client.submit(&quick_job()).await;
    for attempt in 1..=2 {
        let mut stream = Stream::open(&process.client, &job, None).await;
        stream.until(|frame| frame.data["status"] == "running" && frame.data["attempt"] == attempt).await;
        process.kill();
        process = Process::start(folder.path(), 1);
    }
    // It has the first place, and yet the other goes first.
    let ended = process.client.finished(&other).await;
    let mut stream = Stream::open(&process.client, &job, None).await;
    let held = stream.until(|frame| frame.data["status"] == "queued" && frame.data["attempt"] == 2).await;
    assert!(held.data["detail"].as_str().expect("text").contains("again and again"), "{held:?}");
    let again = stream.until(|frame| frame.data["attempt"] == 3).await;
    assert_eq!(again.data["status"], "running");
    assert!(again.data["at"].as_str() > ended["started_at"].as_str(), "{again:?} {ended}");
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_data_says_who_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    small_mnist(folder.path());
    let first = Process::start(folder.path(), 1);
    let job = first.client.submit(&long_job()).await;
    let mut stream = Stream::open(&first.client, &job, None).await;
    stream.until(|frame| frame.event == "checkpoint").await;
    let mut second = command(folder.path(), 1);
    let output = tokio::task::spawn_blocking(move || second.output().expect("it ends")).await.expect("no panic");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let owner = std::fs::read_to_string(folder.path().join("data/dojang.lock")).expect("a file");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("another dojang (process {owner}) uses ")), "{said}");
    // The first has noticed nothing.
    stream.until(|frame| frame.event == "checkpoint").await;
    assert_eq!(first.client.job(&job).await["attempt"], 1);
    first.kill();
}
