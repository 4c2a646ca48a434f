//! The states of a job, and the legal moves between them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for a worker.
    Queued,
    /// Is being trained.
    Running,
    /// Waits for its client to resume it.
    Paused,
    /// Is trained; its weights are a model's version.
    Succeeded,
    /// Cannot be trained to its end.
    Failed,
    /// Was stopped by its client, who may yet resume it.
    Cancelled,
}

impl Status {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Paused, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Whether a job in this state may move to `next`.
    ///
    /// `Running → Queued` is what a restart of the server does: a death of the process is not a failed attempt. What its
    /// client has stopped may go on from its checkpoint: `Paused → Queued`, `Cancelled → Queued`.
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Queued, Self::Running | Self::Paused | Self::Cancelled | Self::Failed)
                | (Self::Running, Self::Queued | Self::Paused | Self::Succeeded | Self::Failed | Self::Cancelled)
                | (Self::Paused, Self::Queued | Self::Cancelled)
                | (Self::Cancelled, Self::Queued)
        )
    }

    /// Whether it has ended: nothing more will happen, unless its client resumes what was cancelled.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Its name, as in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a job ended, or why the server has paused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// All epochs are done.
    Completed,
    /// What it monitored had not become better for long enough.
    EarlyStopping,
    /// Its `max_seconds` were over.
    MaxSeconds,
    /// A loss or weight was not finite.
    Diverged,
    /// Its client cancelled it.
    User,
    /// Something went wrong; the job's `error` says what.
    Error,
    /// The server died at each of its last starts before it saved a checkpoint: it is paused until its client resumes it.
    CrashLoop,
}

impl StopReason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::Completed,
        Self::EarlyStopping,
        Self::MaxSeconds,
        Self::Diverged,
        Self::User,
        Self::Error,
        Self::CrashLoop,
    ];

    /// Its name, as in JSON and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::EarlyStopping => "early_stopping",
            Self::MaxSeconds => "max_seconds",
            Self::Diverged => "diverged",
            Self::User => "user",
            Self::Error => "error",
            Self::CrashLoop => "crash_loop",
        }
    }

    /// The reason of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).expect("a name"), status.as_str());
        }
        for reason in StopReason::ALL {
            assert_eq!(StopReason::parse(reason.as_str()), Some(reason));
            assert_eq!(serde_json::to_value(reason).expect("a name"), reason.as_str());
        }
    }

    #[test]
    fn only_a_cancelled_job_leaves_its_end() {
        let ends: Vec<_> = Status::ALL.into_iter().filter(|status| status.is_final()).collect();
        assert_eq!(ends, [Status::Succeeded, Status::Failed, Status::Cancelled]);
        for end in ends {
            let next: Vec<_> = Status::ALL.into_iter().filter(|next| end.may_become(*next)).collect();
            assert_eq!(next, if end == Status::Cancelled { vec![Status::Queued] } else { vec![] });
        }
    }
}
