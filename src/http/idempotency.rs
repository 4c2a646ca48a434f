//! `Idempotency-Key`: a POST that may be sent again (draft-ietf-httpapi-idempotency-key-header).
//!
//! The same key with the same path and body answers with the job that the first request made, as that is now. Another path
//! or body is refused. A request that was refused has not used its key. The key is taken as it stands, quotes and all.

use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{HeaderMap, HeaderName};

use super::body::Body;
use super::error::Problem;
use crate::interop::sha256_hex;
use crate::memory::MemoryAccount;
use crate::store::RequestKey;

const NAME: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest key, in characters.
const LONGEST: usize = 255;

/// A body with the key of its request, if it has one.
#[derive(Debug)]
pub(super) struct Keyed {
    pub(super) body: Body,
    pub(super) key: Option<RequestKey>,
}

impl<S: Send + Sync> FromRequest<S> for Keyed
where
    MemoryAccount: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let key = key(request.headers())?;
        let path = request.uri().path().to_owned();
        let body = Body::from_request(request, state).await?.into_document().await?;
        // No path holds a line break.
        let fingerprint = || sha256_hex(&[path.as_bytes(), b"\n", &body.bytes].concat());
        let key = key.map(|key| RequestKey { key, request_sha256: fingerprint() });
        Ok(Self { body, key })
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::bad_request("`Idempotency-Key` comes twice"));
    }
    let sound = (1..=LONGEST).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    let key = value.to_str().ok().filter(|_| sound).map(str::to_owned);
    let refused = || Problem::bad_request("`Idempotency-Key` is not 1 to 255 visible ASCII characters");
    key.map(Some).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<String>, Problem> {
        key(&values.iter().map(|value| (NAME, HeaderValue::from_bytes(value).expect("a header"))).collect())
    }

    #[test]
    fn keys_are_visible_ascii() {
        assert_eq!(read(&[]).expect("none is needed"), None);
        let longest = [b'~'; LONGEST];
        for sound in [&b"!"[..], b"\"8e03978e-40d5-43e8-bc93-6894a57f9324\"", &longest] {
            assert_eq!(read(&[sound]).expect("a key").map(String::into_bytes).as_deref(), Some(sound));
        }
        let long = [b'a'; LONGEST + 1];
        for wrong in [&[&b""[..]][..], &[b"a b"], &[b"a\tb"], &["schlüssel".as_bytes()], &[&long], &[b"a", b"a"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
