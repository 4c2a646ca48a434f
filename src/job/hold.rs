//! How long a job is held back that has brought the server down again and again, and when it is paused.
//!
//! It never fails for it: what kills a process may be cured from outside, and then the job goes on from its checkpoint.

use std::time::Duration;

/// Starts without a new checkpoint that are not held against a job: a power cut is nobody's fault.
pub const FREE_STARTS: u32 = 2;
/// Delayed starts without a new checkpoint after which a job is paused instead of being delayed once more.
const DELAYED_STARTS: u32 = 6;
/// Failed starts without a new checkpoint after which a job is paused: the free ones and the delayed ones.
pub const MAX_FAILED_STARTS: u32 = FREE_STARTS + DELAYED_STARTS;
/// The longest delay.
const LONGEST: Duration = Duration::from_secs(600);

/// How long after the server's own start a job waits at least that was started so often since its last checkpoint, each
/// time in vain: not at all at first, then 2 s, 4 s, 8 s, up to ten minutes.
pub fn hold_back(vain_starts: u32) -> Duration {
    match vain_starts.checked_sub(FREE_STARTS) {
        None => Duration::ZERO,
        Some(doublings) => Duration::from_secs(2_u64.saturating_pow(doublings + 1)).min(LONGEST),
    }
}

/// The most starts in vain that a job may have and begin all the same, in a server that has been up for so long.
pub fn most_vain_starts(up: Duration) -> u32 {
    if up >= LONGEST {
        return u32::MAX;
    }
    // Ends long before the delays reach their bound.
    (0..).take_while(|starts| hold_back(*starts) <= up).last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound() {
        let seconds: Vec<_> = (0..13).map(|starts| hold_back(starts).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(hold_back(u32::MAX), LONGEST);
    }

    #[test]
    fn a_job_is_paused_after_six_delayed_starts() {
        let delayed = (0..MAX_FAILED_STARTS).filter(|failed| !hold_back(*failed).is_zero());
        assert_eq!(delayed.count(), 6);
    }

    #[test]
    fn what_may_begin_is_what_is_not_held_back() {
        for millis in [0, 1, 1999, 2000, 3999, 4000, 511_999, 512_000, 599_999] {
            let up = Duration::from_millis(millis);
            let most = most_vain_starts(up);
            assert!(hold_back(most) <= up && hold_back(most + 1) > up, "{millis} ms");
        }
        assert_eq!(most_vain_starts(LONGEST), u32::MAX);
    }
}
