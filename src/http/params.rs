//! Query strings and path segments, strictly: an unknown or unreadable parameter is an error, never ignored.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::Problem;

/// The parameters of a query string; `T` refuses unknown ones.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(params)| Self(params))
            .map_err(|error| Problem::bad_request(format!("the query string: {}", cause(&error))))
    }
}

/// A job's id in the path.
#[derive(Debug)]
pub(super) struct JobId(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for JobId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::bad_request(error.body_text()))?;
        // What is no UUID is no job: to the client it makes no difference.
        Uuid::try_parse(&text).map(Self).map_err(|_| no_such_job(&text))
    }
}

/// The answer to an unknown job.
pub(super) fn no_such_job(id: impl std::fmt::Display) -> Problem {
    Problem::not_found(format!("there is no job {id}"))
}

/// The innermost cause of an error: the sentence that names the parameter.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
