//! `/v1/models`: what can predict.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::api::Api;
use super::error::Problem;
use super::list::{List, PageParams};
use super::params::{Params, Path};
use crate::store::ModelEntry;

/// In the order of their names: whatever is made or deleted meanwhile, a client that pages misses none and gets none twice.
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<PageParams>,
) -> Result<Json<List<ModelEntry>>, Problem> {
    let (limit, after) = params.check()?;
    let page = api.scheduler.store().models(after.as_deref(), limit).await?;
    let last_id = page.data.last().map(|model| model.name.clone());
    Ok(Json(List::page(page.data, page.has_more, last_id)))
}

pub(super) async fn show(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<ModelEntry>, Problem> {
    let model = api.scheduler.store().model(&name).await?;
    model.map(Json).ok_or_else(|| no_such_model(&name))
}

/// Deletes all versions: 204 once they are gone for good.
pub(super) async fn remove(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    if api.models.delete(&name, None).await? { Ok(StatusCode::NO_CONTENT) } else { Err(no_such_model(&name)) }
}

/// Deletes one version: 204 once it is gone for good.
pub(super) async fn remove_version(
    State(api): State<Api>,
    Path((name, version)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    // What is no number is no version: to the client it makes no difference.
    let deleted = match version.parse() {
        Ok(number) => api.models.delete(&name, Some(number)).await?,
        Err(_) => false,
    };
    if deleted {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(no_such_version(&name, &version))
}

/// The answer to an unknown version of a model.
pub(super) fn no_such_version(name: &str, version: &str) -> Problem {
    let (name, version) = (name.escape_debug(), version.escape_debug());
    Problem::not_found(format!("there is no model `{name}` in version {version}"))
}

fn no_such_model(name: &str) -> Problem {
    Problem::not_found(format!("there is no model `{}`", name.escape_debug()))
}
