//! The entries of a job's log: persisted first, then sent to whoever listens.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::status::{Status, StopReason};

/// One entry of a job's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, from 1, without gaps; given by the run that owns the job.
    pub id: u64,
    /// The job.
    pub job: Uuid,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened. A number that is not known or not finite is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventBody {
    /// The job's state changed.
    State(State),
    /// Mini-batches went by.
    Metrics(Metrics),
    /// An epoch ended.
    Epoch(Epoch),
    /// A checkpoint was saved.
    Checkpoint(Saved),
    /// Something that its client should see.
    Alert(Alert),
    /// The job ended; nothing follows, unless its client resumes what was cancelled.
    Done(Done),
}

impl EventBody {
    /// The event's type, as in JSON and as SSE names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::State(_) => "state",
            Self::Metrics(_) => "metrics",
            Self::Epoch(_) => "epoch",
            Self::Checkpoint(_) => "checkpoint",
            Self::Alert(_) => "alert",
            Self::Done(_) => "done",
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The new state.
    pub status: Status,
    /// Why, if it ended.
    pub stop_reason: Option<StopReason>,
    /// How often a worker has claimed the job.
    pub attempt: u32,
    /// A word on it.
    pub detail: Option<String>,
}

/// Means over the mini-batches since the last such event of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Mini-batches done.
    pub step: u64,
    /// The epoch, from 1.
    pub epoch: u64,
    /// Mean training loss.
    pub loss: Option<f64>,
    /// Share of training samples read right.
    pub accuracy: Option<f64>,
    /// The learning rate.
    pub learning_rate: f64,
    /// Training samples a second over the last reports of the run, evaluations not counted.
    pub samples_per_second: Option<f64>,
    /// Share of the planned training that is done, 0 to 1.
    pub fraction: f64,
    /// Seconds to the end, about.
    pub eta_seconds: Option<f64>,
    /// Whether the end may come sooner than that: early stopping cannot be foreseen.
    #[serde(default)]
    pub eta_at_most: bool,
}

/// The evaluation at the end of an epoch. Where evaluations come faster than events may, the newest and the best are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u64,
    /// Mini-batches done.
    pub step: u64,
    /// Mean loss over the training samples since the evaluation before, each as it was when its turn came.
    pub train_loss: Option<f64>,
    /// Share of them read right.
    pub train_accuracy: Option<f64>,
    /// Mean loss over the samples that are held out; null if none are.
    #[serde(default)]
    pub validation_loss: Option<f64>,
    /// Share of them read right.
    #[serde(default)]
    pub validation_accuracy: Option<f64>,
    /// Mean loss over the test samples.
    pub test_loss: Option<f64>,
    /// Share of them read right.
    pub test_accuracy: Option<f64>,
    /// Training time since the evaluation before, or since the run began.
    pub seconds: f64,
}

/// A saved checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Mini-batches done.
    pub step: u64,
    /// The epoch, from 1.
    pub epoch: u64,
    /// Its size.
    pub bytes: u64,
}

/// Something that its client should see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// Its last state.
    pub status: Status,
    /// Why.
    pub stop_reason: Option<StopReason>,
    /// Mean loss over the test samples at the end.
    pub test_loss: Option<f64>,
    /// Share of the test samples read right at the end.
    pub test_accuracy: Option<f64>,
    /// SHA-256 of the weights file, if there is one.
    pub weights_sha256: Option<String>,
    /// The model that they became a version of.
    pub model: Option<String>,
    /// That version.
    pub model_version: Option<u32>,
    /// What went wrong.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_one_flat_object() {
        let body = EventBody::Checkpoint(Saved { step: 5, epoch: 1, bytes: 10 });
        let event = Event { id: 3, job: Uuid::nil(), at: Timestamp::UNIX_EPOCH, body };
        let json = serde_json::to_value(&event).expect("plain data");
        assert_eq!(
            (json["type"].as_str(), json["step"].as_u64(), json["id"].as_u64()),
            (Some("checkpoint"), Some(5), Some(3))
        );
        assert_eq!(json["type"], event.body.kind());
        assert_eq!(serde_json::from_value::<Event>(json).expect("what we print we read"), event);
    }
}
