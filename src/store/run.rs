//! What a run writes. Each method checks, in the transaction in which it writes, that the run owns its job.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::checkpoints::{self, NewCheckpoint};
use super::error::StoreError;
use super::history::Figures;
use super::moves::{Head, Move};
use super::open::Store;
use super::weights::{self, NewWeights};
use super::{builds, diagnostics, history, models, queue, retention};
use crate::engine::diagnostics::Diagnostics;
use crate::engine::metrics::Report;
use crate::job::event::{Event, EventBody};
use crate::job::status::{Status, StopReason};
use crate::job::view::{LastMetrics, Progress};

/// One claim of a job: what a run shows with all it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunKey {
    /// The job.
    pub job: Uuid,
    /// The claim's number, from 1.
    pub attempt: u32,
}

/// What a run has to tell.
#[derive(Debug, Clone, Copy)]
pub struct News<'a> {
    /// Events that are not yet written.
    pub events: &'a [Event],
    /// Points of the history that are not yet written.
    pub figures: &'a Figures,
    /// Looks inside the network.
    pub looks: &'a [Diagnostics],
    /// How far the job is.
    pub progress: &'a Progress,
    /// Its newest figures.
    pub metrics: &'a LastMetrics,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// Events that are not yet written.
    pub events: Vec<Event>,
    /// How far the job came.
    pub progress: Progress,
    /// Its last figures.
    pub metrics: LastMetrics,
    /// The state it ends in.
    pub status: Status,
    /// Why it ends.
    pub stop_reason: StopReason,
    /// What went wrong.
    pub error: Option<String>,
    /// What the final weights are worth.
    pub evaluation: Option<Report>,
    /// The weights of a job that succeeded; only of such a one, and always.
    pub weights: Option<NewWeights>,
    /// What becomes of its state.
    pub last_state: LastState,
}

/// What becomes of a job's state of training when it ends: with it, others can go on from there.
#[derive(Debug, Clone, PartialEq)]
pub enum LastState {
    /// The newest checkpoint stays, if there is one.
    AsItIs,
    /// This one takes its place.
    Replaced(NewCheckpoint),
    /// It goes.
    Deleted,
}

impl Store {
    /// Whether the job's client has asked to cancel or to pause it.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where the run no longer owns the job; any failure of the database.
    pub async fn stop_requested(&self, run: RunKey) -> Result<bool, StoreError> {
        let asked: Option<bool> = sqlx::query_scalar(
            "select cancel_requested or pause_requested from jobs where id = ? and attempt = ? and status = 'running'",
        )
        .bind(run.job)
        .bind(run.attempt)
        .fetch_optional(&self.readers)
        .await?;
        asked.ok_or(StoreError::Fenced)
    }

    /// Adds events to the job's log and points to its history, and says how far it is.
    ///
    /// Ids go on from the newest event's without a gap. Events of the types `state` and `done` come from the store.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where the run no longer owns the job, [`StoreError::Internal`] where an event is not the
    /// one that is due; any failure of the database.
    pub async fn append(&self, run: RunKey, news: News<'_>) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let mut head = Head::owned(&mut tx, run).await?;
        tell(&mut tx, &mut head, news).await?;
        tx.commit().await
    }

    /// Puts a checkpoint in the place of the job's former one, with all that [`append`](Self::append) does, at once.
    ///
    /// # Errors
    /// As of [`append`](Self::append); the former checkpoint is then still there.
    pub async fn save_checkpoint(
        &self,
        run: RunKey,
        checkpoint: &NewCheckpoint,
        news: News<'_>,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let mut head = Head::owned(&mut tx, run).await?;
        progress(&mut tx, &mut head, checkpoint, news).await?;
        tx.commit().await
    }

    /// Ends a job: its last events, its weights as the next version of its model, its state, and the events
    /// of that; an alert, too, where it reproduces another job and its weights differ. Returns all events that were added,
    /// in order.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where the run no longer owns the job, [`StoreError::IllegalMove`] where the state is none
    /// to end in, [`StoreError::Internal`] where an event is not the one that is due or weights are missing or too
    /// many; any failure of the database.
    pub async fn finish(&self, run: RunKey, finish: &Finish, at: Timestamp) -> Result<Vec<Event>, StoreError> {
        if finish.weights.is_some() != (finish.status == Status::Succeeded) {
            return Err(StoreError::Internal(format!("weights are for a job that succeeded, not {}", finish.status)));
        }
        if !finish.status.is_final() {
            return Err(StoreError::IllegalMove { from: Status::Running, to: finish.status });
        }
        let mut tx = self.write().await?;
        let mut head = Head::owned(&mut tx, run).await?;
        take(&mut tx, &mut head, &finish.events).await?;
        head.record(&mut tx, &finish.progress, &finish.metrics).await?;
        match &finish.last_state {
            LastState::AsItIs => {}
            LastState::Replaced(checkpoint) => checkpoints::replace(&mut tx, run.job, checkpoint).await?,
            LastState::Deleted => {
                checkpoints::delete(&mut tx, run.job).await?;
                retention::note_removed(&mut tx, run.job, at).await?;
            }
        }
        let mut end =
            Move { stop_reason: Some(finish.stop_reason), error: finish.error.clone(), ..Move::to(finish.status, at) };
        let mut alert = None;
        if let Some(new) = &finish.weights {
            alert = builds::alert_if_not_reproduced(&mut tx, &mut head.log, run.job, &new.sha256, at).await?;
            weights::keep(&mut tx, new).await?;
            let version = models::add_version(&mut tx, &head, &new.sha256, at).await?;
            end.weights = Some((new.sha256.clone(), version));
            if let Some(report) = &finish.evaluation {
                diagnostics::keep_evaluation(&mut tx, run.job, report).await?;
            }
        }
        let ends = end.make(&mut tx, &mut head).await?;
        tx.commit().await?;
        if finish.last_state == LastState::Deleted {
            self.freed.notify_one();
        }
        Ok(finish.events.iter().cloned().chain(alert).chain(ends).collect())
    }

    /// Ends a run before the job's end, with its last checkpoint and all that [`append`](Self::append) does, at once: the
    /// job is cancelled or paused, where its client has asked for that, or waits again at its old place. Returns all
    /// events that were added, in order.
    ///
    /// # Errors
    /// As of [`append`](Self::append).
    pub async fn release(
        &self,
        run: RunKey,
        checkpoint: &NewCheckpoint,
        news: News<'_>,
        at: Timestamp,
    ) -> Result<Vec<Event>, StoreError> {
        let mut tx = self.write().await?;
        let mut head = Head::owned(&mut tx, run).await?;
        progress(&mut tx, &mut head, checkpoint, news).await?;
        let moves = queue::give_back(&mut tx, &mut head, at).await?;
        tx.commit().await?;
        Ok(news.events.iter().cloned().chain(moves).collect())
    }
}

/// Keeps a checkpoint: the job's starts were not in vain.
async fn progress(
    db: &mut SqliteConnection,
    head: &mut Head,
    checkpoint: &NewCheckpoint,
    news: News<'_>,
) -> Result<(), StoreError> {
    checkpoints::replace(db, head.id, checkpoint).await?;
    head.forgive(db).await?;
    tell(db, head, news).await
}

async fn tell(db: &mut SqliteConnection, head: &mut Head, news: News<'_>) -> Result<(), StoreError> {
    take(db, head, news.events).await?;
    history::keep(db, head.id, news.figures).await?;
    for look in news.looks {
        diagnostics::keep_look(db, head.id, look).await?;
    }
    head.record(db, news.progress, news.metrics).await
}

async fn take(db: &mut SqliteConnection, head: &mut Head, events: &[Event]) -> Result<(), StoreError> {
    if let Some(event) = events.iter().find(|event| matches!(event.body, EventBody::State(_) | EventBody::Done(_))) {
        return Err(StoreError::Internal(format!("a run may not log a {} event", event.body.kind())));
    }
    head.log.take(db, events).await
}
