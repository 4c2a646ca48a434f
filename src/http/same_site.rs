//! Refuses writes that another site's page makes in a visitor's browser.
//!
//! Bodies are taken as JSON even where `curl -d` names them a form; a form needs no preflight, so a foreign page could
//! send one. Browsers tell where a request comes from (Fetch Metadata, `Origin`); curl and services send neither.

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::Problem;
use super::host::{AllowedHosts, Authority};

pub(super) async fn refuse_cross_site_writes(
    State(hosts): State<AllowedHosts>,
    request: Request,
    next: Next,
) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || !is_cross_site(&request, &hosts) {
        return next.run(request).await;
    }
    Problem::new(StatusCode::FORBIDDEN, "a page of another site may not do this").into_response()
}

fn is_cross_site(request: &Request, hosts: &AllowedHosts) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some("same-origin" | "none") => return false,
        Some(_) => return true,
        None => {}
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else { return false };
    !hosts.is_own_origin(origin, request.extensions().get::<Authority>())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_foreign_page_is_told_from_curl_and_our_own() {
        for (headers, foreign) in [
            (&[][..], false),
            (&[("origin", "http://127.0.0.1:8080")], false),
            (&[("origin", "http://evil.example")], true),
            (&[("origin", "null")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8080")], false),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-site")], true),
        ] {
            let mut request = Request::post("/v1/jobs").extension(Authority::parse("127.0.0.1:8080").expect("a host"));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Body::empty()).expect("a request");
            assert_eq!(is_cross_site(&request, &AllowedHosts::default()), foreign, "{headers:?}");
        }
    }
}
