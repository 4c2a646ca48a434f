//! Calls to a server, typed. Its errors read as sentences.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::out::tame;
use crate::job::view::Job;

/// A server, and a connection to it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: Url,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// There is no server, or none that can be reached.
    #[error("the server at {server} does not answer ({why}): is `dojang serve` running?")]
    Unreachable {
        /// Its address.
        server: String,
        /// The innermost cause.
        why: String,
    },
    /// The connection was lost on the way.
    #[error("the connection to {server} was lost: {why}")]
    Lost {
        /// Its address.
        server: String,
        /// The innermost cause.
        why: String,
    },
    /// The server refuses.
    #[error("{}", .0.sentence())]
    Problem(Problem),
    /// The server is none of ours.
    #[error("the answer of {server} is not understood ({why}): is it a dojang server of this version?")]
    Strange {
        /// Its address.
        server: String,
        /// What is strange.
        why: String,
    },
    /// This program cannot call servers.
    #[error("cannot make HTTP requests: {0}")]
    Setup(String),
}

impl ClientError {
    /// Whether it may go better the next time.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } => true,
            Self::Problem(problem) => problem.status >= 500 || problem.status == 429,
            Self::Strange { .. } | Self::Setup(_) => false,
        }
    }
}

/// An answer of RFC 9457.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub(crate) status: u16,
    title: String,
    detail: Option<String>,
    /// What is wrong with what was sent, each with its place.
    pub(crate) errors: Vec<Fault>,
}

/// One thing that is wrong with what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Fault {
    /// Where: a JSON pointer as a URI fragment.
    #[serde(default)]
    pub(crate) pointer: String,
    /// What.
    pub(crate) detail: String,
}

impl Problem {
    fn sentence(&self) -> String {
        let text = self.detail.as_ref().unwrap_or(&self.title);
        tame(&if text.is_empty() { format!("the server answers with status {}", self.status) } else { text.clone() })
    }
}

/// What `POST /predict` is asked.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    /// Which model; the newest if none.
    pub(crate) model: Option<&'a str>,
    /// The body's media type.
    pub(crate) kind: &'static str,
    /// The pictures.
    pub(crate) body: Vec<u8>,
    /// Whether the answer is to hold what the model saw.
    pub(crate) return_input: bool,
}

/// What `POST /predict` answers.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Predicted {
    /// Which weights answered.
    pub(crate) model: PredictedBy,
    /// One for each picture.
    pub(crate) predictions: Vec<Prediction>,
    /// What the model saw, 0–1, if asked for.
    #[serde(default)]
    pub(crate) inputs: Vec<Vec<f32>>,
}

/// Which weights answered.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PredictedBy {
    name: String,
    version: Option<u32>,
}

impl PredictedBy {
    /// `digits@3`.
    pub(crate) fn selector(&self) -> String {
        let name = tame(&self.name);
        self.version.map_or_else(|| name.clone(), |version| format!("{name}@{version}"))
    }
}

/// What a model takes a picture for.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Prediction {
    /// The class's number.
    pub(crate) label: usize,
    /// The class's name.
    pub(crate) class: String,
    /// Its probability.
    pub(crate) confidence: f64,
    /// That of each class.
    pub(crate) probabilities: Vec<f64>,
}

/// A picture of a dataset.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sample {
    /// What it shows.
    pub(crate) label: usize,
    /// 0–255.
    pub(crate) pixels: Vec<u8>,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
}

impl Client {
    /// A client of the server at `server`; nothing is sent yet.
    pub(crate) fn new(server: Url) -> Result<Self, ClientError> {
        crate::tls::prepare();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("dojang/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10));
        if is_loopback(&server) {
            // A proxy cannot reach this machine's loopback.
            builder = builder.no_proxy();
        }
        if server.scheme() == "http" {
            // Certificates are not needed, and a bare container has none to read.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| ClientError::Setup(cause(&error)))?;
        Ok(Self { http, server })
    }

    /// The server's address, without a slash at its end.
    pub(crate) fn server(&self) -> String {
        self.server.as_str().trim_end_matches('/').to_owned()
    }

    /// The address of a path below the server's.
    fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.server.clone();
        url.set_path(&format!("{}{path}", self.server.path().trim_end_matches('/')));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a spec as it is.
    pub(crate) async fn submit(&self, spec: Vec<u8>) -> Result<Job, ClientError> {
        let request = self.http.post(self.url("/v1/jobs", &[])).header(CONTENT_TYPE, "application/json").body(spec);
        self.json(request.timeout(Duration::from_secs(60))).await
    }

    /// One job.
    pub(crate) async fn job(&self, id: Uuid) -> Result<Job, ClientError> {
        self.json(self.get(&format!("/v1/jobs/{id}"), &[])).await
    }

    /// Asks something of a job that needs no further word: `cancel`, `pause`, `resume`.
    pub(crate) async fn ask_of(&self, id: Uuid, what: &str) -> Result<Job, ClientError> {
        let request = self.http.post(self.url(&format!("/v1/jobs/{id}/{what}"), &[]));
        self.json(request.timeout(Duration::from_secs(30))).await
    }

    /// A job's events after number `after`, as they come.
    pub(crate) async fn events(&self, id: Uuid, after: u64) -> Result<Response, ClientError> {
        let url = self.url(&format!("/v1/jobs/{id}/events"), &[]);
        let mut request = self.http.get(url).header(ACCEPT, "text/event-stream");
        if after > 0 {
            request = request.header("last-event-id", after.to_string());
        }
        self.send(request).await
    }

    /// A job's weights, as safetensors.
    pub(crate) async fn weights(&self, id: Uuid) -> Result<Vec<u8>, ClientError> {
        let url = self.url(&format!("/v1/jobs/{id}/weights"), &[]);
        let response = self.send(self.http.get(url).timeout(Duration::from_secs(300))).await?;
        response.bytes().await.map(Into::into).map_err(|error| self.failed(&error))
    }

    /// Pictures of a dataset's test split, the first ones.
    pub(crate) async fn test_samples(&self, dataset: &str, limit: usize) -> Result<Vec<Sample>, ClientError> {
        let query = [("split", "test"), ("limit", &limit.to_string())];
        let list: List<Sample> = self.json(self.get(&format!("/v1/datasets/{dataset}/samples"), &query)).await?;
        Ok(list.data)
    }

    /// What a model takes pictures for: the answer's text, and its meaning.
    pub(crate) async fn predict(&self, ask: Ask<'_>) -> Result<(String, Predicted), ClientError> {
        let mut query = Vec::new();
        query.extend(ask.model.map(|model| ("model", model)));
        query.extend(ask.return_input.then_some(("return_input", "true")));
        let request = self.http.post(self.url("/predict", &query)).header(CONTENT_TYPE, ask.kind).body(ask.body);
        let response = self.send(request.timeout(Duration::from_secs(60))).await?;
        let text = response.text().await.map_err(|error| self.failed(&error))?;
        let meaning = serde_json::from_str(&text).map_err(|error| self.strange(error.to_string()))?;
        Ok((text, meaning))
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        self.http.get(self.url(path, query)).timeout(Duration::from_secs(30))
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        let bytes = response.bytes().await.map_err(|error| self.failed(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.strange(error.to_string()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.bytes().await.unwrap_or_default();
        Err(self.refusal(status, &bytes))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        let problem = serde_json::from_slice(body).unwrap_or_default();
        let problem = Problem { status: status.as_u16(), ..problem };
        if problem.title.is_empty() && problem.detail.is_none() && !status.is_server_error() {
            return self.strange(format!("status {status}"));
        }
        ClientError::Problem(problem)
    }

    fn strange(&self, why: String) -> ClientError {
        ClientError::Strange { server: self.server(), why }
    }

    /// An error of the transport, in words.
    pub(crate) fn failed(&self, error: &reqwest::Error) -> ClientError {
        let (server, why) = (self.server(), if error.is_timeout() { "timed out".into() } else { cause(error) });
        if error.is_connect() {
            ClientError::Unreachable { server, why }
        } else if error.is_builder() {
            ClientError::Setup(why)
        } else {
            ClientError::Lost { server, why }
        }
    }
}

/// Reads a server's address; `host:port` alone means `http://`.
pub(crate) fn parse_server(text: &str) -> Result<Url, String> {
    let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&full).map_err(|_| "it is not an address; write it like http://127.0.0.1:8080".to_owned())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("only http:// and https:// are spoken".into());
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// The innermost cause of an error; the outer ones only say that something failed.
fn cause(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::mock::Mock;

    fn client(server: &str) -> Client {
        Client::new(parse_server(server).expect("an address")).expect("a client")
    }

    #[test]
    fn addresses_are_read() {
        for (text, want) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("localhost:80", "http://localhost"),
            ("https://x.example/dojang/", "https://x.example/dojang"),
        ] {
            assert_eq!(client(text).server(), want);
        }
        assert_eq!(client("http://h/a/").url("/v1/jobs", &[("x", "a&b")]).as_str(), "http://h/a/v1/jobs?x=a%26b");
        assert!(parse_server("ftp://x").is_err() && parse_server("").is_err());
        let loopback =
            ["http://localhost:1", "127.0.0.9", "http://[::1]:80"].map(|text| parse_server(text).expect(text));
        assert!(loopback.iter().all(is_loopback));
        assert!(!is_loopback(&parse_server("10.0.0.1").expect("an address")));
    }

    #[tokio::test]
    async fn no_server_is_said_in_words() {
        // Port 1 of loopback: nothing listens there.
        let error = client("http://127.0.0.1:1").job(Uuid::nil()).await.expect_err("no server");
        let text = error.to_string();
        assert!(text.contains("http://127.0.0.1:1 does not answer") && text.contains("`dojang serve`"), "{text}");
        assert!(error.is_passing());
    }

    #[tokio::test]
    async fn problems_are_read() {
        let body = r##"{"title":"Unprocessable Content","status":422,"detail":"1 fault","errors":[{"pointer":"#/a","detail":"x"}]}"##;
        let mock = Mock::start(vec![
            Mock::answer("422 Unprocessable Content", "application/problem+json", body),
            Mock::answer("502 Bad Gateway", "text/html", "<html>"),
            Mock::answer("404 Not Found", "text/html", "<html>"),
            Mock::answer("200 OK", "application/json", "[]"),
        ]);
        let client = client(&mock.url());
        let ClientError::Problem(problem) = client.submit(b"{\"a\":1}".to_vec()).await.expect_err("a refusal") else {
            panic!("not a problem");
        };
        assert_eq!((problem.sentence().as_str(), problem.errors[0].pointer.as_str()), ("1 fault", "#/a"));
        let error = client.job(Uuid::nil()).await.expect_err("bad gateway");
        assert!(error.is_passing() && error.to_string().contains("502"), "{error}");
        let error = client.job(Uuid::nil()).await.expect_err("not ours");
        assert!(!error.is_passing() && error.to_string().contains("404"), "{error}");
        let error = client.ask_of(Uuid::nil(), "cancel").await.expect_err("not a job");
        assert!(error.to_string().contains("not understood"), "{error}");
        let seen = mock.requests();
        assert!(seen[0].starts_with("POST /v1/jobs HTTP/1.1") && seen[0].ends_with("{\"a\":1}"), "{}", seen[0]);
        assert!(seen[3].starts_with("POST /v1/jobs/00000000-0000-0000-0000-000000000000/cancel"));
    }

    #[tokio::test]
    async fn predictions_are_read() {
        let body = r#"{"model":{"name":"digits","version":2,"job":"x"},"predictions":[{"label":7,"class":"7","confidence":0.5,"probabilities":[0.5,0.5]}]}"#;
        let mock = Mock::start(vec![Mock::answer("200 OK", "application/json", body)]);
        let ask = Ask { model: Some("digits@2"), kind: "image/png", body: vec![1], return_input: true };
        let (text, predicted) = client(&mock.url()).predict(ask).await.expect("a prediction");
        assert_eq!((text.as_str(), predicted.model.selector().as_str()), (body, "digits@2"));
        assert!(mock.requests()[0].starts_with("POST /predict?model=digits%402&return_input=true "));
    }
}
