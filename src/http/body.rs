//! Request bodies.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};

use super::error::Problem;

/// A whole body with its content type, in lower case and without parameters.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) content_type: Option<String>,
    pub(super) bytes: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let header = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = header.map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unreadable(&rejection))?;
        Ok(Self { content_type, bytes })
    }
}

fn unreadable(rejection: &BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 16 MiB"),
        status if status.is_client_error() => Problem::new(status, "the body could not be read"),
        _ => Problem::bad_request("the body could not be read"),
    }
}

impl Body {
    /// The body as JSON text.
    ///
    /// `curl -d` says `application/x-www-form-urlencoded` unless told otherwise; what looks like JSON is taken as JSON.
    pub(super) fn json(&self) -> Result<&[u8], Problem> {
        match self.content_type.as_deref() {
            None | Some("application/json" | "application/x-www-form-urlencoded" | "text/plain") => Ok(&self.bytes),
            Some(other) if other.ends_with("+json") => Ok(&self.bytes),
            Some(other) => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("`application/json` is needed, not `{}`", other.escape_debug()),
            )),
        }
    }
}
