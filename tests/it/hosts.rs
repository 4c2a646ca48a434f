//! `Host`: only requests for this server's own names are answered, so that no page of the web becomes its own.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Site, quick_job};

/// Sends a request as it is written here, and returns the status and the body of the answer.
async fn send(site: &Site, request: &str) -> (u16, Value) {
    let addr = site.base.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    if status >= 400 {
        assert!(head.contains("content-type: application/problem+json"), "{head}");
    }
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// A request whose headers are these lines, and whose body is a job.
fn submission(headers: &[&str]) -> String {
    let job = quick_job().to_string();
    let headers = headers.iter().map(|line| format!("{line}\r\n")).collect::<String>();
    format!("POST /v1/jobs HTTP/1.1\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{job}", job.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_name_resolves_to_this_server_is_refused_on_every_route() {
    let site = Site::start().await;
    let attack = ["host: evil.example", "origin: http://evil.example", "sec-fetch-site: same-origin"];
    let (status, problem) = send(&site, &submission(&attack)).await;
    assert_eq!((status, problem["title"].as_str()), (421, Some("Misdirected Request")));
    let detail = problem["detail"].as_str().expect("a sentence");
    assert!(detail.contains("`evil.example`") && detail.contains("--allowed-host evil.example"), "{detail}");
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/assets/app.js"),
        ("GET", "/metrics"),
        ("GET", "/healthz"),
        ("GET", "/v1/jobs"),
        ("POST", "/predict"),
        ("DELETE", "/v1/models/mnist"),
        ("OPTIONS", "/v1/jobs"),
        ("GET", "/none"),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
        assert_eq!(send(&site, &request).await.0, 421, "{method} {path}");
    }
    let target = "GET http://evil.example/v1/jobs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(send(&site, target).await.0, 421);
    assert_eq!(site.client.get("/v1/jobs").await.1["data"], serde_json::json!([]), "nothing was accepted");
    let (status, _) = send(&site, &submission(&["host: LOCALHOST.:1"])).await;
    assert_eq!(status, 202);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_exactly_one_host() {
    let site = Site::start().await;
    for headers in [&[][..], &["host: localhost", "host: localhost"], &["host: a@localhost"], &["host:"]] {
        let (status, problem) = send(&site, &submission(headers)).await;
        assert_eq!(status, 400, "{headers:?}");
        assert!(problem["detail"].as_str().expect("a sentence").contains("`Host`"), "{problem}");
    }
    let (status, _) = send(&site, "GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(status, 400);
    let (status, _) = send(&site, "GET /healthz HTTP/1.0\r\nhost: [::1]\r\n\r\n").await;
    assert_eq!(status, 200);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_answers_to_the_names_it_is_given() {
    let site = Site::start_with(|config| {
        let names = vec!["dojang".parse().expect("a name")];
        config.hosts = dojang::http::AllowedHosts::new(names, Some("https://train.example".parse().expect("a URL")));
    })
    .await;
    for (headers, expected) in [
        (&["host: dojang:8080"][..], 202),
        (&["host: train.example"], 202),
        // A proxy that speaks TLS and changes `Host`, and a browser without Fetch Metadata.
        (&["host: dojang:8080", "origin: https://train.example"], 202),
        (&["host: dojang:8080", "origin: http://train.example"], 403),
        (&["host: dojang:8080", "origin: https://evil.example"], 403),
        (&["host: evil.example", "origin: https://train.example"], 421),
    ] {
        assert_eq!(send(&site, &submission(headers)).await.0, expected, "{headers:?}");
    }
    site.stop().await;
}
