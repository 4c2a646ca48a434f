//! The figures of a training, for charts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::{Corrupt, StoreError};
use super::from_row::from_row;
use super::open::Store;
use super::row::{finite, insert_rows, int, time};
use crate::job::event::{Event, EventBody};
use crate::job::view::{LastMetrics, Progress};

/// The figures of a training, each step once, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Means over the mini-batches between two points.
    pub steps: Vec<StepPoint>,
    /// The ends of epochs.
    pub epochs: Vec<EpochPoint>,
}

/// Means over the mini-batches since the point before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPoint {
    /// Mini-batches done.
    pub step: u64,
    /// The epoch, from 1.
    pub epoch: u64,
    /// Mean training loss.
    pub loss: Option<f64>,
    /// Share of training samples read right.
    pub accuracy: Option<f64>,
    /// The learning rate.
    pub learning_rate: Option<f64>,
    /// Training speed.
    pub samples_per_second: Option<f64>,
    /// When.
    pub at: Timestamp,
}

/// The end of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochPoint {
    /// Its number, from 1.
    pub epoch: u64,
    /// Mini-batches done.
    pub step: u64,
    /// Mean loss over its training samples.
    pub train_loss: Option<f64>,
    /// Share of them read right.
    pub train_accuracy: Option<f64>,
    /// Mean loss over the samples that are held out.
    pub validation_loss: Option<f64>,
    /// Share of them read right.
    pub validation_accuracy: Option<f64>,
    /// Mean loss over the test samples.
    pub test_loss: Option<f64>,
    /// Share of them read right.
    pub test_accuracy: Option<f64>,
    /// Training time since the epoch began or the run resumed.
    pub seconds: Option<f64>,
    /// When.
    pub at: Timestamp,
}

impl Store {
    /// The figures of a job so far; none of a job that is not there.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn metrics(&self, job: Uuid) -> Result<History, StoreError> {
        let mut tx = self.read().await?;
        let steps: Vec<StepRow> = sqlx::query_as(
            "select step, epoch, loss, accuracy, learning_rate, samples_per_second, at
             from metrics where job = ? order by step",
        )
        .bind(job)
        .fetch_all(&mut *tx)
        .await?;
        let epochs: Vec<EpochRow> = sqlx::query_as(
            "select epoch, step, train_loss, train_accuracy, validation_loss, validation_accuracy,
                    test_loss, test_accuracy, seconds, at
             from epochs where job = ? order by epoch",
        )
        .bind(job)
        .fetch_all(&mut *tx)
        .await?;
        Ok(History {
            steps: steps.into_iter().map(StepRow::into_point).collect::<Result<_, Corrupt>>()?,
            epochs: epochs.into_iter().map(EpochRow::into_point).collect::<Result<_, Corrupt>>()?,
        })
    }
}

struct StepRow {
    step: u64,
    epoch: u64,
    loss: Option<f64>,
    accuracy: Option<f64>,
    learning_rate: Option<f64>,
    samples_per_second: Option<f64>,
    at: String,
}
from_row!(StepRow { step: i64, epoch: i64, loss, accuracy, learning_rate, samples_per_second, at });

impl StepRow {
    fn into_point(self) -> Result<StepPoint, Corrupt> {
        let Self { step, epoch, loss, accuracy, learning_rate, samples_per_second, at } = self;
        let at = time(&at, "the time of a metrics row")?;
        Ok(StepPoint { step, epoch, loss, accuracy, learning_rate, samples_per_second, at })
    }
}

struct EpochRow {
    epoch: u64,
    step: u64,
    train_loss: Option<f64>,
    train_accuracy: Option<f64>,
    validation_loss: Option<f64>,
    validation_accuracy: Option<f64>,
    test_loss: Option<f64>,
    test_accuracy: Option<f64>,
    seconds: Option<f64>,
    at: String,
}
from_row!(EpochRow {
    epoch: i64,
    step: i64,
    train_loss,
    train_accuracy,
    validation_loss,
    validation_accuracy,
    test_loss,
    test_accuracy,
    seconds,
    at
});

impl EpochRow {
    fn into_point(self) -> Result<EpochPoint, Corrupt> {
        Ok(EpochPoint {
            epoch: self.epoch,
            step: self.step,
            train_loss: self.train_loss,
            train_accuracy: self.train_accuracy,
            validation_loss: self.validation_loss,
            validation_accuracy: self.validation_accuracy,
            test_loss: self.test_loss,
            test_accuracy: self.test_accuracy,
            seconds: self.seconds,
            at: time(&self.at, "the time of an epochs row")?,
        })
    }
}

/// Keeps the figures of those events that have any.
pub(super) async fn keep(db: &mut SqliteConnection, events: &[Event]) -> Result<(), StoreError> {
    let (mut steps, mut epochs) = (Vec::new(), Vec::new());
    for event in events {
        match &event.body {
            EventBody::Metrics(metrics) => {
                steps.push((event, int(metrics.step)?, int(metrics.epoch)?, metrics));
            }
            EventBody::Epoch(epoch) => epochs.push((event, int(epoch.epoch)?, int(epoch.step)?, epoch)),
            EventBody::State(_) | EventBody::Checkpoint(_) | EventBody::Alert(_) | EventBody::Done(_) => {}
        }
    }
    insert_rows(
        db,
        "insert or replace into metrics
             (job, step, epoch, loss, accuracy, learning_rate, samples_per_second, at) ",
        steps,
        |mut row, (event, step, epoch, metrics)| {
            row.push_bind(event.job)
                .push_bind(step)
                .push_bind(epoch)
                .push_bind(finite(metrics.loss))
                .push_bind(finite(metrics.accuracy))
                .push_bind(finite(Some(metrics.learning_rate)))
                .push_bind(finite(metrics.samples_per_second))
                .push_bind(event.at.to_string());
        },
    )
    .await?;
    insert_rows(
        db,
        "insert or replace into epochs
             (job, epoch, step, train_loss, train_accuracy, validation_loss, validation_accuracy, test_loss,
              test_accuracy, seconds, at) ",
        epochs,
        |mut row, (event, epoch, step, figures)| {
            row.push_bind(event.job)
                .push_bind(epoch)
                .push_bind(step)
                .push_bind(finite(figures.train_loss))
                .push_bind(finite(figures.train_accuracy))
                .push_bind(finite(figures.validation_loss))
                .push_bind(finite(figures.validation_accuracy))
                .push_bind(finite(figures.test_loss))
                .push_bind(finite(figures.test_accuracy))
                .push_bind(finite(Some(figures.seconds)))
                .push_bind(event.at.to_string());
        },
    )
    .await
}

/// Deletes the figures of what comes after this step, which will be trained again, and returns the newest that stay.
pub(super) async fn rewind(db: &mut SqliteConnection, job: Uuid, step: i64) -> Result<LastMetrics, StoreError> {
    sqlx::query("delete from metrics where job = ? and step > ?").bind(job).bind(step).execute(&mut *db).await?;
    sqlx::query("delete from epochs where job = ? and step > ?").bind(job).bind(step).execute(&mut *db).await?;
    sqlx::query("delete from diagnostics where job = ? and step > ?").bind(job).bind(step).execute(&mut *db).await?;
    let window: Option<(Option<f64>, Option<f64>)> =
        sqlx::query_as("select loss, accuracy from metrics where job = ? order by step desc limit 1")
            .bind(job)
            .fetch_optional(&mut *db)
            .await?;
    let epoch: Option<EpochRow> = sqlx::query_as(
        "select epoch, step, train_loss, train_accuracy, validation_loss, validation_accuracy, test_loss, test_accuracy,
                seconds, at
         from epochs where job = ? order by epoch desc limit 1",
    )
    .bind(job)
    .fetch_optional(db)
    .await?;
    let (loss, accuracy) = window.unwrap_or_default();
    let newest = LastMetrics { loss, accuracy, ..LastMetrics::default() };
    Ok(epoch.map_or(newest.clone(), |epoch| LastMetrics {
        train_loss: epoch.train_loss,
        train_accuracy: epoch.train_accuracy,
        validation_loss: epoch.validation_loss,
        validation_accuracy: epoch.validation_accuracy,
        test_loss: epoch.test_loss,
        test_accuracy: epoch.test_accuracy,
        ..newest
    }))
}

/// The progress of a job that is back at this step.
pub(super) fn progress_at(progress: &Progress, step: u64) -> Progress {
    let steps_per_epoch = (progress.total_steps / progress.epochs.max(1)).max(1);
    Progress {
        step,
        epoch: step.div_ceil(steps_per_epoch),
        fraction: step as f64 / progress.total_steps.max(1) as f64,
        eta_seconds: None,
        ..progress.clone()
    }
}
