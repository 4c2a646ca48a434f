//! Waits that a stop of the process does not use up.
//!
//! A process that goes on after a stop (`SIGSTOP`, `docker pause`) finds all its timers run out, before it has seen what
//! came in meanwhile. So a wait is cut into slices, one begun when the other is over: a stop takes one of them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Slices of a wait.
const SLICES: u32 = 10;

/// A future that is ready after about this long.
#[derive(Debug)]
pub struct Patience {
    slice: Duration,
    left: u32,
    sleep: Pin<Box<Sleep>>,
}

impl Patience {
    /// A wait that begins now.
    pub fn new(wait: Duration) -> Self {
        let slice = wait / SLICES;
        Self { slice, left: SLICES, sleep: Box::pin(tokio::time::sleep(slice)) }
    }

    /// Begins anew.
    pub fn begin_anew(&mut self) {
        self.left = SLICES;
        self.sleep.as_mut().reset(Instant::now() + self.slice);
    }
}

impl Future for Patience {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while self.left > 0 {
            ready!(self.sleep.as_mut().poll(cx));
            self.left -= 1;
            let next = Instant::now() + self.slice;
            self.sleep.as_mut().reset(next);
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const WAIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn it_ends_in_time() {
        let began = Instant::now();
        let mut patience = Patience::new(WAIT);
        (&mut patience).await;
        let waited = began.elapsed();
        assert!(waited >= WAIT && waited < WAIT + Duration::from_secs(1), "{waited:?}");
        // Ready once more at once, until it is begun anew.
        (&mut patience).await;
        assert_eq!(began.elapsed(), waited);
        patience.begin_anew();
        patience.await;
        assert!(began.elapsed() >= 2 * WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_of_a_minute_takes_one_slice() {
        let began = Instant::now();
        let mut patience = Patience::new(WAIT);
        assert!((&mut patience).now_or_never().is_none());
        // As a stopped process finds its timers: all run out at once.
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!((&mut patience).now_or_never().is_none());
        patience.await;
        assert!(began.elapsed() >= Duration::from_secs(60) + WAIT - WAIT / SLICES);
    }
}
