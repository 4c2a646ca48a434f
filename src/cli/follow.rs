//! A job's events as they come: replayed from the first, and taken up again where they broke off.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Response;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::client::{Client, ClientError};
use super::sse::{Frame, Parser};
use crate::job::event::Event;

/// Silence after which a connection is taken for dead; the server's heartbeat comes every 15 s.
const STALL: Duration = Duration::from_secs(45);
/// Time without an answer after which nobody waits any longer.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(15);

/// The stream of one job's events.
#[derive(Debug)]
pub(crate) struct Follow<'a> {
    client: &'a Client,
    job: Uuid,
    after: u64,
    open: Option<(Response, Parser)>,
    ready: VecDeque<Frame>,
    /// What the server asks to wait before a new connection.
    retry: Duration,
    /// Attempts since the last event.
    failures: u32,
    wait: Option<Duration>,
    /// When the server was last heard; never, before the first answer.
    heard: Option<Instant>,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Seen {
    /// The next event.
    Entry(Box<Entry>),
    /// The connection broke off; it is tried again.
    Lost {
        /// Why.
        why: String,
        /// In how long.
        wait: Duration,
    },
}

/// An event, and the JSON that it was read from.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As the server wrote it.
    pub(crate) text: String,
    /// Its meaning; `None` if a newer server sends what this program does not know.
    pub(crate) event: Option<Event>,
}

impl<'a> Follow<'a> {
    /// All events of a job, from the first.
    pub(crate) fn new(client: &'a Client, job: Uuid) -> Self {
        Self {
            client,
            job,
            after: 0,
            open: None,
            ready: VecDeque::new(),
            retry: Duration::from_secs(1),
            failures: 0,
            wait: None,
            heard: None,
        }
    }

    /// Waits for what comes next.
    ///
    /// # Errors
    /// If the server refuses, cannot be reached at first, or is not heard of any more for two minutes.
    pub(crate) async fn next(&mut self) -> Result<Seen, ClientError> {
        loop {
            while let Some(frame) = self.ready.pop_front() {
                if let Some(entry) = self.entry(frame) {
                    return Ok(Seen::Entry(Box::new(entry)));
                }
            }
            if let Some((response, parser)) = &mut self.open {
                let lost = match timeout(STALL, response.chunk()).await {
                    Ok(Ok(Some(bytes))) => {
                        self.ready.extend(parser.push(&bytes));
                        self.retry = parser.retry().unwrap_or(self.retry);
                        self.heard = Some(Instant::now());
                        continue;
                    }
                    Ok(Ok(None)) => "the server closed it".into(),
                    Ok(Err(error)) => match self.client.failed(&error) {
                        ClientError::Lost { why, .. } => why,
                        other => other.to_string(),
                    },
                    Err(_) => format!("nothing came for {} s", STALL.as_secs()),
                };
                return self.lost(lost, None);
            }
            if let Some(wait) = self.wait.take() {
                sleep(wait).await;
            }
            match self.client.events(self.job, self.after).await {
                Ok(response) => self.open = Some((response, Parser::default())),
                Err(error) if error.is_passing() && self.heard.is_some() => {
                    let why = match &error {
                        ClientError::Unreachable { why, .. } | ClientError::Lost { why, .. } => why.clone(),
                        other => other.to_string(),
                    };
                    return self.lost(why, Some(error));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A frame as an event; `None` for what was seen before or is no event of a job.
    fn entry(&mut self, frame: Frame) -> Option<Entry> {
        let event = serde_json::from_str::<Event>(&frame.data).ok();
        let id = event.as_ref().map(|event| event.id).or_else(|| frame.id.as_ref()?.parse().ok())?;
        if id <= self.after {
            return None;
        }
        self.after = id;
        self.failures = 0;
        Some(Entry { text: frame.data, event })
    }

    fn lost(&mut self, why: String, error: Option<ClientError>) -> Result<Seen, ClientError> {
        self.open = None;
        if self.heard.is_none_or(|heard| heard.elapsed() > PATIENCE) {
            return Err(error.unwrap_or_else(|| ClientError::Lost { server: self.client.server(), why }));
        }
        let wait = self.retry.saturating_mul(1 << self.failures.min(6)).min(LONGEST);
        self.failures += 1;
        self.wait = Some(wait);
        Ok(Seen::Lost { why, wait })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::parse_server;
    use crate::cli::mock::Mock;
    use crate::job::event::EventBody;

    fn state(id: u64) -> String {
        format!(
            "id: {id}\nevent: state\ndata: {{\"id\":{id},\"job\":\"{}\",\"type\":\"state\",\"at\":\"2026-11-23T19:05:00.123Z\",\
             \"status\":\"queued\",\"stop_reason\":null,\"attempt\":0,\"detail\":null}}\n\n",
            Uuid::nil()
        )
    }

    async fn ids(follow: &mut Follow<'_>, n: usize) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.len() < n {
            seen.push(match follow.next().await.expect("the mock answers") {
                Seen::Entry(entry) => match entry.event {
                    Some(Event { id, body: EventBody::State(_), .. }) => id.to_string(),
                    _ => format!("? {}", entry.text),
                },
                Seen::Lost { wait, .. } => format!("lost {}", wait.as_millis()),
            });
        }
        seen
    }

    #[tokio::test]
    async fn broken_streams_are_taken_up_where_they_broke() {
        let first = format!("retry: 1\n\n{}{}", state(1), state(2));
        let cut = format!("{}{}", state(2), &state(3)[..40]);
        let mock = Mock::start(vec![
            Mock::stream(&first),
            Mock::stream(&cut),
            Mock::answer("503 Service Unavailable", "application/problem+json", "{\"detail\":\"stopping\"}"),
            Mock::stream(&format!("{}id: 4\nevent: news\ndata: {{\"id\":4}}\n\n", state(3))),
        ]);
        let client = Client::new(parse_server(&mock.url()).expect("an address")).expect("a client");
        let mut follow = Follow::new(&client, Uuid::nil());
        let seen = ids(&mut follow, 7).await;
        assert_eq!(seen, ["1", "2", "lost 1", "lost 2", "lost 4", "3", "? {\"id\":4}"]);
        let requests = mock.requests();
        assert!(!requests[0].contains("last-event-id"), "{}", requests[0]);
        assert!(requests[1..].iter().all(|request| request.contains("last-event-id: 2\r\n")), "{requests:?}");
    }

    #[tokio::test]
    async fn a_refusal_ends_it() {
        let body = "{\"status\":404,\"detail\":\"there is no such job\"}";
        let mock = Mock::start(vec![Mock::answer("404 Not Found", "application/problem+json", body)]);
        let client = Client::new(parse_server(&mock.url()).expect("an address")).expect("a client");
        let error = Follow::new(&client, Uuid::nil()).next().await.expect_err("no job");
        assert_eq!(error.to_string(), "there is no such job");
    }

    #[tokio::test]
    async fn a_server_that_never_answered_is_not_waited_for() {
        let client = Client::new(parse_server("http://127.0.0.1:1").expect("an address")).expect("a client");
        assert!(Follow::new(&client, Uuid::nil()).next().await.is_err());
    }
}
