//! One attempt to bring a message to its receiver.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::Settings;
use super::guard::Guard;
use super::secret::Secret;
use crate::job::webhook::{Reach, parse_url};
use crate::store::Message;

/// How long a receiver may take, from the look at its name to the head of its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest that a receiver may ask us to wait.
const LONGEST_WAIT: u64 = 24 * 3600;
/// Longest text that is kept of what went wrong, in characters.
const SAID: usize = 200;

/// That no requests can be made at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare webhooks: {0}")]
pub struct PostError(#[from] reqwest::Error);

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// In words, for people.
    pub(super) said: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver has it.
    Taken,
    /// The receiver wants to hear no more.
    Gone,
    /// It did not arrive; the receiver may ask for so much time at least.
    Missed(Option<Duration>),
}

/// Makes attempts.
#[derive(Debug)]
pub(super) struct Post {
    client: Client,
    secret: Secret,
    url: Option<Url>,
    reach: Reach,
}

impl Post {
    pub(super) fn new(settings: &Settings) -> Result<Self, PostError> {
        let Settings { secret, url, reach, .. } = settings.clone();
        let client = client(reach)?;
        Ok(Self { client, secret, url, reach })
    }

    /// Whether the server has a URL of its own.
    pub(super) fn has_url(&self) -> bool {
        self.url.is_some()
    }

    /// Sends a message, signed as of this time. Of the answer only the head is read.
    pub(super) async fn send(&self, message: &Message, at: Timestamp) -> Answer {
        let url = match (&message.url, &self.url) {
            (Some(url), _) => match parse_url(url) {
                Ok(url) => url,
                Err(error) => return missed(&error),
            },
            (None, Some(url)) => url.clone(),
            (None, None) => return missed("the server has no URL of its own any more"),
        };
        if let Some(refusal) = self.reach.refusal(&url) {
            return missed(&refusal);
        }
        let timestamp = at.as_second();
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", self.secret.sign(&message.id, timestamp, &message.body))
            .body(message.body.clone());
        match request.send().await {
            Ok(response) => answer(&response),
            Err(error) => missed(&describe(error)),
        }
    }
}

fn client(reach: Reach) -> Result<Client, PostError> {
    crate::tls::prepare();
    let client = Client::builder()
        .dns_resolver(Guard(reach))
        // A redirect or a proxy would lead past the guard.
        .redirect(Policy::none())
        .no_proxy()
        // Messages are rare; and a connection that is kept is one that nobody looks at any more.
        .pool_max_idle_per_host(0)
        .timeout(PATIENCE)
        .user_agent(concat!("dojang/", env!("CARGO_PKG_VERSION")))
        .build()?;
    Ok(client)
}

fn answer(response: &Response) -> Answer {
    let status = response.status();
    let outcome = match status {
        status if status.is_success() => Outcome::Taken,
        StatusCode::GONE => Outcome::Gone,
        _ => Outcome::Missed(retry_after(response)),
    };
    Answer { outcome, said: status.to_string() }
}

/// The seconds that an answer asks us to wait. A date is not looked at: our clocks may differ.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
}

/// An attempt that came to nothing, and may come to something later.
pub(super) fn missed(said: &str) -> Answer {
    Answer { outcome: Outcome::Missed(None), said: said.chars().take(SAID).collect() }
}

/// The cause of an error, without the URL: it may hold what is nobody else's business.
fn describe(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let error = error.without_url();
    let mut innermost: &dyn Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn names_are_looked_up_by_the_guard_and_answers_are_not_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://localhost:{}/", listener.local_addr().expect("an address").port());
        let post = async |reach| client(reach).expect("a client").post(&url).body("x").send().await;
        let refused = describe(post(Reach::Public).await.expect_err("nothing is sent"));
        assert!(refused.contains("`localhost` is no address of the public internet"), "{refused}");
        let receive = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 1024]).await.expect("a request");
            let head = b"HTTP/1.1 503 Busy\r\nretry-after: 99999999\r\ncontent-length: 1000000000000\r\n\r\n";
            stream.write_all(head).await.expect("it listens");
            // Nothing follows, and nobody waits for it.
            stream
        };
        let (response, _stream) = tokio::join!(post(Reach::Any), receive);
        let Answer { outcome, said } = answer(&response.expect("a head"));
        assert_eq!(outcome, Outcome::Missed(Some(Duration::from_secs(LONGEST_WAIT))));
        assert_eq!(said, "503 Service Unavailable");
    }
}
