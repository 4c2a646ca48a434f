//! The only place where errors become statuses: problem details (RFC 9457), without internals.

use std::any::Any;

use axum::Json;
use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::pause;
use crate::data::library::RemoveError;
use crate::data::upload::UploadError;
use crate::job::fault::{Fault, Faults, Pointer};
use crate::memory::MemoryError;
use crate::scheduler::{RemoveDatasetError, SubmitError, WishError};
use crate::serving::input::{InputError, InputErrorKind};
use crate::serving::{ServeError, TryError};
use crate::store::StoreError;
use crate::text::visible;

/// What a client is told of an error.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    r#type: &'static str,
    title: String,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    /// Seconds after which it may go better.
    #[serde(skip)]
    retry_after: Option<u32>,
}

/// Seconds after which a request may be sent again where nothing else is said.
const RETRY: u32 = 5;
/// The same where memory was short: it is given back soon.
const MEMORY_RETRY: u32 = 1;

impl Problem {
    /// A problem with a status and a sentence.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = match status {
            // The present name of RFC 9110; the library still says "Entity".
            StatusCode::UNPROCESSABLE_ENTITY => "Unprocessable Content".into(),
            StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large".into(),
            status => status.canonical_reason().unwrap_or("Error").into(),
        };
        let passes = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS, StatusCode::INSUFFICIENT_STORAGE]
            .contains(&status);
        let (status, detail, retry_after) = (status.as_u16(), detail.into(), passes.then_some(RETRY));
        Self { r#type: "about:blank", title, status, detail, errors: vec![], retry_after }
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

    /// A form that is larger than an upload may be.
    pub(super) fn upload_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "the upload is larger than 512 MiB")
    }

    /// A body of which nothing came for too long.
    pub(super) fn stalled() -> Self {
        let seconds = pause::LONGEST.as_secs();
        Self::new(StatusCode::REQUEST_TIMEOUT, format!("nothing more of the body came for {seconds} s"))
    }

    /// An upload that makes no dataset.
    pub(super) fn upload(Faults(faults): Faults) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the upload has {}", number(&faults))).with(faults)
    }

    /// What is wrong with the document.
    #[cfg(test)]
    pub(super) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.errors.iter()
    }

    /// A disk that fails, or has no room.
    fn disk(error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | ReadOnlyFilesystem => Self::disk_full(),
            _ => Self::internal(error),
        }
    }

    fn disk_full() -> Self {
        let detail = "the server's disk is full or cannot be written; nothing was accepted";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, detail)
    }

    fn with(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        // Names that a client sends come back in many texts: none is left to forget.
        self.detail = visible(&self.detail).into_owned();
        for fault in &mut self.errors {
            fault.detail = visible(&fault.detail).into_owned();
            fault.pointer = uri_characters(&fault.pointer);
        }
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            // The rest of the body is not read, so nothing more can come over this connection.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<Faults> for Problem {
    fn from(Faults(faults): Faults) -> Self {
        let unreadable = faults.iter().all(|fault| fault.pointer == "#" && fault.detail.starts_with("not readable"));
        if unreadable {
            return Self::bad_request(faults[0].detail.clone()).with(faults);
        }
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the spec has {}", number(&faults))).with(faults)
    }
}

impl From<MemoryError> for Problem {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::TooLarge { .. } => {
                let detail = format!("the request takes too much memory: {error} (`--serving-memory`)");
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
            }
            MemoryError::Busy => Self {
                retry_after: Some(MEMORY_RETRY),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "other requests have taken the server's memory; try again")
            },
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        (&error).into()
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Full(_) => Self::disk_full(),
            StoreError::Replaced => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            StoreError::Busy(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "the store is busy; try again"),
            StoreError::Corrupt { .. } => {
                tracing::error!(%error, "a request met damaged data");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
            error => Self::internal(error),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Faults(faults) => faults.into(),
            SubmitError::Store(error) => error.into(),
            SubmitError::ShuttingDown => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            SubmitError::QueueFull(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, error.to_string()),
            SubmitError::KeyTaken => Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            SubmitError::NoSource(_) => Self::not_found(error.to_string()),
            SubmitError::Conflict(detail) => Self::new(StatusCode::CONFLICT, detail),
        }
    }
}

impl From<WishError> for Problem {
    fn from(error: WishError) -> Self {
        match error {
            WishError::Refused(refused) => Self::new(StatusCode::CONFLICT, refused.to_string()),
            // The request is sound; it is the job that no longer is.
            WishError::Faults(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            WishError::Store(error) => error.into(),
        }
    }
}

impl From<ServeError> for Problem {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::NotFound(detail) => Self::not_found(detail),
            ServeError::BadSelector(detail) => Self::bad_request(detail),
            ServeError::Store(error) => (&*error).into(),
            ServeError::Memory(error @ MemoryError::TooLarge { .. }) => {
                let detail = format!("the model cannot be loaded: {error} (`--serving-memory`)");
                // Waiting would not help.
                Self { retry_after: None, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
            }
            ServeError::Memory(error) => error.into(),
            ServeError::Unusable(detail) => Self::internal(&detail),
        }
    }
}

impl From<TryError> for Problem {
    fn from(error: TryError) -> Self {
        match error {
            TryError::Import(error) => Self::upload(Faults(vec![Pointer::root().at("file").fault(error.to_string())])),
            TryError::Disk(error) => Self::disk(&error),
            TryError::Panicked => Self::internal(&error),
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

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Fault { field, detail } => Self::upload(Faults(vec![Pointer::root().at(field).fault(detail)])),
            UploadError::Taken(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            UploadError::Disk(error) => Self::disk(&error),
        }
    }
}

impl From<RemoveDatasetError> for Problem {
    fn from(error: RemoveDatasetError) -> Self {
        match error {
            RemoveDatasetError::Library(RemoveError::Unknown(name)) => {
                Self::not_found(format!("there is no dataset `{}`", name.escape_debug()))
            }
            RemoveDatasetError::Library(RemoveError::BuiltIn(_)) | RemoveDatasetError::InUse { .. } => {
                Self::new(StatusCode::CONFLICT, error.to_string())
            }
            RemoveDatasetError::Library(RemoveError::Disk(error)) => Self::disk(&error),
            RemoveDatasetError::Store(error) => error.into(),
        }
    }
}

impl From<MultipartRejection> for Problem {
    fn from(_: MultipartRejection) -> Self {
        // The boundary is a parameter of the media type: without it there is no such media type either.
        let detail = "a form is needed, as curl -F sends it: `content-type: multipart/form-data; boundary=…`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }
}

impl From<MultipartError> for Problem {
    fn from(error: MultipartError) -> Self {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::upload_too_large();
        }
        if pause::is_stalled(&error) {
            return Self::stalled();
        }
        Self::bad_request(
            "the form cannot be read: it ends too early, or its parts are not as multipart/form-data has them",
        )
    }
}

/// A pointer with everything percent-encoded that a URI does not hold.
fn uri_characters(pointer: &str) -> String {
    let encoded =
        |byte: u8| if byte.is_ascii_graphic() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    pointer.bytes().map(encoded).collect()
}

/// "1 fault", "2 faults".
fn number(faults: &[Fault]) -> String {
    if faults.len() == 1 { "1 fault".into() } else { format!("{} faults", faults.len()) }
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
