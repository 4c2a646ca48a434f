//! Readers who take nothing: they cost little, hold nobody up, and go.

use std::path::Path;
use std::time::Duration;

use dojang::app::Config;
use dojang::data::{DatasetInfo, Dtype};
use dojang::engine::shape::Shape;
use dojang::job::event::{Alert, Event, EventBody};
use dojang::job::plan::{Plan, Premises};
use dojang::job::spec::TrainSpec;
use dojang::job::status::{Status, StopReason};
use dojang::store::{Figures, Finish, LastState, NewJob, News, Store, Terms};
use jiff::Timestamp;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use uuid::Uuid;

use crate::harness::{Client, Site, Stream, long_job};
use crate::metrics::scrape;

/// Opens a stream of a job's events and never reads of it.
async fn stall(base: &str, job: &str) -> TcpStream {
    let addr = base.strip_prefix("http://").expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(addr.parse().expect("an address")).await.expect("a connection");
    let request = format!("GET /v1/jobs/{job}/events HTTP/1.1\r\nhost: {addr}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    stream
}

/// A job that has failed, in a new database: its log has some hundred KiB, more than a connection's buffers hold.
async fn long_log(data_dir: &Path) -> Uuid {
    std::fs::create_dir_all(data_dir).expect("a folder");
    let store = Store::open(&data_dir.join("dojang.db")).await.expect("a store");
    let spec = json!({"dataset": {"name": "xor"}, "network": [{"type": "affine", "units": 2}]});
    let datasets = [xor()];
    let premises = Premises { datasets: &datasets, memory_budget: 1 << 30 };
    let plan = Plan::new(TrainSpec::from_value(&spec).expect("a spec"), &premises).expect("a plan");
    let (at, spec) = (Timestamp::now(), plan.spec().clone());
    let new = NewJob { spec, plan: plan.summary(), at, fork: None, reproduces: None };
    store.admit(&new, Terms::default()).await.expect("it is written");
    let claim = store.claim(at, Duration::MAX).await.expect("it is read").expect("a job waits");
    let detail = "x".repeat(1000);
    let event = |n: u64| {
        let body = EventBody::Alert(Alert { code: "long".into(), detail: detail.clone() });
        Event { id: claim.last_event_id + n, job: claim.run.job, at, body }
    };
    let events: Vec<_> = (1..=1000).map(event).collect();
    let (progress, metrics) = (claim.job.progress.clone(), claim.job.metrics.clone());
    let news =
        News { events: &events, figures: &Figures::default(), looks: &[], progress: &progress, metrics: &metrics };
    store.append(claim.run, news).await.expect("it is written");
    let finish = Finish {
        events: vec![],
        progress,
        metrics,
        status: Status::Failed,
        stop_reason: StopReason::Error,
        error: Some("nothing was trained".into()),
        evaluation: None,
        weights: None,
        last_state: LastState::AsItIs,
    };
    store.finish(claim.run, &finish, at).await.expect("it is written");
    store.close().await;
    claim.run.job
}

/// What is known of the toy dataset.
fn xor() -> DatasetInfo {
    DatasetInfo {
        name: "xor".into(),
        description: String::new(),
        input: Shape::new(&[2]),
        dtype: Dtype::Float32,
        classes: 2,
        class_names: vec!["0".into(), "1".into()],
        train_samples: 4,
        test_samples: 4,
    }
}

async fn figure(client: &Client, name: &str) -> f64 {
    scrape(client).await[name]
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_take_nothing_are_dropped_and_the_others_miss_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = long_log(&folder.path().join("data")).await.to_string();
    let stall_soon = |config: &mut Config| config.limits.write_stall = Duration::from_millis(500);
    let site = Site::start_in_with(folder, stall_soon).await;
    let client = &site.client;
    let job = client.submit(&long_job()).await;
    let mut reader = Stream::open(client, &job, None).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(stall(&site.base, &told).await);
    }
    let mut last = 0;
    while figure(client, "dojang_stalled_readers_dropped_total").await < 20.0 {
        let frame = reader.next().await.expect("a reader who reads stays");
        assert_eq!(frame.id, last + 1);
        last = frame.id;
    }
    assert_eq!(figure(client, "dojang_sse_readers{stream=\"job\"}").await, 1.0);
    drop(stalled);
    client.ask(&job, "cancel").await;
    assert_eq!(reader.rest().await.last().expect("an end").event, "done");
    site.stop().await;
}
