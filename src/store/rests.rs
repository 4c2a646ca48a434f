//! How much is left to train of the jobs that run or wait.

use uuid::Uuid;

use super::error::StoreError;
use super::from_row::from_row;
use super::open::Store;

/// What is left of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rest {
    /// The job.
    pub job: Uuid,
    /// Whether it waits; else it runs.
    pub waits: bool,
    /// Seconds of training that are left, about; `None` where its speed is not known, as before its first start.
    pub seconds: Option<f64>,
}
from_row!(Rest { job, waits, seconds });

impl Store {
    /// What is left of the jobs that run, and then of those that wait, in the order of the queue.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn rests(&self) -> Result<Vec<Rest>, StoreError> {
        // An epoch is train_samples samples, so a whole training epochs × train_samples, about.
        Ok(sqlx::query_as(
            "select id as job, status = 'queued' as waits,
                 case when not (json_valid(progress) and json_valid(plan)) then null
                      when status = 'running' then cast(json_extract(progress, '$.eta_seconds') as real)
                      else (1.0 - json_extract(progress, '$.fraction')) * json_extract(plan, '$.epochs')
                          * json_extract(plan, '$.train_samples') / json_extract(progress, '$.samples_per_second')
                 end as seconds
             from jobs where status in ('running', 'queued')
             order by status = 'queued', priority desc, seq",
        )
        .fetch_all(&self.readers)
        .await?)
    }
}
