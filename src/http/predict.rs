//! `POST /predict`: an image, whichever way it comes, to probabilities.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::api::Api;
use super::body::Body;
use super::error::Problem;
use super::params::Params;
use crate::engine::loss::argmax;
use crate::memory::{MemoryError, Reservation};
use crate::serving::input::{AT_ONCE, DecodeError, Decoded, Encoded, Format, Input, PixelRange, Preprocessing, decode};
use crate::serving::{Selector, Served};

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
struct Answer {
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

/// A request whose body has come.
#[derive(Debug)]
struct Asked {
    bytes: Bytes,
    content_type: Option<String>,
    pixel_range: Option<PixelRange>,
    return_input: bool,
    model: Arc<Served>,
}

/// An answer as JSON, and of how many samples.
struct Answered {
    json: Vec<u8>,
    samples: usize,
}

/// An answer, and its memory until it is sent.
struct Held {
    json: Vec<u8>,
    _memory: Reservation,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

pub(super) async fn predict(
    State(api): State<Api>,
    Params(params): Params<PredictParams>,
    body: Body,
) -> Result<Response, Problem> {
    let began = Instant::now();
    let selector = params.model.as_deref().map(str::parse::<Selector>).transpose()?;
    let model = api.models.resolve(selector.as_ref()).await?;
    let Body { bytes, content_type, memory } = body;
    let PredictParams { pixel_range, return_input, .. } = params;
    let asked = Arc::new(Asked { bytes, content_type, pixel_range, return_input, model });
    let (answered, memory) = answer(&api, &asked, memory).await?;
    api.meters.predicted(answered.samples, began.elapsed());
    let held = Bytes::from_owner(Held { json: answered.json, _memory: memory });
    Ok(([(header::CONTENT_TYPE, "application/json")], held).into_response())
}

/// The answer, with the memory it takes. What takes much of it is first measured, then waits, and is then done.
async fn answer(api: &Api, asked: &Arc<Asked>, memory: Reservation) -> Result<(Answered, Reservation), Problem> {
    let mut held = (memory, None);
    loop {
        let asked = asked.clone();
        // Kept until the end of the work, also where the client has long gone.
        let work = move || {
            let answered = asked.answer(&mut held.0);
            (answered, held)
        };
        // Decoding a picture or a thousand images takes too long for a thread that serves others.
        let done = tokio::task::spawn_blocking(work).await;
        let (answered, mut rest) =
            done.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the prediction failed"))?;
        match answered {
            Ok(answered) => return Ok((answered, rest.0)),
            Err(DecodeError::Input(error)) => return Err(error.into()),
            Err(DecodeError::Memory(bytes)) => {
                if rest.1.is_none() {
                    let room = api.large_predictions.clone().acquire_owned();
                    let room = tokio::time::timeout(api.memory.wait(), room).await;
                    rest.1 = room.map_err(|_| MemoryError::Busy)?.ok();
                }
                rest.0.resize(bytes).await?;
            }
        }
        held = rest;
    }
}

impl Asked {
    fn answer(&self, memory: &mut Reservation) -> Result<Answered, DecodeError> {
        let (model, input) = (&self.model, Input::new(self.model.input(), self.model.dtype()));
        let body =
            Encoded { bytes: &self.bytes, content_type: self.content_type.as_deref(), pixel_range: self.pixel_range };
        let decoded = decode(body, &input, memory)?;
        let needed = self.bytes.len() as u64 + self.answer_bytes(&decoded);
        if !memory.try_grow(needed, AT_ONCE) {
            return Err(DecodeError::Memory(needed));
        }
        let probabilities = model.infer(&decoded.inputs);
        let answer = Answer::new(model, &decoded, &probabilities, self.return_input);
        let json = serde_json::to_vec(&answer).expect("plain data");
        memory.try_resize(json.capacity() as u64);
        Ok(Answered { json, samples: decoded.count })
    }

    /// Bytes that a prediction and its answer take.
    fn answer_bytes(&self, decoded: &Decoded) -> u64 {
        /// Bytes of a number: as it is, its copy for the answer, and as text in a buffer that doubles.
        const NUMBER: usize = 4 + 4 + 2 * 16;
        /// Bytes of a prediction besides its numbers, with the class's name once more and the text of both.
        const PREDICTION: usize = 512;
        let (samples, classes) = (decoded.count, self.model.class_names().len());
        let longest_name = self.model.class_names().iter().map(String::len).max().unwrap_or(0);
        let given_back = if self.return_input { decoded.inputs.len() * NUMBER } else { 0 };
        let numbers = 4 * decoded.inputs.len() + given_back + samples * classes * NUMBER;
        (numbers + samples * (PREDICTION + 4 * longest_name)) as u64 + self.model.prediction_bytes(samples)
    }
}

impl Answer {
    fn new(model: &Served, decoded: &Decoded, probabilities: &[f32], return_input: bool) -> Self {
        let prediction = |row: &[f32]| {
            let label = argmax(row);
            Prediction {
                label,
                class: model.class_names()[label].clone(),
                confidence: row[label],
                probabilities: row.to_vec(),
            }
        };
        let width = model.input().len();
        Self {
            model: ModelView {
                name: model.name().into(),
                version: model.version(),
                job: model.job(),
                weights_sha256: model.weights_sha256().into(),
            },
            input: InputView {
                count: decoded.count,
                format: decoded.format,
                pixel_range: decoded.pixel_range,
                assumed: decoded.assumed,
                preprocessing: decoded.preprocessing,
            },
            predictions: probabilities.chunks_exact(model.class_names().len()).map(prediction).collect(),
            inputs: return_input.then(|| decoded.inputs.chunks_exact(width).map(<[f32]>::to_vec).collect()),
        }
    }
}
