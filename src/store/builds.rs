//! The builds that train a job, and what they tell of a reproduction that came out otherwise.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::StoreError;
use super::events::Log;
use super::moves::Head;
use super::open::Store;
use super::row::{document, json};
use super::run::RunKey;
use crate::job::build::{Build, differences};
use crate::job::event::{Alert, Event, EventBody};

/// The code of the alert.
const NOT_REPRODUCED: &str = "not_reproduced";

impl Store {
    /// Records that a build trains the job of this run. One that is recorded already is not recorded again.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where the run no longer owns the job; any failure of the database.
    pub async fn record_build(&self, run: RunKey, build: &Build) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let head = Head::owned(&mut tx, run).await?;
        let text: String =
            sqlx::query_scalar("select trained_with from jobs where id = ?").bind(head.id).fetch_one(&mut *tx).await?;
        let mut builds: Vec<Build> = document(&text, &format!("trained_with of job {}", head.id))?;
        if !builds.contains(build) {
            builds.push(build.clone());
            sqlx::query("update jobs set trained_with = ? where id = ?")
                .bind(json(&builds)?)
                .bind(head.id)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await
    }
}

/// Logs an alert if a job reproduces another one whose weights have another SHA-256.
pub(super) async fn alert_if_not_reproduced(
    db: &mut SqliteConnection,
    log: &mut Log,
    job: Uuid,
    sha256: &str,
    at: Timestamp,
) -> Result<Option<Event>, StoreError> {
    let row: Option<(Uuid, Option<String>, String, Option<String>)> = sqlx::query_as(
        "select jobs.reproduces, coalesce(original.weights_sha256, jobs.original_sha256), jobs.trained_with,
             coalesce(original.trained_with, jobs.original_trained_with)
         from jobs left join jobs as original on original.id = jobs.reproduces
         where jobs.id = ? and jobs.reproduces is not null",
    )
    .bind(job)
    .fetch_optional(&mut *db)
    .await?;
    let Some((original, Some(expected), own, of_original)) = row else { return Ok(None) };
    if expected == sha256 {
        return Ok(None);
    }
    let what = format!("trained_with of job {job} or of job {original}");
    let of_original: Vec<Build> = document(of_original.as_deref().unwrap_or("[]"), &what)?;
    let found = differences(&of_original, &document::<Vec<Build>>(&own, &what)?);
    let why = if found.is_empty() {
        "builds and kernels are the same".to_owned()
    } else {
        let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
        format!("the trainings differ in {}", texts.join("; "))
    };
    let detail = format!("the weights are not those of job {original} ({expected}): {why}");
    log.push(db, at, EventBody::Alert(Alert { code: NOT_REPRODUCED.into(), detail })).await.map(Some)
}
