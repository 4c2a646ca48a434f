//! The way of one training, from the first mini-batch (or a checkpoint) to the last.
//!
//! An [`Observer`] is asked after every mini-batch whether to go on, and told what happened. The trainer knows no clock:
//! events come at steps that the settings alone decide, so an interrupted training reports the same numbers at the same
//! steps as an undisturbed one.

use super::checkpoint::{Checkpoint, Position, all_finite};
use super::init::Init;
use super::loss::{LossSpec, Score};
use super::network::Network;
use super::optimizer::{Moment, OptimizerSpec};
use super::rng::{Purpose, Rng};
use super::samples::Samples;
use super::step::{Place, Setting, Workspace, workspace_bytes};

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Initial weights.
    pub init: Init,
    /// What is made small.
    pub loss: LossSpec,
    /// How.
    pub optimizer: OptimizerSpec,
    /// λ of the decay ½λW².
    pub weight_decay: f64,
    /// Samples of a mini-batch; the last of an epoch may be smaller.
    pub batch_size: usize,
    /// Passes over the training samples.
    pub epochs: u64,
    /// Decides every random draw.
    pub seed: u64,
}

/// The data of a training.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// What is learned from.
    pub train: Samples<'a>,
    /// What is only measured on.
    pub test: Samples<'a>,
}

/// What the observer wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Train on.
    Continue,
    /// Hand out a checkpoint, then train on.
    Save,
    /// Stop here; the trainer can be asked for a checkpoint.
    Stop,
}

/// Who watches a training.
pub trait Observer {
    /// Asked after every mini-batch.
    fn next(&mut self, step: u64) -> Command;

    /// Told of what happened.
    fn event(&mut self, event: TrainEvent);

    /// Given the checkpoint that [`Command::Save`] asked for.
    fn checkpoint(&mut self, checkpoint: Checkpoint);
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TrainEvent {
    /// Mini-batches went by.
    Metrics {
        /// Mini-batches done.
        step: u64,
        /// The epoch they belong to, from 1.
        epoch: u64,
        /// Sums over the training samples since the last such event.
        window: Score,
        /// The learning rate of the last one.
        learning_rate: f64,
    },
    /// An epoch ended.
    Epoch {
        /// Mini-batches done.
        step: u64,
        /// Its number, from 1.
        epoch: u64,
        /// Sums over its training samples, each as it was when its turn came.
        train: Score,
        /// Sums over the test samples after it.
        test: Score,
    },
}

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Completed,
    /// The observer stopped it.
    Stopped,
    /// A loss or a weight was not finite after this many steps; the weights must not be used.
    Diverged {
        /// Mini-batches done before the one that failed.
        step: u64,
    },
}

/// A training under way.
#[derive(Debug)]
pub struct Trainer<'a> {
    network: &'a Network,
    settings: &'a Settings,
    data: Data<'a>,
    state: Checkpoint,
    work: Workspace,
    /// Sample indices in the order of the epoch `ordered`, 0 for none yet.
    order: Vec<u32>,
    ordered: u64,
    /// Indices of the samples that are being measured.
    window: Vec<u32>,
}

/// Why a checkpoint does not belong to a training.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint belongs to another training: {0}")]
pub struct Mismatch(&'static str);

impl<'a> Trainer<'a> {
    /// A training from its first step.
    pub fn new(network: &'a Network, settings: &'a Settings, data: Data<'a>) -> Self {
        let parameters = network.init(&settings.init, settings.seed);
        let slots = vec![vec![0.0; network.parameter_count()]; settings.optimizer.rule().slots()];
        Self::at(network, settings, data, Checkpoint { position: Position::default(), parameters, slots })
    }

    /// A training that goes on from a checkpoint.
    ///
    /// # Errors
    /// If the checkpoint is not one of this network, optimizer and number of steps.
    pub fn resume(
        network: &'a Network,
        settings: &'a Settings,
        data: Data<'a>,
        checkpoint: Checkpoint,
    ) -> Result<Self, Mismatch> {
        if checkpoint.parameters.len() != network.parameter_count() {
            return Err(Mismatch("the number of parameters differs"));
        }
        let slots = settings.optimizer.rule().slots();
        if checkpoint.slots.len() != slots || checkpoint.slots.iter().any(|s| s.len() != checkpoint.parameters.len()) {
            return Err(Mismatch("what the optimizer remembers differs"));
        }
        if checkpoint.position.step > total_steps(settings, data.train.len()) {
            return Err(Mismatch("it is past the last step"));
        }
        Ok(Self::at(network, settings, data, checkpoint))
    }

    fn at(network: &'a Network, settings: &'a Settings, data: Data<'a>, state: Checkpoint) -> Self {
        let batch = settings.batch_size.min(data.train.len());
        let work = Workspace::new(network, batch, false);
        let order = (0..data.train.len() as u32).collect();
        let window = Vec::with_capacity(work.capacity());
        Self { network, settings, data, state, work, order, ordered: 0, window }
    }

    /// Mini-batches done.
    pub fn step(&self) -> u64 {
        self.state.position.step
    }

    /// A copy of all that is needed to go on from here.
    pub fn checkpoint(&self) -> Checkpoint {
        self.state.clone()
    }

    /// The parameters as they are now.
    pub fn parameters(&self) -> &[f32] {
        &self.state.parameters
    }

    /// Trains until the end, or until the observer or the numbers stop it.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Outcome {
        let samples = self.data.train.len();
        let pace = Pace {
            per_epoch: steps_per_epoch(self.settings, samples),
            total: total_steps(self.settings, samples),
            metrics: metrics_stride(total_steps(self.settings, samples)),
            epochs: epoch_stride(self.settings.epochs),
        };
        while self.step() < pace.total {
            let Some(score) = self.mini_batch(pace.per_epoch) else { return Outcome::Diverged { step: self.step() } };
            let position = &mut self.state.position;
            position.step += 1;
            position.window.add(score);
            position.epoch.add(score);
            let step = position.step;
            if !self.report(&pace, observer) {
                return Outcome::Diverged { step };
            }
            if step == pace.total {
                break;
            }
            match observer.next(step) {
                Command::Continue => {}
                Command::Save if self.state.is_finite() => observer.checkpoint(self.checkpoint()),
                Command::Save => return Outcome::Diverged { step },
                Command::Stop => return Outcome::Stopped,
            }
        }
        if self.state.is_finite() { Outcome::Completed } else { Outcome::Diverged { step: self.step() } }
    }

    /// Tells the observer what is due after this step; `false` if a weight is found not to be finite.
    fn report(&mut self, pace: &Pace, observer: &mut dyn Observer) -> bool {
        let position = &mut self.state.position;
        let (step, epoch) = (position.step, (position.step - 1) / pace.per_epoch + 1);
        if step.is_multiple_of(pace.metrics) || step == pace.total {
            let window = std::mem::take(&mut position.window);
            let learning_rate = self.settings.optimizer.rule().learning_rate();
            observer.event(TrainEvent::Metrics { step, epoch, window, learning_rate });
        }
        if step == epoch * pace.per_epoch {
            let train = std::mem::take(&mut position.epoch);
            if epoch.is_multiple_of(pace.epochs) || step == pace.total {
                if !all_finite(&self.state.parameters) {
                    return false;
                }
                let test = self.evaluate(self.data.test);
                observer.event(TrainEvent::Epoch { step, epoch, train, test });
            }
        }
        true
    }

    /// One mini-batch; `None` if its loss is not finite, and then the weights are as before.
    fn mini_batch(&mut self, per_epoch: u64) -> Option<Score> {
        let step = self.state.position.step;
        self.arrange(step / per_epoch + 1);
        let first = (step % per_epoch) as usize * self.settings.batch_size;
        let last = (first + self.settings.batch_size).min(self.order.len());
        let indices = &self.order[first..last];
        let setting = setting(self.network, self.settings);
        let Checkpoint { parameters, slots, .. } = &mut self.state;
        let score = setting.differentiate(&mut self.work, parameters, &self.data.train, indices);
        if !score.loss.is_finite() {
            return None;
        }
        let learning_rate = self.settings.optimizer.rule().learning_rate();
        // Each tile says for itself whether it decays.
        let moment = Moment { update: step + 1, learning_rate, decays: false };
        let mut slots = slots.iter_mut().map(Vec::as_mut_slice);
        let slots = std::array::from_fn(|_| slots.next().unwrap_or_default());
        setting.update(&mut self.work, indices.len(), moment, Place { parameters, slots });
        Some(score)
    }

    /// Puts the samples into the order of an epoch, from 1: a pure function of the seed and the epoch.
    fn arrange(&mut self, epoch: u64) {
        if self.ordered != epoch {
            for (i, index) in self.order.iter_mut().enumerate() {
                *index = i as u32;
            }
            Rng::new(self.settings.seed, Purpose::Shuffle, epoch, 0).shuffle(&mut self.order);
            self.ordered = epoch;
        }
    }

    /// Sums of loss and hits over some samples, with the weights as they are now.
    pub fn evaluate(&mut self, samples: Samples<'_>) -> Score {
        let setting = setting(self.network, self.settings);
        let mut total = Score::default();
        let mut first = 0;
        while first < samples.len() {
            let last = (first + self.work.capacity()).min(samples.len());
            self.window.clear();
            self.window.extend(first as u32..last as u32);
            total.add(setting.evaluate(&mut self.work, &self.state.parameters, &samples, &self.window));
            first = last;
        }
        total
    }
}

/// When what is due, in mini-batches and epochs; decided by the settings alone.
#[derive(Debug)]
struct Pace {
    per_epoch: u64,
    total: u64,
    metrics: u64,
    epochs: u64,
}

fn setting<'a>(network: &'a Network, settings: &'a Settings) -> Setting<'a> {
    Setting {
        network,
        loss: settings.loss.rule(),
        optimizer: settings.optimizer.rule(),
        weight_decay: settings.weight_decay as f32,
    }
}

/// Mini-batches of an epoch.
pub fn steps_per_epoch(settings: &Settings, samples: usize) -> u64 {
    samples.div_ceil(settings.batch_size) as u64
}

/// Mini-batches of the whole training.
pub fn total_steps(settings: &Settings, samples: usize) -> u64 {
    settings.epochs.saturating_mul(steps_per_epoch(settings, samples))
}

/// Mini-batches between two `Metrics` events: about 400 events over a whole training, whatever its length.
pub fn metrics_stride(total: u64) -> u64 {
    total.div_ceil(400).max(1)
}

/// Epochs between two `Epoch` events and measurements on the test samples: every one, but of many thousands of tiny
/// epochs about a thousand.
pub fn epoch_stride(epochs: u64) -> u64 {
    epochs.div_ceil(1000).max(1)
}

/// Bytes that a training takes at its peak besides the data, with one checkpoint in flight; `None` where it overflows.
pub fn peak_bytes(network: &Network, settings: &Settings, samples: usize) -> Option<usize> {
    let batch = settings.batch_size.min(samples).max(1);
    let state = network.parameter_count().checked_mul(4)?.checked_mul(1 + settings.optimizer.rule().slots())?;
    // The state itself, its copy for a checkpoint, and that copy as bytes and as a compressed or chunked file.
    let states = state.checked_mul(4)?;
    states.checked_add(workspace_bytes(network, batch)?)?.checked_add(samples.checked_mul(4)?)
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
