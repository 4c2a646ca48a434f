//! `/v1/jobs`: submit, list, show, cancel.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use uuid::Uuid;

use super::api::Api;
use super::body::Body;
use super::error::Problem;
use super::list::{List, check_limit};
use super::params::{JobId, Params, no_such_job};
use crate::job::recipes::parse_spec;
use crate::job::status::Status;
use crate::job::view::Job;
use crate::store::{JobQuery, Order};

/// `GET /v1/jobs?status=&limit=&after=&order=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    status: Option<Status>,
    #[serde(default = "default_limit")]
    limit: u32,
    after: Option<Uuid>,
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

fn default_limit() -> u32 {
    50
}

pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<ListParams>,
) -> Result<Json<List<Job>>, Problem> {
    check_limit(params.limit, 200)?;
    let order = match params.order {
        Direction::Desc => Order::Newest,
        Direction::Asc => Order::Oldest,
    };
    let query = JobQuery { status: params.status, limit: params.limit, after: params.after, order };
    let page = api.scheduler.store().jobs(&query).await?;
    let last_id = page.data.last().map(|job| job.id.to_string());
    Ok(Json(List::page(page.data, page.has_more, last_id)))
}

pub(super) async fn submit(State(api): State<Api>, body: Body) -> Result<(StatusCode, HeaderMap, Json<Job>), Problem> {
    let spec = parse_spec(body.json()?)?;
    let job = api.scheduler.submit(spec).await?;
    let location = HeaderValue::try_from(format!("/v1/jobs/{}", job.id));
    let headers = location.into_iter().map(|location| (header::LOCATION, location)).collect();
    Ok((StatusCode::ACCEPTED, headers, Json(job)))
}

pub(super) async fn show(State(api): State<Api>, JobId(id): JobId) -> Result<Json<Job>, Problem> {
    Ok(Json(find(&api, id).await?))
}

/// 202 while a run still has to stop, 200 where nothing is left to do.
pub(super) async fn cancel(State(api): State<Api>, JobId(id): JobId) -> Result<(StatusCode, Json<Job>), Problem> {
    let job = api.scheduler.cancel(id).await?.ok_or_else(|| no_such_job(id))?;
    Ok((if job.status.is_final() { StatusCode::OK } else { StatusCode::ACCEPTED }, Json(job)))
}

/// A job, or the answer that there is none.
pub(super) async fn find(api: &Api, id: Uuid) -> Result<Job, Problem> {
    api.scheduler.store().job(id).await?.ok_or_else(|| no_such_job(id))
}
