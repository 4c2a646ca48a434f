//! A job as its readers see it: `GET /v1/jobs/{id}`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::build::{Build, Difference};
use super::event::Epoch;
use super::plan::PlanSummary;
use super::spec::TrainSpec;
use super::status::{Status, StopReason};
use crate::engine::network::LayerSummary;

/// A job with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id, a UUID version 7: ids sort in the order in which jobs were accepted, whatever the clock says.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// The model that its weights become a version of.
    pub model: String,
    /// Where it is in its life.
    pub status: Status,
    /// Why it ended.
    pub stop_reason: Option<StopReason>,
    /// What went wrong.
    pub error: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When a worker first claimed it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When the server has removed its checkpoint: since then it can neither be forked nor resumed.
    #[serde(default)]
    pub checkpoint_removed_at: Option<Timestamp>,
    /// How often a worker has claimed it.
    pub attempt: u32,
    /// What was asked for, with every default filled in.
    pub spec: TrainSpec,
    /// The layers with their shapes.
    pub network: Vec<LayerSummary>,
    /// Number of parameters.
    pub parameters: usize,
    /// Samples that are learned from.
    pub train_samples: usize,
    /// Samples that are held out and measured on at each evaluation.
    pub validation_samples: usize,
    /// Samples that are measured on.
    pub test_samples: usize,
    /// Bytes at the peak, about.
    pub peak_memory_bytes: u64,
    /// How far it is.
    pub progress: Progress,
    /// The newest figures.
    pub metrics: LastMetrics,
    /// Whether its client has asked to stop it.
    pub cancel_requested: bool,
    /// Whether its client has asked to pause it; until its run has stopped.
    #[serde(default)]
    pub pause_requested: bool,
    /// Its place among the waiting jobs, from 1.
    pub queue_position: Option<u64>,
    /// Seconds until its turn, about; of a waiting job where it is known how long those before it will take.
    #[serde(default)]
    pub queue_eta_seconds: Option<f64>,
    /// What a job that waits or runs cannot go on without.
    #[serde(default)]
    pub waiting_for: Option<WaitingFor>,
    /// The job whose checkpoint it began from.
    #[serde(default)]
    pub forked_from: Option<Uuid>,
    /// The job that it is to end like.
    #[serde(default)]
    pub reproduces: Option<Uuid>,
    /// Whether it has ended with the very weights of the job that it reproduces; null before there are any.
    #[serde(default)]
    pub reproduced: Option<bool>,
    /// Of one whose weights came out otherwise: in what its training differs from that of the original.
    #[serde(default)]
    pub differs_in: Vec<Difference>,
    /// The builds and kernels that have trained it, each once, the first one first. Empty before its first start, and of
    /// jobs older than this record.
    #[serde(default)]
    pub trained_with: Vec<Build>,
    /// SHA-256 of the weights file.
    pub weights_sha256: Option<String>,
    /// The version of its model that the weights became.
    pub model_version: Option<u32>,
}

/// What a job cannot go on without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingFor {
    /// The store cannot be written: its disk is full or fails, or its folder is gone.
    Storage,
}

/// How far a job is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Mini-batches done.
    pub step: u64,
    /// Mini-batches of the whole training.
    pub total_steps: u64,
    /// The epoch, from 1; 0 before the first mini-batch.
    pub epoch: u64,
    /// Epochs of the whole training.
    pub epochs: u64,
    /// Share of the planned training that is done, 0 to 1.
    pub fraction: f64,
    /// Training samples a second over the last reports of the run, evaluations not counted.
    pub samples_per_second: Option<f64>,
    /// Seconds to the end, about; of a running job. Never more than what `max_seconds` leaves.
    pub eta_seconds: Option<f64>,
    /// Training time between two checkpoints, in seconds: as the spec says, or longer where they would take too much time.
    #[serde(default)]
    pub checkpoint_interval_seconds: Option<f64>,
    /// Whether the end may come sooner than that: early stopping cannot be foreseen.
    #[serde(default)]
    pub eta_at_most: bool,
}

impl Progress {
    /// The progress of a job that has not begun.
    pub fn start(plan: &PlanSummary) -> Self {
        Self { total_steps: plan.total_steps, epochs: plan.epochs, ..Self::default() }
    }

    /// Moves it to a step of a training with so many mini-batches an epoch.
    pub fn reach(&mut self, step: u64, steps_per_epoch: u64) {
        self.step = step.min(self.total_steps);
        self.epoch = self.step.div_ceil(steps_per_epoch.max(1)).min(self.epochs);
        self.fraction = self.step as f64 / self.total_steps.max(1) as f64;
    }

    /// The same, measured against this plan: early versions lost sight of theirs.
    #[must_use]
    pub fn of_plan(mut self, plan: &PlanSummary, steps_per_epoch: u64) -> Self {
        if (self.total_steps, self.epochs) != (plan.total_steps, plan.epochs) {
            (self.total_steps, self.epochs) = (plan.total_steps, plan.epochs);
            self.reach(self.step, steps_per_epoch);
        }
        self
    }
}

/// Mini-batches of an epoch over so many training samples.
pub fn steps_per_epoch(train_samples: usize, batch_size: usize) -> u64 {
    train_samples.div_ceil(batch_size.max(1)) as u64
}

/// The newest figures of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LastMetrics {
    /// Mean training loss since the report before the newest one.
    pub loss: Option<f64>,
    /// Training accuracy since then.
    pub accuracy: Option<f64>,
    /// Mean training loss since the evaluation before the newest one.
    pub train_loss: Option<f64>,
    /// Training accuracy since then.
    pub train_accuracy: Option<f64>,
    /// Loss on the samples that are held out, at the newest evaluation.
    #[serde(default)]
    pub validation_loss: Option<f64>,
    /// Accuracy on them.
    #[serde(default)]
    pub validation_accuracy: Option<f64>,
    /// Test loss at the newest evaluation; of a job that succeeded, of its final weights.
    pub test_loss: Option<f64>,
    /// Test accuracy then.
    pub test_accuracy: Option<f64>,
}

impl LastMetrics {
    /// Takes over the figures of the newest evaluation.
    pub fn evaluated(&mut self, epoch: &Epoch) {
        (self.train_loss, self.train_accuracy) = (epoch.train_loss, epoch.train_accuracy);
        (self.validation_loss, self.validation_accuracy) = (epoch.validation_loss, epoch.validation_accuracy);
        (self.test_loss, self.test_accuracy) = (epoch.test_loss, epoch.test_accuracy);
    }
}
