//! `/metrics`: figures of this server, as Prometheus reads them.
//!
//! Each server has a recorder of its own, so that several of them in one process do not count together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::error::Problem;
use super::meters::REQUEST_DURATION;
use super::{process_metrics, storage};
use crate::job::status::Status;
use crate::memory::{MemoryShares, MemoryUse};
use crate::supervisor::{Failpoint, Supervisor};

/// Those of the durations of requests, of which there is a histogram for each route.
const REQUEST_BUCKETS: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0];
/// Upper ends of the intervals of all other histograms, in seconds: from a small prediction to a checkpoint of some GiB.
const BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const MEMORY_BUDGET: &str = "dojang_memory_budget_bytes";
const MEMORY_RESERVED: &str = "dojang_memory_reserved_bytes";
/// How often what histograms have taken in is put in order; between two times it takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

const DROPPED_LOG_LINES: &str = "dojang_log_lines_dropped_total";

/// The recorder of one server; a clone is another handle of the same.
#[derive(Clone)]
pub struct Prometheus(Arc<PrometheusRecorder>);

impl fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prometheus").finish_non_exhaustive()
    }
}

impl Default for Prometheus {
    fn default() -> Self {
        let requests = Matcher::Full(REQUEST_DURATION.into());
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).expect("there are buckets");
        let builder = builder.set_buckets_for_metric(requests, &REQUEST_BUCKETS).expect("there are buckets");
        let new = Self(Arc::new(builder.build_recorder()));
        new.record(describe);
        new
    }
}

impl Prometheus {
    /// Does something with this recorder in force.
    pub fn record<T>(&self, work: impl FnOnce() -> T) -> T {
        metrics::with_local_recorder(&*self.0, work)
    }

    /// Keeps the histograms small until the server shuts down.
    pub(super) async fn keep_up(&self, supervisor: &Supervisor, shutdown: &CancellationToken) {
        let handle = self.0.handle();
        loop {
            supervisor.failpoint(Failpoint::MetricsUpkeep);
            tokio::select! {
                () = tokio::time::sleep(UPKEEP) => handle.run_upkeep(),
                () = shutdown.cancelled() => return,
            }
        }
    }
}

/// What is measured when it is asked for.
fn describe() {
    describe_gauge!("dojang_build_info", "The program that runs; always 1.");
    describe_gauge!(
        "dojang_uptime_seconds",
        Unit::Seconds,
        "Time that the server is up, without stops of its process."
    );
    describe_gauge!("dojang_data_dir_bytes", Unit::Bytes, "Bytes of the files in the data directory, by kind.");
    describe_gauge!(
        "dojang_database_bytes",
        Unit::Bytes,
        "Bytes of the database that hold weights, checkpoints or nothing."
    );
    describe_gauge!("dojang_jobs", "Jobs by status.");
    describe_gauge!("dojang_queue_depth", "Jobs that wait for a worker.");
    describe_gauge!("dojang_running_jobs", "Jobs that train in this process.");
    describe_counter!(
        DROPPED_LOG_LINES,
        "Lines of the log that were not written, as nobody took them in time or stderr failed."
    );
    describe_gauge!(MEMORY_BUDGET, Unit::Bytes, "Memory that may be reserved, by share: for training, or for serving.");
    describe_gauge!(
        MEMORY_RESERVED,
        Unit::Bytes,
        "Memory that is reserved, by use: models and requests share serving's."
    );
}

pub(super) async fn show(State(api): State<Api>) -> Result<Response, Problem> {
    let storage = storage::measure(&api).await?;
    let counts = api.scheduler.store().counts().await?;
    let sqlite = api.scheduler.store().sqlite_version().to_owned();
    api.prometheus.record(|| {
        let build = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("sqlite", sqlite)];
        gauge!("dojang_build_info", &build).set(1.0);
        gauge!("dojang_uptime_seconds").set(api.scheduler.up().as_secs_f64());
        for (kind, bytes) in storage.files() {
            gauge!("dojang_data_dir_bytes", "kind" => kind).set(bytes as f64);
        }
        for (kind, bytes) in storage.parts() {
            gauge!("dojang_database_bytes", "kind" => kind).set(bytes as f64);
        }
        for status in Status::ALL {
            gauge!("dojang_jobs", "status" => status.as_str()).set(counts.of(status) as f64);
        }
        gauge!("dojang_queue_depth").set(counts.of(Status::Queued) as f64);
        gauge!("dojang_running_jobs").set(api.scheduler.runs() as f64);
        counter!(DROPPED_LOG_LINES).absolute(api.process.dropped_log_lines.load(Ordering::Relaxed));
        let MemoryShares { training, serving } = api.memory.shares();
        gauge!(MEMORY_BUDGET, "share" => "training").set(training as f64);
        gauge!(MEMORY_BUDGET, "share" => "serving").set(serving as f64);
        for of in MemoryUse::ALL {
            gauge!(MEMORY_RESERVED, "use" => of.as_str()).set(api.memory.reserved(of) as f64);
        }
    });
    let process = tokio::task::spawn_blocking(process_metrics::render).await.unwrap_or_default();
    let text = api.prometheus.0.handle().render() + &process;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
