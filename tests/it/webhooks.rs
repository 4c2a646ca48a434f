//! News of jobs, sent to a receiver of flesh and blood: signed, sent again, and nowhere where they must not go.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode as Code, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dojang::app::Config;
use dojang::job::webhook::Reach;
use dojang::webhooks::{Secret, Settings};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::mpsc;

use crate::harness::{Client, Site, Stream, long_job, quick_job, small_mnist};
use crate::process::{Process, command};

/// Forty bytes, as base64.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nw==";

/// How a receiver answers: at once by a status, or never.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Say {
    Status(u16),
    MovedTo(&'static str),
    Nothing,
}

/// A receiver on a port of its own.
pub(crate) struct Receiver {
    pub(crate) url: String,
    requests: mpsc::UnboundedReceiver<Request>,
}

/// What it got.
#[derive(Debug)]
pub(crate) struct Request {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Receiver {
    /// Answers with these in turn, then with 204.
    pub(crate) async fn start(answers: &[Say]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook?token=1", listener.local_addr().expect("an address"));
        let (sender, requests) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(VecDeque::from(answers.to_vec())));
        let take = move |uri: axum::http::Uri, headers: HeaderMap, body: Bytes| async move {
            let say = answers.lock().expect("no panic").pop_front().unwrap_or(Say::Status(204));
            let _ = sender.send(Request { path: uri.to_string(), headers, body });
            answer(say).await
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await });
        Self { url, requests }
    }

    pub(crate) async fn next(&mut self) -> Request {
        tokio::time::timeout(Duration::from_secs(30), self.requests.recv()).await.expect("in time").expect("a request")
    }

    /// Whether nothing more has come.
    fn is_quiet(&mut self) -> bool {
        self.requests.try_recv().is_err()
    }
}

async fn answer(say: Say) -> Response {
    match say {
        Say::Status(status) => Code::from_u16(status).expect("a status").into_response(),
        Say::MovedTo(place) => (Code::TEMPORARY_REDIRECT, [(header::LOCATION, place)]).into_response(),
        Say::Nothing => std::future::pending().await,
    }
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().expect("text")
    }

    /// The body, if the signature is that of Standard Webhooks.
    pub(crate) fn verified(&self) -> Value {
        let mut signed = format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).into_bytes();
        signed.extend_from_slice(&self.body);
        let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(KEY).expect("base64")).expect("a key");
        mac.update(&signed);
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(self.header("webhook-signature"), signature);
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// Settings that reach receivers on this machine, and try again at once.
pub(crate) fn settings(retries: usize) -> Settings {
    let secret = Secret::parse(&format!("whsec_{KEY}")).expect("a secret");
    Settings { reach: Reach::Any, retries: vec![Duration::ZERO; retries], ..Settings::new(secret) }
}

/// A server with these settings.
async fn site(settings: Settings) -> Site {
    Site::start_with(move |config: &mut Config| config.webhooks = Some(settings)).await
}

pub(crate) fn with_hook(mut spec: Value, url: &str) -> Value {
    spec["webhook"] = json!(url);
    spec
}

/// A job that ends at once, by being cancelled while it waits or runs.
async fn cancelled(client: &Client, url: &str) -> String {
    let job = client.submit(&with_hook(long_job(), url)).await;
    client.ask(&job, "cancel").await;
    job
}

/// Asks for the messages of a job until the oldest was answered and is in this state, and returns it.
async fn until(client: &Client, job: &str, status: &str) -> Value {
    let began = Instant::now();
    loop {
        let (_, list) = client.get(&format!("/v1/jobs/{job}/webhooks")).await;
        let message = list["data"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default();
        if message["status"] == status && message["answer"].is_string() {
            return message;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_and_the_server_tell_of_ends_and_pauses() {
    let (mut own, mut all) = (Receiver::start(&[]).await, Receiver::start(&[]).await);
    let site = site(Settings { url: Some(all.url.parse().expect("a URL")), ..settings(0) }).await;
    let client = &site.client;
    let job = client.submit(&with_hook(quick_job(), &own.url)).await;
    let ended = client.finished(&job).await;
    for receiver in [&mut own, &mut all] {
        let request = receiver.next().await;
        let told = request.verified();
        assert_eq!(told["type"], "job.succeeded");
        assert_eq!(told["data"], json!({"job": job, "status": "succeeded", "stop_reason": "completed"}));
        assert_eq!(told["timestamp"], ended["finished_at"]);
        assert_eq!(request.path, "/hook?token=1");
        let last = client.follow(&job).await.last().expect("events").id;
        assert_eq!(request.header("webhook-id"), format!("msg_{}_{}", job.replace('-', ""), last - 1));
        let age =
            jiff::Timestamp::now().as_second() - request.header("webhook-timestamp").parse::<i64>().expect("a number");
        assert!((0..60).contains(&age), "{age}");
        assert!(request.header("user-agent").starts_with("dojang/"));
    }
    let plain = client.submit(&long_job()).await;
    Stream::open(client, &plain, None).await.until_state("running").await;
    client.ask(&plain, "pause").await;
    let paused = all.next().await.verified();
    assert_eq!((&paused["type"], &paused["data"]["job"]), (&json!("job.paused"), &json!(plain)));
    client.ask(&plain, "cancel").await;
    let told = all.next().await.verified();
    assert_eq!((&told["type"], &told["data"]["stop_reason"]), (&json!("job.cancelled"), &json!("user")));
    assert!(own.is_quiet() && all.is_quiet());

    let message = until(client, &job, "delivered").await;
    assert_eq!(
        (&message["to"], &message["attempts"], &message["answer"]),
        (&json!("job"), &json!(1), &json!("204 No Content"))
    );
    let (_, list) = client.get(&format!("/v1/jobs/{plain}/webhooks")).await;
    let kinds: Vec<_> = list["data"].as_array().expect("a list").iter().map(|m| (&m["type"], &m["to"])).collect();
    assert_eq!(kinds, [(&json!("job.cancelled"), &json!("server")), (&json!("job.paused"), &json!("server"))]);
    // What a fork or a reproduction is made from, it is told of, too; and a message goes with its job.
    assert_eq!(
        client.post(&format!("/v1/jobs/{job}/reproduce"), &json!({})).await.1["spec"]["webhook"],
        json!(own.url)
    );
    assert_eq!(own.next().await.verified()["type"], "job.succeeded");
    assert_eq!(client.delete(&format!("/v1/jobs/{job}")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(client.get(&format!("/v1/jobs/{job}/webhooks")).await.0, StatusCode::NOT_FOUND);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_arrive_is_sent_again_and_given_up_in_the_end() {
    let site = site(settings(2)).await;
    let client = &site.client;
    // Whatever it is: an error, a redirect that is not followed.
    let mut receiver = Receiver::start(&[Say::Status(500), Say::MovedTo("/elsewhere")]).await;
    let job = cancelled(client, &receiver.url).await;
    let requests = [receiver.next().await, receiver.next().await, receiver.next().await];
    for request in &requests {
        assert_eq!(request.verified(), requests[0].verified());
        assert_eq!(
            (request.header("webhook-id"), &request.path),
            (requests[0].header("webhook-id"), &requests[0].path)
        );
    }
    let message = until(client, &job, "delivered").await;
    assert_eq!(message["attempts"], 3);
    let attempts = async |outcome: &str| {
        crate::metrics::scrape(client).await[&format!("dojang_webhook_attempts_total{{outcome=\"{outcome}\"}}")]
    };
    assert_eq!((attempts("delivered").await, attempts("put_off").await, attempts("failed").await), (1.0, 2.0, 0.0));

    let mut deaf = Receiver::start(&[Say::Status(404), Say::Status(503), Say::Status(500)]).await;
    let job = cancelled(client, &deaf.url).await;
    let message = until(client, &job, "failed").await;
    assert_eq!((&message["attempts"], &message["answer"]), (&json!(3), &json!("500 Internal Server Error")));
    assert_eq!(message["next_attempt_at"], Value::Null);
    let mut gone = Receiver::start(&[Say::Status(410)]).await;
    let job = cancelled(client, &gone.url).await;
    let message = until(client, &job, "failed").await;
    assert_eq!((&message["attempts"], &message["answer"]), (&json!(1), &json!("410 Gone")));
    // Nobody listens there.
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let job = cancelled(client, &format!("http://{port}/")).await;
    let answer = until(client, &job, "failed").await["answer"].as_str().expect("text").to_lowercase();
    assert!(answer.contains("refused"), "{answer}");
    for receiver in [&mut deaf, &mut gone] {
        while receiver.requests.try_recv().is_ok() {}
    }
    assert!(receiver.is_quiet() && deaf.is_quiet() && gone.is_quiet());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_answers_keeps_nobody_waiting() {
    let site = site(settings(0)).await;
    let client = &site.client;
    let mut stuck = Receiver::start(&[Say::Nothing; 40]).await;
    for _ in 0..20 {
        cancelled(client, &stuck.url).await;
    }
    stuck.next().await;
    let mut other = Receiver::start(&[]).await;
    let job = cancelled(client, &other.url).await;
    assert_eq!(other.next().await.verified()["data"]["job"], json!(job));
    // Jobs are trained meanwhile, and a shutdown does not wait for it.
    let job = client.submit(&quick_job()).await;
    assert_eq!(client.finished(&job).await["status"], "succeeded");
    assert!(stuck.requests.len() < 2, "two at once, and no more");
    let began = Instant::now();
    site.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_server_was_sending_is_sent_by_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    small_mnist(folder.path());
    let mut receiver = Receiver::start(&[Say::Nothing]).await;
    let start = |url: &str| {
        let mut command = command(folder.path(), 1);
        command.env("DOJANG_WEBHOOK_SECRET", format!("whsec_{KEY}")).env("DOJANG_WEBHOOK_URL", url);
        Process::of({
            command.arg("--webhook-allow-private");
            command
        })
    };
    let process = start(&receiver.url);
    let job = process.client.submit(&quick_job()).await;
    let first = receiver.next().await;
    // Committed, and sent, but nobody has said that it arrived.
    process.kill();
    let process = start(&receiver.url);
    let second = receiver.next().await;
    assert_eq!(second.verified(), first.verified());
    assert_eq!(second.header("webhook-id"), first.header("webhook-id"));
    assert_eq!(second.verified()["data"]["job"], json!(job));
    assert_eq!(until(&process.client, &job, "delivered").await["attempts"], 1, "a kill is not a failed attempt");
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_unless_allowed() {
    let mut receiver = Receiver::start(&[]).await;
    let named = receiver.url.replace("127.0.0.1", "localhost");
    let site = site(Settings { reach: Reach::Public, ..settings(0) }).await;
    let client = &site.client;
    for url in
        [&receiver.url, &named, "http://[::1]/", "http://169.254.169.254/latest/", "http://0x7f.1/", "http://10.1/"]
    {
        let (status, problem) = client.post("/v1/jobs", &with_hook(quick_job(), url)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], "#/webhook");
        assert!(
            problem["errors"][0]["detail"].as_str().expect("text").contains("--webhook-allow-private"),
            "{problem}"
        );
    }
    assert_eq!(client.get("/v1/jobs").await.1["data"], json!([]), "nothing is left behind");
    // A job of a server that allowed it, on one that does not any more.
    let folder = site.stop().await;
    let deaf = Receiver::start(&[Say::Status(500)]).await;
    let later = Settings { retries: vec![Duration::from_secs(3600)], ..settings(0) };
    let site = Site::start_in_with(folder, |config| config.webhooks = Some(later.clone())).await;
    let first = cancelled(&site.client, &deaf.url).await;
    let put_off = until(&site.client, &first, "pending").await;
    assert!(put_off["next_attempt_at"].is_string(), "{put_off}");
    let running = site.client.submit(&with_hook(long_job(), &named)).await;
    let folder = site.stop().await;
    let strict = Settings { reach: Reach::Public, ..settings(0) };
    let site = Site::start_in_with(folder, |config| config.webhooks = Some(strict)).await;
    site.client.ask(&running, "cancel").await;
    let answer = until(&site.client, &running, "failed").await["answer"].as_str().expect("text").to_owned();
    assert!(answer.contains("no address of the public internet"), "{answer}");
    // A restart sends nothing before its turn.
    assert_eq!(until(&site.client, &first, "pending").await["next_attempt_at"], put_off["next_attempt_at"]);
    assert!(receiver.is_quiet());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_webhooks_are_refused_with_their_place() {
    let site = Site::start().await;
    let client = &site.client;
    let refused = async |client: &Client, webhook: Value| {
        let mut spec = quick_job();
        spec["webhook"] = webhook;
        let (status, problem) = client.post("/v1/jobs", &spec).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem["errors"].as_array().map(Vec::len), Some(1), "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], "#/webhook", "{problem}");
        problem["errors"][0]["detail"].as_str().expect("text").to_owned()
    };
    let detail = refused(client, json!("https://example.com/hook")).await;
    assert!(detail.contains("--webhook-secret"), "{detail}");
    for wrong in [
        json!(5),
        json!(""),
        json!({"url": "https://example.com/"}),
        json!("example.com"),
        json!("ftp://a/"),
        json!("https://me:pass@example.com/"),
        json!("https://"),
        json!(format!("https://a/{}", "x".repeat(2000))),
    ] {
        let detail = refused(client, wrong).await;
        assert!(!detail.contains("pass@"), "{detail}");
    }
    // All faults come at once.
    let mut spec = with_hook(quick_job(), "https://example.com/");
    spec["network"] = json!([{"type": "affine", "units": 3}]);
    let (_, problem) = client.post("/v1/jobs", &spec).await;
    assert_eq!(problem["errors"].as_array().map(Vec::len), Some(2), "{problem}");
    assert_eq!(client.get("/v1/jobs").await.1["data"], json!([]));
    let job = client.submit(&quick_job()).await;
    assert_eq!(client.finished(&job).await["spec"]["webhook"], Value::Null);
    let (status, _) =
        client.post(&format!("/v1/jobs/{job}/fork"), &json!({"epochs": 13, "webhook": "https://a.example/"})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        client.get(&format!("/v1/jobs/{job}/webhooks")).await.1,
        json!({"data": [], "has_more": false, "last_id": null})
    );
    site.stop().await;
}

#[test]
fn secrets_are_not_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |name: &str, value: &str, more: &[&str]| {
        let mut command = command(folder.path(), 1);
        let output = command.env(name, value).env("DOJANG_LOG", "trace").args(more).output().expect("it starts");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), text)
    };
    for (name, value, word) in [
        ("DOJANG_WEBHOOK_SECRET", "whsec_hushhush", "--webhook-secret: "),
        ("DOJANG_WEBHOOK_SECRET", "hushhush", "--webhook-secret: it begins with whsec_"),
        ("DOJANG_WEBHOOK_URL", "https://example.com/hushhush", "need a secret"),
        ("DOJANG_WEBHOOK_ALLOW_PRIVATE", "1", "need a secret"),
    ] {
        let (code, text) = run(name, value, &[]);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(word) && !text.contains("hushhush"), "{text}");
    }
    let (code, help) = run("DOJANG_WEBHOOK_SECRET", "whsec_hushhush", &["--help"]);
    assert!(code == Some(0) && help.contains("DOJANG_WEBHOOK_SECRET") && !help.contains("hushhush"), "{help}");
}
