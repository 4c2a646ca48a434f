//! The dashboard: files of `static/`, embedded in the binary.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::error::Problem;
use super::params::Path;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

/// `/`
pub(super) async fn index(headers: HeaderMap) -> Response {
    file("index.html", &headers)
}

/// `/assets/{*path}`
pub(super) async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    file(&path, &headers)
}

fn file(path: &str, headers: &HeaderMap) -> Response {
    let Some(EmbeddedFile { data, metadata }) = Files::get(path) else {
        return Problem::not_found(format!("there is no file `{}`", path.escape_debug())).into_response();
    };
    // Names carry no hash, so a browser asks each time and mostly hears "not modified".
    let tag = format!("\"{}\"", metadata.sha256_hash().iter().map(|b| format!("{b:02x}")).collect::<String>());
    let cached = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, "no-cache".into())];
    if headers
        .get(header::IF_NONE_MATCH)
        .and_then(|known| known.to_str().ok())
        .is_some_and(|known| known.contains(&tag))
    {
        return (StatusCode::NOT_MODIFIED, cached).into_response();
    }
    (cached, [(header::CONTENT_TYPE, metadata.mimetype())], data).into_response()
}
