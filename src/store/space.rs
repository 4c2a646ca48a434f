//! Disk space: how much is taken, and given back when something was deleted.

use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::error::StoreError;
use super::open::Store;

/// Pages that are given back at once: some MiB, so that other writers wait for some milliseconds at most.
const STEP: u32 = 1024;

/// How long readers are waited for before the log is cut. Writers wait meanwhile.
const CUT: Duration = Duration::from_millis(100);

/// What the store takes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes of the database's file.
    pub database: u64,
    /// Bytes of its log (WAL), which is folded into it from time to time.
    pub log: u64,
    /// Bytes of the file that hold nothing; used again, or given back.
    pub free: u64,
    /// Bytes of final weights.
    pub weights: u64,
    /// Bytes of checkpoints.
    pub checkpoints: u64,
}

impl Store {
    /// What the store takes on the disk.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn space(&self) -> Result<Space, StoreError> {
        let (free, weights, checkpoints): (i64, i64, i64) = sqlx::query_as(
            "select (select freelist_count from pragma_freelist_count) * (select page_size from pragma_page_size),
                 (select coalesce(sum(bytes), 0) from blobs join weights on weights.blob = blobs.id),
                 (select coalesce(sum(bytes), 0) from blobs join checkpoints on checkpoints.blob = blobs.id)",
        )
        .fetch_one(&self.readers)
        .await?;
        let bytes = |count: i64| u64::try_from(count).unwrap_or(0);
        // No file is an empty one: the log of a database that nobody has written to yet.
        let length = |path: PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        let mut log = self.path.as_os_str().to_owned();
        log.push("-wal");
        Ok(Space {
            database: length(self.path.to_path_buf()),
            log: length(log.into()),
            free: bytes(free),
            weights: bytes(weights),
            checkpoints: bytes(checkpoints),
        })
    }

    /// Waits until something was deleted since the last wait.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Gives a part of the free pages back, in a transaction of its own. Returns whether there are more. The file shrinks
    /// once the log is folded into it.
    ///
    /// Of a database that was made without `auto_vacuum`, nothing can be given back; `dojang doctor --vacuum` changes it.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn reclaim(&self) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let free = "select freelist_count from pragma_freelist_count";
        let before: i64 = sqlx::query_scalar(free).fetch_one(&mut *tx).await?;
        if before == 0 {
            return Ok(false);
        }
        // It gives back a page a row.
        sqlx::query(sqlx::AssertSqlSafe(format!("pragma incremental_vacuum({STEP})"))).fetch_all(&mut *tx).await?;
        let after: i64 = sqlx::query_scalar(free).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(0 < after && after < before)
    }

    /// Folds the log into the database and cuts it to nothing. Where readers need it for longer than a moment it stays, as
    /// it does without this.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn cut_log(&self) -> Result<(), StoreError> {
        self.is_in_place()?;
        // Not over the writer's connection: that one is patient, and all writes would wait with it.
        let options = SqliteConnectOptions::new().filename(&*self.path).busy_timeout(CUT);
        let mut connection = options.connect().await?;
        let cut = sqlx::query("pragma wal_checkpoint(truncate)").fetch_all(&mut connection).await;
        connection.close().await?;
        match cut.map_err(StoreError::from) {
            Ok(_) | Err(StoreError::Busy(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
