//! A database as a server has it after some hundred jobs: logs, histories, checkpoints and weights.

use std::path::Path;
use std::time::Duration;

use dojang::data::fetch::Network;
use dojang::data::library::{Library, Options};
use dojang::interop::sha256_hex;
use dojang::job::event::{Event, EventBody, Metrics};
use dojang::job::plan::{Plan, Premises};
use dojang::job::spec::TrainSpec;
use dojang::job::status::{Status, StopReason};
use dojang::job::view::{LastMetrics, Progress};
use dojang::store::{
    Admitted, Figures, Finish, LastState, NewCheckpoint, NewJob, NewWeights, News, StepPoint, Store, Terms,
};
use jiff::Timestamp;
use serde_json::json;

/// Events of a job: about what one of the usual length leaves.
const EVENTS: u64 = 450;
/// Bytes of a job's weights, and of its checkpoint, as of a network of 400,000 parameters.
const WEIGHTS: usize = 1_600_000;
const CHECKPOINT: usize = 3_200_000;

/// Bytes that are the same for nobody else, and no pattern.
fn bytes(len: usize, mut seed: u64) -> Vec<u8> {
    let mut all = Vec::with_capacity(len + 8);
    while all.len() < len {
        // Knuth's generator, whose high half is good enough for this.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        all.extend_from_slice(&seed.to_be_bytes()[..4]);
    }
    all.truncate(len);
    all
}

fn new_job() -> NewJob {
    let spec = json!({
        "dataset": {"name": "digits"}, "epochs": 10,
        "network": [{"type": "affine", "units": 500}, "relu", {"type": "affine", "units": 10}],
    });
    let spec = TrainSpec::parse(spec.to_string().as_bytes()).expect("a spec");
    let options =
        Options { datasets_dir: "none".into(), mnist_dir: None, fashion_mnist_dir: None, network: Network::Forbidden };
    let datasets = Library::with_options(&options).infos();
    let plan = Plan::new(spec, &Premises { datasets: &datasets, memory_budget: u64::MAX }).expect("a plan");
    NewJob { spec: plan.spec().clone(), plan: plan.summary(), at: Timestamp::now(), fork: None, reproduces: None }
}

async fn admit(store: &Store, new: &NewJob) {
    let admitted = store.admit(new, Terms::default()).await.expect("room");
    assert!(matches!(admitted, Admitted::New(..)));
}

/// Fills a new database up to this size. At its end are a hundred jobs that wait, and one that was running when the server
/// died. Returns how many jobs there are.
pub(crate) async fn fill(file: &Path, mebibytes: u64) -> u64 {
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    let store = Store::open(file).await.expect("a store");
    let new = new_job();
    let mut jobs = 0;
    while store.space().await.expect("its size").database < mebibytes << 20 {
        jobs += 1;
        admit(&store, &new).await;
        let claim = store.claim(Timestamp::now(), Duration::MAX).await.expect("a claim").expect("a job waits");
        let at = Timestamp::now();
        let event = |n: u64| {
            let (step, epoch) = (n, n.div_ceil(45));
            let figures = Metrics {
                step,
                epoch,
                loss: Some(1.0 / n as f64),
                accuracy: Some(0.5),
                learning_rate: 0.001,
                samples_per_second: Some(30_000.0),
                fraction: n as f64 / EVENTS as f64,
                eta_seconds: Some(1.5),
                eta_at_most: false,
            };
            Event { id: claim.last_event_id + n, job: claim.job.id, at, body: EventBody::Metrics(figures) }
        };
        let events: Vec<_> = (1..=EVENTS).map(event).collect();
        let point = |event: &Event| match &event.body {
            EventBody::Metrics(metrics) => Some(StepPoint::new(metrics, at)),
            _ => None,
        };
        let figures = Figures { steps: events.iter().filter_map(point).collect(), ..Figures::default() };
        let progress = Progress { step: EVENTS, ..claim.job.progress.clone() };
        let metrics = LastMetrics::default();
        let news = News { events: &events, figures: &figures, looks: &[], progress: &progress, metrics: &metrics };
        let state = bytes(CHECKPOINT, jobs);
        let checkpoint = NewCheckpoint { sha256: sha256_hex(&state), bytes: state, step: EVENTS, trained_seconds: 1.0 };
        store.save_checkpoint(claim.run, &checkpoint, news).await.expect("room");
        let weights = bytes(WEIGHTS, !jobs);
        let finish = Finish {
            events: vec![],
            progress,
            metrics,
            status: Status::Succeeded,
            stop_reason: StopReason::Completed,
            error: None,
            evaluation: None,
            last_state: LastState::AsItIs,
            weights: Some(NewWeights { sha256: sha256_hex(&weights), bytes: weights }),
        };
        store.finish(claim.run, &finish, at).await.expect("room");
    }
    for _ in 0..101 {
        admit(&store, &new).await;
    }
    store.claim(Timestamp::now(), Duration::MAX).await.expect("a claim").expect("a job waits");
    store.close().await;
    jobs + 101
}
