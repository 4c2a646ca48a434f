//! Final weights, by their content.

use sqlx::SqliteConnection;

use super::chunks;
use super::error::StoreError;
use super::open::Store;

/// Weights to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWeights {
    /// The weights file.
    pub bytes: Vec<u8>,
    /// Its SHA-256, in lowercase hexadecimal digits.
    pub sha256: String,
}

impl Store {
    /// The weights file of this SHA-256, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where its bytes are not what was written; any failure of the database.
    pub async fn weights(&self, sha256: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut tx = self.read().await?;
        let blob: Option<i64> = sqlx::query_scalar("select blob from weights where sha256 = ?")
            .bind(sha256)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(blob) = blob else { return Ok(None) };
        chunks::read(&mut tx, blob, sha256, &format!("weights {sha256}")).await.map(Some)
    }
}

/// Keeps weights, unless the same are kept already.
pub(super) async fn keep(db: &mut SqliteConnection, weights: &NewWeights) -> Result<(), StoreError> {
    let kept: bool = sqlx::query_scalar("select exists (select 1 from weights where sha256 = ?)")
        .bind(&weights.sha256)
        .fetch_one(&mut *db)
        .await?;
    if kept {
        return Ok(());
    }
    let blob = chunks::write(&mut *db, &weights.bytes).await?;
    sqlx::query("insert into weights (sha256, blob) values (?, ?)")
        .bind(&weights.sha256)
        .bind(blob)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes weights that no job and no version has any more; a trigger takes their bytes.
pub(super) async fn free(db: &mut SqliteConnection, sha256: &str) -> Result<(), StoreError> {
    sqlx::query(
        "delete from weights where sha256 = ?1
             and not exists (select 1 from jobs where weights_sha256 = ?1)
             and not exists (select 1 from model_versions where weights_sha256 = ?1)",
    )
    .bind(sha256)
    .execute(db)
    .await?;
    Ok(())
}
