//! The one place where a job's status changes.

use std::borrow::Cow;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::StoreError;
use super::events::Log;
use super::from_row::from_row;
use super::open::Tx;
use super::outbox;
use super::row::{int, json, status};
use super::run::RunKey;
use crate::job::event::{Done, Event, EventBody, State};
use crate::job::status::{Status, StopReason};
use crate::job::view::{LastMetrics, Progress};

/// What a write must know of the job it changes.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) id: Uuid,
    pub(super) status: Status,
    pub(super) attempt: u32,
    pub(super) cancel_requested: bool,
    pub(super) pause_requested: bool,
    /// How often it was claimed since its last checkpoint.
    pub(super) vain_starts: u32,
    pub(super) model: String,
    /// The URL that its client wants to be told at.
    webhook: Option<String>,
    pub(super) log: Log,
    metrics: String,
}

struct Row {
    status: String,
    attempt: u32,
    cancel_requested: bool,
    pause_requested: bool,
    vain_starts: u32,
    model: String,
    webhook: Option<String>,
    last_event_id: u64,
    metrics: String,
}
from_row!(Row {
    status,
    attempt,
    cancel_requested,
    pause_requested,
    vain_starts,
    model,
    webhook,
    last_event_id: i64,
    metrics
});

impl Head {
    /// The job of this id.
    pub(super) async fn find(db: &mut SqliteConnection, id: Uuid) -> Result<Option<Self>, StoreError> {
        let row: Option<Row> = sqlx::query_as(
            "select status, attempt, cancel_requested, pause_requested, vain_starts, model, webhook, last_event_id,
                 metrics
             from jobs where id = ?",
        )
        .bind(id)
        .fetch_optional(db)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Self {
            id,
            status: status(&row.status, &format!("status of job {id}"))?,
            attempt: row.attempt,
            cancel_requested: row.cancel_requested,
            pause_requested: row.pause_requested,
            vain_starts: row.vain_starts,
            model: row.model,
            webhook: row.webhook,
            log: Log::at(id, row.last_event_id),
            metrics: row.metrics,
        }))
    }

    /// The job of this run, if the run owns it still.
    pub(super) async fn owned(db: &mut SqliteConnection, run: RunKey) -> Result<Self, StoreError> {
        let head = Self::find(db, run.job).await?;
        head.filter(|head| head.status == Status::Running && head.attempt == run.attempt).ok_or(StoreError::Fenced)
    }

    /// Takes back that the present start counts as failed: its run ended, but the server did not.
    pub(super) async fn uncount_start(&mut self, db: &mut SqliteConnection) -> Result<(), StoreError> {
        self.vain_starts = self.vain_starts.saturating_sub(1);
        sqlx::query("update jobs set vain_starts = ? where id = ?")
            .bind(self.vain_starts)
            .bind(self.id)
            .execute(db)
            .await?;
        Ok(())
    }

    /// Forgets the starts in vain: the job is no longer held back.
    pub(super) async fn forgive(&mut self, db: &mut SqliteConnection) -> Result<(), StoreError> {
        self.vain_starts = 0;
        sqlx::query("update jobs set vain_starts = 0 where id = ?").bind(self.id).execute(db).await?;
        Ok(())
    }

    /// Writes down how far the running job is, with the id of its newest event.
    pub(super) async fn record(
        &mut self,
        db: &mut SqliteConnection,
        progress: &Progress,
        metrics: &LastMetrics,
    ) -> Result<(), StoreError> {
        self.metrics = json(metrics)?;
        let recorded = sqlx::query(
            "update jobs set last_event_id = ?, progress = ?, metrics = ?
             where id = ? and attempt = ? and status = 'running'",
        )
        .bind(int(self.log.last())?)
        .bind(json(progress)?)
        .bind(&self.metrics)
        .bind(self.id)
        .bind(self.attempt)
        .execute(db)
        .await?;
        if recorded.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Fenced) }
    }
}

/// A change of a job's status, with all that changes along.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) to: Status,
    pub(super) at: Timestamp,
    pub(super) stop_reason: Option<StopReason>,
    pub(super) error: Option<String>,
    /// A word on it, for the log.
    pub(super) detail: Option<Cow<'static, str>>,
    /// SHA-256 of the weights, and the version of the model that they became.
    pub(super) weights: Option<(String, u32)>,
}

impl Move {
    pub(super) fn to(to: Status, at: Timestamp) -> Self {
        Self { to, at, stop_reason: None, error: None, detail: None, weights: None }
    }

    /// What a client's wish to cancel comes to.
    pub(super) fn cancel(at: Timestamp) -> Self {
        Self { stop_reason: Some(StopReason::User), ..Self::to(Status::Cancelled, at) }
    }

    /// Makes the move, if it is legal, logs it, and writes the messages that tell of it. Returns the events for those who
    /// listen.
    ///
    /// Whichever way a run ends, the wish that it pause is over; a job that waits again is not one to be cancelled.
    pub(super) async fn make(self, tx: &mut Tx, head: &mut Head) -> Result<Vec<Event>, StoreError> {
        let (from, attempt) = (head.status, head.attempt);
        if !from.may_become(self.to) {
            return Err(StoreError::IllegalMove { from, to: self.to });
        }
        head.status = self.to;
        let claimed = u32::from(self.to == Status::Running);
        head.attempt += claimed;
        head.vain_starts = head.vain_starts.saturating_add(claimed);
        head.pause_requested = false;
        head.cancel_requested &= self.to != Status::Queued;
        let state = EventBody::State(State {
            status: self.to,
            stop_reason: self.stop_reason,
            attempt: head.attempt,
            detail: self.detail.as_deref().map(str::to_owned),
        });
        let mut events = vec![head.log.push(tx, self.at, state).await?];
        outbox::announce(tx, head.webhook.as_deref(), &events[0]).await?;
        if self.to.is_final() {
            let done = EventBody::Done(self.done(head));
            events.push(head.log.push(tx, self.at, done).await?);
        }
        let ended_seq = if self.to.is_final() { Some(next_end(tx).await?) } else { None };
        let (sha256, version) = self.weights.unzip();
        let at = self.at.to_string();
        // Only a running job has a time to its end.
        let moved = sqlx::query(
            "update jobs set status = ?, attempt = ?, vain_starts = ?, cancel_requested = ?, pause_requested = ?,
                 last_event_id = ?, stop_reason = ?, error = ?,
                 weights_sha256 = ?, model_version = ?, started_at = coalesce(started_at, ?), finished_at = ?,
                 ended_seq = ?,
                 progress = case when json_valid(progress) then json_set(progress, '$.eta_seconds', null)
                                 else progress end
             where id = ? and status = ? and attempt = ?",
        )
        .bind(head.status.as_str())
        .bind(head.attempt)
        .bind(head.vain_starts)
        .bind(head.cancel_requested)
        .bind(head.pause_requested)
        .bind(int(head.log.last())?)
        .bind(self.stop_reason.map(StopReason::as_str))
        .bind(self.error)
        .bind(sha256)
        .bind(version)
        .bind((head.status == Status::Running).then(|| at.clone()))
        .bind(head.status.is_final().then_some(at))
        .bind(ended_seq)
        .bind(head.id)
        .bind(from.as_str())
        .bind(attempt)
        .execute(&mut **tx)
        .await?;
        if moved.rows_affected() == 1 { Ok(events) } else { Err(StoreError::Fenced) }
    }

    fn done(&self, head: &Head) -> Done {
        // Figures that cannot be read must not keep a job from ending.
        let metrics: LastMetrics = serde_json::from_str(&head.metrics).unwrap_or_default();
        let (weights_sha256, model_version) = self.weights.clone().unzip();
        Done {
            status: self.to,
            stop_reason: self.stop_reason,
            test_loss: metrics.test_loss,
            test_accuracy: metrics.test_accuracy,
            model: model_version.map(|_| head.model.clone()),
            weights_sha256,
            model_version,
            error: self.error.clone(),
        }
    }
}

/// The place of a job that ends now among those that have ended.
async fn next_end(db: &mut SqliteConnection) -> Result<i64, StoreError> {
    let sql = "select coalesce(max(ended_seq), 0) + 1 from jobs where ended_seq is not null";
    Ok(sqlx::query_scalar(sql).fetch_one(db).await?)
}
