//! `/v1/catalog`: what a spec may hold, from the tables that it is checked against. Forms can be built from it.

use axum::Json;
use serde::Serialize;

use crate::engine::describe::{Entry, Field};
use crate::engine::{clip, init, layer, loss, optimizer, schedule};
use crate::job::spec::FIELDS;

#[derive(Debug, Serialize)]
pub(super) struct Catalog {
    spec: &'static [Field],
    layers: &'static [Entry],
    losses: &'static [Entry],
    optimizers: &'static [Entry],
    inits: &'static [Entry],
    schedules: &'static [Entry],
    gradient_clips: &'static [Entry],
}

pub(super) async fn show() -> Json<Catalog> {
    Json(Catalog {
        spec: FIELDS,
        layers: layer::entries(),
        losses: loss::entries(),
        optimizers: optimizer::entries(),
        inits: init::entries(),
        schedules: schedule::entries(),
        gradient_clips: clip::entries(),
    })
}
