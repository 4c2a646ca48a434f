//! `/v1/models`: what can predict.

use axum::Json;
use axum::extract::{Path, State};

use super::api::Api;
use super::error::Problem;
use super::list::List;
use crate::store::ModelEntry;

pub(super) async fn list(State(api): State<Api>) -> Result<Json<List<ModelEntry>>, Problem> {
    Ok(Json(List::whole(api.scheduler.store().models().await?)))
}

pub(super) async fn show(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<ModelEntry>, Problem> {
    let model = api.scheduler.store().model(&name).await?;
    model.map(Json).ok_or_else(|| Problem::not_found(format!("there is no model `{}`", name.escape_debug())))
}
