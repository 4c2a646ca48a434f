//! A server for tests that answers as it is told, byte for byte: one connection, one answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use uuid::Uuid;

use crate::job::event::{Alert, Done, Epoch, Event, EventBody, Metrics, State};
use crate::job::spec::TrainSpec;
use crate::job::status::{Status, StopReason};
use crate::job::view::{Job, LastMetrics, Progress};

/// The server; it ends after its last answer.
#[derive(Debug)]
pub(crate) struct Mock {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Mock {
    /// Serves these answers, each on a connection of its own.
    pub(crate) fn start(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let request = read_request(&mut stream);
                seen.lock().unwrap().push(request);
                stream.write_all(&answer).unwrap();
            }
        });
        Self { addr, requests }
    }

    /// A whole answer.
    pub(crate) fn answer(status: &str, kind: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// The beginning of a stream that breaks off after `body`.
    pub(crate) fn stream(body: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}").into_bytes()
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The requests so far, heads and bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let n = stream.read(&mut piece).unwrap();
        bytes.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        if n == 0 || body.len() >= length {
            return text.into_owned();
        }
    }
}

/// A job of two layers.
pub(crate) fn job() -> Job {
    let spec = TrainSpec::parse(br#"{"dataset":{"name":"digits"},"network":[{"type":"affine","units":10}]}"#).unwrap();
    Job {
        id: Uuid::nil(),
        name: spec.title(),
        model: spec.model_name().to_owned(),
        status: Status::Queued,
        stop_reason: None,
        error: None,
        created_at: Timestamp::UNIX_EPOCH,
        started_at: None,
        checkpoint_removed_at: None,
        finished_at: None,
        attempt: 0,
        spec,
        network: Vec::new(),
        parameters: 7850,
        train_samples: 100,
        validation_samples: 0,
        test_samples: 10,
        peak_memory_bytes: 1,
        progress: Progress { total_steps: 20, epochs: 20, ..Progress::default() },
        metrics: LastMetrics::default(),
        cancel_requested: false,
        pause_requested: false,
        queue_position: Some(1),
        queue_eta_seconds: None,
        waiting_for: None,
        forked_from: None,
        reproduces: None,
        reproduced: None,
        differs_in: Vec::new(),
        trained_with: Vec::new(),
        weights_sha256: None,
        model_version: None,
    }
}

/// The stream of a job of one epoch that ends as `status`.
pub(crate) fn lines(status: &str) -> String {
    let status = Status::parse(status).unwrap();
    let stop_reason = Some(StopReason::Completed);
    let state = |status| EventBody::State(State { status, stop_reason: None, attempt: 1, detail: None });
    let metrics = Metrics {
        step: 1,
        epoch: 1,
        loss: Some(2.3),
        accuracy: Some(0.1),
        learning_rate: 0.1,
        samples_per_second: None,
        fraction: 0.5,
        eta_seconds: None,
        eta_at_most: false,
    };
    let epoch = Epoch {
        epoch: 1,
        step: 2,
        train_loss: Some(0.5),
        train_accuracy: Some(0.8),
        validation_loss: None,
        validation_accuracy: None,
        test_loss: Some(0.1),
        test_accuracy: Some(0.977),
        seconds: 0.1,
    };
    let done = Done {
        status,
        stop_reason,
        test_loss: Some(0.1),
        test_accuracy: Some(0.977),
        weights_sha256: None,
        model: Some("digits".into()),
        model_version: Some(1),
        error: None,
    };
    let bodies = [
        state(Status::Queued),
        state(Status::Running),
        EventBody::Metrics(metrics),
        EventBody::Epoch(epoch),
        EventBody::Alert(Alert { code: "x".into(), detail: "y".into() }),
        EventBody::Done(done),
    ];
    let frames = bodies.into_iter().zip(1..).map(|(body, id)| {
        let event = Event { id, job: Uuid::nil(), at: Timestamp::UNIX_EPOCH, body };
        format!("id: {id}\nevent: {}\ndata: {}\n\n", event.body.kind(), serde_json::to_string(&event).unwrap())
    });
    frames.collect()
}
