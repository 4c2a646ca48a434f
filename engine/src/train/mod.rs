//! The way of one training, from the first mini-batch (or a checkpoint) to the last.
//!
//! An [`Observer`] is told of every mini-batch and asked whether to go on. The trainer knows no clock: evaluations, and with
//! them early stopping, come at epochs that the settings alone decide, so an interrupted training evaluates the same weights
//! at the same epochs as an undisturbed one. How often the observer reports mini-batches is its own affair.
//!
//! - [`Settings`], [`Data`], [`Observer`]: what goes in and what comes out
//! - [`Trainer`]: the loop
//! - [`pace`]: which epochs are evaluated; how long a training is
//! - [`early_stopping`]: when it is enough

use super::augment::AugmentSpec;
use super::checkpoint::Checkpoint;
use super::clip::ClipSpec;
use super::diagnostics::Diagnostics;
use super::init::Init;
use super::loss::{LossSpec, Score};
use super::optimizer::OptimizerSpec;
use super::samples::Samples;
use super::schedule::ScheduleSpec;
use early_stopping::EarlyStopping;

pub mod early_stopping;
mod gather;
pub mod pace;
mod trainer;

pub use trainer::{Mismatch, Trainer, peak_bytes};

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Initial weights.
    pub init: Init,
    /// What is made small.
    pub loss: LossSpec,
    /// How.
    pub optimizer: OptimizerSpec,
    /// How the learning rate changes; `None` leaves it as it is.
    pub schedule: Option<ScheduleSpec>,
    /// How large gradients are kept in bounds.
    pub gradient_clip: Option<ClipSpec>,
    /// λ of the decay ½λW².
    pub weight_decay: f64,
    /// Samples of a mini-batch; the last of an epoch may be smaller.
    pub batch_size: usize,
    /// How long.
    pub length: Length,
    /// Decides every random draw.
    pub seed: u64,
    /// Share of the training samples that are held out for validation.
    pub validation_fraction: f64,
    /// Epochs between two evaluations on the validation and test samples; the last epoch is always evaluated.
    pub evaluate_every: u64,
    /// When to stop before the end.
    pub early_stopping: Option<EarlyStopping>,
    /// How training images are varied.
    pub augment: Option<AugmentSpec>,
    /// Whether diagnostics are taken at the end of epochs.
    pub diagnostics: bool,
}

/// How long a training is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many passes over the training samples.
    Epochs(u64),
    /// So many mini-batches.
    Steps(u64),
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
    /// Told of every mini-batch, before the evaluation that may follow it.
    fn mini_batch(&mut self, _batch: MiniBatch) {}

    /// Asked after every mini-batch, and after the evaluation that may follow it.
    fn next(&mut self, step: u64) -> Command;

    /// Told of what happened.
    fn event(&mut self, event: TrainEvent);

    /// Given the checkpoint that [`Command::Save`] asked for.
    fn checkpoint(&mut self, checkpoint: Checkpoint);
}

/// A mini-batch that was trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MiniBatch {
    /// Mini-batches done, with this one.
    pub step: u64,
    /// The epoch it belongs to, from 1.
    pub epoch: u64,
    /// Sums over its samples, before the update.
    pub score: Score,
    /// The learning rate of its update.
    pub learning_rate: f64,
    /// Whether an evaluation follows before the next one.
    pub is_evaluated: bool,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainEvent {
    /// The weights were evaluated at the end of an epoch.
    Epoch {
        /// Mini-batches done.
        step: u64,
        /// The epoch's number, from 1.
        epoch: u64,
        /// Sums over the training samples since the evaluation before, each as it was when its turn came.
        train: Score,
        /// Sums over the samples that are held out for validation.
        validation: Option<Score>,
        /// Sums over the test samples.
        test: Score,
        /// Whether early stopping takes the epoch for the best so far.
        is_best: bool,
    },
    /// Diagnostics at the end of an epoch, or within a long first one.
    Diagnostics(Box<Diagnostics>),
}

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Completed,
    /// The monitored value has not become better for `patience` evaluations.
    EarlyStopped,
    /// The observer stopped it.
    Stopped,
    /// A loss or a weight was not finite after this many steps; the weights must not be used.
    Diverged {
        /// Mini-batches done before the one that failed.
        step: u64,
    },
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trace_tests;
