//! How a job lies in its row, and how numbers, times and documents lie in columns.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::error::{Corrupt, StoreError};
use super::from_row::from_row;
use crate::job::build::{self, Build};
use crate::job::plan::PlanSummary;
use crate::job::spec::TrainSpec;
use crate::job::status::{Status, StopReason};
use crate::job::view::{Job, LastMetrics, Progress, steps_per_epoch};

/// The columns of a [`JobRow`], all but its place in the queue.
macro_rules! job_columns {
    () => {
        "jobs.id, jobs.status, jobs.attempt, jobs.spec, jobs.plan, jobs.progress, jobs.metrics, \
         jobs.cancel_requested, jobs.pause_requested, jobs.stop_reason, jobs.error, jobs.model, jobs.model_version, \
         jobs.weights_sha256, jobs.created_at, jobs.started_at, jobs.finished_at, jobs.checkpoint_removed_at, jobs.forked_from, jobs.reproduces, \
         coalesce((select original.weights_sha256 from jobs as original where original.id = jobs.reproduces),
                  jobs.original_sha256) as original_sha256, jobs.trained_with, \
         coalesce((select original.trained_with from jobs as original where original.id = jobs.reproduces),
                  jobs.original_trained_with) as original_trained_with"
    };
}
pub(super) use job_columns;

/// A job as its row holds it.
pub(super) struct JobRow {
    id: Uuid,
    status: String,
    attempt: u32,
    spec: String,
    plan: String,
    progress: String,
    metrics: String,
    cancel_requested: bool,
    pause_requested: bool,
    stop_reason: Option<String>,
    error: Option<String>,
    model: String,
    model_version: Option<u32>,
    weights_sha256: Option<String>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    checkpoint_removed_at: Option<String>,
    forked_from: Option<Uuid>,
    reproduces: Option<Uuid>,
    original_sha256: Option<String>,
    trained_with: String,
    original_trained_with: Option<String>,
    queue_position: Option<i64>,
}
from_row!(JobRow {
    id,
    status,
    attempt,
    spec,
    plan,
    progress,
    metrics,
    cancel_requested,
    pause_requested,
    stop_reason,
    error,
    model,
    model_version,
    weights_sha256,
    created_at,
    started_at,
    finished_at,
    checkpoint_removed_at,
    forked_from,
    reproduces,
    original_sha256,
    trained_with,
    original_trained_with,
    queue_position
});

impl JobRow {
    pub(super) fn into_job(self) -> Result<Job, Corrupt> {
        let id = self.id;
        let what = |column: &str| format!("{column} of job {id}");
        let spec = spec(&self.spec, &what("spec"))?;
        let plan: PlanSummary = document(&self.plan, &what("plan"))?;
        let per_epoch = steps_per_epoch(plan.train_samples, spec.batch_size);
        let progress = document::<Progress>(&self.progress, &what("progress"))?.of_plan(&plan, per_epoch);
        let optional = |at: Option<String>, column: &str| at.map(|at| time(&at, &what(column))).transpose();
        let trained_with: Vec<Build> = document(&self.trained_with, &what("trained_with"))?;
        let reproduced = self.weights_sha256.as_ref().zip(self.original_sha256).map(|(own, original)| *own == original);
        let differs_in = match (reproduced, self.original_trained_with) {
            (Some(false), Some(original)) => {
                let original: Vec<Build> = document(&original, &what("trained_with of the original"))?;
                build::differences(&original, &trained_with)
            }
            _ => vec![],
        };
        Ok(Job {
            id,
            name: spec.title(),
            model: self.model,
            status: status(&self.status, &what("status"))?,
            stop_reason: self.stop_reason.map(|reason| stop_reason(&reason, &what("stop_reason"))).transpose()?,
            error: self.error,
            created_at: time(&self.created_at, &what("created_at"))?,
            started_at: optional(self.started_at, "started_at")?,
            finished_at: optional(self.finished_at, "finished_at")?,
            checkpoint_removed_at: optional(self.checkpoint_removed_at, "checkpoint_removed_at")?,
            attempt: self.attempt,
            spec,
            network: plan.network,
            parameters: plan.parameters,
            train_samples: plan.train_samples,
            validation_samples: plan.validation_samples,
            test_samples: plan.test_samples,
            peak_memory_bytes: plan.peak_memory_bytes,
            progress,
            metrics: document::<LastMetrics>(&self.metrics, &what("metrics"))?,
            cancel_requested: self.cancel_requested,
            pause_requested: self.pause_requested,
            queue_position: self.queue_position.and_then(|place| u64::try_from(place).ok()),
            queue_eta_seconds: None,
            waiting_for: None,
            forked_from: self.forked_from,
            reproduces: self.reproduces,
            reproduced,
            differs_in,
            trained_with,
            weights_sha256: self.weights_sha256,
            model_version: self.model_version,
        })
    }
}

/// The job of this id.
pub(super) async fn find(db: &mut SqliteConnection, id: Uuid) -> Result<Option<Job>, StoreError> {
    let row: Option<JobRow> = sqlx::query_as(concat!(
        "select ",
        job_columns!(),
        ", case when jobs.status = 'queued' then
               (select count(*) from jobs as ahead
                where ahead.status = 'queued'
                  and (ahead.priority > jobs.priority or (ahead.priority = jobs.priority and ahead.seq <= jobs.seq)))
           end as queue_position
         from jobs where jobs.id = ?"
    ))
    .bind(id)
    .fetch_optional(db)
    .await?;
    Ok(row.map(JobRow::into_job).transpose()?)
}

/// The job of this id, which is known to be there.
pub(super) async fn get(db: &mut SqliteConnection, id: Uuid) -> Result<Job, StoreError> {
    find(db, id).await?.ok_or_else(|| StoreError::Internal(format!("job {id} is gone")))
}

/// Most rows that one statement inserts: it takes 32,766 values.
const ROWS: usize = 256;

/// Inserts rows: few statements, since each is a way to the database's thread and back. `into` is what stands before
/// `values`; `bind` gives a row's values.
pub(super) async fn insert_rows<R: Send>(
    db: &mut SqliteConnection,
    into: &'static str,
    rows: Vec<R>,
    mut bind: impl FnMut(Separated<'_, Sqlite, &'static str>, R) + Send,
) -> Result<(), StoreError> {
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let count = rows.len().min(ROWS);
        let mut sql = QueryBuilder::new(into);
        sql.push_values(rows.by_ref().take(count), &mut bind);
        // One row is what comes again and again; any other number seldom does, and is not remembered.
        sql.build().persistent(count == 1).execute(&mut *db).await?;
    }
    Ok(())
}

/// A count as SQLite's integer.
pub(super) fn int(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(|_| StoreError::Internal(format!("{count} is too large to be stored")))
}

/// A number that can be told: neither infinite nor not one.
pub(super) fn finite(number: Option<f64>) -> Option<f64> {
    number.filter(|number| number.is_finite())
}

/// A document as JSON text.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Internal(error.to_string()))
}

/// A document from JSON text.
pub(super) fn document<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, Corrupt> {
    serde_json::from_str(text).map_err(|error| Corrupt::new(format!("{what}: {error}")))
}

/// A spec from JSON text. A field that was added since the spec was written has its default.
pub(super) fn spec(text: &str, what: &str) -> Result<TrainSpec, Corrupt> {
    TrainSpec::parse(text.as_bytes()).map_err(|faults| {
        let first = faults.0.first().map(|fault| format!(": {} {}", fault.pointer, fault.detail)).unwrap_or_default();
        Corrupt::new(format!("{what}{first}"))
    })
}

pub(super) fn time(text: &str, what: &str) -> Result<Timestamp, Corrupt> {
    text.parse().map_err(|error| Corrupt::new(format!("{what}: {error}")))
}

pub(super) fn status(name: &str, what: &str) -> Result<Status, Corrupt> {
    Status::parse(name).ok_or_else(|| Corrupt::new(format!("{what}: {name}")))
}

fn stop_reason(name: &str, what: &str) -> Result<StopReason, Corrupt> {
    StopReason::parse(name).ok_or_else(|| Corrupt::new(format!("{what}: {name}")))
}
