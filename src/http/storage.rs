//! `/v1/storage`: what the data directory takes on the disk.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::api::Api;
use super::error::Problem;

/// Bytes by kind.
#[derive(Debug, Serialize)]
pub(super) struct Storage {
    /// Of all files: database, log and datasets.
    total_bytes: u64,
    database_bytes: u64,
    log_bytes: u64,
    datasets_bytes: u64,
    /// Of the database: what holds nothing, is used again or given back.
    free_bytes: u64,
    weights_bytes: u64,
    checkpoints_bytes: u64,
}

impl Storage {
    /// Files by kind: together all there is.
    pub(super) fn files(&self) -> [(&'static str, u64); 3] {
        [("database", self.database_bytes), ("log", self.log_bytes), ("datasets", self.datasets_bytes)]
    }

    /// What is in the database, by kind; the rest are jobs and their logs.
    pub(super) fn parts(&self) -> [(&'static str, u64); 3] {
        [("weights", self.weights_bytes), ("checkpoints", self.checkpoints_bytes), ("free", self.free_bytes)]
    }
}

pub(super) async fn show(State(api): State<Api>) -> Result<Json<Storage>, Problem> {
    measure(&api).await.map(Json)
}

/// What the data directory takes now.
pub(super) async fn measure(api: &Api) -> Result<Storage, Problem> {
    let space = api.scheduler.store().space().await?;
    let library = api.scheduler.library().clone();
    let counted = tokio::task::spawn_blocking(move || library.disk_bytes()).await;
    let datasets =
        counted.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "counting the datasets failed"))?;
    Ok(Storage {
        total_bytes: space.database + space.log + datasets,
        database_bytes: space.database,
        log_bytes: space.log,
        datasets_bytes: datasets,
        free_bytes: space.free,
        weights_bytes: space.weights,
        checkpoints_bytes: space.checkpoints,
    })
}
