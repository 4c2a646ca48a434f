//! A signal ends streams and runs in order: nobody hangs, nothing is lost.

use futures_util::StreamExt;
use reqwest::StatusCode;
use rustix::process::Signal;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Executor as _};

use crate::consistency::assert_consistent;
use crate::harness::{Stream, long_job, small_mnist};
use crate::process::Process;

/// A server with a running job and a hundred readers of it is asked to stop.
async fn stops_in_order(signal: Signal) {
    let folder = tempfile::tempdir().expect("a folder");
    small_mnist(folder.path());
    let database = folder.path().join("data/dojang.db");
    let process = Process::start(folder.path(), 1);
    let client = process.client.clone();
    let job = client.submit(&long_job()).await;
    Stream::open(&client, &job, None).await.until(|frame| frame.event == "checkpoint").await;
    let mut readers = Vec::new();
    for _ in 0..100 {
        let response = client.request("GET", &format!("/v1/jobs/{job}/events")).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        readers.push(response.bytes_stream());
    }
    // The run cannot give its job back while somebody else holds the lock: so long the server winds down.
    let mut lock = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&database)).await.expect("it");
    lock.execute("begin immediate").await.expect("the lock");
    process.signal(signal);
    for mut reader in readers {
        while let Some(bytes) = reader.next().await {
            bytes.expect("the stream ends in order, not by a lost connection");
        }
    }
    // Whoever saw the end of a stream finds the server no longer ready, but alive.
    assert_eq!(client.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(client.get("/healthz").await.0, StatusCode::OK);
    assert_eq!(client.post("/v1/jobs", &long_job()).await.0, StatusCode::SERVICE_UNAVAILABLE);
    lock.execute("rollback").await.expect("the lock is given back");
    lock.close().await.expect("closed");
    assert_eq!(process.ended().await, Some(0));
    assert_consistent(&database).await;

    let process = Process::start(folder.path(), 2);
    let mut stream = Stream::open(&process.client, &job, None).await;
    stream.until(|frame| frame.data["status"] == "running" && frame.data["attempt"] == 2).await;
    assert!(process.client.job(&job).await["progress"]["step"].as_u64() > Some(0), "it goes on from its checkpoint");
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_streams_and_gives_the_job_back() {
    stops_in_order(Signal::TERM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_sigint() {
    stops_in_order(Signal::INT).await;
}
