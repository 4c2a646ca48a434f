//! `/v1/jobs/{id}/weights`: the weights as a safetensors file.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::api::Api;
use super::error::Problem;
use super::jobs::find;
use super::params::{JobId, Params};
use crate::serving::Selector;

/// `?format=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightsParams {
    #[serde(default, rename = "format")]
    _format: Format,
}

/// The formats there are.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Safetensors,
}

/// The final weights; of a job without them, those of its last checkpoint.
pub(super) async fn download(
    State(api): State<Api>,
    JobId(id): JobId,
    Params(_): Params<WeightsParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = find(&api, id).await?;
    let (sha256, bytes) = match &job.weights_sha256 {
        Some(sha256) => {
            if is_known(&headers, sha256) {
                return Ok(not_modified(sha256));
            }
            let bytes = api.scheduler.store().weights(sha256).await?;
            (sha256.clone(), bytes.ok_or_else(|| Problem::not_found("the weights are no longer kept"))?)
        }
        None => {
            let served = api.models.resolve(Some(&Selector::Job(id))).await?;
            served.weights_file()
        }
    };
    if is_known(&headers, &sha256) {
        return Ok(not_modified(&sha256));
    }
    let name = format!("attachment; filename=\"{}-{}.safetensors\"", job.model, &sha256[..12]);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::ETAG, format!("\"{sha256}\"")),
    ];
    Ok((headers, bytes).into_response())
}

fn is_known(headers: &HeaderMap, sha256: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known
        .split(',')
        .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
        .any(|tag| tag == sha256 || tag == "*")
}

fn not_modified(sha256: &str) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, format!("\"{sha256}\""))]).into_response()
}
