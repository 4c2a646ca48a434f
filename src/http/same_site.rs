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
        // A name that an attacker points at the proxy is the same origin to a browser, and hidden from us where the proxy
        // rewrites `Host`.
        Some("same-origin") if hosts.knows_public_origin() => {}
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
    /// Behind a proxy that rewrites `Host`, only `Origin` tells a name that was rebound to the proxy's address.
    #[test]
    fn with_a_public_url_same_origin_alone_proves_nothing() {
        let hosts = AllowedHosts::new(vec![], Some("https://train.example.com".parse().expect("a URL")));
        for (origin, foreign) in [
            (Some("https://train.example.com"), false),
            (Some("http://127.0.0.1:8080"), false),
            (Some("http://evil.example"), true),
            (None, false),
        ] {
            let mut request = Request::post("/v1/jobs")
                .header("sec-fetch-site", "same-origin")
                .extension(Authority::parse("127.0.0.1:8080").expect("a host"));
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let request = request.body(Body::empty()).expect("a request");
            assert_eq!(is_cross_site(&request, &hosts), foreign, "{origin:?}");
        }
    }
}
