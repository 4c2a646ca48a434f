//! `/v1/jobs`: submit or only check, list, show; cancel, pause, resume; fork, reproduce; delete.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::api::Api;
use super::body::Body;
use super::error::Problem;
use super::idempotency::Keyed;
use super::list::{Limit, List, PAGE_MAX, default_limit};
use super::params::{JobId, Params, no_such_job};
use crate::job::fault::{Faults, Pointer};
use crate::job::json;
use crate::job::recipes::parse_spec;
use crate::job::status::Status;
use crate::job::view::Job;
use crate::store::{JobQuery, Order};

/// `GET /v1/jobs?status=&limit=&after=&order=`. `after` is the `last_id` of a page; it keeps its place though the job is
/// deleted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    status: Option<Status>,
    #[serde(default = "default_limit")]
    limit: Limit<PAGE_MAX>,
    after: Option<String>,
    #[serde(default)]
    order: Direction,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    #[default]
    Desc,
    Asc,
}

pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<ListParams>,
) -> Result<Json<List<Job>>, Problem> {
    let order = match params.order {
        Direction::Desc => Order::Newest,
        Direction::Asc => Order::Oldest,
    };
    let after = match &params.after {
        Some(text) => Some(accepted_job(&api, text).await?),
        None => None,
    };
    let query = JobQuery { status: params.status, limit: params.limit.0, after, order };
    let page = api.scheduler.jobs(&query).await?;
    let last_id = page.data.last().map(|job| job.id.to_string());
    Ok(Json(List::page(page.data, page.has_more, last_id)))
}

/// The id in `after`, which must be that of a job that is or was here: a list after another would look complete and not
/// be.
async fn accepted_job(api: &Api, text: &str) -> Result<Uuid, Problem> {
    let refused = || {
        let text = text.escape_debug();
        let detail =
            format!("the query string: `after` `{text}` is the id of no job; it takes the `last_id` of a page");
        Problem::bad_request(detail)
    };
    let id = Uuid::try_parse(text).map_err(|_| refused())?;
    if api.scheduler.store().job_was_accepted(id).await? { Ok(id) } else { Err(refused()) }
}

/// A job that was accepted: 202, where it is, and the job.
type Accepted = (StatusCode, HeaderMap, Json<Job>);

/// `POST /v1/jobs?dry_run=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitParams {
    /// Only check the spec, and say what it comes to.
    #[serde(default)]
    dry_run: bool,
}

/// 202 with the job; 200 with its plan for a dry run, which keeps nothing and does not use the request's key.
pub(super) async fn submit(
    State(api): State<Api>,
    Params(params): Params<SubmitParams>,
    request: Keyed,
) -> Result<Response, Problem> {
    let spec = parse_spec(request.body.json()?)?;
    if params.dry_run {
        return Ok(Json(api.scheduler.dry_run(spec).await?).into_response());
    }
    Ok(accepted(api.scheduler.submit(spec, request.key.as_ref()).await?).into_response())
}

/// The body holds the members of the spec to replace; it may be empty.
pub(super) async fn fork(State(api): State<Api>, JobId(id): JobId, request: Keyed) -> Result<Accepted, Problem> {
    let overrides = optional(&request.body)?;
    Ok(accepted(api.scheduler.fork(id, &overrides, request.key.as_ref()).await?))
}

/// The body is empty, or an object without members.
pub(super) async fn reproduce(State(api): State<Api>, JobId(id): JobId, request: Keyed) -> Result<Accepted, Problem> {
    if optional(&request.body)? != Value::Object(Map::new()) {
        let detail = "a reproduction has the spec of its original; fork the job, or submit a new one, to change it";
        return Err(Faults(vec![Pointer::root().fault(detail)]).into());
    }
    Ok(accepted(api.scheduler.reproduce(id, request.key.as_ref()).await?))
}

/// A body that may be left out.
fn optional(body: &Body) -> Result<Value, Problem> {
    let text = body.json()?;
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Map::new()));
    }
    Ok(json::parse(text)?)
}

fn accepted(job: Job) -> Accepted {
    let location = HeaderValue::try_from(format!("/v1/jobs/{}", job.id));
    let headers = location.into_iter().map(|location| (header::LOCATION, location)).collect();
    (StatusCode::ACCEPTED, headers, Json(job))
}

pub(super) async fn show(State(api): State<Api>, JobId(id): JobId) -> Result<Json<Job>, Problem> {
    Ok(Json(find(&api, id).await?))
}

/// 202 while a run still has to stop, 200 where nothing is left to do.
pub(super) async fn cancel(State(api): State<Api>, JobId(id): JobId) -> Result<(StatusCode, Json<Job>), Problem> {
    let job = api.scheduler.cancel(id).await?.ok_or_else(|| no_such_job(id))?;
    Ok((if job.status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED }, Json(job)))
}

/// 202 while a run still has to stop, 200 where the job is paused.
pub(super) async fn pause(State(api): State<Api>, JobId(id): JobId) -> Result<(StatusCode, Json<Job>), Problem> {
    let job = api.scheduler.pause(id).await?.ok_or_else(|| no_such_job(id))?;
    Ok((if job.status == Status::Running { StatusCode::ACCEPTED } else { StatusCode::OK }, Json(job)))
}

pub(super) async fn resume(State(api): State<Api>, JobId(id): JobId) -> Result<Json<Job>, Problem> {
    api.scheduler.resume(id).await?.map(Json).ok_or_else(|| no_such_job(id))
}

/// 204 once it is gone for good.
pub(super) async fn remove(State(api): State<Api>, JobId(id): JobId) -> Result<StatusCode, Problem> {
    api.scheduler.delete_job(id).await?.ok_or_else(|| no_such_job(id))?;
    api.models.forget(|served| served.job() == Some(id));
    Ok(StatusCode::NO_CONTENT)
}

/// A job, or the answer that there is none.
pub(super) async fn find(api: &Api, id: Uuid) -> Result<Job, Problem> {
    api.scheduler.job(id).await?.ok_or_else(|| no_such_job(id))
}
