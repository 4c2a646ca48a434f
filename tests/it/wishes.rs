//! Pause, resume and cancel: one by one, and twenty at once.

use std::collections::HashSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Client, Site, Stream, long_job, quick_job, steady_job};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_paused_resumed_cancelled_and_resumed() {
    let site = Site::start().await;
    let client = &site.client;
    let job = client.submit(&long_job()).await;
    let waiting = client.submit(&long_job()).await;
    let mut stream = Stream::open(client, &job, None).await;
    stream.until(|frame| frame.event == "checkpoint").await;

    // One that waits is paused at once, and leaves the queue.
    let (status, paused) = client.ask(&waiting, "pause").await;
    assert_eq!(
        (status, &paused["status"], &paused["queue_position"]),
        (StatusCode::OK, &json!("paused"), &Value::Null)
    );
    // One that runs saves a checkpoint; nothing comes between that and the pause.
    let (status, asked) = client.ask(&job, "pause").await;
    assert!(status == StatusCode::ACCEPTED && asked["pause_requested"] == true, "{status} {asked}");
    let mut last = stream.next().await.expect("events");
    let paused = loop {
        let frame = stream.next().await.expect("events");
        if frame.data["status"] == "paused" {
            break frame;
        }
        last = frame;
    };
    assert_eq!((last.event.as_str(), last.id + 1), ("checkpoint", paused.id));
    let shown = client.job(&job).await;
    assert_eq!((&shown["status"], &shown["pause_requested"]), (&json!("paused"), &json!(false)));
    assert_eq!((&shown["finished_at"], &shown["stop_reason"]), (&Value::Null, &Value::Null));
    assert_eq!((&shown["progress"]["step"], &shown["progress"]["eta_seconds"]), (&last.data["step"], &Value::Null));
    assert_eq!(client.ask(&job, "pause").await, (StatusCode::OK, shown));
    assert_eq!(client.get("/v1/jobs?status=paused").await.1["data"].as_array().map(Vec::len), Some(2));

    // It goes on where it was, in the same stream.
    let (status, resumed) = client.ask(&job, "resume").await;
    assert_eq!(
        (status, &resumed["status"], &resumed["queue_eta_seconds"]),
        (StatusCode::OK, &json!("queued"), &json!(0.0))
    );
    let again = stream.until_state("running").await;
    assert_eq!(again.data["attempt"], 2);
    let (status, running) = client.ask(&job, "resume").await;
    assert_eq!((status, &running["status"]), (StatusCode::OK, &json!("running")));
    let metrics = stream.until(|frame| frame.event == "metrics").await;
    assert!(metrics.data["step"].as_u64() > last.data["step"].as_u64());

    // A paused one can be cancelled; a cancelled one cannot be paused, but goes on.
    let (status, cancelled) = client.ask(&waiting, "cancel").await;
    assert_eq!((status, &cancelled["status"]), (StatusCode::OK, &json!("cancelled")));
    assert_eq!(client.ask(&waiting, "pause").await.0, StatusCode::CONFLICT);
    client.ask(&job, "cancel").await;
    let frames = stream.rest().await;
    let done = frames.last().expect("an end");
    assert_eq!((done.event.as_str(), &done.data["status"]), ("done", &json!("cancelled")));
    let (status, resumed) = client.ask(&job, "resume").await;
    assert_eq!(
        (status, &resumed["status"], &resumed["cancel_requested"]),
        (StatusCode::OK, &json!("queued"), &json!(false))
    );

    // Whoever comes back hears what followed; whoever comes new hears all.
    let mut back = Stream::open(client, &job, Some(done.id)).await;
    let first = back.next().await.expect("events");
    assert_eq!((first.id, &first.data["status"]), (done.id + 1, &json!("queued")));
    back.until(|frame| frame.event == "checkpoint").await;
    client.ask(&job, "cancel").await;
    let end = back.rest().await.last().expect("an end").id;
    let all = client.follow(&job).await;
    assert_eq!(all.iter().map(|frame| frame.id).collect::<Vec<_>>(), (1..=end).collect::<Vec<_>>());
    assert_eq!(all.iter().filter(|frame| frame.event == "done").count(), 2);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_by_itself_stays_as_it_is() {
    let site = Site::start().await;
    let job = site.client.submit(&quick_job()).await;
    let ended = site.client.finished(&job).await;
    for (what, word) in [("pause", "succeeded"), ("resume", "fork")] {
        let (status, problem) = site.client.ask(&job, what).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert!(problem["detail"].as_str().expect("text").contains(word), "{problem}");
        let nobody = site.client.ask("01890000-0000-7000-8000-000000000000", what).await;
        assert_eq!(nobody.0, StatusCode::NOT_FOUND);
    }
    assert_eq!(site.client.ask(&job, "cancel").await, (StatusCode::OK, ended));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_whose_dataset_is_gone_stays_cancelled() {
    let site = Site::start().await;
    let pixels: Vec<u8> = (0..12).flat_map(|i: u8| [i, i % 2]).collect();
    let idx = |axes: &[u32], values: &[u8]| {
        let head = [0, 0, 8, axes.len() as u8].into_iter().chain(axes.iter().flat_map(|n| n.to_be_bytes()));
        head.chain(values.iter().copied()).collect::<Vec<u8>>()
    };
    let (images, labels) = (idx(&[12, 1, 2], &pixels), idx(&[12], &[0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]));
    let parts: [(&str, bool, &[u8]); 5] = [
        ("name", false, b"mine"),
        ("train_images", true, &images),
        ("train_labels", true, &labels),
        ("test_images", true, &images),
        ("test_labels", true, &labels),
    ];
    let (status, _, answer) = site.client.post_form("/v1/datasets", &parts).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let spec = json!({"dataset": {"name": "mine"}, "network": [{"type": "affine", "units": 2}], "epochs": 1_000_000});
    let job = site.client.submit(&spec).await;
    site.client.ask(&job, "pause").await;
    let mut stream = Stream::open(&site.client, &job, None).await;
    stream.until_state("paused").await;
    let remove = || site.client.request("DELETE", "/v1/datasets/mine").send();
    assert_eq!(remove().await.expect("an answer").status(), StatusCode::CONFLICT, "a paused job needs it");
    site.client.ask(&job, "cancel").await;
    assert_eq!(remove().await.expect("an answer").status(), StatusCode::NO_CONTENT);
    let (status, problem) = site.client.ask(&job, "resume").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().expect("text").contains("mine"), "{problem}");
    assert_eq!(site.client.job(&job).await["status"], "cancelled");
    site.stop().await;
}

/// Where a job may be after these calls, in any order: each as often as it says.
fn ends(from: &'static str, calls: &[(&'static str, usize)]) -> HashSet<&'static str> {
    if calls.iter().all(|(_, left)| *left == 0) {
        return HashSet::from([from]);
    }
    let mut all = HashSet::new();
    for (i, &(what, _)) in calls.iter().enumerate().filter(|(_, (_, left))| *left > 0) {
        let to = match (what, from) {
            ("pause", "cancelled") => "cancelled",
            ("pause", _) => "paused",
            ("cancel", _) => "cancelled",
            _ => "active",
        };
        let mut rest = calls.to_vec();
        // After one call of a kind, further ones add no order that counts, but for the very last.
        rest[i].1 = (rest[i].1 - 1).min(1);
        all.extend(ends(to, &rest));
    }
    all
}

/// Waits until no wish is pending, and returns the state: `active` for one that waits or runs.
async fn settled(client: &Client, job: &str, stream: &mut Stream) -> String {
    loop {
        let shown = client.job(job).await;
        let status = shown["status"].as_str().expect("a state");
        let pending = shown["pause_requested"] == true || shown["cancel_requested"] == true;
        match status {
            "running" if pending => drop(stream.next().await),
            "running" | "queued" => return "active".into(),
            _ => return status.into(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_calls_at_once_end_as_some_order_of_them() {
    let site = Site::start().await;
    let client = &site.client;
    let job = client.submit(&steady_job()).await;
    Stream::open(client, &job, None).await.until(|frame| frame.event == "checkpoint").await;
    for mix in [
        [("pause", 20), ("resume", 0), ("cancel", 0)],
        [("pause", 10), ("resume", 10), ("cancel", 0)],
        [("pause", 7), ("resume", 7), ("cancel", 6)],
        [("pause", 10), ("resume", 0), ("cancel", 10)],
    ] {
        let last = client.job(&job).await;
        // The run before may yet have to hear that it stop, and then the job waits for a moment.
        assert!(last["status"] == "running" || last["status"] == "queued", "it is not done yet: {last}");
        let seen =
            Stream::open(client, &job, None).await.until(|frame| frame.data["attempt"] == last["attempt"]).await.id;
        let mut stream = Stream::open(client, &job, Some(seen)).await;
        let calls = mix.iter().flat_map(|&(what, times)| std::iter::repeat_n(what, times));
        let calls: Vec<_> = calls
            .map(|what| {
                let (client, job) = (client.clone(), job.clone());
                tokio::spawn(async move { client.ask(&job, what).await.0 })
            })
            .collect();
        for call in calls {
            let status = call.await.expect("no panic");
            assert!([StatusCode::OK, StatusCode::ACCEPTED, StatusCode::CONFLICT].contains(&status), "{status}");
        }
        let end = settled(client, &job, &mut stream).await;
        let possible = ends("active", &mix);
        assert!(possible.contains(end.as_str()), "{end} is none of {possible:?}");
        client.ask(&job, "resume").await;
        while client.job(&job).await["status"] != "running" {
            stream.next().await;
        }
    }
    let ended = client.finished(&job).await;
    assert_eq!(ended["status"], "succeeded", "{ended}");
    assert!(ended["attempt"].as_u64() > Some(2), "the calls without a resume have stopped it: {ended}");
    let control = client.submit(&steady_job()).await;
    assert_eq!(ended["weights_sha256"], client.finished(&control).await["weights_sha256"]);
    site.stop().await;
}

/// Loading a dataset takes long the first time, and nothing interrupts it: who asks for a stop does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_paused_while_its_dataset_is_loaded_and_goes_on() {
    let site = Site::start().await;
    let client = &site.client;
    let spec = json!({
        "dataset": {"name": "digits", "test_limit": 100}, "network": [{"type": "affine", "units": 10}],
        "batch_size": 1000, "epochs": 1,
    });
    let job = client.submit(&spec).await;
    let mut stream = Stream::open(client, &job, None).await;
    stream.until_state("running").await;
    client.ask(&job, "pause").await;
    let paused = tokio::time::timeout(std::time::Duration::from_secs(5), stream.until_state("paused")).await;
    paused.expect("it does not wait for the dataset");
    assert_eq!(client.ask(&job, "resume").await.0, StatusCode::OK);
    assert_eq!(client.finished(&job).await["status"], "succeeded");
    site.stop().await;
}
