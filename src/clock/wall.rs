//! The clock on the wall, as events and jobs show it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp, Unit};

/// The clock on the wall; a clone is another look at the same.
#[derive(Debug, Clone, Default)]
pub struct Wall {
    /// Seconds that it is put forward, for tests.
    ahead: Arc<AtomicI64>,
}

impl Wall {
    /// Now, to the millisecond: finer digits would only be noise in what people read and programs compare.
    pub fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed));
        let now = Timestamp::now();
        let now = now.checked_add(ahead).unwrap_or(now);
        now.round(Unit::Millisecond).unwrap_or(now)
    }

    /// Puts it forward by so many seconds, or back: what an operator or NTP does to the system's clock, for tests.
    pub fn put_forward(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward_and_back_for_all_who_look() {
        let wall = Wall::default();
        let (other, before) = (wall.clone(), wall.now());
        wall.put_forward(3600);
        assert!(other.now().duration_since(before) >= SignedDuration::from_hours(1));
        wall.put_forward(-7200);
        assert!(other.now() < before);
        assert_eq!(other.now().subsec_nanosecond() % 1_000_000, 0);
    }
}
