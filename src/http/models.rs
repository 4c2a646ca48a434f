//! `/v1/models`: what can predict.

use axum::Json;
use axum::extract::State;

use super::error::Problem;
use super::jobs::List;
use super::router::Api;
use crate::store::ModelEntry;

pub(super) async fn list(State(api): State<Api>) -> Result<Json<List<ModelEntry>>, Problem> {
    Ok(Json(List::whole(api.scheduler.store().models().await?)))
}
