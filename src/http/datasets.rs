//! `/v1/datasets`: what can be learned from, and a look at it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::api::Api;
use super::error::Problem;
use super::list::{Limit, List, PageParams};
use super::params::{Params, Path};
use crate::data::library::{Listing, RemoveError};
use crate::engine::samples::Inputs;
use crate::scheduler::RemoveDatasetError;

/// The built-in ones in a fixed order, then the uploaded ones by name.
pub(super) async fn list(
    State(api): State<Api>,
    Params(params): Params<PageParams>,
) -> Result<Json<List<Listing>>, Problem> {
    let (limit, after) = params.check()?;
    let all = api.scheduler.library().list();
    let first = after.map_or(0, |name| first_after(&all, &name));
    Ok(Json(List::cut(all, first, limit, |listing| listing.info.name.clone())))
}

/// The index of the first dataset after a name. No built-in one ever goes, so a name that is not there is that of an
/// uploaded one.
fn first_after(all: &[Listing], name: &str) -> usize {
    let same = all.iter().position(|listing| listing.info.name == name);
    let later = || all.iter().position(|listing| listing.uploaded && listing.info.name.as_str() > name);
    same.map_or_else(|| later().unwrap_or(all.len()), |place| place + 1)
}

pub(super) async fn show(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Listing>, Problem> {
    let listing = api.scheduler.library().listing(&name);
    listing.map(Json).ok_or_else(|| no_such_dataset(&name))
}

/// 204 once it is gone for good.
pub(super) async fn remove(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    api.scheduler.remove_dataset(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `?split=&offset=&limit=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SampleParams {
    #[serde(default)]
    split: Part,
    #[serde(default)]
    offset: usize,
    #[serde(default = "default_limit")]
    limit: Limit<100>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Train,
    #[default]
    Test,
}

fn default_limit() -> Limit<100> {
    Limit(20)
}

#[derive(Debug, Serialize)]
pub(super) struct Sample {
    index: usize,
    label: u16,
    #[serde(flatten)]
    input: Input,
}

/// What a sample shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Input {
    /// Bytes 0–255, row by row.
    Pixels(Vec<u8>),
    /// Numbers as they are.
    Values(Vec<f32>),
}

impl From<Inputs<'_>> for Input {
    fn from(input: Inputs<'_>) -> Self {
        match input {
            Inputs::Bytes(pixels) => Self::Pixels(pixels.to_vec()),
            Inputs::Floats(values) => Self::Values(values.to_vec()),
        }
    }
}

pub(super) async fn samples(
    State(api): State<Api>,
    Path(name): Path<String>,
    Params(params): Params<SampleParams>,
) -> Result<Json<List<Sample>>, Problem> {
    let library = api.scheduler.library().clone();
    if library.info(&name).is_none() {
        return Err(no_such_dataset(&name));
    }
    let loaded = tokio::task::spawn_blocking(move || library.load(&name)).await;
    let dataset = match loaded {
        Ok(Ok(dataset)) => dataset,
        Ok(Err(error)) => return Err(Problem::not_found(format!("the dataset cannot be loaded: {error}"))),
        Err(_) => {
            return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the dataset failed to load"));
        }
    };
    let split = match params.split {
        Part::Train => &dataset.train,
        Part::Test => &dataset.test,
    };
    let last = params.offset.saturating_add(params.limit.0 as usize).min(split.len());
    let data: Vec<_> = (params.offset.min(last)..last)
        .map(|index| Sample { index, label: split.labels[index], input: split.input(index).into() })
        .collect();
    Ok(Json(List::page(data, last < split.len(), last.checked_sub(1).map(|last| last.to_string()))))
}

/// The answer to an unknown dataset.
fn no_such_dataset(name: &str) -> Problem {
    RemoveDatasetError::from(RemoveError::Unknown(name.into())).into()
}
