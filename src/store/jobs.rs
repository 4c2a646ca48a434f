//! Jobs accepted and read.

use jiff::Timestamp;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::error::{Corrupt, StoreError};
use super::events::Log;
use super::open::Store;
use super::row::{self, JobRow, int, job_columns, json};
use crate::job::event::{EventBody, State};
use crate::job::plan::PlanSummary;
use crate::job::spec::TrainSpec;
use crate::job::status::Status;
use crate::job::view::{Job, LastMetrics, Progress};

/// A job to accept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Its id.
    pub id: Uuid,
    /// What was asked for.
    pub spec: TrainSpec,
    /// What that comes to.
    pub plan: PlanSummary,
    /// When.
    pub at: Timestamp,
}

/// Which jobs to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Those in this state only.
    pub status: Option<Status>,
    /// At most so many.
    pub limit: u32,
    /// Those that come after this one only. After one that is not there comes none.
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
    /// Accepts a job: it waits now, and is on the disk.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn insert_job(&self, new: &NewJob) -> Result<Job, StoreError> {
        let mut tx = self.write().await?;
        let mut log = Log::at(new.id, 0);
        sqlx::query(
            "insert into jobs (id, status, last_event_id, spec, plan, progress, metrics, model, created_at)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(new.id)
        .bind(Status::Queued.as_str())
        .bind(int(log.last() + 1)?)
        .bind(json(&new.spec)?)
        .bind(json(&new.plan)?)
        .bind(json(&Progress::start(&new.plan))?)
        .bind(json(&LastMetrics::default())?)
        .bind(new.spec.model_name())
        .bind(new.at.to_string())
        .execute(&mut *tx)
        .await?;
        let state = State { status: Status::Queued, stop_reason: None, attempt: 0, detail: None };
        log.push(&mut tx, new.at, EventBody::State(state)).await?;
        let job = row::get(&mut tx, new.id).await?;
        tx.commit().await?;
        Ok(job)
    }

    /// The job of this id, if there is one.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn job(&self, id: Uuid) -> Result<Option<Job>, StoreError> {
        row::find(&mut *self.read().await?, id).await
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
                 (select seq, row_number() over (order by seq) as place from jobs where status = 'queued')
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
