//! `/v1/jobs/{id}/events` and `/v1/events`: the log as it grows, by SSE, or as it stands, by JSON.
//!
//! A stream subscribes first, then replays from the store, then goes over to what it is told live, dropping what it has
//! already sent by id. When it falls behind, it goes back to the store. So there is no gap and no duplicate.
//!
//! A job's stream ends after `done`, unless the job was resumed since: then it goes on with what followed. It also ends
//! when the job is deleted. A reader that has seen the `done` of a job that has ended is answered with 204.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::api::Api;
use super::error::Problem;
use super::list::{Limit, List};
use super::meters::Counted;
use super::params::{JobId, Params, no_such_job};
use crate::job::event::{Event, EventBody};
use crate::scheduler::hub::{Received, Subscription};
use crate::store::Store;

/// Events of a list, where nobody says how many.
const PAGE: u32 = 500;
/// Events that a stream reads from the store at a time. Some of them are looks inside, of ten kilobytes and more, and each
/// reader who stalls holds so many.
const STREAM_PAGE: u32 = 32;
/// Silence after which a comment is sent, so that proxies and readers see that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a reader waits before it comes back.
const RETRY: Duration = Duration::from_secs(2);

/// `?after=` and, for the JSON list, `limit=`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventParams {
    after: Option<u64>,
    limit: Option<Limit<10_000>>,
}

pub(super) async fn of_job(
    State(api): State<Api>,
    JobId(id): JobId,
    Params(params): Params<EventParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let end = api.scheduler.store().job_log_end(id).await?;
    let (status, last) = end.ok_or_else(|| no_such_job(id))?;
    let after = match last_event_id(&headers)? {
        Some(seen) => seen,
        None => params.after.unwrap_or(0),
    };
    if prefers_json(&headers) {
        let limit = params.limit.map_or(PAGE, |Limit(limit)| limit);
        let mut events = api.scheduler.store().events(id, after, limit + 1).await?;
        let has_more = events.len() > limit as usize;
        events.truncate(limit as usize);
        let last_id = events.last().map(|event| event.id.to_string());
        return Ok(Json(List::page(events, has_more, last_id)).into_response());
    }
    if status.is_final() && after >= last {
        // The reader has seen `done`. No content tells an `EventSource` not to come back; it would for ever.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let reader = Reader {
        // Subscribed before the first look at the store.
        live: api.scheduler.hub().subscribe(id),
        store: api.scheduler.store().clone(),
        job: id,
        sent: after,
        pending: VecDeque::new(),
        replaying: true,
        ended: false,
        shutdown: api.scheduler.shutdown_token().clone(),
        _counted: Counted::new(&api.meters.job_readers),
    };
    Ok(stream_response(stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok(frame(&event, true)), reader))
    })))
}

/// One stream over all jobs, live only: for the dashboard.
pub(super) async fn of_all(State(api): State<Api>) -> Response {
    let live = api.scheduler.hub().subscribe_all();
    let shutdown = api.scheduler.shutdown_token().clone();
    let counted = Counted::new(&api.meters.all_readers);
    stream_response(stream::unfold((live, shutdown, counted), |(mut live, shutdown, counted)| async move {
        loop {
            let received = tokio::select! {
                received = live.next() => received?,
                () = shutdown.cancelled() => return None,
            };
            // Who falls behind here has lost nothing that the lists do not show.
            let Received::Event(event) = received else { continue };
            if !matches!(event.body, EventBody::Checkpoint(_)) {
                return Some((Ok(frame(&event, false)), (live, shutdown, counted)));
            }
        }
    }))
}

/// Where one reader of one job is.
struct Reader {
    live: Subscription,
    store: Store,
    job: Uuid,
    sent: u64,
    pending: VecDeque<Event>,
    replaying: bool,
    ended: bool,
    shutdown: CancellationToken,
    _counted: Counted,
}

impl Reader {
    /// The next event in order; `None` when the stream ends.
    async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(self.pass(Arc::new(event)));
            }
            if self.replaying {
                let events = match self.store.events(self.job, self.sent, STREAM_PAGE).await {
                    Ok(events) => events,
                    Err(error) => {
                        // The reader comes back with what it has seen.
                        tracing::warn!(%error, "failed to replay events");
                        return None;
                    }
                };
                self.replaying = !events.is_empty();
                if !self.replaying && !self.job_is_there().await {
                    return None;
                }
                self.pending = events.into();
                continue;
            }
            if self.ended {
                return None;
            }
            let received = tokio::select! {
                received = self.live.next() => received?,
                () = self.shutdown.cancelled() => return None,
            };
            match received {
                Received::Event(event) if event.id <= self.sent => {}
                Received::Event(event) if event.id == self.sent + 1 => return Some(self.pass(event)),
                Received::Event(_) | Received::Lagged => self.replaying = true,
                Received::Deleted => return None,
            }
        }
    }

    /// Whether there is anything to wait for. A job that was deleted before this reader subscribed, or while it lagged
    /// behind, is told of no more.
    async fn job_is_there(&self) -> bool {
        match self.store.job_exists(self.job).await {
            Ok(there) => there,
            Err(error) => {
                tracing::warn!(%error, "failed to look for the job of a stream");
                false
            }
        }
    }

    fn pass(&mut self, event: Arc<Event>) -> Arc<Event> {
        self.sent = event.id;
        self.ended = matches!(event.body, EventBody::Done(_));
        // What followed a resume is in the store.
        self.replaying |= self.ended;
        event
    }
}

fn frame(event: &Event, with_id: bool) -> Frame {
    let frame = Frame::default().event(event.body.kind());
    let frame = if with_id { frame.id(event.id.to_string()) } else { frame };
    // JSON text has no line breaks, which a frame's data must not have.
    frame.json_data(event).unwrap_or_else(|_| Frame::default().comment("an event that cannot be written"))
}

fn stream_response<S>(events: S) -> Response
where
    S: Stream<Item = Result<Frame, Infallible>> + Send + 'static,
{
    // Not in a block of its own: some clients take that for an event without a name and data.
    let mut retry = Some(RETRY);
    let events = events.map(move |event: Result<Frame, Infallible>| {
        event.map(|frame| match retry.take() {
            Some(wait) => frame.retry(wait),
            None => frame,
        })
    });
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("alive"));
    // A proxy that buffers would hold events back.
    ([(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"))], sse).into_response()
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    id.map(Some).ok_or_else(|| Problem::bad_request("`Last-Event-ID` is not a number of an event"))
}

/// Whether the client asked for JSON and not for a stream.
fn prefers_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("application/json") && !accept.contains("text/event-stream")
}
