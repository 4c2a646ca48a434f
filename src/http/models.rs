//! `/v1/models`: what can predict.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::api::Api;
use super::error::Problem;
use super::list::List;
use super::params::Path;
use crate::store::ModelEntry;

pub(super) async fn list(State(api): State<Api>) -> Result<Json<List<ModelEntry>>, Problem> {
    Ok(Json(List::whole(api.scheduler.store().models().await?)))
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
    let (name, version) = (name.escape_debug(), version.escape_debug());
    Err(Problem::not_found(format!("there is no model `{name}` in version {version}")))
}

fn no_such_model(name: &str) -> Problem {
    Problem::not_found(format!("there is no model `{}`", name.escape_debug()))
}
