//! A job's log.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::{Corrupt, StoreError};
use super::from_row::from_row;
use super::open::Store;
use super::row::{document, insert_rows, int, json, time};
use crate::job::event::{Event, EventBody};

impl Store {
    /// At most `limit` events of a job that come after this id, in order; none of a job that is not there.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn events(&self, job: Uuid, after: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
        let rows: Vec<Row> =
            sqlx::query_as("select id, at, body from events where job = ? and id > ? order by id limit ?")
                .bind(job)
                // No id is larger than that; a client may name any.
                .bind(i64::try_from(after).unwrap_or(i64::MAX))
                .bind(limit)
                .fetch_all(&self.readers)
                .await?;
        Ok(rows.into_iter().map(|row| row.into_event(job)).collect::<Result<_, Corrupt>>()?)
    }
}

struct Row {
    id: u64,
    at: String,
    body: String,
}
from_row!(Row { id: i64, at, body });

impl Row {
    fn into_event(self, job: Uuid) -> Result<Event, Corrupt> {
        let what = format!("event {} of job {job}", self.id);
        Ok(Event { id: self.id, job, at: time(&self.at, &what)?, body: document(&self.body, &what)? })
    }
}

/// A job's log while it is written: gives the next id, and takes no other.
#[derive(Debug)]
pub(super) struct Log {
    job: Uuid,
    last: u64,
}

impl Log {
    /// The log of a job whose newest event has this id; 0 if it has none.
    pub(super) fn at(job: Uuid, last: u64) -> Self {
        Self { job, last }
    }

    /// The id of the newest event.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Adds the next event.
    pub(super) async fn push(
        &mut self,
        db: &mut SqliteConnection,
        at: Timestamp,
        body: EventBody,
    ) -> Result<Event, StoreError> {
        let event = Event { id: self.last + 1, job: self.job, at, body };
        self.take(db, std::slice::from_ref(&event)).await?;
        Ok(event)
    }

    /// Adds events that have their ids already, which must be the next ones.
    pub(super) async fn take(&mut self, db: &mut SqliteConnection, events: &[Event]) -> Result<(), StoreError> {
        let (job, mut last) = (self.job, self.last);
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            if (event.job, event.id) != (job, last + 1) {
                let next = last + 1;
                let found = format!("event {} of job {}", event.id, event.job);
                return Err(StoreError::Internal(format!("{found} where event {next} of job {job} is due")));
            }
            last = event.id;
            rows.push((int(event.id)?, event.body.kind(), event.at.to_string(), json(&event.body)?));
        }
        insert_rows(db, "insert into events (job, id, type, at, body) ", rows, |mut row, (id, kind, at, body)| {
            row.push_bind(job).push_bind(id).push_bind(kind).push_bind(at).push_bind(body);
        })
        .await?;
        self.last = last;
        Ok(())
    }
}
