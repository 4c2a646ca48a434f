//! Request bodies, and the memory they take.

use std::error::Error;

use axum::RequestExt;
use axum::body::{Body as RequestBody, Bytes, HttpBody};
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError};

use super::error::Problem;
use super::pause;
use crate::memory::{MemoryAccount, MemoryUse, Reservation};

/// Most bytes of a body that is a document of JSON: a spec, or what to change of one.
const DOCUMENT_MAX: usize = 1 << 20;
/// Most bytes that a byte of such a document takes once it is read: `0,` becomes a value of 32, some of them twice.
const DOCUMENT_FACTOR: u64 = 64;
/// What a body's memory grows by while it comes.
const STEP: u64 = 64 << 10;

/// A whole body with its content type, in lower case and without parameters.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) content_type: Option<String>,
    pub(super) bytes: Bytes,
    /// The body's memory, and that of what is made of it.
    pub(super) memory: Reservation,
}

impl<S: Send + Sync> FromRequest<S> for Body
where
    MemoryAccount: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let header = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = header.map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let mut memory = MemoryAccount::from_ref(state).open(MemoryUse::Requests);
        let bytes = receive(request.into_limited_body(), &mut memory).await?;
        Ok(Self { content_type, bytes, memory })
    }
}

/// Receives a body as a whole; memory is reserved for what has come, not for what was announced.
async fn receive(mut body: RequestBody, memory: &mut Reservation) -> Result<Bytes, Problem> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|error| unreadable(&error))?.into_data() else { continue };
        // While it grows, what came before is there twice.
        let needed = 2 * (whole.len() + bytes.len()) as u64;
        if needed > memory.bytes() {
            memory.resize(needed.next_multiple_of(STEP)).await?;
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(bytes);
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.into())
}

fn unreadable(error: &axum::Error) -> Problem {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 16 MiB");
        }
        cause = error.source();
    }
    if pause::is_stalled(error) {
        return Problem::stalled();
    }
    Problem::bad_request("the body could not be read to its end")
}

impl Body {
    /// Reserves what it takes to read the body as a document of JSON.
    pub(super) async fn into_document(mut self) -> Result<Self, Problem> {
        if self.bytes.len() > DOCUMENT_MAX {
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "a JSON document may have at most 1 MiB"));
        }
        self.memory.resize(DOCUMENT_FACTOR * self.bytes.len() as u64).await?;
        Ok(self)
    }

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
