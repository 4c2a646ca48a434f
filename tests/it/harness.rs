//! A server on a random port with a folder of its own, and a client to it.

use std::path::{Path, PathBuf};

use dojang::app::{App, Config};
use dojang::data::digits;
use dojang::data::idx::Idx;
use dojang::store::{Faults, Store};
use futures_util::StreamExt;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A folder with a small set of digits as the four IDX files of MNIST: loads at once, learns in milliseconds.
pub(crate) fn small_mnist(folder: &Path) -> PathBuf {
    let folder = folder.join("small-mnist");
    if folder.exists() {
        return folder;
    }
    std::fs::create_dir_all(&folder).expect("a folder");
    for (part, split, count) in [("train", digits::Split::Train, 600), ("t10k", digits::Split::Test, 100)] {
        let images = digits::generate(count, split, 7);
        let file = |kind: &str| folder.join(format!("{part}-{kind}-ubyte"));
        let images_file = Idx { axes: vec![count, 28, 28], values: images.pixels };
        let labels_file = Idx { axes: vec![count], values: images.labels.into() };
        std::fs::write(file("images-idx3"), images_file.to_bytes()).expect("a file");
        std::fs::write(file("labels-idx1"), labels_file.to_bytes()).expect("a file");
    }
    folder
}

/// A server in this process.
pub(crate) struct Site {
    pub(crate) base: String,
    pub(crate) client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    folder: TempDir,
}

impl Site {
    /// A fresh server, whose `mnist` is [`small_mnist`].
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder")).await
    }

    /// A fresh server that is set up otherwise.
    pub(crate) async fn start_with(set: impl FnOnce(&mut Config)) -> Self {
        Self::start_in_with(tempfile::tempdir().expect("a folder"), set).await
    }

    /// A server on the data of another.
    pub(crate) async fn start_in(folder: TempDir) -> Self {
        Self::start_in_with(folder, |_| {}).await
    }

    /// A server on the data of another, set up otherwise.
    pub(crate) async fn start_in_with(folder: TempDir, set: impl FnOnce(&mut Config)) -> Self {
        let mut config = Self::config(folder.path());
        set(&mut config);
        Self::run(folder, App::build(config).await.expect("a server"))
    }

    /// A server on a store that fails as it is told to.
    pub(crate) async fn start_failing(folder: TempDir, faults: &Faults) -> Self {
        let config = Self::config(folder.path());
        std::fs::create_dir_all(&config.data_dir).expect("a folder");
        let store = Store::open_with_faults(&config.data_dir.join("dojang.db"), faults.clone()).await.expect("a store");
        Self::run(folder, App::build_on(store, config).await.expect("a server"))
    }

    /// What a fresh server in this folder is started with.
    pub(crate) fn config(folder: &Path) -> Config {
        let mut config = Config::new(folder.join("data"));
        config.listen = ([127, 0, 0, 1], 0).into();
        config.mnist_dir = Some(small_mnist(folder));
        config.fetch = false;
        config
    }

    fn run(folder: TempDir, app: App) -> Self {
        let base = format!("http://{}", app.addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            app.run_until_stopped(stopped).await.expect("a clean run");
        });
        Self { client: Client::new(&base), base, stop: Some(stop), task, folder }
    }

    /// Where its data is.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The file that the server keeps everything in.
    pub(crate) fn database(&self) -> PathBuf {
        self.data_dir().join("dojang.db")
    }

    /// Stops the server as a signal would, and waits for its end.
    pub(crate) async fn stop(mut self) -> TempDir {
        drop(self.stop.take());
        (&mut self.task).await.expect("no panic");
        self.folder
    }

    /// Stops the server and starts another on the same data.
    pub(crate) async fn restart(self) -> Self {
        Self::start_in(self.stop().await).await
    }
}

/// A part of a form: its name, whether it is a file, and what it holds.
pub(crate) type Part<'a> = (&'a str, bool, &'a [u8]);

/// HTTP by short words.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub(crate) fn new(base: &str) -> Self {
        dojang::tls::prepare();
        Self { http: reqwest::Client::builder().no_proxy().build().expect("a client"), base: base.into() }
    }

    /// The server's address.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.http.request(method.parse().expect("a method"), format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.request("GET", path).send().await.expect("an answer")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        read(self.request("POST", path).json(body).send().await.expect("an answer")).await
    }

    /// Sends a form (`multipart/form-data`), and returns status, `Location` and answer.
    pub(crate) async fn post_form(&self, path: &str, parts: &[Part<'_>]) -> (StatusCode, Option<String>, Value) {
        let mut body = Vec::new();
        for (name, is_file, content) in parts {
            let file = if *is_file { "; filename=\"f\"" } else { "" };
            body.extend(format!("--B\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").into_bytes());
            body.extend_from_slice(content);
            body.extend(b"\r\n");
        }
        body.extend(b"--B--\r\n");
        let request = self.request("POST", path).header("content-type", "multipart/form-data; boundary=B");
        let response = request.body(body).send().await.expect("an answer");
        let location = response.headers().get("location").map(|path| path.to_str().expect("text").to_owned());
        (response.status(), location, response.json().await.expect("JSON"))
    }

    /// Submits a job and returns its id.
    pub(crate) async fn submit(&self, spec: &Value) -> String {
        let (status, job) = self.post("/v1/jobs", spec).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{job}");
        job["id"].as_str().expect("an id").to_owned()
    }

    /// Submits a job by a request that may come twice. No answer where the server dies before it has given one.
    pub(crate) async fn submit_keyed(&self, spec: &Value, key: &str) -> reqwest::Result<(StatusCode, Value)> {
        let response = self.request("POST", "/v1/jobs").header("idempotency-key", key).json(spec).send().await?;
        Ok((response.status(), response.json().await?))
    }

    /// Asks something of a job without a further word, such as `pause`.
    pub(crate) async fn ask(&self, job: &str, what: &str) -> (StatusCode, Value) {
        read(self.request("POST", &format!("/v1/jobs/{job}/{what}")).send().await.expect("an answer")).await
    }

    /// Deletes what is there.
    pub(crate) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        read(self.request("DELETE", path).send().await.expect("an answer")).await
    }

    /// The job as it is now.
    pub(crate) async fn job(&self, job: &str) -> Value {
        self.get(&format!("/v1/jobs/{job}")).await.1
    }

    /// Follows a job's events to the end and returns them all.
    pub(crate) async fn follow(&self, job: &str) -> Vec<Frame> {
        Stream::open(self, job, None).await.rest().await
    }

    /// Waits for a job to end and returns it.
    pub(crate) async fn finished(&self, job: &str) -> Value {
        self.follow(job).await;
        self.get(&format!("/v1/jobs/{job}")).await.1
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// One frame of a stream of events.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) id: u64,
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// A stream of events under way.
pub(crate) struct Stream {
    bytes: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
}

impl Stream {
    pub(crate) async fn open(client: &Client, job: &str, last_event_id: Option<u64>) -> Self {
        Self::try_open(client, job, last_event_id).await.expect("an answer")
    }

    /// As [`open`](Self::open), of a server that may die meanwhile.
    pub(crate) async fn try_open(client: &Client, job: &str, last_event_id: Option<u64>) -> reqwest::Result<Self> {
        let mut request = client.request("GET", &format!("/v1/jobs/{job}/events"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await?;
        // A reader who has seen the end of the log gets no content: a stream that is over.
        if response.status() != StatusCode::NO_CONTENT {
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            assert_eq!(response.headers()["x-accel-buffering"], "no");
        }
        Ok(Self { bytes: Box::pin(response.bytes_stream()), text: String::new() })
    }

    /// The next frame that is an event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name).map(|value| value.trim_start_matches(": ")))
                };
                if let Some(data) = field("data") {
                    return Some(Frame {
                        id: field("id").and_then(|id| id.parse().ok()).unwrap_or(0),
                        event: field("event").unwrap_or_default().to_owned(),
                        data: serde_json::from_str(data).expect("JSON"),
                    });
                }
            }
            match self.bytes.next().await {
                Some(Ok(bytes)) => self.text.push_str(std::str::from_utf8(&bytes).expect("whole characters")),
                _ => return None,
            }
        }
    }

    /// Reads on to the event of which this holds, and returns it.
    pub(crate) async fn until(&mut self, holds: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next().await.expect("the event comes before the stream ends");
            if holds(&frame) {
                return frame;
            }
        }
    }

    /// Reads on to a change to this state.
    pub(crate) async fn until_state(&mut self, status: &str) -> Frame {
        self.until(|frame| frame.event == "state" && frame.data["status"] == status).await
    }

    pub(crate) async fn rest(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

/// A job that learns the small digits well within a second.
pub(crate) fn quick_job() -> Value {
    json!({
        "dataset": {"name": "mnist"},
        "network": [{"type": "affine", "units": 20}, {"type": "relu"}, {"type": "affine", "units": 10}],
        "optimizer": {"type": "adam", "learning_rate": 0.005},
        "batch_size": 50, "epochs": 12,
    })
}

/// A job of some seconds that stands for any: stopped and resumed, its weights must not differ.
pub(crate) fn steady_job() -> Value {
    let mut spec = long_job();
    spec["epochs"] = json!(1600);
    spec["optimizer"] = json!({"type": "adam", "learning_rate": 0.0005});
    spec
}

/// A job that would train for minutes, with frequent checkpoints.
pub(crate) fn long_job() -> Value {
    json!({
        "dataset": {"name": "mnist"},
        "network": [{"type": "affine", "units": 20}, {"type": "relu"}, {"type": "affine", "units": 10}],
        "optimizer": {"type": "sgd", "learning_rate": 0.01},
        "batch_size": 50, "epochs": 60_000, "checkpoint_every_seconds": 0.05,
    })
}
