//! The observer of a run: it lives on the training thread, polls the run's control after every mini-batch and hands
//! what happens to the recorder, adding what only a clock knows: speed, time left, when a checkpoint is due.

use std::time::Duration;

use tokio::sync::mpsc;

use super::byte_budget::{ByteBudget, Reservation};
use super::checkpointing::{CheckpointPermit, CheckpointSchedule};
use super::control::{Control, Stop};
use super::cores::Share;
use super::meters::Meters;
use crate::clock::Awake;
use crate::engine::checkpoint::Checkpoint;
use crate::engine::diagnostics::{Diagnostics, Histogram};
use crate::engine::train::{Command, Observer, TrainEvent};
use crate::job::event::{Epoch, EventBody, Metrics};
use crate::job::view::{LastMetrics, Progress};

/// Bytes of diagnostics that may wait to be persisted.
const DIAGNOSTICS_BYTES: usize = 4 << 20;

/// What the training thread tells the recorder.
#[derive(Debug)]
pub(super) enum Message {
    /// Something happened.
    Event { body: EventBody, standing: Box<Standing> },
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
        progress.epoch = progress.epoch.max(snapshot.epoch);
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
    pub(super) meters: Meters,
    pub(super) steps_per_epoch: u64,
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
    epoch_began: Duration,
    window_began: Duration,
    /// Mini-batches done when the last window ended.
    window_from: u64,
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
            epoch_began: now,
            window_began: now,
            window_from: standing.progress.step,
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
        let progress = &mut self.standing.progress;
        progress.step = step;
        progress.epoch = step.div_ceil(self.frame.steps_per_epoch);
        progress.checkpoint_interval_seconds = Some(self.checkpoints.interval().as_secs_f64());
        progress.fraction = step as f64 / progress.total_steps.max(1) as f64;
    }

    fn advance(&mut self, step: u64, samples: u64) {
        let now = self.frame.awake.up();
        let seconds = (now - self.window_began).as_secs_f64();
        self.window_began = now;
        let steps = step.saturating_sub(self.window_from);
        self.window_from = step;
        self.frame.meters.steps.increment(steps);
        self.frame.meters.samples.increment(samples);
        self.reach(step);
        let progress = &mut self.standing.progress;
        if seconds > 0.0 && steps > 0 {
            let now = samples as f64 / seconds;
            // A mean that forgets: steady to look at, yet following a change within a few events.
            let speed = progress.samples_per_second.map_or(now, |before| 0.7 * before + 0.3 * now);
            progress.samples_per_second = Some(speed);
            let samples_a_step = samples as f64 / steps as f64;
            let left = progress.total_steps.saturating_sub(step) as f64 * samples_a_step;
            progress.eta_seconds = Some(left / speed);
        }
    }
}

impl Observer for Watch<'_> {
    fn next(&mut self, _step: u64) -> Command {
        let now = self.frame.awake.up();
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
        let body = match event {
            TrainEvent::Metrics { step, epoch, window, learning_rate } => {
                self.advance(step, window.samples);
                (self.standing.metrics.loss, self.standing.metrics.accuracy) = (window.mean_loss(), window.accuracy());
                EventBody::Metrics(Metrics {
                    step,
                    epoch,
                    loss: window.mean_loss(),
                    accuracy: window.accuracy(),
                    learning_rate,
                    samples_per_second: self.standing.progress.samples_per_second,
                    fraction: self.standing.progress.fraction,
                    eta_seconds: self.standing.progress.eta_seconds,
                })
            }
            TrainEvent::Diagnostics(look) => {
                self.reach(look.step);
                let standing = Box::new(self.standing.clone());
                let room = self.diagnostics.reserve(size(&look));
                return self.send(Message::Look { look, standing, room });
            }
            TrainEvent::Epoch { step, epoch, train, validation, test } => {
                self.reach(step);
                let validation = validation.unwrap_or_default();
                (self.standing.metrics.validation_loss, self.standing.metrics.validation_accuracy) =
                    (validation.mean_loss(), validation.accuracy());
                (self.standing.metrics.train_loss, self.standing.metrics.train_accuracy) =
                    (train.mean_loss(), train.accuracy());
                (self.standing.metrics.test_loss, self.standing.metrics.test_accuracy) =
                    (test.mean_loss(), test.accuracy());
                let now = self.frame.awake.up();
                let seconds = (now - self.epoch_began).as_secs_f64();
                (self.epoch_began, self.window_began) = (now, now);
                EventBody::Epoch(Epoch {
                    epoch,
                    step,
                    train_loss: train.mean_loss(),
                    train_accuracy: train.accuracy(),
                    validation_loss: validation.mean_loss(),
                    validation_accuracy: validation.accuracy(),
                    test_loss: test.mean_loss(),
                    test_accuracy: test.accuracy(),
                    seconds,
                })
            }
        };
        self.tell(body);
    }

    fn checkpoint(&mut self, checkpoint: Checkpoint) {
        let permit = self.checkpoints.begin(self.frame.awake.up());
        self.reach(checkpoint.position.step);
        if let Some(alert) = self.checkpoints.raise() {
            self.tell(EventBody::Alert(alert));
        }
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
