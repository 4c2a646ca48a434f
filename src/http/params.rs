//! Query strings and path segments, strictly: an unknown or unreadable parameter is an error, never ignored.

use axum::extract::{self, FromRequestParts};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::Problem;
use super::query_values;

/// The parameters of a query string; `T` refuses unknown ones.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let params = query_values::read(parts.uri.query().unwrap_or_default());
        params.map(Self).map_err(|sentence| Problem::bad_request(format!("the query string: {sentence}")))
    }
}

/// Segments of the path as texts.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = extract::Path::from_request_parts(parts, state).await;
        path.map(|extract::Path(segments)| Self(segments))
            .map_err(|_| Problem::bad_request("the path is not UTF-8 once its escapes are resolved"))
    }
}

/// A job's id in the path.
#[derive(Debug)]
pub(super) struct JobId(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for JobId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await?;
        // What is no UUID is no job: to the client it makes no difference.
        Uuid::try_parse(&text).map(Self).map_err(|_| no_such_job(&text))
    }
}

/// The answer to an unknown job.
pub(super) fn no_such_job(id: impl std::fmt::Display) -> Problem {
    Problem::not_found(format!("there is no job {id}"))
}
