//! One run of a job, on its own OS thread: load the dataset, rebuild the plan, train, and say how it ended.
//!
//! Everything here is blocking; the recorder persists what it says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::control::{Control, Stop};
use super::cores::Share;
use super::state::Instruments;
use super::watch::{Frame, Halt, Message, Snapshot, Standing, Watch};
use crate::clock::Awake;
use crate::data::Dataset;
use crate::data::library::Library;
use crate::engine::checkpoint::Checkpoint;
use crate::engine::metrics::Report;
use crate::engine::network::Network;
use crate::engine::train::pace::{split, steps_per_epoch};
use crate::engine::train::{Data, Outcome, Trainer};
use crate::job::event::{Alert, EventBody};
use crate::job::plan::{Plan, Premises};
use crate::job::status::StopReason;
use crate::job::view::Job;
use crate::store::StoredCheckpoint;
use crate::supervisor::panic_message;

/// What a run starts from.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) job: Job,
    pub(super) checkpoint: Option<StoredCheckpoint>,
    /// Starts before this one at which the server died, since the last checkpoint.
    pub(super) failed_starts: u32,
    pub(super) control: Control,
    pub(super) share: Share,
    pub(super) outbox: mpsc::Sender<Message>,
    pub(super) awake: Awake,
    pub(super) instruments: Instruments,
    /// Cancelled when the dataset is there: from then on the training thread itself heeds `control`.
    pub(super) loaded: CancellationToken,
    /// Tells, once dropped, that the training thread is gone.
    pub(super) _alive: Option<DropGuard>,
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The weights are final.
    Trained(Box<Trained>),
    /// The run was told to give its job back, in this state.
    GivenBack(Box<Snapshot>, Box<Standing>),
    /// Another worker owns the job.
    Fenced,
    /// The job cannot be trained to its end.
    Failed { reason: StopReason, error: String },
}

/// What a training has led to.
#[derive(Debug)]
pub(super) struct Trained {
    pub(super) reason: StopReason,
    pub(super) network: Network,
    pub(super) parameters: Vec<f32>,
    pub(super) evaluation: Report,
    pub(super) standing: Standing,
    /// The state after the last mini-batch, whatever the final weights are.
    pub(super) last: Snapshot,
}

/// Runs a job. A panic is a failed job, never a dead server.
pub(super) fn run(start: &mut Start, library: &Library) -> Ending {
    let id = start.job.id;
    catch_unwind(AssertUnwindSafe(|| attempt(start, library))).unwrap_or_else(|panic| {
        tracing::error!(job = %id, cause = panic_message(&*panic), "a run panicked");
        failed("an internal error stopped the training; the server's log has more")
    })
}

/// The ending of a run that cannot go on.
pub(super) fn failed(error: impl Into<String>) -> Ending {
    Ending::Failed { reason: StopReason::Error, error: error.into() }
}

fn attempt(start: &mut Start, library: &Library) -> Ending {
    let spec = start.job.spec.clone();
    let dataset = match library.load(&spec.dataset.name) {
        Ok(dataset) => dataset,
        Err(error) => return failed(format!("failed to load the dataset `{}`: {error}", spec.dataset.name)),
    };
    start.loaded.cancel();
    if start.control.requested() == Some(Stop::Fenced) {
        // The job was given back meanwhile.
        return Ending::Fenced;
    }
    // The memory was granted when the job was accepted.
    let premises = Premises { datasets: std::slice::from_ref(&dataset.info), memory_budget: u64::MAX };
    match Plan::new(spec, &premises) {
        Ok(plan) => train(start, plan, &dataset),
        Err(faults) => failed(format!("the spec no longer fits its dataset: {faults}")),
    }
}

fn train(start: &mut Start, plan: Plan, dataset: &Dataset) -> Ending {
    let spec = plan.spec();
    let data = Data {
        train: dataset.train.samples(spec.dataset.train_limit),
        test: dataset.test.samples(spec.dataset.test_limit),
    };
    // Its bytes go as soon as they are read: a run holds them no longer.
    let (checkpoint, trained_before) = match start.checkpoint.take() {
        None => (None, 0.0),
        Some(stored) => match Checkpoint::decode(&stored.bytes) {
            Ok(checkpoint) => (Some(checkpoint), stored.trained_seconds),
            Err(error) => return failed(format!("failed to read the last checkpoint: {error}")),
        },
    };
    let settings = plan.settings().clone();
    let frame = Frame {
        awake: start.awake.clone(),
        wall: start.instruments.wall.clone(),
        meters: start.instruments.meters.clone(),
        steps_per_epoch: steps_per_epoch(&settings, data.train.len()),
        epoch_samples: split(&settings, data.train.len()).0 as u64,
        evaluate_every: settings.evaluate_every,
        stops_early: settings.early_stopping.is_some(),
        checkpoint_every: Duration::from_secs_f64(spec.checkpoint_every_seconds),
        failed_starts: start.failed_starts,
        max_seconds: spec.max_seconds,
        trained_before,
    };
    let network = plan.into_network();
    let trainer = match checkpoint {
        None => Ok(Trainer::new(&network, &settings, data)),
        Some(checkpoint) => Trainer::resume(&network, &settings, data, checkpoint),
    };
    let mut trainer = match trainer {
        Ok(trainer) => trainer,
        Err(error) => return failed(error.to_string()),
    };
    let mut standing = Standing { progress: start.job.progress.clone(), metrics: start.job.metrics.clone() };
    standing.progress.reach(trainer.step(), frame.steps_per_epoch);
    let mut watch = Watch::new(frame, &start.control, &start.share, &start.outbox, standing);
    let ending = drive(&mut trainer, &mut watch, data, dataset.info.classes);
    let parameters = trainer.parameters().to_vec();
    drop(trainer);
    match ending {
        Driven::Trained(reason, evaluation, last) => {
            let standing = standing_of(watch, reason == StopReason::Completed);
            Ending::Trained(Box::new(Trained { reason, network, parameters, evaluation, standing, last }))
        }
        Driven::GivenBack(snapshot) => {
            let mut standing = standing_of(watch, false);
            standing.reach(&snapshot);
            Ending::GivenBack(Box::new(snapshot), Box::new(standing))
        }
        Driven::Fenced => Ending::Fenced,
        Driven::Failed { reason, error } => Ending::Failed { reason, error },
    }
}

/// An [`Ending`] before the trainer has let go of the network.
enum Driven {
    Trained(StopReason, Report, Snapshot),
    GivenBack(Snapshot),
    Fenced,
    Failed { reason: StopReason, error: String },
}

/// Trains until the end or a reason to stop, moving to another pool when the run's share of the cores changes.
fn drive(trainer: &mut Trainer<'_>, watch: &mut Watch<'_>, data: Data<'_>, classes: usize) -> Driven {
    loop {
        let pool = match watch.pool() {
            Ok(pool) => pool,
            Err(error) => {
                let error = format!("failed to start the training threads: {error}");
                return Driven::Failed { reason: StopReason::Error, error };
            }
        };
        let outcome = pool.install(|| trainer.run(watch));
        if (outcome, watch.halt) != (Outcome::Stopped, Some(Halt::Reshare)) {
            watch.flush();
        }
        match (outcome, watch.halt) {
            (Outcome::Completed, _) => return conclude(trainer, watch, (data, classes), StopReason::Completed, &pool),
            (Outcome::EarlyStopped, _) => {
                return conclude(trainer, watch, (data, classes), StopReason::EarlyStopping, &pool);
            }
            (Outcome::Stopped, Some(Halt::Reshare)) => {}
            (Outcome::Stopped, Some(Halt::MaxSeconds)) => {
                return conclude(trainer, watch, (data, classes), StopReason::MaxSeconds, &pool);
            }
            (Outcome::Stopped, Some(Halt::Told(Stop::Fenced)) | None) => return Driven::Fenced,
            (Outcome::Stopped, Some(Halt::Told(Stop::GiveBack))) => {
                let last = watch.last_snapshot(|| trainer.checkpoint());
                if !last.state.is_finite() {
                    return diverged(watch, trainer.step());
                }
                return Driven::GivenBack(last);
            }
            (Outcome::Diverged { step }, _) => return diverged(watch, step),
        }
    }
}

/// Keeps the last state, and measures the final weights, which need not be those of the last epoch.
fn conclude(
    trainer: &mut Trainer<'_>,
    watch: &mut Watch<'_>,
    (data, classes): (Data<'_>, usize),
    reason: StopReason,
    pool: &rayon::ThreadPool,
) -> Driven {
    let last = watch.last_snapshot(|| trainer.checkpoint());
    if !last.state.is_finite() {
        return diverged(watch, trainer.step());
    }
    trainer.restore_best();
    let report = pool.install(|| trainer.report_on(data.test, classes));
    watch.standing.metrics.test_loss = report.loss;
    watch.standing.metrics.test_accuracy = report.accuracy;
    Driven::Trained(reason, report, last)
}

fn diverged(watch: &Watch<'_>, step: u64) -> Driven {
    let error = format!(
        "the loss or a weight was no longer a finite number after step {step}; a smaller learning rate may help; the \
         last good checkpoint is kept"
    );
    watch.tell(EventBody::Alert(Alert { code: "diverged".into(), detail: error.clone() }));
    Driven::Failed { reason: StopReason::Diverged, error }
}

fn standing_of(watch: Watch<'_>, completed: bool) -> Standing {
    let mut standing = watch.standing;
    standing.progress.eta_seconds = None;
    if completed {
        standing.progress.fraction = 1.0;
    }
    standing
}
