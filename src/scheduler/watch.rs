//! The observer of a run: it lives on the training thread, polls the run's control after every mini-batch and hands
//! what happens to the recorder, adding what only a clock knows: when a report or a checkpoint is due, speed, time left.
//!
//! Points of the history and events are two things. Every evaluation is a point, and so are the means over each 1/400 of the
//! training; events of a kind never come faster than people can follow (`reporting`). A checkpoint goes with all points up to
//! it, so a resumed run loses none and adds none twice.

use std::time::Duration;

use tokio::sync::mpsc;

use super::byte_budget::{ByteBudget, Reservation};
use super::checkpointing::{CheckpointPermit, CheckpointSchedule};
use super::control::{Control, Stop};
use super::cores::Share;
use super::meters::Meters;
use super::reporting::{HeldEpochs, LONGEST_SILENCE, RateLimit, Speed, report_stride};
use crate::clock::{Awake, Wall};
use crate::engine::checkpoint::Checkpoint;
use crate::engine::diagnostics::{Diagnostics, Histogram};
use crate::engine::loss::Score;
use crate::engine::train::pace::evaluations_after;
use crate::engine::train::{Command, MiniBatch, Observer, TrainEvent};
use crate::job::event::{Epoch, EventBody, Metrics};
use crate::job::thin::fit;
use crate::job::view::{LastMetrics, Progress};
use crate::store::{EpochPoint, Figures, StepPoint};

/// Most evaluations that become points of the history between two messages to the recorder.
const MOST_POINTS: usize = 40;
/// Evaluations shorter than this need no report before them.
const LONG_EVALUATION: Duration = Duration::from_millis(500);

/// Bytes of diagnostics that may wait to be persisted.
const DIAGNOSTICS_BYTES: usize = 4 << 20;

/// What the training thread tells the recorder.
#[derive(Debug)]
pub(super) enum Message {
    /// Something happened.
    Event { body: EventBody, standing: Box<Standing> },
    /// Points of the history.
    Figures { figures: Box<Figures>, standing: Box<Standing> },
    /// A look inside the network.
    Look { look: Box<Diagnostics>, standing: Box<Standing>, room: Reservation },
    /// A state to save.
    Checkpoint(Box<Snapshot>),
}

/// A state of training with what a checkpoint needs besides.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) state: Checkpoint,
    pub(super) permit: CheckpointPermit,
    /// The epoch that it reaches into, from 1.
    pub(super) epoch: u64,
    /// Training time so far, over all attempts.
    pub(super) trained_seconds: f64,
}

/// Where a job stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    pub(super) progress: Progress,
    pub(super) metrics: LastMetrics,
}

impl Standing {
    /// Takes it on to a state: the last figures may be some mini-batches older.
    pub(super) fn reach(&mut self, snapshot: &Snapshot) {
        let progress = &mut self.progress;
        progress.step = snapshot.state.position.step;
        progress.epoch = progress.epoch.max(snapshot.epoch).min(progress.epochs);
        progress.fraction = progress.step as f64 / progress.total_steps.max(1) as f64;
    }
}

/// Why training stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Halt {
    /// The control said so.
    Told(Stop),
    /// The job's time is over.
    MaxSeconds,
    /// The run's share of the cores has changed.
    Reshare,
}

/// What does not change while a run goes on.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Training time is that of a process at work: a stop of it takes nobody's time.
    pub(super) awake: Awake,
    pub(super) wall: Wall,
    pub(super) meters: Meters,
    pub(super) steps_per_epoch: u64,
    /// Training samples of an epoch.
    pub(super) epoch_samples: u64,
    pub(super) evaluate_every: u64,
    pub(super) stops_early: bool,
    pub(super) checkpoint_every: Duration,
    /// Starts before this one at which the server died, since the last checkpoint.
    pub(super) failed_starts: u32,
    pub(super) max_seconds: Option<f64>,
    /// Training time before this run.
    pub(super) trained_before: f64,
}

/// The observer of one run.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    frame: Frame,
    control: &'a Control,
    share: &'a Share,
    outbox: &'a mpsc::Sender<Message>,
    checkpoints: CheckpointSchedule,
    diagnostics: ByteBudget,
    began: Duration,
    /// The clock when it was last read.
    now: Duration,
    /// When the last evaluation ended, or the run began.
    epoch_began: Duration,
    /// Sums since the last point of the history, and since the last metrics event.
    point: Score,
    report: Score,
    /// When that event came, and the evaluations since. Of the first one, the end of the first mini-batch: it warms up caches
    /// and threads, and says nothing of the speed.
    report_began: Duration,
    /// Samples of `report` that were trained before.
    warm_up: u64,
    evaluating: Duration,
    /// Whether a share of the training has passed since then that is worth a report.
    is_report_due: bool,
    last: Option<MiniBatch>,
    speed: Speed,
    figures: Figures,
    held: HeldEpochs,
    metrics_rate: RateLimit,
    epochs_rate: RateLimit,
    /// Mini-batches that the meters count already.
    counted: u64,
    /// Threads of the pool that training runs in now.
    threads: usize,
    /// Why the last `run` was stopped.
    pub(super) halt: Option<Halt>,
    pub(super) standing: Standing,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        frame: Frame,
        control: &'a Control,
        share: &'a Share,
        outbox: &'a mpsc::Sender<Message>,
        standing: Standing,
    ) -> Self {
        let now = frame.awake.up();
        Self {
            checkpoints: CheckpointSchedule::new(frame.checkpoint_every, frame.failed_starts, now),
            diagnostics: ByteBudget::new(DIAGNOSTICS_BYTES),
            frame,
            control,
            share,
            outbox,
            began: now,
            now,
            epoch_began: now,
            point: Score::default(),
            report: Score::default(),
            report_began: now,
            warm_up: 0,
            evaluating: Duration::ZERO,
            is_report_due: false,
            last: None,
            speed: Speed::default(),
            figures: Figures::default(),
            held: HeldEpochs::default(),
            metrics_rate: RateLimit::new(0),
            epochs_rate: RateLimit::with_full_burst(),
            counted: standing.progress.step,
            threads: 0,
            halt: None,
            standing,
        }
    }

    /// A pool of the run's present share of the cores; training in it goes on until the share changes.
    pub(super) fn pool(&mut self) -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
        let pool = self.share.pool()?;
        self.threads = pool.current_num_threads();
        Ok(pool)
    }

    /// Training time of the job up to a moment, in seconds.
    fn trained_seconds(&self, now: Duration) -> f64 {
        self.frame.trained_before + (now - self.began).as_secs_f64()
    }

    /// The last state of the run, copied when no other checkpoint is under way.
    pub(super) fn last_snapshot(&self, copy: impl FnOnce() -> Checkpoint) -> Snapshot {
        let permit = self.checkpoints.last();
        self.snapshot(copy(), permit)
    }

    /// A state with what this run knows of it.
    fn snapshot(&self, state: Checkpoint, permit: CheckpointPermit) -> Snapshot {
        let epoch = state.position.step.div_ceil(self.frame.steps_per_epoch).max(1);
        Snapshot { epoch, trained_seconds: self.trained_seconds(self.frame.awake.up()), state, permit }
    }

    /// Hands an event to the recorder.
    pub(super) fn tell(&self, body: EventBody) {
        self.send(Message::Event { body, standing: Box::new(self.standing.clone()) });
    }

    /// Waits while the recorder is behind: training never runs ahead of what is persisted by more than the outbox.
    fn send(&self, message: Message) {
        if self.outbox.blocking_send(message).is_err() {
            // The recorder is gone only when the run must write nothing more.
            self.control.stop(Stop::Fenced);
        }
    }

    /// Notes how far training is: whatever is persisted of a step, the progress is not behind it.
    fn reach(&mut self, step: u64) {
        self.standing.progress.reach(step, self.frame.steps_per_epoch);
        self.standing.progress.checkpoint_interval_seconds =
            self.checkpoints.measured_interval().map(|interval| interval.as_secs_f64());
    }

    /// Reports all that has not been reported yet: a run ends.
    pub(super) fn flush(&mut self) {
        self.now = self.frame.awake.up();
        self.report_metrics();
        self.report_epochs();
        self.send_figures();
    }

    /// Means over the mini-batches since the last point become one.
    fn add_point(&mut self) {
        let Some(last) = self.last.filter(|_| self.point.samples > 0) else { return };
        let window = std::mem::take(&mut self.point);
        self.figures.steps.push(StepPoint {
            step: last.step,
            epoch: last.epoch,
            loss: window.mean_loss(),
            accuracy: window.accuracy(),
            learning_rate: Some(last.learning_rate),
            samples_per_second: self.standing.progress.samples_per_second,
            at: self.frame.wall.now(),
        });
    }

    /// Hands the new points to the recorder.
    fn send_figures(&mut self) {
        let mut figures = std::mem::take(&mut self.figures);
        if figures.is_empty() {
            return;
        }
        if figures.epochs.len() > MOST_POINTS {
            let (window, stay) = fit(&figures.epochs, 1, 0, MOST_POINTS);
            figures.epochs_window = window;
            let mut stay = stay.into_iter();
            figures.epochs.retain(|_| stay.next().unwrap_or(true));
        }
        self.send(Message::Figures { figures: Box::new(figures), standing: Box::new(self.standing.clone()) });
    }

    /// Tells the means over the mini-batches since the last such event, if there are any.
    fn report_metrics(&mut self) {
        let Some(last) = self.last.filter(|_| self.report.samples > 0) else { return };
        let window = std::mem::take(&mut self.report);
        let took = (self.now - self.report_began).saturating_sub(std::mem::take(&mut self.evaluating));
        self.speed.trained(window.samples - std::mem::take(&mut self.warm_up), took);
        self.report_began = self.now;
        self.is_report_due = false;
        self.frame.meters.steps.increment(last.step.saturating_sub(self.counted));
        self.frame.meters.samples.increment(window.samples);
        self.counted = last.step;
        let eta_seconds = self.eta();
        let standing = &mut self.standing;
        (standing.metrics.loss, standing.metrics.accuracy) = (window.mean_loss(), window.accuracy());
        standing.progress.samples_per_second = self.speed.samples_per_second().or(standing.progress.samples_per_second);
        (standing.progress.eta_seconds, standing.progress.eta_at_most) = (eta_seconds, self.frame.stops_early);
        let metrics = Metrics {
            step: last.step,
            epoch: last.epoch,
            loss: window.mean_loss(),
            accuracy: window.accuracy(),
            learning_rate: last.learning_rate,
            samples_per_second: standing.progress.samples_per_second,
            fraction: standing.progress.fraction,
            eta_seconds,
            eta_at_most: self.frame.stops_early,
        };
        self.add_point();
        self.send_figures();
        self.metrics_rate.pass(1, self.now);
        self.tell(EventBody::Metrics(metrics));
        if let Some(alert) = self.checkpoints.raise() {
            self.tell(EventBody::Alert(alert));
        }
    }

    /// Tells the evaluations that are held back.
    fn report_epochs(&mut self) {
        let held = self.held.take();
        if held.is_empty() {
            return;
        }
        self.send_figures();
        self.epochs_rate.pass(held.len(), self.now);
        held.into_iter().for_each(|epoch| self.tell(EventBody::Epoch(epoch)));
    }

    /// Seconds to the end: of the plan, or of what `max_seconds` leaves, if that is less.
    fn eta(&self) -> Option<f64> {
        let progress = &self.standing.progress;
        let samples_a_step = self.frame.epoch_samples as f64 / self.frame.steps_per_epoch.max(1) as f64;
        let samples = progress.total_steps.saturating_sub(progress.step) as f64 * samples_a_step;
        let epochs_done = progress.step / self.frame.steps_per_epoch.max(1);
        let evaluations = evaluations_after(epochs_done, progress.epochs, self.frame.evaluate_every) as f64;
        let evaluation = self.speed.evaluation().unwrap_or_default().as_secs_f64();
        // Before this run has one, the speed of the last run will do.
        let speed = self.speed.samples_per_second().or(progress.samples_per_second)?;
        let plan = samples / speed + evaluations * evaluation;
        let allowed = self.frame.max_seconds.map_or(f64::INFINITY, |max| max - self.trained_seconds(self.now));
        Some(plan.min(allowed).max(0.0))
    }

    /// Whether an event of the metrics is due after a mini-batch that took so long.
    fn reports_metrics(&self, batch: MiniBatch, took: Duration) -> bool {
        // The next mini-batch, if it takes as long, would end too late.
        let is_late = self.now + took >= self.report_began + LONGEST_SILENCE;
        // During an evaluation nothing can be told.
        let is_last_chance = batch.is_evaluated && self.speed.evaluation().is_none_or(|mean| mean >= LONG_EVALUATION);
        (self.is_report_due || is_late || is_last_chance) && self.metrics_rate.allows(1, self.now)
    }
}

impl Observer for Watch<'_> {
    fn mini_batch(&mut self, batch: MiniBatch) {
        let now = self.frame.awake.up();
        let took = now - std::mem::replace(&mut self.now, now);
        self.reach(batch.step);
        if self.last.replace(batch).is_none() {
            (self.report_began, self.warm_up) = (now, batch.score.samples);
        }
        self.point.add(batch.score);
        self.report.add(batch.score);
        let total_steps = self.standing.progress.total_steps;
        let is_share_done = batch.step.is_multiple_of(report_stride(total_steps)) || batch.step == total_steps;
        self.is_report_due |= is_share_done;
        if self.reports_metrics(batch, took) {
            self.report_metrics();
        } else if is_share_done {
            self.add_point();
        }
    }

    fn next(&mut self, _step: u64) -> Command {
        let now = self.frame.awake.up();
        if self.held.len() > 0 && self.epochs_rate.allows(self.held.len(), now) {
            self.report_epochs();
        }
        self.halt = if let Some(stop) = self.control.requested() {
            Some(Halt::Told(stop))
        } else if self.frame.max_seconds.is_some_and(|limit| self.trained_seconds(now) >= limit) {
            Some(Halt::MaxSeconds)
        } else if self.share.threads() != self.threads {
            Some(Halt::Reshare)
        } else {
            None
        };
        match self.halt {
            Some(_) => Command::Stop,
            None if self.checkpoints.is_due(now) => Command::Save,
            None => Command::Continue,
        }
    }

    fn event(&mut self, event: TrainEvent) {
        match event {
            TrainEvent::Diagnostics(look) => {
                self.reach(look.step);
                let standing = Box::new(self.standing.clone());
                let room = self.diagnostics.reserve(size(&look));
                self.send(Message::Look { look, standing, room });
            }
            TrainEvent::Epoch { step, epoch, train, validation, test, is_best } => {
                let evaluated_from = self.now;
                self.now = self.frame.awake.up();
                let evaluation = self.now - evaluated_from;
                self.evaluating += evaluation;
                self.speed.evaluated(evaluation);
                let validation = validation.unwrap_or_default();
                let epoch = Epoch {
                    epoch,
                    step,
                    train_loss: train.mean_loss(),
                    train_accuracy: train.accuracy(),
                    validation_loss: validation.mean_loss(),
                    validation_accuracy: validation.accuracy(),
                    test_loss: test.mean_loss(),
                    test_accuracy: test.accuracy(),
                    seconds: (self.now - self.epoch_began).as_secs_f64(),
                };
                self.epoch_began = self.now;
                self.standing.metrics.evaluated(&epoch);
                self.figures.epochs.push(EpochPoint::new(&epoch, self.frame.wall.now()));
                self.held.add(epoch, is_best);
                if self.epochs_rate.allows(self.held.len(), self.now) {
                    self.report_epochs();
                }
            }
        }
    }

    fn checkpoint(&mut self, checkpoint: Checkpoint) {
        let permit = self.checkpoints.begin(self.frame.awake.up());
        self.reach(checkpoint.position.step);
        self.add_point();
        self.send_figures();
        self.send(Message::Checkpoint(Box::new(self.snapshot(checkpoint, permit))));
    }
}

/// Bytes that diagnostics take in memory, about.
fn size(diagnostics: &Diagnostics) -> usize {
    let histogram = |histogram: &Histogram| size_of_val(&*histogram.counts);
    let layers = diagnostics.layers.iter().map(|layer| {
        let parameters = layer.parameters.iter().map(|tensor| size_of_val(tensor) + histogram(&tensor.values));
        size_of_val(layer) + histogram(&layer.activations) + parameters.sum::<usize>()
    });
    let filters = diagnostics.filters.as_ref().map_or(0, |filters| size_of_val(&*filters.values));
    size_of_val(diagnostics) + layers.sum::<usize>() + filters
}
