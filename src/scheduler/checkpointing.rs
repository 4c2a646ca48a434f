//! Checkpoints of one run: at most one under way, and a bounded share of the time.
//!
//! The training thread copies its state, the recorder encodes and writes it. A copy takes as much memory as parameters and
//! optimizer state together, which the job was admitted with once: so the next one waits for the last to be written. And a
//! checkpoint that takes long is taken less often than the spec asks for, since training is what the time is for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::job::event::Alert;

/// The interval is at least so many times as long as a checkpoint takes: that is a tenth of the time.
const LEAST_INTERVAL: u32 = 10;
/// An interval as long as this is shown before a checkpoint has been measured.
const PLAUSIBLE: Duration = Duration::from_secs(1);
/// Longest time to the first checkpoint of a job at whose last starts the server died: with it, they were not in vain.
const FIRST_AFTER_FAILED_STARTS: Duration = Duration::from_secs(5);

/// Room for one checkpoint under way; a clone is another handle of the same.
#[derive(Debug, Clone, Default)]
pub(super) struct CheckpointSlot(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<SlotState>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct SlotState {
    taken: bool,
    /// Times that the last two checkpoints took, from the copy to the commit, without waits for a disk that failed.
    took: [Option<Duration>; 2],
}

impl CheckpointSlot {
    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_free(&self) -> bool {
        !self.state().taken
    }

    /// Waits for the checkpoint under way, then takes its place.
    pub(super) fn take(&self) -> CheckpointPermit {
        let free = self.0.freed.wait_while(self.state(), |state| state.taken);
        free.unwrap_or_else(PoisonError::into_inner).taken = true;
        CheckpointPermit { slot: self.clone(), copied: Duration::ZERO }
    }

    /// Time that a checkpoint takes: of the last two the lesser, so that one that met a stalled disk does not count.
    fn took(&self) -> Duration {
        self.state().took.into_iter().flatten().min().unwrap_or_default()
    }
}

/// The right to have a checkpoint under way, until it is dropped.
#[derive(Debug)]
pub(super) struct CheckpointPermit {
    slot: CheckpointSlot,
    /// Time that the copy of the state took.
    copied: Duration,
}

impl CheckpointPermit {
    /// Notes that the checkpoint is on the disk, `took` after the recorder began with it.
    pub(super) fn written(self, took: Duration) {
        let mut state = self.slot.state();
        state.took = [Some(self.copied + took), state.took[0]];
    }
}

impl Drop for CheckpointPermit {
    fn drop(&mut self) {
        self.slot.state().taken = false;
        self.slot.0.freed.notify_all();
    }
}

/// When a run saves its state. Times are those of the process at work.
#[derive(Debug)]
pub(super) struct CheckpointSchedule {
    /// The interval that the spec asks for.
    asked: Duration,
    /// The longest interval, until the first checkpoint.
    first_within: Option<Duration>,
    slot: CheckpointSlot,
    /// When the last copy of the state began.
    last: Duration,
    is_raise_told: bool,
}

impl CheckpointSchedule {
    /// A run that begins `now`, of a job at whose last starts the server died `failed_starts` times.
    pub(super) fn new(asked: Duration, failed_starts: u32, now: Duration) -> Self {
        let first_within = (failed_starts > 0).then_some(FIRST_AFTER_FAILED_STARTS);
        Self { asked, first_within, slot: CheckpointSlot::default(), last: now, is_raise_told: false }
    }

    /// The interval that is kept: the one asked for, unless checkpoints would then take too much of the time.
    pub(super) fn interval(&self) -> Duration {
        self.asked.max(self.slot.took() * LEAST_INTERVAL)
    }

    /// That interval, unless a very short one is asked for that no checkpoint has been measured against yet.
    pub(super) fn measured_interval(&self) -> Option<Duration> {
        (self.asked >= PLAUSIBLE || !self.slot.took().is_zero()).then(|| self.interval())
    }

    /// Whether the state should be copied now. If so, [`begin`](Self::begin) follows with the copy.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        let interval = self.first_within.map_or_else(|| self.interval(), |first| first.min(self.asked));
        let due = now.saturating_sub(self.last) >= interval && self.slot.is_free();
        if due {
            self.last = now;
        }
        due
    }

    /// The copy that was due is there `now`.
    pub(super) fn begin(&mut self, now: Duration) -> CheckpointPermit {
        self.first_within = None;
        let mut permit = self.slot.take();
        permit.copied = now.saturating_sub(self.last);
        permit
    }

    /// Room for the last checkpoint of the run, once the one under way is written.
    pub(super) fn last(&self) -> CheckpointPermit {
        self.slot.take()
    }

    /// News for the job's client that the interval is longer than asked for; once a run.
    pub(super) fn raise(&mut self) -> Option<Alert> {
        let (took, interval) = (self.slot.took().as_secs_f64(), self.interval());
        if self.is_raise_told || interval <= self.asked {
            return None;
        }
        self.is_raise_told = true;
        let detail = format!(
            "a checkpoint takes about {took:.3} s, and checkpoints may take a tenth of the time: one is saved every \
             {:.3} s, not every {} s",
            interval.as_secs_f64(),
            self.asked.as_secs_f64(),
        );
        Some(Alert { code: "checkpoint_interval_raised".into(), detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_next_checkpoint_waits_for_the_last() {
        let mut schedule = CheckpointSchedule::new(Duration::from_nanos(1), 0, Duration::ZERO);
        assert!(!schedule.is_due(Duration::ZERO) && schedule.is_due(MS));
        let permit = schedule.begin(3 * MS);
        assert!(!schedule.is_due(100 * MS), "one is under way");
        permit.written(8 * MS);
        // Two milliseconds for the copy and eight for the rest: a hundred between two of them.
        assert_eq!(schedule.interval(), 100 * MS);
        assert!(!schedule.is_due(100 * MS) && schedule.is_due(101 * MS));
        drop(schedule.begin(101 * MS));
        assert!(schedule.is_due(201 * MS), "one that was not written frees the slot, too");
    }

    #[test]
    fn the_last_checkpoint_waits_for_the_one_under_way() {
        let mut schedule = CheckpointSchedule::new(MS, 0, Duration::ZERO);
        assert!(schedule.is_due(MS));
        let permit = schedule.begin(MS);
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _last = schedule.last();
                sender.send("copied").expect("it is received");
            });
            assert!(receiver.try_recv().is_err());
            drop(permit);
            assert_eq!(receiver.recv(), Ok("copied"));
        });
    }

    #[test]
    fn one_stall_of_the_disk_does_not_count() {
        let mut schedule = CheckpointSchedule::new(MS, 0, Duration::ZERO);
        for took in [2, 60_000, 3] {
            schedule.begin(Duration::ZERO).written(took * MS);
            assert!(schedule.interval() <= 30 * MS, "{:?}", schedule.interval());
        }
        for _ in 0..2 {
            schedule.begin(Duration::ZERO).written(500 * MS);
        }
        assert_eq!(schedule.interval(), 5000 * MS);
    }

    #[test]
    fn a_raised_interval_is_told_once() {
        let mut schedule = CheckpointSchedule::new(50 * MS, 0, Duration::ZERO);
        schedule.begin(Duration::ZERO).written(4 * MS);
        assert_eq!((schedule.interval(), schedule.raise()), (50 * MS, None));
        for _ in 0..2 {
            schedule.begin(Duration::ZERO).written(20 * MS);
        }
        let told = schedule.raise().expect("it is longer than asked for");
        assert_eq!(told.code, "checkpoint_interval_raised");
        assert!(told.detail.contains("every 0.200 s, not every 0.05 s"), "{}", told.detail);
        assert_eq!(schedule.raise(), None);
    }

    #[test]
    fn after_failed_starts_the_first_checkpoint_comes_soon() {
        let hour = Duration::from_secs(3600);
        let mut schedule = CheckpointSchedule::new(hour, 1, hour);
        let first = hour + Duration::from_secs(5);
        assert!(!schedule.is_due(first - MS) && schedule.is_due(first));
        schedule.begin(first).written(MS);
        assert!(!schedule.is_due(first + hour - MS) && schedule.is_due(first + hour));
        assert_eq!(schedule.interval(), hour);
        // It is never later than asked for.
        let mut schedule = CheckpointSchedule::new(MS, 3, Duration::ZERO);
        assert!(schedule.is_due(MS));
    }
}
