//! An 8-hour job replayed within seconds: observer, recorder and store are real, the mini-batches are scripted and the clock
//! is moved by hand.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::control::{Control, Stop};
use super::cores::Cores;
use super::hub::Hub;
use super::meters::Meters;
use super::record::Recorder;
use super::state::Instruments;
use super::storage::StorageHealth;
use super::watch::{Frame, Halt, Message, Standing, Watch};
use crate::clock::{Awake, Hands, Wall};
use crate::data::{DatasetInfo, Dtype};
use crate::engine::checkpoint::{Arrangement, Checkpoint, Position};
use crate::engine::loss::Score;
use crate::engine::shape::Shape;
use crate::engine::train::{Command, MiniBatch, Observer, TrainEvent};
use crate::job::event::{EventBody, Metrics};
use crate::job::plan::{Plan, Premises};
use crate::job::spec::TrainSpec;
use crate::job::status::Status;
use crate::job::view::Job;
use crate::memory::{MemoryAccount, MemoryShares};
use crate::store::{Admitted, Claim, Figures, NewJob, News, Store, Terms};
use crate::supervisor::Supervisor;

const BATCH: u64 = 100;
const STEPS_PER_EPOCH: u64 = 100;
const EPOCHS: u64 = 2000;
const MAX_SECONDS: f64 = 8.0 * 3600.0;
const EVALUATION: Duration = Duration::from_millis(800);
/// Time that the first mini-batch of a run takes besides.
const WARM_UP: Duration = Duration::from_secs(2);

/// Seconds of a mini-batch, from these seconds of training on.
const SPEEDS: [(f64, f64); 5] = [(0.0, 0.2), (5400.0, 0.8), (10_800.0, 0.05), (16_200.0, 3.0), (21_600.0, 0.2)];
/// Ends of runs by their seconds of training: two kills before the next checkpoint, then again and again.
const ENDS: [(f64, End); 5] = [
    (3600.0, End::Killed),
    (3700.0, End::GivenBack),
    (9000.0, End::GivenBack),
    (18_000.0, End::Killed),
    (25_000.0, End::Killed),
];

#[derive(Clone, Copy, PartialEq)]
enum End {
    /// The server dies: what is not yet persisted is lost.
    Killed,
    /// The job is paused, or the server is shut down.
    GivenBack,
}

/// A report as it was made.
pub(crate) struct Reported {
    /// The metrics event.
    pub(crate) metrics: Metrics,
    /// The job as the API shows it then.
    pub(crate) job: Job,
    /// Seconds that `max_seconds` leaves.
    pub(crate) allowed: f64,
    /// Training samples a second; `None` for a few reports after it has changed.
    pub(crate) true_speed: Option<f64>,
    /// Seconds since the report before, or since the run began.
    pub(crate) silence: f64,
}

/// The job, between its runs.
struct Replay<'a> {
    runtime: tokio::runtime::Runtime,
    store: Store,
    job: Uuid,
    awake: Awake,
    hands: Hands,
    ends: Vec<(f64, End)>,
    check: &'a mut dyn FnMut(Reported),
}

/// Trains for eight hours; `check` sees every report. Returns the job as it is in the store at the end.
pub(crate) fn eight_hours(check: &mut dyn FnMut(Reported)) -> Job {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let store = runtime.block_on(Store::open(&folder.path().join("dojang.db"))).expect("a store");
    let admitted = runtime.block_on(store.admit(&new_job(), Terms::default())).expect("it is written");
    let Admitted::New(job, _) = admitted else { panic!("a new job") };
    let (awake, hands) = Awake::by_hand();
    let mut replay = Replay { runtime, store, job: job.id, awake, hands, ends: ENDS.to_vec(), check };
    while !replay.run() {
        // As a server that starts.
        replay.runtime.block_on(replay.store.requeue_running(Timestamp::now())).expect("it is written");
    }
    let history = replay.runtime.block_on(replay.store.metrics(replay.job)).expect("a history");
    assert!(history.steps.len() <= 2000 && history.epochs.len() <= 2000, "{} points", history.steps.len());
    assert!(history.steps.len() > 500 && history.resolution.steps > 1, "{:?}", history.resolution);
    assert!(history.steps.windows(2).all(|pair| pair[0].step < pair[1].step));
    let job = replay.runtime.block_on(replay.store.job(replay.job)).expect("it is read").expect("a job");
    let log = replay.runtime.block_on(replay.store.events(replay.job, 0, 1_000_000)).expect("a log");
    assert!(log.iter().map(|event| event.id).eq(1..=log.len() as u64), "no gap");
    job
}

fn new_job() -> NewJob {
    let spec = serde_json::json!({
        "dataset": {"name": "digits", "train_limit": 12_500, "test_limit": 100, "validation_fraction": 0.2},
        "network": [{"type": "affine", "units": 10}],
        "epochs": EPOCHS, "batch_size": BATCH, "max_seconds": MAX_SECONDS, "early_stopping": {"patience": 5000},
        "checkpoint_every_seconds": 60,
    });
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
    let plan = Plan::new(TrainSpec::from_value(&spec).expect("a spec"), &premises).expect("a plan");
    let (spec, plan) = (plan.spec().clone(), plan.summary());
    assert_eq!(plan.total_steps, EPOCHS * STEPS_PER_EPOCH);
    NewJob { spec, plan, at: Timestamp::now(), fork: None, reproduces: None }
}

/// Seconds of a mini-batch after so many seconds of training.
fn batch_seconds(trained: f64) -> f64 {
    SPEEDS.iter().rev().find(|(from, _)| trained >= *from).expect("the first one is from 0").1
}

impl Replay<'_> {
    /// One run of the job, to its scripted end; whether the job's time is over.
    fn run(&mut self) -> bool {
        let claim = self.runtime.block_on(self.store.claim(Timestamp::now(), Duration::MAX)).expect("it is read");
        let Claim { run, job, last_event_id, checkpoint, .. } = claim.expect("the job waits");
        let stored = checkpoint.expect("it can be read");
        let (mut step, before) = stored.map_or((0, 0.0), |stored| (stored.step, stored.trained_seconds));
        assert_eq!((job.progress.step, job.progress.total_steps), (step, EPOCHS * STEPS_PER_EPOCH));
        assert_eq!((job.metrics.loss.is_some(), job.metrics.test_loss.is_some()), (step > 0, step >= STEPS_PER_EPOCH));
        let (control, share) = (Control::default(), Cores::new(1).join());
        let (outbox, mut inbox) = mpsc::channel(256);
        let shutdown = CancellationToken::new();
        let instruments = Instruments {
            wall: Wall::default(),
            meters: Meters::default(),
            supervisor: Supervisor::default(),
            memory: MemoryAccount::new(MemoryShares { training: 1 << 30, serving: 1 << 30 }, Duration::ZERO),
        };
        let Instruments { wall, meters, .. } = instruments.clone();
        let hub = Hub::new(meters.ended.clone());
        let store = self.store.clone();
        let mut recorder = Recorder {
            store,
            hub,
            run,
            last_event_id,
            control: control.clone(),
            storage: StorageHealth::new(meters.clone()),
            shutdown,
            instruments,
        };
        let frame = Frame {
            awake: self.awake.clone(),
            wall,
            meters,
            steps_per_epoch: STEPS_PER_EPOCH,
            epoch_samples: STEPS_PER_EPOCH * BATCH,
            evaluate_every: 1,
            stops_early: true,
            checkpoint_every: Duration::from_secs(60),
            failed_starts: 0,
            max_seconds: Some(MAX_SECONDS),
            trained_before: before,
        };
        let mut standing = Standing { progress: job.progress.clone(), metrics: job.metrics.clone() };
        let mut watch = Watch::new(frame, &control, &share, &outbox, standing.clone());
        watch.pool().expect("a pool");
        let began = self.awake.up();
        let mut reports = Reports { last_at: 0.0, speed: batch_seconds(before), since_change: usize::MAX };
        let mut unpersisted = Vec::new();
        loop {
            let trained = before + (self.awake.up() - began).as_secs_f64();
            if self.ends.first().is_some_and(|(at, end)| trained >= *at && *end == End::Killed) {
                self.ends.remove(0);
                return false;
            }
            if self.ends.first().is_some_and(|(at, _)| trained >= *at) {
                control.stop(Stop::GiveBack);
            }
            step += 1;
            let seconds = batch_seconds(trained);
            let warm_up = if trained > before { Duration::ZERO } else { WARM_UP };
            self.hands.advance(Duration::from_secs_f64(seconds) + warm_up);
            let score = Score { loss: 100.0 / step as f64, correct: 50, samples: BATCH };
            let epoch = step.div_ceil(STEPS_PER_EPOCH);
            let is_evaluated = step.is_multiple_of(STEPS_PER_EPOCH);
            watch.mini_batch(MiniBatch { step, epoch, score, learning_rate: 0.1, is_evaluated });
            reports.note_speed(seconds);
            if is_evaluated {
                self.hands.advance(EVALUATION);
                let (train, test, validation) = (score, score, Some(score));
                watch.event(TrainEvent::Epoch { step, epoch, train, validation, test, is_best: true });
            }
            let command = watch.next(step);
            if command == Command::Save {
                watch.checkpoint(state(step));
            }
            let now = (self.awake.up() - began).as_secs_f64();
            while let Ok(message) = inbox.try_recv() {
                self.look_at(&message, &job, (before, now), &mut reports);
                unpersisted.push(message);
            }
            if unpersisted.len() >= 200 || command != Command::Continue {
                self.runtime.block_on(recorder.persist(&mut unpersisted, &mut standing)).expect("it is written");
                let stored = self.runtime.block_on(self.store.job(self.job)).expect("it is read").expect("a job");
                assert_sound(&stored);
                assert!(stored.progress.step <= step && stored.progress.step + 2000 >= step, "{:?}", stored.progress);
            }
            if command == Command::Stop {
                watch.flush();
                while let Ok(message) = inbox.try_recv() {
                    unpersisted.push(message);
                }
                self.runtime.block_on(recorder.persist(&mut unpersisted, &mut standing)).expect("it is written");
                if watch.halt == Some(Halt::MaxSeconds) {
                    return true;
                }
                self.ends.remove(0);
                let snapshot = watch.last_snapshot(|| state(step));
                let (checkpoint, event, _permit) =
                    self.runtime.block_on(recorder.checkpoint(snapshot)).expect("it is encoded");
                let (events, figures, Standing { progress, metrics }) = ([event], Figures::default(), &standing);
                let news = News { events: &events, figures: &figures, looks: &[], progress, metrics };
                let released = self.store.release(run, &checkpoint, news, Timestamp::now());
                self.runtime.block_on(released).expect("it is written");
                return false;
            }
        }
    }

    /// Checks a report, if the message is one.
    fn look_at(&mut self, message: &Message, job: &Job, (before, now): (f64, f64), reports: &mut Reports) {
        let Message::Event { body: EventBody::Metrics(metrics), standing } = message else { return };
        let Standing { progress, metrics: last } = (**standing).clone();
        let job = Job { status: Status::Running, progress, metrics: last, ..job.clone() };
        let silence = now - std::mem::replace(&mut reports.last_at, now);
        let true_speed = (reports.since_change >= 5).then_some(BATCH as f64 / reports.speed);
        reports.since_change = reports.since_change.saturating_add(1);
        (self.check)(Reported {
            metrics: metrics.clone(),
            job,
            // The report may have come before the evaluation that this mini-batch ended with.
            allowed: MAX_SECONDS - before - now + EVALUATION.as_secs_f64(),
            true_speed,
            silence,
        });
    }
}

/// Reports of one run so far.
struct Reports {
    last_at: f64,
    /// Seconds of the last mini-batch.
    speed: f64,
    /// Reports since that changed.
    since_change: usize,
}

impl Reports {
    fn note_speed(&mut self, seconds: f64) {
        if self.speed != seconds {
            (self.speed, self.since_change) = (seconds, 0);
        }
    }
}

fn state(step: u64) -> Checkpoint {
    let position = Position { step, epoch: Score::default() };
    Checkpoint { position, arrangement: Arrangement::Panels, parameters: vec![0.5; 4], slots: vec![], best: None }
}

/// What holds of a job's progress at any time.
pub(crate) fn assert_sound(job: &Job) {
    let progress = &job.progress;
    assert_eq!((progress.total_steps, progress.epochs), (EPOCHS * STEPS_PER_EPOCH, EPOCHS));
    assert!((0.0..=1.0).contains(&progress.fraction), "{progress:?}");
    assert!((progress.fraction - progress.step as f64 / progress.total_steps as f64).abs() < 1e-9, "{progress:?}");
    assert_eq!(progress.epoch, progress.step.div_ceil(STEPS_PER_EPOCH));
    assert!(progress.eta_seconds.is_none_or(|eta| (0.0..=MAX_SECONDS).contains(&eta)), "{progress:?}");
}
