//! Readers who take nothing: they cost little, hold nobody up, and go.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Executor as _};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Client, Site, Stream, long_job};
use crate::metrics::scrape;

/// Opens a stream of a job's events and never reads of it.
async fn stall(base: &str, job: &str) -> TcpStream {
    let addr = base.strip_prefix("http://").expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(addr.parse().expect("an address")).await.expect("a connection");
    let request = format!("GET /v1/jobs/{job}/events HTTP/1.1\r\nhost: {addr}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    stream
}

/// Lengthens the log of the only job by events that are like its last report: reports are limited in rate, so that a job
/// itself would take a minute for as many.
async fn lengthen_log(database: &Path) {
    let options = SqliteConnectOptions::new().filename(database);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("the database");
    connection
        .execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000),
                  report as (select * from events where type = 'metrics' order by id desc limit 1)
             insert into events (job, id, type, at, body)
             select jobs.id, jobs.last_event_id + i, type, at, body from n, report join jobs on jobs.id = report.job",
        )
        .await
        .expect("events");
    connection.execute("update jobs set last_event_id = last_event_id + 2000").await.expect("a count");
}

async fn figure(client: &Client, name: &str) -> f64 {
    scrape(client).await[name]
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_take_nothing_are_dropped_and_the_others_miss_nothing() {
    let site = Site::start_with(|config| config.limits.write_stall = Duration::from_millis(500)).await;
    let client = &site.client;
    // A log of some hundred KiB, more than a connection's buffers hold.
    let told = client.submit(&long_job()).await;
    let mut begun = Stream::open(client, &told, None).await;
    begun.until(|frame| frame.event == "metrics").await;
    client.ask(&told, "pause").await;
    begun.until_state("paused").await;
    lengthen_log(&site.database()).await;
    let job = client.submit(&long_job()).await;
    let mut reader = Stream::open(client, &job, None).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(stall(&site.base, &told).await);
    }
    let mut last = 0;
    while figure(client, "dojang_stalled_readers_dropped_total").await < 20.0 {
        let frame = reader.next().await.expect("a reader who reads stays");
        assert_eq!(frame.id, last + 1);
        last = frame.id;
    }
    assert_eq!(figure(client, "dojang_sse_readers{stream=\"job\"}").await, 1.0);
    drop(stalled);
    client.ask(&job, "cancel").await;
    assert_eq!(reader.rest().await.last().expect("an end").event, "done");
    site.stop().await;
}
