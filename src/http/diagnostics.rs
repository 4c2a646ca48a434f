//! `/v1/jobs/{id}/diagnostics`: what goes on inside the network while it trains, and what it is worth at the end.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::api::Api;
use super::error::Problem;
use super::jobs::find;
use super::list::Limit;
use super::params::{JobId, Params};
use crate::store::Looks;

/// `?after=&limit=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiagnosticsParams {
    /// Only looks at later epochs.
    #[serde(default)]
    after: u64,
    /// The newest so many.
    #[serde(default = "default_limit")]
    limit: Limit<100>,
}

fn default_limit() -> Limit<100> {
    Limit(20)
}

#[derive(Debug, Serialize)]
pub(super) struct Answer {
    job: Uuid,
    #[serde(flatten)]
    looks: Looks,
}

pub(super) async fn show(
    State(api): State<Api>,
    JobId(id): JobId,
    Params(params): Params<DiagnosticsParams>,
) -> Result<Json<Answer>, Problem> {
    find(&api, id).await?;
    let looks = api.scheduler.store().diagnostics(id, params.after, params.limit.0).await?;
    Ok(Json(Answer { job: id, looks }))
}
