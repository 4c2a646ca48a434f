//! Requests that may come twice, by the key that their client gives them
//! (draft-ietf-httpapi-idempotency-key-header).

use std::time::Duration;

use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::StoreError;
use super::open::Store;
use super::row::{self, int};
use crate::job::view::Job;

/// How long a key is remembered, of the time that servers are up: no clock on the wall can make a request new again.
const KEPT: Duration = Duration::from_hours(24);

/// A request as its client names it, and what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The client's key: 1 to 255 characters.
    pub key: String,
    /// SHA-256 of the request's path and body.
    pub request_sha256: String,
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Keyed {
    /// The same request has made this job.
    Job(Box<Job>),
    /// Another request has used the key.
    Other,
}

impl Store {
    /// What a key stands for, in a process that is `up` for so long; `None` if it is new, or more than a day old.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn keyed(&self, key: &RequestKey, up: Duration) -> Result<Option<Keyed>, StoreError> {
        let now = self.uptime_ms(up)?;
        find(&mut *self.read().await?, key, now).await
    }

    /// Writes down that this process is `up` for so long: keys go on getting older in the next one.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn keep_uptime(&self, up: Duration) -> Result<(), StoreError> {
        let now = self.uptime_ms(up)?;
        let mut tx = self.write().await?;
        note(&mut tx, now).await?;
        tx.commit().await
    }

    /// How long servers have been up with this database, in a process that is `up` for so long.
    pub(super) fn uptime_ms(&self, up: Duration) -> Result<i64, StoreError> {
        let ms = int(u64::try_from(up.as_millis()).unwrap_or(u64::MAX))?;
        Ok(self.uptime_before.saturating_add(ms))
    }
}

async fn note(db: &mut SqliteConnection, now: i64) -> Result<(), StoreError> {
    sqlx::query("update uptime set ms = max(ms, ?)").bind(now).execute(db).await?;
    Ok(())
}

/// Keys of before this uptime count no more.
fn oldest(now: i64) -> i64 {
    now.saturating_sub(i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX))
}

pub(super) async fn find(db: &mut SqliteConnection, key: &RequestKey, now: i64) -> Result<Option<Keyed>, StoreError> {
    let row: Option<(String, Uuid)> =
        sqlx::query_as("select request_sha256, job from idempotency_keys where key = ? and uptime_ms >= ?")
            .bind(&key.key)
            .bind(oldest(now))
            .fetch_optional(&mut *db)
            .await?;
    match row {
        None => Ok(None),
        Some((request, _)) if request != key.request_sha256 => Ok(Some(Keyed::Other)),
        Some((_, job)) => Ok(Some(Keyed::Job(Box::new(row::get(db, job).await?)))),
    }
}

/// Remembers which job a request has made.
pub(super) async fn keep(db: &mut SqliteConnection, key: &RequestKey, job: Uuid, now: i64) -> Result<(), StoreError> {
    note(&mut *db, now).await?;
    sqlx::query("insert into idempotency_keys (key, request_sha256, job, uptime_ms) values (?, ?, ?, ?)")
        .bind(&key.key)
        .bind(&key.request_sha256)
        .bind(job)
        .bind(now)
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets the keys that count no more.
pub(super) async fn delete_old(db: &mut SqliteConnection, now: i64) -> Result<(), StoreError> {
    sqlx::query("delete from idempotency_keys where uptime_ms < ?").bind(oldest(now)).execute(db).await?;
    Ok(())
}
