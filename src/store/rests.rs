//! How much is left to train of the jobs that run or wait.

use serde::Deserialize;
use uuid::Uuid;

use super::error::StoreError;
use super::from_row::from_row;
use super::open::Store;
use crate::job::view::Progress;

/// What is left of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rest {
    /// The job.
    pub job: Uuid,
    /// Whether it waits; else it runs.
    pub waits: bool,
    /// Seconds of training that are left, about; `None` where its speed is not known, as before its first start.
    pub seconds: Option<f64>,
    /// Its starts since its last checkpoint at which the server died.
    pub failed_starts: u32,
}

struct Row {
    job: Uuid,
    waits: bool,
    progress: String,
    plan: String,
    spec: String,
    trained_seconds: Option<f64>,
    failed_starts: u32,
}
from_row!(Row { job, waits, progress, plan, spec, trained_seconds, failed_starts });

/// What of a plan says how long an epoch is.
#[derive(Deserialize)]
struct Length {
    epochs: u64,
    train_samples: u64,
}

/// What of a spec bounds the time.
#[derive(Deserialize)]
struct Limit {
    max_seconds: Option<f64>,
}

impl Row {
    /// A document that cannot be read leaves the time unknown: others wait, too.
    fn seconds(&self) -> Option<f64> {
        let progress: Progress = serde_json::from_str(&self.progress).ok()?;
        if !self.waits {
            return progress.eta_seconds;
        }
        let length: Length = serde_json::from_str(&self.plan).ok()?;
        let limit: Limit = serde_json::from_str(&self.spec).ok()?;
        let speed = progress.samples_per_second.filter(|speed| *speed > 0.0)?;
        let samples = (1.0 - progress.fraction.clamp(0.0, 1.0)) * length.epochs as f64 * length.train_samples as f64;
        let allowed = limit.max_seconds.map_or(f64::INFINITY, |max| max - self.trained_seconds.unwrap_or(0.0));
        Some((samples / speed).min(allowed).max(0.0))
    }
}

impl Store {
    /// What is left of the jobs that run, and then of those that wait, in the order of the queue.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn rests(&self) -> Result<Vec<Rest>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "select jobs.id as job, jobs.status = 'queued' as waits, jobs.progress, jobs.plan, jobs.spec,
                 checkpoints.trained_seconds, jobs.vain_starts as failed_starts
             from jobs left join checkpoints on checkpoints.job = jobs.id
             where jobs.status in ('running', 'queued')
             order by jobs.status = 'queued', jobs.priority desc, jobs.seq",
        )
        .fetch_all(&self.readers)
        .await?;
        let rest = |row: &Row| Rest {
            job: row.job,
            waits: row.waits,
            seconds: row.seconds(),
            failed_starts: row.failed_starts,
        };
        Ok(rows.iter().map(rest).collect())
    }
}
