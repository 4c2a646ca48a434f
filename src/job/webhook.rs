//! News of jobs for other services: where they may be sent, and what they say (Standard Webhooks).

use jiff::Timestamp;
use serde::Serialize;
use url::{Host, ParseError, Url};
use uuid::Uuid;

use super::address::is_public;
use super::event::State;
use super::status::{Status, StopReason};

/// Longest URL, in characters.
pub const MAX_CHARS: usize = 2000;

/// Where messages may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// To addresses of the public internet.
    #[default]
    Public,
    /// To any, also those of this machine and its network.
    Any,
}

/// Reads the URL of a receiver.
///
/// # Errors
/// What is wrong with it. The URL itself is not named: it may hold what is nobody else's business.
pub fn parse_url(text: &str) -> Result<Url, String> {
    const EXAMPLE: &str = "write it like https://example.com/hooks/dojang";
    if text.chars().count() > MAX_CHARS {
        return Err(format!("longer than {MAX_CHARS} characters"));
    }
    // The parser would leave these out.
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("a URL holds no spaces and no control characters".into());
    }
    let url = Url::parse(text).map_err(|error| format!("no URL: {}; {EXAMPLE}", in_words(error)))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("`{}` is not http or https; {EXAMPLE}", url.scheme().escape_debug()));
    }
    if url.host().is_none() {
        return Err(format!("a host is missing; {EXAMPLE}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a name or password in a URL is not sent; the signature tells the receiver who it is".into());
    }
    if url.fragment().is_some() {
        return Err("what follows a # is not sent; leave it out".into());
    }
    if url.port() == Some(0) {
        return Err("port 0 is none".into());
    }
    Ok(url)
}

/// The way in which a text is no URL.
fn in_words(error: ParseError) -> &'static str {
    match error {
        ParseError::InvalidPort => "its port is not a number up to 65535",
        ParseError::InvalidIpv4Address => "its IPv4 address is none",
        ParseError::InvalidIpv6Address => "its IPv6 address is none",
        ParseError::IdnaError | ParseError::InvalidDomainCharacter => "its host's name is none",
        _ => "it has no scheme or no host",
    }
}

impl Reach {
    /// Why nothing is sent to this URL, as far as that can be told without looking up a name.
    pub fn refusal(self, url: &Url) -> Option<String> {
        let public = match url.host() {
            Some(Host::Ipv4(address)) => is_public(address.into()),
            Some(Host::Ipv6(address)) => is_public(address.into()),
            // Names that are the machine itself everywhere (RFC 6761).
            Some(Host::Domain(name)) => !is_localhost(name),
            None => false,
        };
        let refused = self == Self::Public && !public;
        refused.then(|| not_public(url.host_str().unwrap_or_default()))
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// What is said of a host that only [`Reach::Any`] reaches.
pub fn not_public(host: &str) -> String {
    format!(
        "`{}` is no address of the public internet; `dojang serve --webhook-allow-private` allows others",
        host.escape_debug()
    )
}

/// What a message says: that something has become of a job, and not more. Its receiver asks the server for the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Announcement {
    /// What has become of it, such as `job.succeeded`.
    pub r#type: &'static str,
    /// When.
    pub timestamp: Timestamp,
    /// Of which job.
    pub data: Subject,
}

/// The job of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Its id.
    pub job: Uuid,
    /// Its new state.
    pub status: Status,
    /// Why it ended.
    pub stop_reason: Option<StopReason>,
}

impl Announcement {
    /// What others are told of a change of state: that a job ends or is paused. Nobody waits for the others.
    pub fn of(job: Uuid, timestamp: Timestamp, state: &State) -> Option<Self> {
        let r#type = match state.status {
            Status::Succeeded => "job.succeeded",
            Status::Failed => "job.failed",
            Status::Cancelled => "job.cancelled",
            Status::Paused => "job.paused",
            Status::Queued | Status::Running => return None,
        };
        let data = Subject { job, status: state.status, stop_reason: state.stop_reason };
        Some(Self { r#type, timestamp, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_of_receivers() {
        for good in [
            "https://example.com",
            "http://example.com:8080/hooks/dojang?team=a&token=b",
            "HTTPS://Example.COM/",
            "http://127.0.0.1:9000/",
            "http://[::1]/hook",
            "https://bücher.example/",
        ] {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        let long = format!("https://example.com/{}", "x".repeat(MAX_CHARS));
        for (bad, word) in [
            ("", "no URL"),
            ("example.com/hook", "no URL"),
            ("//example.com", "no URL"),
            ("https://", "no URL"),
            ("http://exa mple.com/", "spaces"),
            ("http://example.com/\n", "spaces"),
            (" http://example.com/", "spaces"),
            ("ftp://example.com/", "`ftp`"),
            ("file:///etc/passwd", "`file`"),
            ("mailto:me@example.com", "`mailto`"),
            ("https://me@example.com/", "password"),
            ("https://:secret@example.com/", "password"),
            ("https://example.com/#part", "#"),
            ("https://example.com:0/", "port 0"),
            ("https://example.com:99999/", "port"),
            ("http://1.2.3.256/", "IPv4"),
            (&long, "longer"),
        ] {
            let error = parse_url(bad).expect_err(bad);
            assert!(error.contains(word), "{bad}: {error}");
            assert!(!error.contains("secret"), "{bad}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_can_be_sent_to(text in prop_oneof![
            ".*",
            "https?://[a-z0-9@:#%.\\[\\]]{0,20}(:[0-9]{0,6})?(/.{0,20})?",
        ]) {
            if let Ok(url) = parse_url(&text) {
                prop_assert!(matches!(url.scheme(), "http" | "https") && url.host().is_some(), "{url}");
                prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{url}");
                prop_assert_eq!(parse_url(url.as_str()).ok(), Some(url));
            }
        }
    }

    #[test]
    fn hosts_that_are_not_public_in_any_spelling() {
        for private in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://0/",
            "http://127.0.0.1./",
            "http://１２７.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[fe80::1]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://localhost:8080/",
            "http://LOCALHOST/",
            "http://localhost./",
            "http://a.localhost/",
        ] {
            let url = parse_url(private).expect(private);
            let refusal = Reach::Public.refusal(&url).expect(private);
            assert!(refusal.contains("--webhook-allow-private"), "{refusal}");
            assert_eq!(Reach::Any.refusal(&url), None, "{private}");
        }
        // Names are looked up when it is their turn.
        for public in ["https://example.com/", "http://8.8.8.8/", "http://[2606:4700::1111]/", "http://notlocalhost/"] {
            assert_eq!(Reach::Public.refusal(&parse_url(public).expect(public)), None, "{public}");
        }
    }

    #[test]
    fn others_are_told_of_ends_and_pauses() {
        let state = |status, stop_reason| State { status, stop_reason, attempt: 1, detail: Some("a word".into()) };
        let of = |state: State| Announcement::of(Uuid::nil(), Timestamp::UNIX_EPOCH, &state);
        assert_eq!((of(state(Status::Queued, None)), of(state(Status::Running, None))), (None, None));
        for status in Status::ALL.into_iter().filter(|status| status.is_final() || *status == Status::Paused) {
            let told = of(state(status, None)).expect("told");
            assert_eq!(told.r#type, format!("job.{status}"));
        }
        let told = serde_json::to_string(&of(state(Status::Succeeded, Some(StopReason::Completed)))).expect("plain");
        assert_eq!(
            told,
            r#"{"type":"job.succeeded","timestamp":"1970-01-01T00:00:00Z","data":{"job":"00000000-0000-0000-0000-000000000000","status":"succeeded","stop_reason":"completed"}}"#
        );
    }
}
