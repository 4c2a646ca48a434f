//! Bodies of requests that come in pieces: a client may pause between two of them, but not for ever.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use hyper::body::{Frame, SizeHint};

use crate::clock::Patience;

/// Longest pause in a request's body.
pub(super) const LONGEST: Duration = Duration::from_secs(20);

/// Nothing of a body came for [`LONGEST`].
#[derive(Debug, thiserror::Error)]
#[error("nothing of the body came for too long")]
struct Stalled;

/// Whether a body's error, or one of its causes, is that nothing came for too long.
pub(super) fn is_stalled(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<Stalled>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A body that ends with an error when nothing of it comes for a while.
struct Paused {
    body: Body,
    patience: Patience,
    waiting: bool,
}

/// Bounds the pauses of a request's body.
pub(super) async fn bound(request: Request) -> Request {
    request.map(|body| bounded(body, LONGEST))
}

fn bounded(body: Body, longest: Duration) -> Body {
    // Most requests have none.
    if body.is_end_stream() {
        body
    } else {
        Body::new(Paused { body, patience: Patience::new(longest), waiting: false })
    }
}

impl HttpBody for Paused {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.waiting = false;
            return Poll::Ready(frame);
        }
        if !this.waiting {
            this.waiting = true;
            this.patience.begin_anew();
        }
        ready!(Pin::new(&mut this.patience).poll(cx));
        Poll::Ready(Some(Err(axum::Error::new(Stalled))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_may_pause_but_not_for_ever() {
        let piece = |seconds: u64| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok::<_, std::io::Error>(Bytes::from_static(b"x"))
        };
        let read = async |pauses: &'static [u64]| {
            let body = Body::from_stream(stream::iter(pauses).then(move |seconds| piece(*seconds)));
            axum::body::to_bytes(bounded(body, LONGEST), 10).await
        };
        assert_eq!(read(&[0, 19, 19, 19]).await.expect("it keeps coming").len(), 4);
        assert!(is_stalled(&read(&[0, 25]).await.expect_err("it stalls")));
        assert!(bounded(Body::empty(), LONGEST).is_end_stream());
    }
}
