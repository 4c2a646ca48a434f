//! The log by SSE: no gap, no duplicate, no rewritten id.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Site, Stream, long_job, quick_job};

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_may_leave_and_come_back_anywhere() {
    let site = Site::start().await;
    let id = site.client.submit(&quick_job()).await;
    let whole = site.client.follow(&id).await;
    for cut in 0..whole.len() {
        let rest = Stream::open(&site.client, &id, Some(cut as u64)).await.rest().await;
        assert_eq!(rest, whole[cut..], "after {cut}");
    }
    // Who has seen the end, or names an id beyond it, is told not to come back; by `after` as by the header.
    for seen in [whole.len(), whole.len() + 7] {
        let events = format!("/v1/jobs/{id}/events");
        let by_header = site.client.request("GET", &events).header("last-event-id", seen);
        for request in [by_header, site.client.request("GET", &format!("{events}?after={seen}"))] {
            let response = request.send().await.expect("an answer");
            assert_eq!(response.status(), 204, "after {seen}");
            assert_eq!(response.bytes().await.expect("no body").len(), 0);
        }
    }
    // As JSON it is the same log.
    let request = site.client.request("GET", &format!("/v1/jobs/{id}/events?after=2&limit=3"));
    let list: serde_json::Value =
        request.header("accept", "application/json").send().await.expect("an answer").json().await.expect("JSON");
    let expected: Vec<_> = whole[2..5].iter().map(|frame| frame.data.clone()).collect();
    assert_eq!((&list["data"], &list["has_more"], &list["last_id"]), (&json!(expected), &json!(true), &json!("5")));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_of_a_running_job_see_the_same() {
    let site = Site::start().await;
    let mut spec = long_job();
    spec["epochs"] = json!(400);
    let id = site.client.submit(&spec).await;
    let readers: Vec<_> = (0..8)
        .map(|i| {
            let (client, id) = (site.client.clone(), id.clone());
            tokio::spawn(async move {
                let mut stream = Stream::open(&client, &id, None).await;
                let mut frames = Vec::new();
                // Each leaves at another place and comes back.
                while frames.len() < 3 * i {
                    match stream.next().await {
                        Some(frame) => frames.push(frame),
                        None => break,
                    }
                }
                drop(stream);
                let seen = frames.last().map(|frame| frame.id);
                frames.extend(Stream::open(&client, &id, seen).await.rest().await);
                frames
            })
        })
        .collect();
    let mut logs = Vec::new();
    for reader in readers {
        logs.push(reader.await.expect("no panic"));
    }
    assert!(logs.iter().all(|log| *log == logs[0]));
    assert!(logs[0].iter().enumerate().all(|(i, frame)| frame.id == i as u64 + 1));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_at_shutdown_and_the_job_goes_on_after_it() {
    let site = Site::start().await;
    let mut spec = long_job();
    spec["epochs"] = json!(3500);
    let id = site.client.submit(&spec).await;
    let mut stream = Stream::open(&site.client, &id, None).await;
    let mut seen = Vec::new();
    while seen.len() < 6 {
        seen.push(stream.next().await.expect("events"));
    }
    let site = site.restart().await;
    seen.extend(stream.rest().await);
    let last = seen.last().expect("events").id;
    let rest = Stream::open(&site.client, &id, Some(last)).await.rest().await;
    seen.extend(rest);
    assert!(seen.iter().enumerate().all(|(i, frame)| frame.id == i as u64 + 1));
    let attempts: Vec<_> =
        seen.iter().filter(|f| f.data["status"] == "running").map(|f| f.data["attempt"].clone()).collect();
    assert_eq!(attempts, [1, 2]);
    // The control was never interrupted.
    let control = site.client.submit(&spec).await;
    let (one, other) = (site.client.finished(&id).await, site.client.finished(&control).await);
    assert_eq!(one["status"], "succeeded", "{one}");
    assert_eq!(one["weights_sha256"], other["weights_sha256"]);
    // The history holds each step once, and every evaluation is as if nothing had happened. Which points are left of so many,
    // and where the means over mini-batches are cut, is for the clock to say.
    let history = |job: &str| {
        let (client, path) = (site.client.clone(), format!("/v1/jobs/{job}/metrics"));
        async move {
            let (_, history) = client.get(&path).await;
            let number = |value: &Value| value.as_u64().expect("a number");
            let steps: Vec<_> =
                history["steps"].as_array().expect("a list").iter().map(|p| number(&p["step"])).collect();
            let epochs = history["epochs"].as_array().expect("a list").iter();
            let epochs: BTreeMap<_, _> =
                epochs.map(|p| (number(&p["epoch"]), [p["train_loss"].clone(), p["test_loss"].clone()])).collect();
            (steps, epochs)
        }
    };
    let ((steps, epochs), (_, undisturbed)) = (history(&id).await, history(&control).await);
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]) && steps.last() == Some(&(3500 * 12)));
    let mut common = epochs.iter().filter(|(epoch, _)| undisturbed.contains_key(epoch)).peekable();
    assert!(common.peek().is_some() && common.all(|(epoch, figures)| undisturbed[epoch] == *figures));
    assert_eq!(epochs.last_key_value(), undisturbed.last_key_value());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_to_wait_comes_with_the_first_event() {
    let site = Site::start().await;
    let id = site.client.submit(&quick_job()).await;
    site.client.finished(&id).await;
    let response = site.client.request("GET", &format!("/v1/jobs/{id}/events")).send().await.expect("an answer");
    let text = response.text().await.expect("a body");
    let blocks: Vec<_> = text.split_terminator("\n\n").filter(|block| !block.starts_with(':')).collect();
    assert!(blocks.iter().all(|block| block.contains("data:") && block.contains("event:")), "{text}");
    assert!(blocks[0].lines().any(|line| line.replace(' ', "") == "retry:2000"), "{}", blocks[0]);
    assert_eq!(text.matches("retry:").count(), 1);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_resumed_streams_on_after_its_first_done() {
    let site = Site::start().await;
    let client = &site.client;
    let id = client.submit(&long_job()).await;
    let mut stream = Stream::open(client, &id, None).await;
    stream.until(|frame| frame.event == "checkpoint").await;
    client.ask(&id, "cancel").await;
    let done = stream.until(|frame| frame.event == "done").await.id;
    let get = |after: u64| client.request("GET", &format!("/v1/jobs/{id}/events?after={after}")).send();
    assert_eq!(get(done).await.expect("an answer").status(), 204);
    client.ask(&id, "resume").await;
    let mut stream = Stream::open(client, &id, Some(done)).await;
    assert_eq!(stream.next().await.expect("it goes on").id, done + 1);
    client.ask(&id, "cancel").await;
    let last = stream.until(|frame| frame.event == "done").await.id;
    assert!(stream.next().await.is_none());
    // From the first end one still gets to the second.
    let rest = Stream::open(client, &id, Some(done)).await.rest().await;
    assert_eq!(rest.last().map(|frame| frame.id), Some(last));
    assert_eq!(get(last).await.expect("an answer").status(), 204);
    site.stop().await;
}
