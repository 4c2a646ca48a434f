//! The database itself.

use super::*;

#[tokio::test]
async fn all_is_found_again() {
    let house = House::new().await;
    let trained = house.running().await;
    house.succeed(trained, vec![1, 2]).await;
    let running = house.running().await;
    house.checkpoint_at(running, 10).await;
    let waiting = house.submit().await;
    let told = async |house: &House| {
        let jobs = [trained.job, running.job, waiting];
        (
            house.told(jobs[0]).await,
            house.told(jobs[1]).await,
            house.told(jobs[2]).await,
            house.models(None, 200).await.unwrap().data,
        )
    };
    let before = told(&house).await;
    let house = house.reopen().await;
    assert_eq!(told(&house).await, before);
    assert_eq!(house.weights(&sha256(&[1, 2])).await.unwrap(), Some(vec![1, 2]));
}

#[tokio::test]
async fn what_is_acknowledged_is_on_the_disk() {
    let house = House::new().await;
    let pragma = async |sql: &'static str| -> i64 { sqlx::query_scalar(sql).fetch_one(&house.writer).await.unwrap() };
    assert_eq!(pragma("select synchronous from pragma_synchronous").await, 2, "full");
    assert_eq!(pragma("select auto_vacuum from pragma_auto_vacuum").await, 2, "incremental");
    assert_eq!(pragma("select foreign_keys from pragma_foreign_keys").await, 1);
    assert_eq!(pragma("select journal_mode = 'wal' from pragma_journal_mode").await, 1);
    assert!(sqlx::query("delete from jobs").execute(&house.readers).await.is_err(), "readers only read");
    // What a server that is killed leaves behind: the files as they are, the log not folded in.
    let id = house.submit().await;
    let killed = tempfile::tempdir().unwrap();
    for file in ["dojang.db", "dojang.db-wal"] {
        std::fs::copy(house.dir.path().join(file), killed.path().join(file)).unwrap();
    }
    let store = Store::open(&killed.path().join("dojang.db")).await.unwrap();
    assert_eq!(store.job(id).await.unwrap(), house.job(id).await.unwrap());
}

#[tokio::test]
async fn it_says_whether_it_can_write() {
    let house = House::new().await;
    assert!(house.sqlite_version().starts_with("3."));
    house.ping().await.unwrap();
    house.submit().await;
    // Another process that holds the lock; we do not wait for it here.
    let other = Store::open(&house.dir.path().join("dojang.db")).await.unwrap();
    house.sql("pragma busy_timeout = 0").await;
    let lock = other.write().await.unwrap();
    assert!(matches!(house.ping().await, Err(StoreError::Busy(_))));
    assert!(matches!(house.insert_job(&new_job(&json!({}))).await, Err(StoreError::Busy(_))));
    assert_eq!(house.jobs(&JobQuery { limit: 5, ..JobQuery::default() }).await.unwrap().data.len(), 1, "readers go on");
    drop(lock);
    other.close().await;
    house.ping().await.unwrap();
    house.close().await;
    assert!(matches!(house.ping().await, Err(StoreError::Closed)));
    assert!(matches!(house.job(Uuid::nil()).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dojang.db");
    std::fs::write(&path, vec![b'x'; 8192]).unwrap();
    assert!(matches!(Store::open(&path).await, Err(StoreError::Corrupt(_))));
    assert!(matches!(Store::open(&dir.path().join("no/such/dojang.db")).await, Err(StoreError::Database(_))));
}

#[tokio::test]
async fn a_database_of_a_newer_dojang_is_refused() {
    let house = House::new().await;
    house
        .sql(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             values (9999, 'later', true, x'00', 0)",
        )
        .await;
    house.close().await;
    assert!(matches!(Store::open(&house.dir.path().join("dojang.db")).await, Err(StoreError::Migrate(_))));
}

#[tokio::test]
async fn a_number_too_large_for_a_row_is_not_cut() {
    let house = House::new().await;
    let run = house.running().await;
    let error = house.append(run, news(&[metrics(run, 3, u64::MAX)], &progress(1), &figures(1))).await.unwrap_err();
    assert!(matches!(error, StoreError::Internal(_)), "{error}");
}

#[tokio::test]
async fn a_request_that_is_dropped_half_way_is_written_whole_or_not_at_all() {
    use futures_util::FutureExt as _;
    let house = House::new().await;
    let run = house.running().await;
    let before = house.told(run.job).await;
    for _ in 0..5 {
        let checkpoint = new_checkpoint(10, 100);
        let dropped = house.save_checkpoint(run, &checkpoint, news(&[], &progress(10), &figures(10))).now_or_never();
        assert!(dropped.is_none(), "one poll is not enough to write");
        let open = house.write().await.unwrap();
        drop(open);
    }
    let after = house.told(run.job).await;
    // Where the commit was already on its way when the request was dropped, all of it is there.
    let whole = after.0.progress == progress(10)
        && after.0.metrics == figures(10)
        && after.3.as_ref().is_some_and(|stored| same(stored, &new_checkpoint(10, 100)));
    assert!(whole || after == before, "{after:?}");
    house.checkpoint_at(run, 20).await;
}

/// The job in [`before_imports`].
const OLD: Uuid = Uuid::from_u128(0x0189_0000_0000_7000_8000_0000_0000_0000);

/// A database as dojang left it before models could be without a job.
async fn before_imports(path: &std::path::Path, job: &NewJob) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true).foreign_keys(true);
    let old = sqlx::SqlitePool::connect_with(options).await.unwrap();
    super::super::migrations::MIGRATIONS.run_to(2, &old).await.unwrap();
    let metrics = serde_json::to_string(&figures(100)).unwrap();
    for sql in [
        "insert into blobs (id, bytes) values (1, 1)",
        "insert into chunks (blob, n, data) values (1, 0, x'07')",
        "insert into models (name, last_version) values ('digits', 3)",
    ] {
        sqlx::query(sql).execute(&old).await.unwrap();
    }
    sqlx::query("insert into weights (sha256, blob) values (?, 1)").bind(sha256(&[7])).execute(&old).await.unwrap();
    sqlx::query(
        "insert into jobs (id, status, spec, plan, progress, metrics, model, model_version, weights_sha256,
                           created_at, finished_at)
         values (?, 'succeeded', ?, ?, '{}', ?, 'digits', 3, ?, ?, ?)",
    )
    .bind(OLD)
    .bind(serde_json::to_string(&job.spec).unwrap())
    .bind(serde_json::to_string(&job.plan).unwrap())
    .bind(metrics)
    .bind(sha256(&[7]))
    .bind(at(0).to_string())
    .bind(at(9).to_string())
    .execute(&old)
    .await
    .unwrap();
    sqlx::query(
        "insert into model_versions (seq, model, version, job, weights_sha256, created_at)
         values (5, 'digits', 3, ?, ?, ?)",
    )
    .bind(OLD)
    .bind(sha256(&[7]))
    .bind(at(9).to_string())
    .execute(&old)
    .await
    .unwrap();
    old.close().await;
}

#[tokio::test]
async fn models_of_an_older_dojang_are_still_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dojang.db");
    let job = new_job(&json!({"seed": 77}));
    before_imports(&path, &job).await;
    let store = Store::open(&path).await.unwrap();
    let version = store.model_version("digits", Some(3)).await.unwrap().expect("the version");
    assert_eq!((version.source, version.job), (Source::Job, Some(OLD)));
    assert_eq!((version.parameters, version.test_accuracy), (39_760, Some(0.75)));
    assert_eq!((&version.spec, version.created_at), (&job.spec, at(9)));
    assert_eq!(store.weights(&version.weights_sha256).await.unwrap(), Some(vec![7]));
    // And numbers go on where they were.
    let weights = NewWeights { sha256: sha256(&[8]), bytes: vec![8] };
    let new = NewVersion { spec: job.spec, parameters: 1, test_accuracy: None, weights };
    assert_eq!(store.import_version(&new, at(20)).await.unwrap().version, 4);
    assert_eq!(store.newest_model().await.unwrap().map(|newest| newest.version), Some(4));
}

#[tokio::test]
async fn what_names_another_job_does_so_after_the_move() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dojang.db");
    let job = new_job(&json!({}));
    before_imports(&path, &job).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).foreign_keys(true);
    let old = sqlx::SqlitePool::connect_with(options).await.unwrap();
    super::super::migrations::MIGRATIONS.run_to(4, &old).await.unwrap();
    for sql in [
        "update jobs set forked_from = id, reproduces = id, start_sha256 = 'x'",
        "update jobs set progress = '{\"step\":1,\"total_steps\":1,\"epoch\":1,\"epochs\":1,\"fraction\":1}'",
    ] {
        sqlx::query(sql).execute(&old).await.unwrap();
    }
    old.close().await;
    let store = Store::open(&path).await.unwrap();
    let found = store.job(OLD).await.unwrap().expect("the job");
    assert_eq!((found.forked_from, found.reproduces, found.reproduced), (Some(OLD), Some(OLD), Some(true)));
    assert_eq!(store.fork_of(OLD).await.unwrap(), Some((OLD, "x".into())));
    assert_eq!(store.delete_job(OLD).await.unwrap(), Some(Ok(())));
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_looked_over() {
    use std::io::{Seek as _, SeekFrom, Write as _};
    let house = House::new().await;
    house.submit().await;
    let page = house.count("select rootpage from sqlite_schema where name = 'events'").await;
    house.close().await;
    let path = house.dir.path().join("dojang.db");
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start((page as u64 - 1) * 4096)).unwrap();
    file.write_all(&[0xff; 4096]).unwrap();
    let error = Store::open(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)) && error.to_string().contains("dojang doctor"), "{error}");
    let mut inspection = Inspection::open(&path).await.unwrap();
    let findings = inspection.look_over().await.unwrap();
    assert!(findings.faults[0].starts_with("the database file: "), "{findings:?}");
}

/// What a look at the pages alone does not find: each of them is sound, but an index lacks a row of its table.
#[tokio::test]
async fn an_index_that_has_lost_a_row_is_refused() {
    let house = House::new().await;
    let mut db = house.writer.acquire().await.unwrap();
    for sql in [
        "create table plain (value integer)",
        "create index plain_by_value on plain (value)",
        "create table kept as select * from sqlite_schema where name = 'plain_by_value'",
        "pragma writable_schema = on",
        "delete from sqlite_schema where name = 'plain_by_value'",
        "pragma writable_schema = reset",
        "insert into plain values (1)",
        "pragma writable_schema = on",
        "insert into sqlite_schema select * from kept",
        "pragma writable_schema = reset",
    ] {
        sqlx::query(sql).execute(&mut *db).await.unwrap();
    }
    drop(db);
    house.close().await;
    let error = Store::open(&house.dir.path().join("dojang.db")).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(corrupt) if corrupt.what.contains("index")), "{error}");
}

#[tokio::test]
async fn checkpoints_of_an_older_dojang_are_bounded_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dojang.db");
    before_imports(&path, &new_job(&json!({}))).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).foreign_keys(true);
    let old = sqlx::SqlitePool::connect_with(options).await.unwrap();
    super::super::migrations::MIGRATIONS.run_to(7, &old).await.unwrap();
    for sql in [
        "insert into blobs (id, bytes) values (2, 1)",
        "insert into chunks (blob, n, data) values (2, 0, x'07')",
        "insert into checkpoints (job, step, trained_seconds, sha256, blob) select id, 5, 1.0, 'x', 2 from jobs",
        "update jobs set progress = '{\"step\":1,\"total_steps\":1,\"epoch\":1,\"epochs\":1,\"fraction\":1}'",
    ] {
        sqlx::query(sql).execute(&old).await.unwrap();
    }
    old.close().await;
    let store = Store::open(&path).await.unwrap();
    assert_eq!(store.job(OLD).await.unwrap().expect("the job").checkpoint_removed_at, None);
    let bounds = CheckpointRetention { max_count: 0, ..CheckpointRetention::default() };
    let removed = store.remove_old_checkpoints(bounds, at(20)).await.unwrap();
    assert_eq!(removed, RemovedCheckpoints { count: 1, bytes: 1 });
    assert_eq!(store.job(OLD).await.unwrap().expect("the job").checkpoint_removed_at, Some(at(20)));
    let order: i64 = sqlx::query_scalar("select ended_seq from jobs").fetch_one(&store.readers).await.unwrap();
    assert_eq!(order, 1);
}
