//! The store on real files. What the tests share is here; each file is one promise.

mod content;
mod fencing;
mod life;
mod model;
mod opening;
mod outbox;
mod queue;
mod reading;
mod removal;
mod retention;
mod thinning;
mod wishes;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::chunks::hex;
use super::*;
use crate::data::{DatasetInfo, Dtype};
use crate::engine::shape::Shape;
use crate::job::build::Build;
use crate::job::event::{Alert, Epoch, Event, EventBody, Metrics, Saved};
use crate::job::plan::{Plan, Premises};
use crate::job::spec::TrainSpec;
use crate::job::status::{Status, StopReason};
use crate::job::view::{Job, LastMetrics, Progress};

/// A store in a directory of its own.
struct House {
    dir: TempDir,
    store: Store,
}

impl std::ops::Deref for House {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("dojang.db")).await.unwrap();
        Self { dir, store }
    }

    /// The same files, as a server that starts again finds them.
    async fn reopen(self) -> Self {
        self.store.close().await;
        let store = Store::open(&self.dir.path().join("dojang.db")).await.unwrap();
        Self { dir: self.dir, store }
    }

    async fn submit(&self) -> Uuid {
        self.submit_with(&json!({})).await.id
    }

    async fn submit_with(&self, members: &Value) -> Job {
        self.insert_job(&new_job(members)).await.unwrap()
    }

    /// The next job, claimed.
    async fn claimed(&self) -> Claim {
        self.claim(at(1), Duration::ZERO).await.unwrap().expect("a job waits")
    }

    /// Accepts a job on no terms.
    async fn insert_job(&self, new: &NewJob) -> Result<Job, StoreError> {
        match self.admit(new, Terms::default()).await? {
            Admitted::New(job, _) => Ok(*job),
            other => panic!("there are no terms, yet: {other:?}"),
        }
    }

    /// A run that is told to stop gives its job back, with a checkpoint at this step.
    async fn give_back(&self, run: RunKey, step: u64, at: Timestamp) -> Result<Vec<Event>, StoreError> {
        let events = [saved(run, self.next_id(run.job).await, step)];
        self.release(run, &new_checkpoint(step, 10), news(&events, &progress(step), &figures(step)), at).await
    }

    /// One more job, claimed.
    async fn running(&self) -> RunKey {
        let id = self.submit().await;
        let claim = self.claimed().await;
        assert_eq!(claim.run.job, id, "no other job waits");
        claim.run
    }

    async fn get(&self, id: Uuid) -> Job {
        self.job(id).await.unwrap().expect("the job is there")
    }

    async fn log(&self, job: Uuid) -> Vec<Event> {
        self.events(job, 0, 1000).await.unwrap()
    }

    async fn next_id(&self, job: Uuid) -> u64 {
        self.log(job).await.last().map_or(0, |event| event.id) + 1
    }

    /// Takes a run to a checkpoint at this step: an event of figures and one of the checkpoint.
    async fn checkpoint_at(&self, run: RunKey, step: u64) -> NewCheckpoint {
        let next = self.next_id(run.job).await;
        let events = [metrics(run, next, step), saved(run, next + 1, step)];
        let checkpoint = new_checkpoint(step, 10);
        self.save_checkpoint(run, &checkpoint, news(&events, &progress(step), &figures(step))).await.unwrap();
        checkpoint
    }

    /// Takes a run on to this step, without a checkpoint.
    async fn train_to(&self, run: RunKey, step: u64) {
        let event = metrics(run, self.next_id(run.job).await, step);
        self.append(run, news(&[event], &progress(step), &figures(step))).await.unwrap();
    }

    async fn succeed(&self, run: RunKey, weights: Vec<u8>) -> Vec<Event> {
        self.finish(run, &success(vec![], weights), at(9)).await.unwrap()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.readers).await.unwrap()
    }

    async fn sql(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.writer).await.unwrap();
    }

    /// All that is told of a job.
    async fn told(&self, job: Uuid) -> (Job, Vec<Event>, History, Option<StoredCheckpoint>, i64, i64) {
        (
            self.get(job).await,
            self.log(job).await,
            self.metrics(job).await.unwrap(),
            self.checkpoint(job).await.unwrap(),
            self.count("select count(*) from blobs").await,
            self.count("select count(*) from model_versions").await,
        )
    }
}

/// A time that is not whole in any unit but the smallest.
fn at(second: i64) -> Timestamp {
    Timestamp::new(1_790_000_000 + second, 123_456_789).unwrap()
}

fn new_job(members: &Value) -> NewJob {
    let mut spec = json!({
        "dataset": {"name": "digits", "train_limit": 1000},
        "network": [{"type": "affine", "units": 50}, "relu", {"type": "affine", "units": 10}],
        "epochs": 10,
    });
    for (key, value) in members.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let datasets = [DatasetInfo {
        name: "digits".into(),
        description: String::new(),
        input: Shape::new(&[1, 28, 28]),
        dtype: Dtype::Uint8,
        classes: 10,
        class_names: (0..10).map(|i| i.to_string()).collect(),
        train_samples: 60_000,
        test_samples: 10_000,
    }];
    let premises = Premises { datasets: &datasets, memory_budget: 1 << 30 };
    let plan = Plan::new(TrainSpec::from_value(&spec).unwrap(), &premises).unwrap();
    let (spec, plan) = (plan.spec().clone(), plan.summary());
    NewJob { spec, plan, at: at(0), fork: None, reproduces: None }
}

fn progress(step: u64) -> Progress {
    let epoch = step.div_ceil(10);
    let (fraction, speed, eta) = (step as f64 / 100.0, Some(1e4 / 3.0), Some(0.1 + 0.2));
    Progress {
        step,
        total_steps: 100,
        epoch,
        epochs: 10,
        fraction,
        samples_per_second: speed,
        eta_seconds: eta,
        checkpoint_interval_seconds: Some(5.0),
        eta_at_most: false,
    }
}

/// Figures that tell the step they are of.
fn news<'a>(events: &'a [Event], progress: &'a Progress, metrics: &'a LastMetrics) -> News<'a> {
    News { events, figures: Box::leak(Box::new(points(events))), looks: &[], progress, metrics }
}

/// The points of the history that these events tell.
fn points(events: &[Event]) -> Figures {
    let mut figures = Figures::default();
    for Event { at, body, .. } in events {
        match body {
            EventBody::Metrics(metrics) => figures.steps.push(StepPoint::new(metrics, *at)),
            EventBody::Epoch(epoch) => figures.epochs.push(EpochPoint::new(epoch, *at)),
            _ => {}
        }
    }
    figures
}

fn figures(step: u64) -> LastMetrics {
    let x = 1.0 / step as f64;
    LastMetrics { loss: Some(x), accuracy: Some(1.0 - x), test_accuracy: Some(0.75), ..LastMetrics::default() }
}

fn event(run: RunKey, id: u64, body: EventBody) -> Event {
    Event { id, job: run.job, at: at(id as i64), body }
}

fn metrics(run: RunKey, id: u64, step: u64) -> Event {
    let LastMetrics { loss, accuracy, .. } = figures(step);
    let Progress { epoch, fraction, samples_per_second, eta_seconds, .. } = progress(step);
    let learning_rate = 0.001;
    let body = Metrics {
        step,
        epoch,
        loss,
        accuracy,
        learning_rate,
        samples_per_second,
        fraction,
        eta_seconds,
        eta_at_most: false,
    };
    event(run, id, EventBody::Metrics(body))
}

fn epoch(run: RunKey, id: u64, epoch: u64) -> Event {
    let x = Some(1.0 / epoch as f64);
    let body = Epoch {
        epoch,
        step: epoch * 10,
        train_loss: x,
        train_accuracy: x,
        validation_loss: None,
        validation_accuracy: None,
        test_loss: x,
        test_accuracy: x,
        seconds: 0.3,
    };
    event(run, id, EventBody::Epoch(body))
}

fn saved(run: RunKey, id: u64, step: u64) -> Event {
    event(run, id, EventBody::Checkpoint(Saved { step, epoch: progress(step).epoch, bytes: 10 }))
}

fn alert(run: RunKey, id: u64) -> Event {
    event(run, id, EventBody::Alert(Alert { code: "diverged".into(), detail: "the loss is not finite".into() }))
}

/// A build with these kernels.
fn build(kernels: &str) -> Build {
    Build { version: "0.1.0".into(), commit: None, kernels: kernels.into(), cpu: "a processor".into() }
}

/// Bytes that differ from place to place, and with the seed.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(31) ^ (i >> 11) ^ seed as usize) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(bytes))
}

fn new_checkpoint(step: u64, len: usize) -> NewCheckpoint {
    let bytes = bytes(step, len);
    NewCheckpoint { sha256: sha256(&bytes), bytes, step, trained_seconds: step as f64 / 7.0 }
}

fn same(stored: &StoredCheckpoint, new: &NewCheckpoint) -> bool {
    (&stored.bytes, &stored.sha256, stored.step, stored.trained_seconds)
        == (&new.bytes, &new.sha256, new.step, new.trained_seconds)
}

fn success(events: Vec<Event>, weights: Vec<u8>) -> Finish {
    Finish {
        events,
        progress: progress(100),
        metrics: LastMetrics { test_loss: Some(0.5), ..figures(100) },
        status: Status::Succeeded,
        stop_reason: StopReason::Completed,
        error: None,
        evaluation: None,
        weights: Some(NewWeights { sha256: sha256(&weights), bytes: weights }),
        last_state: LastState::AsItIs,
    }
}

fn end(status: Status, stop_reason: StopReason, error: Option<&str>) -> Finish {
    let error = error.map(str::to_owned);
    Finish { progress: progress(50), status, stop_reason, error, weights: None, ..success(vec![], vec![]) }
}

fn states(events: &[Event]) -> Vec<Status> {
    events
        .iter()
        .filter_map(|e| if let EventBody::State(state) = &e.body { Some(state.status) } else { None })
        .collect()
}
