//! `POST /v1/gradient-check`: backpropagation held against numerical differentiation.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tokio::sync::Semaphore;

use super::api::Api;
use super::body::Body;
use super::error::Problem;
use crate::job::gradient_check::{CheckRequest, GradientReport};

/// Room for one check at a time: each takes a core for up to some tens of seconds.
pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}

pub(super) async fn check(State(api): State<Api>, body: Body) -> Result<Json<GradientReport>, Problem> {
    let body = body.into_document().await?;
    let check = CheckRequest::parse(body.json()?)?.admit(|spec| api.scheduler.plan_with_data(spec))?;
    let Ok(permit) = api.gradient_checks.clone().try_acquire_owned() else {
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "another gradient check is under way; try again"));
    };
    let library = api.scheduler.library().clone();
    let work = move || {
        // Kept until the end of the work, also where the client has long gone.
        let _permit = permit;
        let dataset = library.load(check.dataset()).map_err(|error| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("the dataset cannot be loaded: {error}"))
        })?;
        Ok(Json(check.run(&dataset)))
    };
    let failed = |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the gradient check failed");
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}
