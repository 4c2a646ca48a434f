//! Requests that may come twice, by the key that their client gives them
//! (draft-ietf-httpapi-idempotency-key-header).

use jiff::{SignedDuration, Timestamp};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::StoreError;
use super::jobs::NewJob;
use super::open::Store;
use super::row;
use crate::job::view::Job;

/// How long a key is remembered.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

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
    /// What a key stands for; `None` if it is new, or was last used more than a day ago.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn keyed(&self, key: &RequestKey, at: Timestamp) -> Result<Option<Keyed>, StoreError> {
        find(&mut *self.read().await?, key, at).await
    }
}

/// The creation times of the keys that count at this moment, in milliseconds. After a clock that was far ahead has been
/// put right, a key from the future counts no longer than any other.
fn span(at: Timestamp) -> (i64, i64) {
    let (now, kept) = (at.as_millisecond(), i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX));
    (now.saturating_sub(kept), now.saturating_add(kept))
}

pub(super) async fn find(
    db: &mut SqliteConnection,
    key: &RequestKey,
    at: Timestamp,
) -> Result<Option<Keyed>, StoreError> {
    let (first, last) = span(at);
    let row: Option<(String, Uuid)> =
        sqlx::query_as("select request_sha256, job from idempotency_keys where key = ? and created_ms between ? and ?")
            .bind(&key.key)
            .bind(first)
            .bind(last)
            .fetch_optional(&mut *db)
            .await?;
    match row {
        None => Ok(None),
        Some((request, _)) if request != key.request_sha256 => Ok(Some(Keyed::Other)),
        Some((_, job)) => Ok(Some(Keyed::Job(Box::new(row::get(db, job).await?)))),
    }
}

/// Remembers which job a request has made.
pub(super) async fn keep(db: &mut SqliteConnection, key: &RequestKey, new: &NewJob) -> Result<(), StoreError> {
    sqlx::query("insert into idempotency_keys (key, request_sha256, job, created_ms) values (?, ?, ?, ?)")
        .bind(&key.key)
        .bind(&key.request_sha256)
        .bind(new.id)
        .bind(new.at.as_millisecond())
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets the keys that count no more.
pub(super) async fn delete_old(db: &mut SqliteConnection, at: Timestamp) -> Result<(), StoreError> {
    let (first, last) = span(at);
    sqlx::query("delete from idempotency_keys where created_ms < ? or created_ms > ?")
        .bind(first)
        .bind(last)
        .execute(db)
        .await?;
    Ok(())
}
