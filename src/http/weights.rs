//! Weights as a safetensors file: of a job, `/v1/jobs/{id}/weights`, and of any version of a model,
//! `/v1/models/{name}/versions/{version}/weights`.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::api::Api;
use super::error::Problem;
use super::jobs::find;
use super::models::no_such_version;
use super::params::{JobId, Params};
use crate::job::fault::suggestion;
use crate::serving::Selector;

/// The formats of weights that can be written.
const FORMATS: &[&str] = &["safetensors"];

/// `?format=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightsParams {
    format: Option<String>,
}

impl WeightsParams {
    fn check(&self) -> Result<(), Problem> {
        let Some(format) = self.format.as_deref().filter(|format| !FORMATS.contains(format)) else { return Ok(()) };
        let hint = suggestion(format, FORMATS.iter().copied());
        let (format, available) = (format.escape_debug(), FORMATS.join(", "));
        let detail = format!("the query string: `format` `{format}` is not available; there is {available}{hint}");
        Err(Problem::bad_request(detail))
    }
}

/// The final weights; of a job without them, those of its last checkpoint.
pub(super) async fn of_job(
    State(api): State<Api>,
    JobId(id): JobId,
    Params(params): Params<WeightsParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    params.check()?;
    let job = find(&api, id).await?;
    if let Some(sha256) = &job.weights_sha256 {
        return stored(&api, sha256, &job.model, &headers).await;
    }
    let served = api.models.resolve(Some(&Selector::Job(id))).await?;
    let (sha256, bytes) = served.weights_file();
    if is_known(&headers, &sha256) {
        return Ok(not_modified(&sha256));
    }
    Ok(file(&job.model, &sha256, bytes))
}

/// The weights of a version, wherever they are from and though its job is gone.
pub(super) async fn of_version(
    State(api): State<Api>,
    Path((name, version)): Path<(String, String)>,
    Params(params): Params<WeightsParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    params.check()?;
    let found = match version.parse() {
        Ok(number) => api.scheduler.store().model_version(&name, Some(number)).await?,
        Err(_) => None,
    };
    let found = found.ok_or_else(|| no_such_version(&name, &version))?;
    stored(&api, &found.weights_sha256, &found.name, &headers).await
}

/// The weights file of this SHA-256.
async fn stored(api: &Api, sha256: &str, model: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    if is_known(headers, sha256) {
        return Ok(not_modified(sha256));
    }
    let bytes = api.scheduler.store().weights(sha256).await?;
    Ok(file(model, sha256, bytes.ok_or_else(|| Problem::not_found("the weights are no longer kept"))?))
}

fn file(model: &str, sha256: &str, bytes: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_DISPOSITION, disposition(&format!("{model}-{}.safetensors", &sha256[..12]))),
        (header::ETAG, tag(sha256)),
    ];
    (headers, bytes).into_response()
}

/// A file to be saved under a name (RFC 6266); what is not ASCII comes percent-encoded beside it (RFC 8187).
fn disposition(name: &str) -> HeaderValue {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let ascii: String = name.chars().map(|c| if u8::try_from(c).is_ok_and(plain) { c } else { '_' }).collect();
    let mut value = format!("attachment; filename=\"{ascii}\"");
    if ascii != name {
        let encoded: String =
            name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
        value.push_str(&format!("; filename*=UTF-8''{encoded}"));
    }
    HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

fn tag(sha256: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{sha256}\"")).expect("hexadecimal digits")
}

fn is_known(headers: &HeaderMap, sha256: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known
        .split(',')
        .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
        .any(|tag| tag == sha256 || tag == "*")
}

fn not_modified(sha256: &str) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, tag(sha256))]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_in_any_script() {
        assert_eq!(disposition("digits-0a.safetensors"), "attachment; filename=\"digits-0a.safetensors\"");
        assert_eq!(disposition("숫-1"), "attachment; filename=\"_-1\"; filename*=UTF-8''%EC%88%AB-1");
        assert_eq!(disposition("a\"\r\nb"), "attachment; filename=\"a___b\"; filename*=UTF-8''a%22%0D%0Ab");
    }
}
