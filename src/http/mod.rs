//! Floor 5: HTTP; the only place with axum.
//!
//! [`router`] shows every route on one page. Each resource is one file. [`error`] is the only place that turns errors
//! into statuses.

mod api;
mod assets;
mod body;
mod catalog;
mod datasets;
mod diagnostics;
mod error;
mod events;
mod gradient_check;
mod health;
mod host;
mod idempotency;
mod import;
mod jobs;
mod list;
mod meters;
mod metrics;
mod models;
mod params;
mod pause;
mod predict;
mod process_metrics;
mod prometheus;
mod query;
mod query_values;
mod recipes;
mod router;
mod same_site;
mod server;
mod socket;
mod storage;
mod timer;
mod uploads;
mod webhooks;
mod weights;

pub use api::{Api, ApiOptions, Process};
pub use host::{AllowedHost, AllowedHosts, PublicUrl};
pub use prometheus::Prometheus;
pub use server::{Limits, Server};
