//! Looks inside a network while it trained, and what it was worth at the end.

use serde::Serialize;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::{Corrupt, StoreError};
use super::open::Store;
use super::row::{document, int, json};
use crate::engine::diagnostics::Diagnostics;
use crate::engine::metrics::Report;

/// What is known of the inside of a job's network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Looks {
    /// At the end of epochs, in order.
    pub epochs: Vec<Diagnostics>,
    /// Of the final weights on the test samples; of a job that succeeded.
    pub evaluation: Option<Report>,
}

impl Store {
    /// The looks inside a job's network; of those at the end of epochs, the last `limit` ones after epoch `after`.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn diagnostics(&self, job: Uuid, after: u64, limit: u32) -> Result<Looks, StoreError> {
        let mut tx = self.read().await?;
        let epochs: Vec<String> = sqlx::query_scalar(
            "select body from (select epoch, body from diagnostics where job = ? and epoch > ? order by epoch desc limit ?)
             order by epoch",
        )
        .bind(job)
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
        let evaluation: Option<String> =
            sqlx::query_scalar("select body from evaluations where job = ?").bind(job).fetch_optional(&mut *tx).await?;
        let what = format!("diagnostics of job {job}");
        Ok(Looks {
            epochs: epochs.iter().map(|body| document(body, &what)).collect::<Result<_, Corrupt>>()?,
            evaluation: evaluation.map(|body| document(&body, &what)).transpose()?,
        })
    }
}

/// Keeps a look; one that comes again after a resumption takes the place of the former.
pub(super) async fn keep_look(db: &mut SqliteConnection, job: Uuid, look: &Diagnostics) -> Result<(), StoreError> {
    sqlx::query("insert or replace into diagnostics (job, epoch, step, body) values (?, ?, ?, ?)")
        .bind(job)
        .bind(int(look.epoch)?)
        .bind(int(look.step)?)
        .bind(json(look)?)
        .execute(db)
        .await?;
    Ok(())
}

/// Keeps what the final weights are worth.
pub(super) async fn keep_evaluation(db: &mut SqliteConnection, job: Uuid, report: &Report) -> Result<(), StoreError> {
    sqlx::query("insert or replace into evaluations (job, body) values (?, ?)")
        .bind(job)
        .bind(json(report)?)
        .execute(db)
        .await?;
    Ok(())
}
