//! Jobs and models deleted, for good.
//!
//! What names a deleted job goes on naming it: versions of models say who trained them, forks where they began. A model's
//! row stays when its last version goes, so that no version's number is ever given twice.

use uuid::Uuid;

use super::error::StoreError;
use super::moves::Head;
use super::open::Store;
use super::weights;
use super::wishes::Refused;

impl Store {
    /// Deletes a job that has ended, with its log, its history and its checkpoint. The versions of models that it has
    /// trained stay; its weights go unless one of them, or another job, has the same. Its place in the list of jobs stays
    /// known, for clients that are paging. `None` where there is no such job.
    ///
    /// # Errors
    /// Any failure of the database. The inner error is a refusal: of a job that has not ended.
    pub async fn delete_job(&self, id: Uuid) -> Result<Option<Result<(), Refused>>, StoreError> {
        let mut tx = self.write().await?;
        let Some(head) = Head::find(&mut tx, id).await? else { return Ok(None) };
        if !head.status.is_final() {
            return Ok(Some(Err(Refused::NotEnded(head.status))));
        }
        sqlx::query("insert into deleted_jobs (id, seq) select id, seq from jobs where id = ?")
            .bind(id)
            .execute(&mut *tx)
            .await?;
        let (sha256, trained_with): (Option<String>, String) =
            sqlx::query_as("delete from jobs where id = ? returning weights_sha256, trained_with")
                .bind(id)
                .fetch_one(&mut *tx)
                .await?;
        if let Some(sha256) = sha256 {
            sqlx::query("update jobs set original_sha256 = ?, original_trained_with = ? where reproduces = ?")
                .bind(&sha256)
                .bind(trained_with)
                .bind(id)
                .execute(&mut *tx)
                .await?;
            weights::free(&mut tx, &sha256).await?;
        }
        tx.commit().await?;
        self.freed.notify_one();
        Ok(Some(Ok(())))
    }

    /// Deletes a version of a model, or all it has. Their weights go unless a job or another version has the same. Returns
    /// whether there was any.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn delete_versions(&self, name: &str, version: Option<u32>) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let deleted: Vec<String> = sqlx::query_scalar(
            "delete from model_versions where model = ?1 and (?2 is null or version = ?2) returning weights_sha256",
        )
        .bind(name)
        .bind(version)
        .fetch_all(&mut *tx)
        .await?;
        for sha256 in &deleted {
            weights::free(&mut tx, sha256).await?;
        }
        tx.commit().await?;
        self.freed.notify_one();
        Ok(!deleted.is_empty())
    }
}
