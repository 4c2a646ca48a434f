//! The only place where errors become statuses: problem details (RFC 9457), without internals.

use std::any::Any;

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::job::fault::{Fault, Faults};
use crate::scheduler::SubmitError;
use crate::serving::ServeError;
use crate::serving::input::{InputError, InputErrorKind};
use crate::store::StoreError;

/// What a client is told of an error.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    r#type: &'static str,
    title: String,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

impl Problem {
    /// A problem with a status and a sentence.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = match status {
            // The present name of RFC 9110; the library still says "Entity".
            StatusCode::UNPROCESSABLE_ENTITY => "Unprocessable Content".into(),
            StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large".into(),
            status => status.canonical_reason().unwrap_or("Error").into(),
        };
        Self { r#type: "about:blank", title, status: status.as_u16(), detail: detail.into(), errors: vec![] }
    }

    /// Something that is not there.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// A request that cannot be understood.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// A failure of ours: the log has it, the client does not.
    fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "an internal error; the server's log has more")
    }

    fn with(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest of the body is not read, so nothing more can come over this connection.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

impl From<Faults> for Problem {
    fn from(Faults(faults): Faults) -> Self {
        let number = if faults.len() == 1 { "1 fault".into() } else { format!("{} faults", faults.len()) };
        let unreadable = faults.iter().all(|fault| fault.pointer == "#" && fault.detail.starts_with("not readable"));
        if unreadable {
            return Self::bad_request(faults[0].detail.clone()).with(faults);
        }
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the spec has {number}")).with(faults)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(_) => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "the server's disk is full or cannot be written; nothing was accepted",
            ),
            StoreError::Busy(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "the store is busy; try again"),
            StoreError::Corrupt { .. } => {
                tracing::error!(%error, "a request met damaged data");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
            error => Self::internal(&error),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Faults(faults) => faults.into(),
            SubmitError::Store(error) => error.into(),
            SubmitError::ShuttingDown => Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down"),
        }
    }
}

impl From<ServeError> for Problem {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::NotFound(detail) => Self::not_found(detail),
            ServeError::BadSelector(detail) => Self::bad_request(detail),
            ServeError::Store(error) => error.into(),
            ServeError::Unusable(detail) => Self::internal(&detail),
        }
    }
}

impl From<InputError> for Problem {
    fn from(error: InputError) -> Self {
        let status = match error.kind {
            InputErrorKind::Malformed => StatusCode::BAD_REQUEST,
            InputErrorKind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            InputErrorKind::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            InputErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        };
        let errors = error.pointer.map(|pointer| Fault { pointer, detail: error.detail.clone() });
        Self::new(status, error.detail).with(errors.into_iter().collect())
    }
}

/// Any path that is not a route.
pub(super) async fn no_such_route(method: Method, uri: Uri) -> Problem {
    Problem::not_found(format!("there is no {method} {}", uri.path()))
}

/// A route, but not by this method.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", uri.path()))
}

/// A handler that panicked: a bug, and the server lives on.
pub(super) fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    Problem::internal(&"a handler panicked").into_response()
}
