//! The figures of a training, for charts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::{Corrupt, StoreError};
use super::from_row::from_row;
use super::open::Store;
use super::row::{finite, insert_rows, int, time};
use super::thinning;
use crate::job::event::{Epoch, Metrics};
use crate::job::thin::{FIGURES, Point};
use crate::job::view::{LastMetrics, Progress};

/// The figures of a training, each step once, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Means over the mini-batches between two reports.
    pub steps: Vec<StepPoint>,
    /// The evaluations.
    pub epochs: Vec<EpochPoint>,
    /// How many of them are left.
    pub resolution: Resolution,
}

/// Widths of the windows of which only the points with the least and the largest figures are left, with the first and the
/// last of each; 1 where all points are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Mini-batches of a window of `steps`.
    pub steps: u64,
    /// Epochs of a window of `epochs`.
    pub epochs: u64,
}

impl Default for Resolution {
    fn default() -> Self {
        Self { steps: 1, epochs: 1 }
    }
}

/// Points to add to a history.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Means over mini-batches.
    pub steps: Vec<StepPoint>,
    /// Evaluations.
    pub epochs: Vec<EpochPoint>,
    /// Width in epochs of the windows that they were thinned by before they came here; 0 where none was left out.
    pub epochs_window: u64,
}

impl Figures {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.epochs.is_empty()
    }

    /// Adds those that come after.
    pub fn append(&mut self, mut later: Self) {
        self.steps.append(&mut later.steps);
        self.epochs.append(&mut later.epochs);
        self.epochs_window = self.epochs_window.max(later.epochs_window);
    }
}

impl StepPoint {
    /// The point that a metrics event tells of.
    pub fn new(metrics: &Metrics, at: Timestamp) -> Self {
        Self {
            step: metrics.step,
            epoch: metrics.epoch,
            loss: metrics.loss,
            accuracy: metrics.accuracy,
            learning_rate: Some(metrics.learning_rate),
            samples_per_second: metrics.samples_per_second,
            at,
        }
    }
}

impl EpochPoint {
    /// The point of an evaluation.
    pub fn new(epoch: &Epoch, at: Timestamp) -> Self {
        Self {
            epoch: epoch.epoch,
            step: epoch.step,
            train_loss: epoch.train_loss,
            train_accuracy: epoch.train_accuracy,
            validation_loss: epoch.validation_loss,
            validation_accuracy: epoch.validation_accuracy,
            test_loss: epoch.test_loss,
            test_accuracy: epoch.test_accuracy,
            seconds: Some(epoch.seconds),
            at,
        }
    }
}

impl Point for StepPoint {
    fn place(&self) -> u64 {
        self.step
    }

    fn figures(&self) -> [Option<f64>; FIGURES] {
        [self.loss, None, None]
    }
}

impl Point for EpochPoint {
    fn place(&self) -> u64 {
        self.epoch
    }

    fn figures(&self) -> [Option<f64>; FIGURES] {
        [self.test_loss, self.validation_loss, self.validation_accuracy]
    }
}

/// Means over the mini-batches since the report before, whether that is still in the history or not.
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

/// The evaluation at the end of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochPoint {
    /// Its number, from 1.
    pub epoch: u64,
    /// Mini-batches done.
    pub step: u64,
    /// Mean loss over the training samples since the evaluation before.
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
    /// Training time since the evaluation before, or since the run began.
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
        let resolution = thinning::resolution(&mut tx, job).await?;
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
            resolution,
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

/// Adds points to the history of a job, and thins it where it has become long.
pub(super) async fn keep(db: &mut SqliteConnection, job: Uuid, figures: &Figures) -> Result<(), StoreError> {
    let Figures { steps, epochs, epochs_window } = figures;
    if *epochs_window > 1 {
        thinning::widen_epochs(db, job, *epochs_window).await?;
    }
    let mut rows = Vec::with_capacity(steps.len());
    for point in steps {
        rows.push((int(point.step)?, int(point.epoch)?, point));
    }
    insert_rows(
        db,
        "insert or replace into metrics
             (job, step, epoch, loss, accuracy, learning_rate, samples_per_second, at) ",
        rows,
        |mut row, (step, epoch, point)| {
            row.push_bind(job)
                .push_bind(step)
                .push_bind(epoch)
                .push_bind(finite(point.loss))
                .push_bind(finite(point.accuracy))
                .push_bind(finite(point.learning_rate))
                .push_bind(finite(point.samples_per_second))
                .push_bind(point.at.to_string());
        },
    )
    .await?;
    let mut rows = Vec::with_capacity(epochs.len());
    for point in epochs {
        rows.push((int(point.epoch)?, int(point.step)?, point));
    }
    insert_rows(
        db,
        "insert or replace into epochs
             (job, epoch, step, train_loss, train_accuracy, validation_loss, validation_accuracy, test_loss,
              test_accuracy, seconds, at) ",
        rows,
        |mut row, (epoch, step, point)| {
            row.push_bind(job)
                .push_bind(epoch)
                .push_bind(step)
                .push_bind(finite(point.train_loss))
                .push_bind(finite(point.train_accuracy))
                .push_bind(finite(point.validation_loss))
                .push_bind(finite(point.validation_accuracy))
                .push_bind(finite(point.test_loss))
                .push_bind(finite(point.test_accuracy))
                .push_bind(finite(point.seconds))
                .push_bind(point.at.to_string());
        },
    )
    .await?;
    if !steps.is_empty() {
        thinning::steps(db, job).await?;
    }
    if !epochs.is_empty() {
        thinning::epochs(db, job).await?;
    }
    Ok(())
}

/// Deletes the figures of what comes after this step, which will be trained again, and returns the newest that stay; those
/// known before where a training that has begun has none of a kind.
pub(super) async fn rewind(
    db: &mut SqliteConnection,
    job: Uuid,
    step: i64,
    before: &LastMetrics,
) -> Result<LastMetrics, StoreError> {
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
    let known = if step > 0 { before.clone() } else { LastMetrics::default() };
    let (loss, accuracy) = window.unwrap_or((known.loss, known.accuracy));
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
pub(super) fn progress_at(progress: &Progress, step: u64, steps_per_epoch: u64) -> Progress {
    let mut back = Progress { eta_seconds: None, ..progress.clone() };
    back.reach(step, steps_per_epoch);
    back
}
