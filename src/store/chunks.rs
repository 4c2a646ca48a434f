//! Content of any size, cut into chunks.

use sha2::{Digest, Sha256};
use sqlx::SqliteConnection;

use super::error::{Corrupt, StoreError};
use super::row::int;

/// Bytes of a chunk, but for the last of a blob.
pub(super) const CHUNK: usize = 1 << 20;

/// Writes a new blob and returns its id.
pub(super) async fn write(db: &mut SqliteConnection, bytes: &[u8]) -> Result<i64, StoreError> {
    let blob: i64 = sqlx::query_scalar("insert into blobs (bytes) values (?) returning id")
        .bind(int(bytes.len() as u64)?)
        .fetch_one(&mut *db)
        .await?;
    for (n, chunk) in (0_i64..).zip(bytes.chunks(CHUNK)) {
        sqlx::query("insert into chunks (blob, n, data) values (?, ?, ?)")
            .bind(blob)
            .bind(n)
            .bind(chunk)
            .execute(&mut *db)
            .await?;
    }
    Ok(blob)
}

/// Reads a blob whose content must have this SHA-256; `what` names it in the error if it has not.
pub(super) async fn read(
    db: &mut SqliteConnection,
    blob: i64,
    sha256: &str,
    what: &str,
) -> Result<Vec<u8>, StoreError> {
    // Grown as chunks come: a false length must not take memory.
    let mut bytes = Vec::new();
    walk(db, blob, sha256, what, |chunk| bytes.extend_from_slice(chunk)).await?;
    Ok(bytes)
}

/// Hands out a blob chunk by chunk. Only at the end is it known whether its content has this SHA-256; `what` names it in
/// the error if it has not.
pub(super) async fn walk(
    db: &mut SqliteConnection,
    blob: i64,
    sha256: &str,
    what: &str,
    mut take: impl FnMut(&[u8]) + Send,
) -> Result<(), StoreError> {
    let corrupt = |how: &str| Corrupt::new(format!("{what}: {how}"));
    let len: Option<i64> =
        sqlx::query_scalar("select bytes from blobs where id = ?").bind(blob).fetch_optional(&mut *db).await?;
    let len = len.and_then(|len| usize::try_from(len).ok()).ok_or_else(|| corrupt("its length is missing"))?;
    let mut seen = 0;
    let mut hash = Sha256::new();
    for n in 0_i64.. {
        if seen >= len {
            break;
        }
        let chunk: Option<Vec<u8>> = sqlx::query_scalar("select data from chunks where blob = ? and n = ?")
            .bind(blob)
            .bind(n)
            .fetch_optional(&mut *db)
            .await?;
        let chunk = chunk.ok_or_else(|| corrupt(&format!("chunk {n} is missing")))?;
        seen += chunk.len();
        hash.update(&chunk);
        take(&chunk);
    }
    if seen != len {
        return Err(corrupt(&format!("{seen} bytes instead of {len}")).into());
    }
    if hex(&hash.finalize()) != sha256 {
        return Err(corrupt(&format!("its SHA-256 is not {sha256}")).into());
    }
    Ok(())
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
