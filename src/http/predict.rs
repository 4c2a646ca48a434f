//! `POST /predict`: an image, whichever way it comes, to probabilities.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::api::Api;
use super::body::Body;
use super::error::Problem;
use super::params::Params;
use crate::engine::loss::argmax;
use crate::serving::Selector;
use crate::serving::input::{Format, Input, PixelRange, Preprocessing, decode};

/// `?model=&pixel_range=&return_input=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PredictParams {
    model: Option<String>,
    pixel_range: Option<PixelRange>,
    #[serde(default)]
    return_input: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Answer {
    model: ModelView,
    input: InputView,
    predictions: Vec<Prediction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<Vec<Vec<f32>>>,
}

#[derive(Debug, Serialize)]
struct ModelView {
    name: String,
    version: Option<u32>,
    job: Option<Uuid>,
    weights_sha256: String,
}

#[derive(Debug, Serialize)]
struct InputView {
    count: usize,
    format: Format,
    pixel_range: Option<PixelRange>,
    assumed: bool,
    preprocessing: Preprocessing,
}

#[derive(Debug, Serialize)]
struct Prediction {
    label: usize,
    class: String,
    confidence: f32,
    probabilities: Vec<f32>,
}

pub(super) async fn predict(
    State(api): State<Api>,
    Params(params): Params<PredictParams>,
    body: Body,
) -> Result<Json<Answer>, Problem> {
    let began = Instant::now();
    let selector = params.model.as_deref().map(str::parse::<Selector>).transpose()?;
    let served = api.models.resolve(selector.as_ref()).await?;
    let model = served.clone();
    let work = move || {
        let input = Input::new(model.input(), model.dtype());
        let decoded = decode(&body.bytes, body.content_type.as_deref(), params.pixel_range, &input)?;
        let probabilities = model.infer(&decoded.inputs);
        Ok::<_, Problem>((decoded, probabilities))
    };
    // Decoding a picture or a thousand images takes too long for a thread that serves others.
    let (decoded, probabilities) = tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "the prediction failed"))??;
    let predictions = probabilities
        .chunks_exact(served.class_names().len())
        .map(|row| {
            let label = argmax(row);
            Prediction {
                label,
                class: served.class_names()[label].clone(),
                confidence: row[label],
                probabilities: row.to_vec(),
            }
        })
        .collect();
    api.meters.predicted(decoded.count, began.elapsed());
    let width = served.input().len();
    Ok(Json(Answer {
        model: ModelView {
            name: served.name().into(),
            version: served.version(),
            job: served.job(),
            weights_sha256: served.weights_sha256().into(),
        },
        input: InputView {
            count: decoded.count,
            format: decoded.format,
            pixel_range: decoded.pixel_range,
            assumed: decoded.assumed,
            preprocessing: decoded.preprocessing,
        },
        predictions,
        inputs: params.return_input.then(|| decoded.inputs.chunks_exact(width).map(<[f32]>::to_vec).collect()),
    }))
}
