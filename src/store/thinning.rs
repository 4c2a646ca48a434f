//! Histories of long trainings thinned as they grow.

use sqlx::{QueryBuilder, SqliteConnection};
use uuid::Uuid;

use super::checkpoints;
use super::error::StoreError;
use super::from_row::from_row;
use super::history::Resolution;
use super::row::int;
use crate::job::thin::{FIGURES, Point, fit};

/// Most points of a kind that a job has: with more, they are thinned to at most half as many.
pub(super) const MOST_POINTS: usize = 2000;
/// Most points that one statement deletes.
const DELETED_AT_ONCE: usize = 256;

/// What of a point decides whether it stays.
struct Row {
    place: u64,
    first: Option<f64>,
    second: Option<f64>,
    third: Option<f64>,
    /// Mini-batches done, by which a resumed training goes back.
    step: u64,
}
from_row!(Row { place: i64, first, second, third, step: i64 });

impl Point for Row {
    fn place(&self) -> u64 {
        self.place
    }

    fn figures(&self) -> [Option<f64>; FIGURES] {
        [self.first, self.second, self.third]
    }
}

/// A table of points.
struct Table {
    count: &'static str,
    rows: &'static str,
    delete: &'static str,
    window: &'static str,
    widen: &'static str,
}

const STEPS: Table = Table {
    count: "select count(*) from metrics where job = ?",
    rows: "select step as place, loss as first, null as second, null as third, step from metrics where job = ? order by step",
    delete: "delete from metrics where job = ",
    window: "select steps_window from jobs where id = ?",
    widen: "update jobs set steps_window = ? where id = ?",
};

const EPOCHS: Table = Table {
    count: "select count(*) from epochs where job = ?",
    rows: "select epoch as place, test_loss as first, validation_loss as second, validation_accuracy as third, step
           from epochs where job = ? order by epoch",
    delete: "delete from epochs where job = ",
    window: "select epochs_window from jobs where id = ?",
    widen: "update jobs set epochs_window = ? where id = ?",
};

/// Thins the means over mini-batches, if there are too many.
pub(super) async fn steps(db: &mut SqliteConnection, job: Uuid) -> Result<(), StoreError> {
    thin(db, job, &STEPS, " and step in (").await
}

/// Thins the evaluations, if there are too many.
pub(super) async fn epochs(db: &mut SqliteConnection, job: Uuid) -> Result<(), StoreError> {
    thin(db, job, &EPOCHS, " and epoch in (").await
}

/// Notes that evaluations come thinned by windows of so many epochs already.
pub(super) async fn widen_epochs(db: &mut SqliteConnection, job: Uuid, window: u64) -> Result<(), StoreError> {
    let window = int(window)?;
    sqlx::query("update jobs set epochs_window = ? where id = ? and epochs_window < ?")
        .bind(window)
        .bind(job)
        .bind(window)
        .execute(db)
        .await?;
    Ok(())
}

/// How far the history of a job is thinned.
pub(super) async fn resolution(db: &mut SqliteConnection, job: Uuid) -> Result<Resolution, StoreError> {
    let widths: Option<(i64, i64)> = sqlx::query_as("select steps_window, epochs_window from jobs where id = ?")
        .bind(job)
        .fetch_optional(db)
        .await?;
    let width = |width| u64::try_from(width).unwrap_or(1);
    Ok(widths.map_or_else(Resolution::default, |(s, e)| Resolution { steps: width(s), epochs: width(e) }))
}

async fn thin(db: &mut SqliteConnection, job: Uuid, table: &Table, places: &'static str) -> Result<(), StoreError> {
    let count: i64 = sqlx::query_scalar(table.count).bind(job).fetch_one(&mut *db).await?;
    if usize::try_from(count).is_ok_and(|count| count <= MOST_POINTS) {
        return Ok(());
    }
    let rows: Vec<Row> = sqlx::query_as(table.rows).bind(job).fetch_all(&mut *db).await?;
    let width: i64 = sqlx::query_scalar(table.window).bind(job).fetch_one(&mut *db).await?;
    // A resumed run deletes what comes after the checkpoint: the window it lies in must not be left without its spikes.
    let saved = u64::try_from(checkpoints::step(db, job).await?).unwrap_or(0);
    let cut = rows.iter().rev().find(|row| row.step <= saved).map_or(0, Row::place);
    let (width, stay) = fit(&rows, u64::try_from(width).unwrap_or(1), cut, MOST_POINTS / 2);
    let gone: Vec<u64> = rows.iter().zip(stay).filter(|(_, stays)| !stays).map(|(row, _)| row.place).collect();
    for some in gone.chunks(DELETED_AT_ONCE) {
        let mut sql = QueryBuilder::new(table.delete);
        sql.push_bind(job).push(places);
        let mut listed = sql.separated(", ");
        for place in some {
            listed.push_bind(int(*place)?);
        }
        listed.push_unseparated(")");
        sql.build().persistent(some.len() == DELETED_AT_ONCE).execute(&mut *db).await?;
    }
    sqlx::query(table.widen).bind(int(width)?).bind(job).execute(db).await?;
    Ok(())
}
