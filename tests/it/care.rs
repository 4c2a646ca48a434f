//! Backups, and data that is damaged.

use std::fs::File;
use std::path::Path;
use std::process::Output;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use zip::ZipArchive;

use crate::command_line::{dojang, text};
use crate::harness::{Client, Site, quick_job};

/// Runs a command on a data folder.
async fn on(command: &[&str], data_dir: &Path) -> Output {
    let folder = ["--data-dir".to_owned(), data_dir.to_string_lossy().into_owned()];
    let arguments: Vec<String> = command.iter().map(|word| (*word).to_owned()).chain(folder).collect();
    let run = move || dojang(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

async fn predict(client: &Client) -> (StatusCode, Value) {
    let (_, samples) = client.get("/v1/datasets/mnist/samples?limit=1").await;
    client.post("/predict?model=mnist", &json!({"image": samples["data"][0]["pixels"]})).await
}

async fn trained(client: &Client) -> Value {
    let job = client.submit(&quick_job()).await;
    client.finished(&job).await
}

async fn open(data_dir: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(data_dir.join("dojang.db")).connect().await.expect("a database")
}

/// Changes one bit of the weights of all jobs, or of their checkpoints.
async fn damage(data_dir: &Path, what: &str) {
    let mut db = open(data_dir).await;
    let query = sqlx::AssertSqlSafe(format!("select blob, data from chunks where blob in (select blob from {what})"));
    let chunks: Vec<(i64, Vec<u8>)> = sqlx::query_as(query).fetch_all(&mut db).await.expect("chunks");
    assert!(!chunks.is_empty());
    for (blob, mut data) in chunks {
        let last = data.len() - 1;
        data[last] ^= 1;
        let update = sqlx::query("update chunks set data = ? where blob = ?").bind(data).bind(blob);
        update.execute(&mut db).await.expect("an update");
    }
    db.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_server_predicts_as_it_did() {
    let site = Site::start().await;
    trained(&site.client).await;
    let rows = b"a file of a dataset";
    std::fs::create_dir_all(site.data_dir().join("datasets/mine/.unfinished-1")).expect("a folder");
    std::fs::write(site.data_dir().join("datasets/mine/a.bin"), rows).expect("a file");
    std::fs::write(site.data_dir().join("datasets/mine/.unfinished-1/b.bin"), rows).expect("a file");
    let before = predict(&site.client).await;
    assert_eq!(before.0, StatusCode::OK, "{}", before.1);

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup.zip");
    let name = file.to_string_lossy().into_owned();
    let output = on(&["backup", &name], &site.data_dir()).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let archive = std::fs::read(&file).expect("the archive");
    let output = on(&["backup", &name], &site.data_dir()).await;
    assert_eq!(output.status.code(), Some(1), "it is there already");
    assert_eq!(std::fs::read(&file).expect("the archive"), archive);
    // What comes later is not in it.
    trained(&site.client).await;
    let data = site.stop().await;
    let entries: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(entries.len(), 1, "nothing else is left: {entries:?}");

    let restored = tempfile::tempdir().expect("a folder");
    let mut archive = ZipArchive::new(File::open(&file).expect("a file")).expect("an archive");
    let names: Vec<_> = archive.file_names().map(str::to_owned).collect();
    assert_eq!(names, ["dojang.db", "datasets/mine/a.bin"]);
    archive.extract(restored.path().join("data")).expect("room");
    let site = Site::start_in(restored).await;
    assert_eq!(predict(&site.client).await, before);
    assert_eq!(site.client.get("/v1/jobs").await.1["data"].as_array().map(Vec::len), Some(1));
    site.stop().await;

    // Without a server, and where there is nothing.
    let second = folder.path().join("second.zip");
    let output = on(&["backup", &second.to_string_lossy()], &data.path().join("data")).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = on(&["backup", &folder.path().join("third.zip").to_string_lossy()], folder.path()).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("dojang.db"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_weights_are_named_and_never_served() {
    let site = Site::start().await;
    let job = trained(&site.client).await;
    let data_dir = site.data_dir();
    let output = on(&["doctor"], &data_dir).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "no faults; weights: 1, checkpoints: 1\n");

    let folder = site.stop().await;
    damage(&data_dir, "weights").await;
    damage(&data_dir, "checkpoints").await;
    let site = Site::start_in(folder).await;
    let (status, problem) = predict(&site.client).await;
    let named = format!("weights {}", job["weights_sha256"].as_str().expect("text"));
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(problem["detail"].as_str().expect("text").contains(&named), "{problem}");
    let id = job["id"].as_str().expect("an id");
    assert_eq!(site.client.get(&format!("/v1/jobs/{id}/weights")).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    let (status, problem) = site.client.post(&format!("/v1/jobs/{id}/fork"), &json!({"epochs": 13})).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{problem}");
    let output = on(&["doctor"], &data_dir).await;
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with(&named) && lines[1].starts_with(&format!("the checkpoint of job {id}")), "{lines:?}");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_sees_rows_that_miss_others_and_makes_old_files_compact() {
    let site = Site::start().await;
    trained(&site.client).await;
    let data_dir = site.data_dir();
    let folder = site.stop().await;
    let mut db = open(&data_dir).await;
    // As a program that knows nothing of giving space back would leave it.
    for sql in ["pragma auto_vacuum = none", "vacuum", "pragma foreign_keys = off"] {
        sqlx::query(sql).execute(&mut db).await.expect("a pragma");
    }
    let told = on(&["doctor"], &data_dir).await;
    assert!(text(&told.stderr).contains("--vacuum"), "{}", text(&told.stderr));
    let made = on(&["doctor", "--vacuum"], &data_dir).await;
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let told = on(&["doctor"], &data_dir).await;
    assert_eq!((told.status.code(), text(&told.stderr).as_str()), (Some(0), ""));

    sqlx::query("delete from jobs").execute(&mut db).await.expect("a delete");
    db.close().await.expect("closed");
    let told = on(&["doctor", "--vacuum"], &data_dir).await;
    assert_eq!(told.status.code(), Some(1));
    assert!(text(&told.stdout).contains("refers to one of jobs that is missing"), "{}", text(&told.stdout));
    drop(folder);
}
