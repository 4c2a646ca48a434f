//! What requests and readers do, counted for `/metrics`.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::prometheus::Prometheus;

const REQUESTS: &str = "dojang_http_requests_total";
pub(super) const REQUEST_DURATION: &str = "dojang_http_request_duration_seconds";

/// What requests and readers do.
#[derive(Debug, Clone)]
pub(super) struct Meters {
    predictions: Histogram,
    predicted: Counter,
    pub(super) job_readers: Gauge,
    pub(super) all_readers: Gauge,
    /// Readers that were given up, as they took nothing any more.
    pub(super) stalled: Counter,
}

impl Meters {
    /// Meters of the recorder that is in force here.
    pub(super) fn new() -> Self {
        let (readers, stalled) = ("dojang_sse_readers", "dojang_stalled_readers_dropped_total");
        let (predictions, predicted) = ("dojang_predict_duration_seconds", "dojang_predicted_samples_total");
        describe_counter!(REQUESTS, "Requests answered, by method, template of the route and status.");
        describe_histogram!(
            REQUEST_DURATION,
            Unit::Seconds,
            "Time from a request's header to that of its answer, by method, template of the route and class of the status."
        );
        describe_gauge!(readers, "Streams of events that are open, of one job or of all.");
        describe_counter!(stalled, "Connections that were closed as their reader took nothing any more.");
        describe_histogram!(predictions, Unit::Seconds, "Time of a prediction, from the whole body to the answer.");
        describe_counter!(predicted, "Samples predicted.");
        Self {
            predictions: histogram!(predictions),
            predicted: counter!(predicted),
            job_readers: gauge!(readers, "stream" => "job"),
            all_readers: gauge!(readers, "stream" => "all"),
            stalled: counter!(stalled),
        }
    }

    /// A request for a prediction was answered.
    pub(super) fn predicted(&self, samples: usize, took: Duration) {
        self.predictions.record(took);
        self.predicted.increment(samples as u64);
    }
}

/// One more, until it is dropped.
pub(super) struct Counted(Gauge);

impl Counted {
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Counts and times a request when its answer begins: a stream of events goes on for as long as its reader likes.
pub(super) async fn count(State(prometheus): State<Prometheus>, request: Request, next: Next) -> Response {
    let method = known(request.method());
    // The template, not the path: ids would make a series each.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let began = Instant::now();
    let response = next.run(request).await;
    let (took, status) = (began.elapsed(), response.status());
    prometheus.record(|| {
        let labels = [("method", method.to_owned()), ("route", route.clone()), ("status", class(status).to_owned())];
        histogram!(REQUEST_DURATION, &labels).record(took);
        let status = status.as_str().to_owned();
        counter!(REQUESTS, "method" => method, "route" => route, "status" => status).increment(1);
    });
    response
}

/// The class of a status.
fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// The method, of those there are: a client may make up any.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}
