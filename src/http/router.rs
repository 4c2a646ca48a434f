//! Every route, and what all requests go through.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware;
use axum::routing::{delete, get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
use tracing::Level;

use super::api::Api;
use super::{
    assets, catalog, datasets, diagnostics, error, events, gradient_check, health, host, import, jobs, meters, metrics,
    models, pause, predict, prometheus, query, recipes, same_site, storage, uploads, webhooks, weights,
};

/// Largest body of a request: a thousand raw images and some; everything else is far smaller.
const BODY_LIMIT: usize = 16 << 20;
/// What the dashboard may do: nothing but talk to this server.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: \
    blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// All of HTTP.
pub(super) fn router(api: Api) -> Router {
    let v1 = Router::new()
        .route("/jobs", get(jobs::list).post(jobs::submit))
        .route("/jobs/{id}", get(jobs::show).delete(jobs::remove))
        .route("/jobs/{id}/cancel", post(jobs::cancel))
        .route("/jobs/{id}/pause", post(jobs::pause))
        .route("/jobs/{id}/resume", post(jobs::resume))
        .route("/jobs/{id}/fork", post(jobs::fork))
        .route("/jobs/{id}/reproduce", post(jobs::reproduce))
        .route("/jobs/{id}/events", get(events::of_job))
        .route("/jobs/{id}/metrics", get(metrics::show))
        .route("/jobs/{id}/diagnostics", get(diagnostics::show))
        .route("/jobs/{id}/weights", get(weights::of_job))
        .route("/jobs/{id}/webhooks", get(webhooks::of_job))
        .route("/events", get(events::of_all))
        .route("/gradient-check", post(gradient_check::check))
        .route("/models", post(import::create).layer(DefaultBodyLimit::max(uploads::LIMIT)).get(models::list))
        .route("/models/{name}", get(models::show).delete(models::remove))
        .route("/models/{name}/versions/{version}", delete(models::remove_version))
        .route("/models/{name}/versions/{version}/weights", get(weights::of_version))
        .route("/storage", get(storage::show))
        .route("/catalog", get(catalog::show))
        .route("/recipes", get(recipes::list))
        .route("/recipes/{name}", get(recipes::show))
        .route("/datasets", post(uploads::create).layer(DefaultBodyLimit::max(uploads::LIMIT)).get(datasets::list))
        .route("/datasets/{name}", get(datasets::show).delete(datasets::remove))
        .route("/datasets/{name}/samples", get(datasets::samples));
    let id = HeaderName::from_static("x-request-id");
    Router::new()
        .nest("/v1", v1)
        .route("/predict", post(predict::predict))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/version", get(health::version))
        .route("/metrics", get(prometheus::show))
        .route("/", get(assets::index))
        .route("/assets/{*path}", get(assets::asset))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(api.clone())
        .layer(middleware::from_fn(query::refuse_unknown_fields))
        .layer(middleware::from_fn_with_state(api.hosts.clone(), same_site::refuse_cross_site_writes))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::map_request(pause::bound))
        .layer(CompressionLayer::new().compress_when(
            // A compressed stream of events would wait in the compressor.
            SizeAbove::new(1024).and(NotForContentType::SSE).and(NotForContentType::IMAGES),
        ))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(api.hosts, host::check))
        .layer(middleware::from_fn_with_state(api.prometheus, meters::count))
        .layer(header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::REFERRER_POLICY, "no-referrer"))
        .layer(PropagateRequestIdLayer::new(id.clone()))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(DefaultMakeSpan::new().level(Level::DEBUG))
                .on_response(DefaultOnResponse::new().level(Level::DEBUG)),
        )
        .layer(SetRequestIdLayer::new(id, MakeRequestUuid))
}

fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}
