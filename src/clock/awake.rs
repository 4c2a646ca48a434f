//! How long this process has been at work.
//!
//! The system's steady clock runs on while a process is stopped (`SIGSTOP`, `docker pause`). Here, what lies between two
//! looks at the clock counts for at most [`MOST`]; a thread of its own looks often enough that nothing is lost while the
//! process is at work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the thread looks.
const TICK: Duration = Duration::from_millis(200);
/// What counts at most of the time between two looks: on a busy machine the thread may come late.
const MOST: Duration = Duration::from_secs(1);

/// A clock that stands still while the process does; a clone is another look at the same.
#[derive(Debug, Clone)]
pub struct Awake(Arc<Mutex<Seen>>);

/// The hands of a clock for tests, which runs only as far as they are moved.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Hands(Arc<Mutex<Seen>>);

#[cfg(test)]
impl Hands {
    /// Lets time pass.
    pub(crate) fn advance(&self, time: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).up += time;
    }
}

/// What the last look has seen.
#[derive(Debug)]
struct Seen {
    at: Instant,
    up: Duration,
    /// Whether only a test moves it.
    #[cfg(test)]
    by_hand: bool,
}

impl Seen {
    fn new(at: Instant) -> Self {
        Self {
            at,
            up: Duration::ZERO,
            #[cfg(test)]
            by_hand: false,
        }
    }

    fn look(&mut self, now: Instant) -> Duration {
        #[cfg(test)]
        if self.by_hand {
            return self.up;
        }
        self.up += now.saturating_duration_since(self.at).min(MOST);
        self.at = self.at.max(now);
        self.up
    }
}

impl Awake {
    /// Starts a clock at zero.
    pub fn start() -> Self {
        let seen = Arc::new(Mutex::new(Seen::new(Instant::now())));
        let watched = Arc::downgrade(&seen);
        let ticks = move || {
            while let Some(seen) = watched.upgrade() {
                Self(seen).up();
                std::thread::sleep(TICK);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("clock".into()).spawn(ticks) {
            tracing::warn!(%error, "failed to start the clock's thread: long pauses count for {MOST:?}");
        }
        Self(seen)
    }

    /// A clock at zero that only its hands move.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (Self, Hands) {
        let seen = Arc::new(Mutex::new(Seen { by_hand: true, ..Seen::new(Instant::now()) }));
        (Self(Arc::clone(&seen)), Hands(seen))
    }

    /// Time at work since the start.
    pub fn up(&self) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Read while nobody else can look, so that no look is behind another.
        seen.look(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_counts_for_a_moment_only() {
        let start = Instant::now();
        let mut seen = Seen::new(start);
        for (millis, up) in [(200, 200), (900, 900), (60_900, 1900), (61_100, 2100), (61_100, 2100)] {
            assert_eq!(seen.look(start + Duration::from_millis(millis)), Duration::from_millis(up), "{millis}");
        }
        // A look that comes late from another thread takes nothing back.
        assert_eq!(seen.look(start), Duration::from_millis(2100));
    }

    #[test]
    fn it_runs_while_nobody_looks_and_not_ahead() {
        let (awake, start) = (Awake::start(), Instant::now());
        let one = awake.up();
        let other = awake.clone().up();
        assert!(one <= other && other <= start.elapsed() + TICK, "{one:?} {other:?}");
    }
}
