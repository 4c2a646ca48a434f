//! `/healthz`, `/readyz`, `/version`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::api::Api;
use super::error::Problem;
use crate::scheduler::this_build;

#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
}

/// The process lives.
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The server takes work: its tasks live, it is not shutting down, and its store can be written.
pub(super) async fn ready(State(api): State<Api>) -> Result<Json<Health>, Problem> {
    if let Some(dead) = api.process.supervisor.dead() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("the server is shutting down: {dead}")));
    }
    if api.scheduler.is_shutting_down() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down"));
    }
    if let Err(failure) = api.scheduler.check_storage().await {
        let detail = format!("storage cannot be written: {failure}");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    }
    Ok(Json(Health { status: "ready" }))
}

#[derive(Debug, Serialize)]
pub(super) struct Version {
    name: &'static str,
    version: &'static str,
    commit: Option<&'static str>,
    /// The path that the engine's kernels take.
    kernels: &'static str,
    sqlite: String,
    threads: usize,
    cpu: String,
}

/// What is running, and on what.
pub(super) async fn version(State(api): State<Api>) -> Json<Version> {
    let build = this_build();
    Json(Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        commit: build.commit.as_deref(),
        kernels: &build.kernels,
        sqlite: api.scheduler.store().sqlite_version().into(),
        threads: api.process.threads,
        cpu: cpu_features().join(", "),
    })
}

/// The instruction sets that the engine's kernels choose by.
fn cpu_features() -> Vec<&'static str> {
    let mut features = vec![std::env::consts::ARCH];
    #[cfg(target_arch = "x86_64")]
    {
        for (name, found) in [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ] {
            if found {
                features.push(name);
            }
        }
    }
    features
}
