//! `Host`: the names that this server answers to.
//!
//! A page of the web may have its own name resolve to 127.0.0.1 (DNS rebinding). To the browser such a page and this server
//! are then one origin, and nothing but the name in `Host` tells them apart. `localhost` and IP addresses cannot be taken over
//! in that way and are always answered; other names only where the operator has listed them. 421 otherwise, and 400 where
//! `Host` is missing, doubled or malformed (RFC 9110 §7.2, RFC 9112 §3.2).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::{Host, Url};

use super::error::Problem;

/// Longest name of the DNS, in characters.
const NAME_MAX: usize = 253;
/// Longest label of such a name.
const LABEL_MAX: usize = 63;

/// The names that a server answers to, besides `localhost` and IP addresses.
#[derive(Debug, Clone, Default)]
pub struct AllowedHosts {
    names: Arc<[AllowedHost]>,
    public: Option<PublicUrl>,
}

/// A name of `--allowed-host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedHost {
    /// Every name, for a server behind a proxy that checks `Host` itself.
    Any,
    /// This name, in lower case.
    Name(String),
}

/// Where clients find a server behind a proxy that rewrites `Host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: Scheme,
    authority: Authority,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// Host and port of a request or an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    /// A name in lower case without the root's dot, or an IP address.
    host: String,
    is_address: bool,
    port: Option<u16>,
}

impl AllowedHosts {
    /// These names, and that of the public URL.
    pub fn new(names: Vec<AllowedHost>, public: Option<PublicUrl>) -> Self {
        Self { names: names.into(), public }
    }

    fn answers_to(&self, authority: &Authority) -> bool {
        let listed = |name: &AllowedHost| match name {
            AllowedHost::Any => true,
            AllowedHost::Name(name) => *name == authority.host,
        };
        authority.is_address
            || authority.host == "localhost"
            || self.public.as_ref().is_some_and(|public| public.authority.host == authority.host)
            || self.names.iter().any(listed)
    }

    /// Whether a page of this `Origin` is served by this server, which was asked as `authority`.
    pub(super) fn is_own_origin(&self, origin: &str, authority: Option<&Authority>) -> bool {
        let Some((scheme, of_origin)) = parse_origin(origin) else { return false };
        let same = |other: &Authority| of_origin.host == other.host && of_origin.port == other.port_without(scheme);
        let public = |public: &PublicUrl| public.scheme == scheme && same(&public.authority);
        authority.is_some_and(same) || self.public.as_ref().is_some_and(public)
    }

    /// Whether the URL is known by which browsers reach this server: then no other `Origin` is its own, whatever a proxy
    /// makes of `Host`.
    pub(super) fn knows_public_origin(&self) -> bool {
        self.public.is_some()
    }

    /// The authority that a request asks.
    ///
    /// # Errors
    /// 400 where it has none or more than one, 421 where it is not this server.
    fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<Authority, Problem> {
        let mut values = headers.get_all(header::HOST).iter();
        let Some(value) = values.next() else {
            return Err(Problem::bad_request("the header `Host` is missing; every request needs exactly one"));
        };
        if values.next().is_some() {
            return Err(Problem::bad_request("the header `Host` comes more than once"));
        }
        let of_header = value.to_str().ok().and_then(Authority::parse);
        let Some(mut authority) = of_header else {
            return Err(Problem::bad_request(
                "the header `Host` is malformed; NAME, NAME:PORT or an IP address is needed",
            ));
        };
        if !self.answers_to(&authority) {
            return Err(misdirected(&authority.host));
        }
        // A target with an authority of its own counts for more than the header.
        if let Some(target) = uri.authority() {
            let Some(of_target) = Authority::parse(target.as_str()) else {
                return Err(Problem::bad_request("the host in the request's target is malformed"));
            };
            if !self.answers_to(&of_target) {
                return Err(misdirected(&of_target.host));
            }
            authority = of_target;
        }
        Ok(authority)
    }
}

fn misdirected(name: &str) -> Problem {
    let detail = format!(
        "this server does not answer to the name `{name}`; if that is its name, start it with `--allowed-host {name}` \
         (or DOJANG_ALLOWED_HOST), or with `--public-url` behind a proxy"
    );
    Problem::new(StatusCode::MISDIRECTED_REQUEST, detail)
}

/// Refuses requests that ask for another server; handlers find the [`Authority`] among the extensions.
pub(super) async fn check(State(hosts): State<AllowedHosts>, mut request: Request, next: Next) -> Response {
    match hosts.check(request.headers(), request.uri()) {
        Ok(authority) => {
            request.extensions_mut().insert(authority);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl Authority {
    /// Reads `NAME`, `NAME:PORT`, or an IPv4 or `[IPv6]` address with or without a port.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                let port = if port.is_empty() { None } else { Some(port.strip_prefix(':')?) };
                return Some(Self { host: address.to_string(), is_address: true, port: parse_port(port)? });
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = parse_port(port)?;
        if host.parse::<Ipv4Addr>().is_ok() {
            return Some(Self { host: host.into(), is_address: true, port });
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        let is_label = |label: &str| {
            (1..=LABEL_MAX).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let is_name = name.len() <= NAME_MAX && name.split('.').all(is_label);
        is_name.then(|| Self { host: name.to_ascii_lowercase(), is_address: false, port })
    }

    /// The port, unless it is the scheme's own.
    fn port_without(&self, scheme: Scheme) -> Option<u16> {
        self.port.filter(|port| *port != scheme.port())
    }
}

/// The port of an authority: digits, or nothing.
fn parse_port(text: Option<&str>) -> Option<Option<u16>> {
    match text {
        None | Some("") => Some(None),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        Some(_) => None,
    }
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Reads `http://HOST[:PORT]`, as browsers write `Origin`; the scheme's own port is left out.
fn parse_origin(text: &str) -> Option<(Scheme, Authority)> {
    let (scheme, authority) = match text.split_once("://")? {
        ("http", rest) => (Scheme::Http, Authority::parse(rest)?),
        ("https", rest) => (Scheme::Https, Authority::parse(rest)?),
        _ => return None,
    };
    Some((scheme, Authority { port: authority.port_without(scheme), ..authority }))
}

impl FromStr for AllowedHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        let wrong = || format!("`{}` is not a host name; write it like dojang.example.com", text.escape_debug());
        if text.contains(['/', ':']) {
            return Err(format!("{}, without a scheme or a port", wrong()));
        }
        if text.contains('*') {
            return Err(format!("{}; `*` alone allows all names", wrong()));
        }
        // Browsers send the ASCII form of a name in another script.
        let host = Host::parse(text).map_err(|_| wrong())?.to_string();
        Authority::parse(&host).map(|authority| Self::Name(authority.host)).ok_or_else(wrong)
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "it is not a URL like https://dojang.example.com".to_owned();
        let url = Url::parse(text.trim()).map_err(|_| wrong())?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("a scheme, a host and a port are enough".into());
        }
        if !matches!(url.path(), "" | "/") {
            return Err("it has a path; a public URL is a scheme, a host and a port, without one".into());
        }
        let (scheme, authority) = parse_origin(&url.origin().ascii_serialization()).ok_or_else(wrong)?;
        Ok(Self { scheme, authority })
    }
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
