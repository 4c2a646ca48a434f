//! `/v1/models`: what can predict.

use axum::Json;
use axum::extract::State;

use super::api::Api;
use super::error::Problem;
use super::list::List;
use crate::store::ModelEntry;

pub(super) async fn list(State(api): State<Api>) -> Result<Json<List<ModelEntry>>, Problem> {
    Ok(Json(List::whole(api.scheduler.store().models().await?)))
}
