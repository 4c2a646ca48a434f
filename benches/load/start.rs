//! The start of a server on a large database.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::big::fill;
use crate::harness::small_mnist;
use crate::median;
use crate::process::Process;

/// Starts, of which the middle one is told.
const STARTS: usize = 7;

/// Seconds from the start of a process to its `/readyz`, on a large database, each after a kill of the one before.
pub(crate) async fn measure(mebibytes: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    small_mnist(folder.path());
    let file = folder.path().join("data/dojang.db");
    let began = Instant::now();
    let jobs = fill(&file, mebibytes).await;
    let bytes = std::fs::metadata(&file).expect("a file").len();
    println!(
        "{}",
        json!({"what": "database", "mib": bytes >> 20, "jobs": jobs, "seconds": began.elapsed().as_secs_f64()})
    );
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let process = Process::start(folder.path(), 1);
        let client = process.client.clone();
        loop {
            match client.request("GET", "/readyz").send().await {
                Ok(answer) if answer.status().is_success() => break,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it is not ready");
        }
        times.push(began.elapsed().as_secs_f64());
        let (status, list) = client.get("/v1/jobs?limit=1").await;
        assert!(status.is_success() && list["has_more"] == true, "{list}");
        // With a job under way, so that the next start has something to bring back.
        process.kill();
    }
    let most = times.iter().fold(0.0_f64, |most, seconds| most.max(*seconds));
    println!("{}", json!({"what": "start", "starts": STARTS, "median_seconds": median(times), "most_seconds": most}));
}
