//! `/v1/jobs/{id}/webhooks`: what became of the messages that tell others of a job.

use axum::Json;
use axum::extract::State;

use super::api::Api;
use super::error::Problem;
use super::jobs::find;
use super::list::List;
use super::params::JobId;
use crate::store::MessageView;

pub(super) async fn of_job(State(api): State<Api>, JobId(id): JobId) -> Result<Json<List<MessageView>>, Problem> {
    find(&api, id).await?;
    let page = api.scheduler.store().messages(id).await?;
    let last_id = page.data.last().map(|message| message.id.clone());
    Ok(Json(List::page(page.data, page.has_more, last_id)))
}
