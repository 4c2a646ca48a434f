//! What must hold of a database at any moment, looked at past the server.

use std::path::Path;

use dojang::engine::checkpoint::Checkpoint;
use sha2::{Digest, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _};

/// A query for what must not be there, and what it would be.
const NEVER: &[(&str, &str)] = &[
    ("a damaged page or row", "select integrity_check from pragma_integrity_check where integrity_check <> 'ok'"),
    ("a row without its parent", "select \"table\" from pragma_foreign_key_check"),
    (
        "a log with a gap, or that does not end where its job says",
        "select hex(id) from jobs
         where (select count(*), coalesce(min(id), 0), coalesce(max(id), 0) from events where job = jobs.id)
               <> (last_event_id, 1, last_event_id)",
    ),
    (
        "a status that is not the log's last",
        "select hex(id) from jobs where status is not
             (select json_extract(body, '$.status') from events where job = jobs.id and type = 'state'
              order by events.id desc limit 1)",
    ),
    (
        "a job that has ended without a word, or the other way round",
        "select hex(id) from jobs where (finished_at is not null) <> coalesce(
             (select type = 'done' from events where job = jobs.id order by events.id desc limit 1), false)",
    ),
    (
        "fields that do not fit the status",
        "select hex(id) from jobs
         where (status = 'running' and (attempt = 0 or started_at is null))
            or (status = 'queued' and cancel_requested)
            or (status <> 'running' and pause_requested)
            or (status in ('queued', 'running', 'paused') and (stop_reason is not null or error is not null))
            or (status in ('succeeded', 'failed', 'cancelled') and stop_reason is null)
            or (status = 'succeeded') <> (weights_sha256 is not null)
            or (status = 'succeeded') <> (model_version is not null)",
    ),
    (
        "figures past the progress",
        "select hex(id) from jobs where json_extract(progress, '$.step') <
             (select max(step) from (select step from metrics where job = jobs.id
                                     union all select step from epochs where job = jobs.id
                                     union all select step from diagnostics where job = jobs.id))",
    ),
    (
        "a checkpoint past the progress",
        "select hex(id) from jobs join checkpoints on job = id where json_extract(progress, '$.step') < step",
    ),
    (
        "a job that succeeded without its version and weights",
        "select hex(id) from jobs where status = 'succeeded' and not exists
             (select 1 from model_versions as v join weights as w on w.sha256 = v.weights_sha256
              where v.job = jobs.id and v.model = jobs.model and v.version = jobs.model_version
                and v.weights_sha256 = jobs.weights_sha256)",
    ),
    (
        "a version of a job that did not succeed",
        "select hex(id) from jobs join model_versions as v on v.job = id where status <> 'succeeded'",
    ),
    (
        "content that nobody needs",
        "select id from blobs where id not in (select blob from weights union all select blob from checkpoints)",
    ),
];

/// Panics where a database is not as it must be at any moment, between two transactions of a server or after a kill.
pub(crate) async fn assert_consistent(database: &Path) {
    let options = SqliteConnectOptions::new().filename(database);
    let mut db = SqliteConnection::connect_with(&options).await.expect("a database");
    // One moment's state, while a server goes on writing.
    let mut tx = db.begin().await.expect("a transaction");
    for (what, query) in NEVER {
        let query = AssertSqlSafe(format!(
            "select cast(first as text) from (select null as first where false union all {query})"
        ));
        let found: Vec<String> = sqlx::query_scalar(query).fetch_all(&mut *tx).await.expect("an answer");
        assert!(found.is_empty(), "{what}: {found:?}");
    }
    let checkpoints = "select sha256, blob, step from checkpoints";
    let checkpoints: Vec<(String, i64, i64)> = sqlx::query_as(checkpoints).fetch_all(&mut *tx).await.expect("rows");
    for (sha256, blob, step) in checkpoints {
        let state = Checkpoint::decode(&content(&mut tx, blob, &sha256).await).expect("a state that can be read");
        assert_eq!(i64::try_from(state.position.step), Ok(step));
        assert!(state.is_finite());
    }
    let weights = "select sha256, blob from weights";
    let weights: Vec<(String, i64)> = sqlx::query_as(weights).fetch_all(&mut *tx).await.expect("rows");
    for (sha256, blob) in weights {
        content(&mut tx, blob, &sha256).await;
    }
}

/// A blob, which must have this length and SHA-256.
async fn content(db: &mut SqliteConnection, blob: i64, sha256: &str) -> Vec<u8> {
    let chunks = sqlx::query_scalar("select data from chunks where blob = ? order by n").bind(blob);
    let chunks: Vec<Vec<u8>> = chunks.fetch_all(&mut *db).await.expect("chunks");
    let len = sqlx::query_scalar("select bytes from blobs where id = ?").bind(blob);
    let len: i64 = len.fetch_one(&mut *db).await.expect("a length");
    let bytes = chunks.concat();
    assert_eq!(i64::try_from(bytes.len()), Ok(len));
    let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, sha256);
    bytes
}
