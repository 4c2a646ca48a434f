//! How many jobs are in each state.

use super::error::StoreError;
use super::open::Store;
use super::row::status;
use crate::job::status::Status;

/// Jobs by their state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts(Vec<(Status, u64)>);

impl Counts {
    /// Those in this state.
    pub fn of(&self, status: Status) -> u64 {
        self.0.iter().find(|(of, _)| *of == status).map_or(0, |(_, count)| *count)
    }
}

impl Store {
    /// How many jobs are in each state.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        // Off an index.
        let rows: Vec<(String, i64)> =
            sqlx::query_as("select status, count(*) from jobs group by status").fetch_all(&self.readers).await?;
        let mut counts = Vec::new();
        for (name, count) in rows {
            counts.push((status(&name, "status of a job")?, u64::try_from(count).unwrap_or(0)));
        }
        Ok(Counts(counts))
    }
}
