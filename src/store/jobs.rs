//! Jobs accepted and read.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{QueryBuilder, SqliteConnection};
use uuid::Uuid;

use super::checkpoints::{self, NewCheckpoint};
use super::error::{Corrupt, StoreError};
use super::events::Log;
use super::keys::{self, Keyed, RequestKey};
use super::open::Store;
use super::row::{self, JobRow, int, job_columns, json};
use super::{history, ids};
use crate::job::event::{Event, EventBody, State};
use crate::job::plan::PlanSummary;
use crate::job::spec::TrainSpec;
use crate::job::status::Status;
use crate::job::view::{Job, LastMetrics, Progress, steps_per_epoch};

/// A job to accept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// What was asked for.
    pub spec: TrainSpec,
    /// What that comes to.
    pub plan: PlanSummary,
    /// When.
    pub at: Timestamp,
    /// Where it goes on from, if not from initial weights.
    pub fork: Option<Fork>,
    /// The job that it is to end like.
    pub reproduces: Option<Uuid>,
}

/// The state of another job that a new one goes on from.
#[derive(Debug, Clone, PartialEq)]
pub struct Fork {
    /// The other job.
    pub source: Uuid,
    /// SHA-256 of its checkpoint as it was kept.
    pub source_sha256: String,
    /// What the new job begins with.
    pub checkpoint: NewCheckpoint,
}

/// On what terms a job is accepted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// Most jobs that may wait; no bound if none.
    pub max_queued: Option<u64>,
    /// What makes the request one that may come twice.
    pub key: Option<&'a RequestKey>,
    /// How long the process is up that accepts it: keys are as old as that says.
    pub up: Duration,
}

/// What came of a job that was to be accepted.
#[derive(Debug, Clone, PartialEq)]
pub enum Admitted {
    /// It waits now; the events that were added.
    New(Box<Job>, Vec<Event>),
    /// The same request has made this job before.
    Known(Box<Job>),
    /// Another request has used the key; nothing was written.
    KeyTaken,
    /// So many wait already; nothing was written.
    QueueFull(u64),
}

/// Which jobs to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Those in this state only.
    pub status: Option<Status>,
    /// At most so many.
    pub limit: u32,
    /// Those that come after this one only, which may be deleted by now. After one that never was comes none.
    pub after: Option<Uuid>,
    /// Which come first.
    pub order: Order,
}

/// Which jobs come first. They are ordered as they were accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The part.
    pub data: Vec<T>,
    /// Whether more comes after it.
    pub has_more: bool,
}

impl Store {
    /// Accepts a job: it waits now, and is on the disk, with the key of its request.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn admit(&self, new: &NewJob, terms: Terms<'_>) -> Result<Admitted, StoreError> {
        let mut tx = self.write().await?;
        let now = self.uptime_ms(terms.up)?;
        if let Some(key) = terms.key {
            keys::delete_old(&mut tx, now).await?;
            match keys::find(&mut tx, key, now).await? {
                Some(Keyed::Job(job)) => return Ok(Admitted::Known(job)),
                Some(Keyed::Other) => return Ok(Admitted::KeyTaken),
                None => {}
            }
        }
        if let Some(max) = terms.max_queued {
            let waiting: i64 =
                sqlx::query_scalar("select count(*) from jobs where status = 'queued'").fetch_one(&mut *tx).await?;
            let waiting = u64::try_from(waiting).unwrap_or(0);
            if waiting >= max {
                return Ok(Admitted::QueueFull(waiting));
            }
        }
        let id = ids::next(&mut tx, new.at).await?;
        let event = insert(&mut tx, id, new).await?;
        if let Some(key) = terms.key {
            keys::keep(&mut tx, key, id, now).await?;
        }
        let job = row::get(&mut tx, id).await?;
        tx.commit().await?;
        Ok(Admitted::New(Box::new(job), vec![event]))
    }

    /// Where a job went on from: the other job, which may be deleted by now, and the SHA-256 of its checkpoint. `None` of
    /// one that began from initial weights.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn fork_of(&self, id: Uuid) -> Result<Option<(Uuid, String)>, StoreError> {
        let row: Option<(Option<Uuid>, Option<String>)> =
            sqlx::query_as("select forked_from, start_sha256 from jobs where id = ?")
                .bind(id)
                .fetch_optional(&self.readers)
                .await?;
        Ok(row.and_then(|(source, sha256)| source.zip(sha256)))
    }

    /// The job of this id, if there is one.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn job(&self, id: Uuid) -> Result<Option<Job>, StoreError> {
        row::find(&mut *self.read().await?, id).await
    }

    /// Whether there is a job of this id, readable or not.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn job_exists(&self, id: Uuid) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar("select exists (select 1 from jobs where id = ?)")
            .bind(id)
            .fetch_one(&self.readers)
            .await?)
    }

    /// Whether a job of this id was ever accepted; it may be deleted by now.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn job_was_accepted(&self, id: Uuid) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(
            "select exists (select 1 from jobs where id = ?) or exists (select 1 from deleted_jobs where id = ?)",
        )
        .bind(id)
        .bind(id)
        .fetch_one(&self.readers)
        .await?)
    }

    /// A job's status, and the id of the newest event of its log; `None` where there is no such job.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn job_log_end(&self, id: Uuid) -> Result<Option<(Status, u64)>, StoreError> {
        let row: Option<(String, i64)> = sqlx::query_as("select status, last_event_id from jobs where id = ?")
            .bind(id)
            .fetch_optional(&self.readers)
            .await?;
        let Some((status, last)) = row else { return Ok(None) };
        let status = row::status(&status, &format!("status of job {id}"))?;
        Ok(Some((status, u64::try_from(last).unwrap_or(0))))
    }

    /// A part of the list of jobs.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn jobs(&self, query: &JobQuery) -> Result<Page<Job>, StoreError> {
        let (before, order) = match query.order {
            Order::Newest => ("<", "desc"),
            Order::Oldest => (">", "asc"),
        };
        // The queue is counted once, however many waiting jobs the page has.
        let mut sql = QueryBuilder::new(concat!(
            "with waiting as materialized
                 (select seq, row_number() over (order by priority desc, seq) as place from jobs
                  where status = 'queued')
             select ",
            job_columns!(),
            ", waiting.place as queue_position from jobs left join waiting on waiting.seq = jobs.seq where true"
        ));
        if let Some(status) = query.status {
            sql.push(" and jobs.status = ").push_bind(status.as_str());
        }
        if let Some(after) = query.after {
            sql.push(" and jobs.seq ")
                .push(before)
                .push(" (select seq from jobs where id = ")
                .push_bind(after)
                .push(" union all select seq from deleted_jobs where id = ")
                .push_bind(after)
                .push(")");
        }
        sql.push(" order by jobs.seq ").push(order).push(" limit ").push_bind(i64::from(query.limit) + 1);
        let mut rows: Vec<JobRow> = sql.build_query_as().fetch_all(&self.readers).await?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let data = rows.into_iter().map(JobRow::into_job).collect::<Result<_, Corrupt>>()?;
        Ok(Page { data, has_more })
    }
}

/// Writes a new job, with the first event of its log.
async fn insert(db: &mut SqliteConnection, id: Uuid, new: &NewJob) -> Result<Event, StoreError> {
    let mut log = Log::at(id, 0);
    let start = Progress::start(&new.plan);
    let per_epoch = steps_per_epoch(new.plan.train_samples, new.spec.batch_size);
    let begun = |fork: &Fork| history::progress_at(&start, fork.checkpoint.step, per_epoch);
    let progress = new.fork.as_ref().map_or(start.clone(), begun);
    sqlx::query(
        "insert into jobs (id, status, last_event_id, spec, plan, progress, metrics, model, created_at, priority,
             webhook, forked_from, start_sha256, reproduces)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id)
    .bind(Status::Queued.as_str())
    .bind(int(log.last() + 1)?)
    .bind(json(&new.spec)?)
    .bind(json(&new.plan)?)
    .bind(json(&progress)?)
    .bind(json(&LastMetrics::default())?)
    .bind(new.spec.model_name())
    .bind(new.at.to_string())
    .bind(new.spec.priority)
    .bind(&new.spec.webhook)
    .bind(new.fork.as_ref().map(|fork| fork.source))
    .bind(new.fork.as_ref().map(|fork| &fork.source_sha256))
    .bind(new.reproduces)
    .execute(&mut *db)
    .await?;
    if let Some(fork) = &new.fork {
        checkpoints::replace(&mut *db, id, &fork.checkpoint).await?;
    }
    let state = State { status: Status::Queued, stop_reason: None, attempt: 0, detail: None };
    log.push(db, new.at, EventBody::State(state)).await
}
