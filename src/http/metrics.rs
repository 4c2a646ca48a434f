//! `/v1/jobs/{id}/metrics`: the history of a job, as JSON or CSV.

use std::fmt::Write;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::api::Api;
use super::error::Problem;
use super::jobs::find;
use super::params::{JobId, Params};
use crate::store::History;

/// `?format=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricsParams {
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Csv,
}

#[derive(Debug, Serialize)]
struct Metrics {
    job: Uuid,
    #[serde(flatten)]
    history: History,
}

pub(super) async fn show(
    State(api): State<Api>,
    JobId(id): JobId,
    Params(params): Params<MetricsParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    find(&api, id).await?;
    let history = api.scheduler.store().metrics(id).await?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asked = if accept.contains("text/csv") { Format::Csv } else { Format::Json };
    Ok(match params.format.unwrap_or(asked) {
        Format::Json => Json(Metrics { job: id, history }).into_response(),
        Format::Csv => ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], csv(&history)).into_response(),
    })
}

/// One table of both kinds of points (RFC 4180): a cell that a kind does not have is empty.
fn csv(history: &History) -> String {
    let mut text = String::from(
        "kind,step,epoch,loss,accuracy,learning_rate,samples_per_second,train_loss,train_accuracy,validation_loss,\
         validation_accuracy,test_loss,test_accuracy,seconds,at\r\n",
    );
    let cell = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
    for p in &history.steps {
        let (loss, accuracy) = (cell(p.loss), cell(p.accuracy));
        let (rate, speed) = (cell(p.learning_rate), cell(p.samples_per_second));
        let row = write!(text, "step,{},{},{loss},{accuracy},{rate},{speed},,,,,,,,{}\r\n", p.step, p.epoch, p.at);
        row.expect("a string takes everything");
    }
    for p in &history.epochs {
        let (train_loss, train_accuracy) = (cell(p.train_loss), cell(p.train_accuracy));
        let (validation_loss, validation_accuracy) = (cell(p.validation_loss), cell(p.validation_accuracy));
        let (test_loss, test_accuracy) = (cell(p.test_loss), cell(p.test_accuracy));
        let row = write!(
            text,
            "epoch,{},{},,,,,{train_loss},{train_accuracy},{validation_loss},{validation_accuracy},{test_loss},{test_accuracy},{},{}\r\n",
            p.step,
            p.epoch,
            cell(p.seconds),
            p.at
        );
        row.expect("a string takes everything");
    }
    text
}
