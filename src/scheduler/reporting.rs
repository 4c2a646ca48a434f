//! How often a run reports, and how fast it trains: what the observer of a run works out of the time alone.

use std::collections::VecDeque;
use std::time::Duration;

use crate::job::event::Epoch;

/// Reports of a whole training, if it is neither so short that they would come too fast nor so long that they would be rare.
const REPORTS: u64 = 400;
/// Longest time between two reports.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(1);
/// Events of a kind that may pass within a second: two less than 20, for the last ones of a run are told at once.
const EVENTS_A_SECOND: usize = 18;
/// Time between two of them that are spread evenly.
const SPACING: Duration = Duration::from_micros(55_556);
/// Reports that the speed is a mean over.
const SPEED_REPORTS: usize = 5;

/// Mini-batches between two reports.
pub(super) fn report_stride(total_steps: u64) -> u64 {
    total_steps.div_ceil(REPORTS).max(1)
}

/// A bound on the rate of events: never more than [`EVENTS_A_SECOND`] within a second, and evenly spread after the first
/// `at_once`.
#[derive(Debug)]
pub(super) struct RateLimit {
    at_once: usize,
    passed: usize,
    /// Times of the last ones.
    recent: VecDeque<Duration>,
}

impl RateLimit {
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once, passed: 0, recent: VecDeque::with_capacity(EVENTS_A_SECOND) }
    }

    /// As many at once as there may be within a second.
    pub(super) fn with_full_burst() -> Self {
        Self::new(EVENTS_A_SECOND)
    }

    /// Whether so many events may pass now.
    pub(super) fn allows(&self, count: usize, now: Duration) -> bool {
        let spacing = SPACING * u32::try_from(count).unwrap_or(u32::MAX);
        let since = |at: &Duration| now.saturating_sub(*at);
        let within = self.recent.iter().filter(|at| since(at) < Duration::from_secs(1)).count();
        within + count <= EVENTS_A_SECOND
            && (self.passed < self.at_once || self.recent.back().is_none_or(|last| since(last) >= spacing))
    }

    /// Notes that so many events passed now.
    pub(super) fn pass(&mut self, count: usize, now: Duration) {
        for _ in 0..count {
            self.passed = self.passed.saturating_add(1);
            if self.recent.len() == EVENTS_A_SECOND {
                self.recent.pop_front();
            }
            self.recent.push_back(now);
        }
    }
}

/// Speed of training over the last reports of a run, and the time that an evaluation takes.
#[derive(Debug, Default)]
pub(super) struct Speed {
    /// Samples trained, and the time that took without evaluations.
    windows: VecDeque<(u64, Duration)>,
    evaluations: VecDeque<Duration>,
}

impl Speed {
    pub(super) fn trained(&mut self, samples: u64, took: Duration) {
        if samples > 0 {
            keep_last(&mut self.windows, (samples, took));
        }
    }

    pub(super) fn evaluated(&mut self, took: Duration) {
        keep_last(&mut self.evaluations, took);
    }

    /// `None` before the second mini-batch of the run is reported.
    pub(super) fn samples_per_second(&self) -> Option<f64> {
        let samples: u64 = self.windows.iter().map(|(samples, _)| samples).sum();
        let seconds = self.windows.iter().map(|(_, took)| took.as_secs_f64()).sum::<f64>();
        (samples > 0 && seconds > 0.0).then(|| samples as f64 / seconds)
    }

    /// Mean time of the last evaluations; `None` before the first of the run.
    pub(super) fn evaluation(&self) -> Option<Duration> {
        let count = u32::try_from(self.evaluations.len()).unwrap_or(u32::MAX);
        (count > 0).then(|| self.evaluations.iter().sum::<Duration>() / count)
    }
}

fn keep_last<T>(values: &mut VecDeque<T>, value: T) {
    if values.len() == SPEED_REPORTS {
        values.pop_front();
    }
    values.push_back(value);
}

/// Epochs whose event is held back by the rate limit: the newest, and the best since the last event.
#[derive(Debug, Default)]
pub(super) struct HeldEpochs {
    best: Option<Held>,
    newest: Option<Held>,
}

#[derive(Debug, Clone)]
struct Held {
    epoch: Epoch,
    /// Whether early stopping takes it for the best so far.
    is_best: bool,
}

impl HeldEpochs {
    /// Adds an epoch, in the place of the newest one, which is only kept if it is the best.
    pub(super) fn add(&mut self, epoch: Epoch, is_best: bool) {
        let held = Held { epoch, is_best };
        if self.best.as_ref().is_none_or(|best| held.beats(best)) {
            self.best = Some(held.clone());
        }
        self.newest = Some(held);
    }

    /// Events to come.
    pub(super) fn len(&self) -> usize {
        let number = |held: &Option<Held>| held.as_ref().map(|held| held.epoch.epoch);
        match (number(&self.best), number(&self.newest)) {
            (_, None) => 0,
            (best, newest) if best == newest => 1,
            _ => 2,
        }
    }

    /// Those held back, in order.
    pub(super) fn take(&mut self) -> Vec<Epoch> {
        let count = self.len();
        let Self { best, newest } = std::mem::take(self);
        best.into_iter().take(count.saturating_sub(1)).chain(newest).map(|held| held.epoch).collect()
    }
}

impl Held {
    /// By early stopping where there is one, else by the loss on held-out samples, or without such on the test samples.
    fn beats(&self, best: &Self) -> bool {
        let loss = |held: &Self| held.epoch.validation_loss.or(held.epoch.test_loss).unwrap_or(f64::INFINITY);
        self.is_best || (!best.is_best && loss(self) < loss(best))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Times at which a limit lets events pass that could come every millisecond.
    fn passed(mut limit: RateLimit, millis: u32) -> Vec<u32> {
        let passes = |at: &u32| {
            let now = MS * *at;
            let passes = limit.allows(1, now);
            if passes {
                limit.pass(1, now);
            }
            passes
        };
        (0..millis).filter(passes).collect()
    }

    #[test]
    fn never_more_than_eighteen_events_pass_within_a_second() {
        for limit in [RateLimit::new(0), RateLimit::new(5), RateLimit::with_full_burst()] {
            let times = passed(limit, 10_000);
            assert!(times.windows(19).all(|some| some[18] - some[0] >= 1000), "{times:?}");
            assert!(times.windows(2).all(|some| some[1] - some[0] <= 1000) && times.len() >= 170, "{times:?}");
        }
        assert_eq!(passed(RateLimit::new(0), 180), [0, 56, 112, 168]);
        assert_eq!(passed(RateLimit::with_full_burst(), 1060)[15..], [15, 16, 17, 1000, 1056]);
    }

    #[test]
    fn speed_is_that_of_the_last_reports() {
        let mut speed = Speed::default();
        assert_eq!((speed.samples_per_second(), speed.evaluation()), (None, None));
        for _ in 0..100 {
            speed.trained(1000, 10 * MS);
        }
        assert!((speed.samples_per_second().expect("reports") - 1e5).abs() < 1.0);
        for _ in 0..5 {
            speed.trained(100, 10 * MS);
        }
        assert!((speed.samples_per_second().expect("reports") - 1e4).abs() < 1.0);
        speed.evaluated(2 * MS);
        speed.evaluated(4 * MS);
        assert_eq!(speed.evaluation(), Some(3 * MS));
    }

    fn epoch(number: u64, test_loss: f64) -> Epoch {
        Epoch {
            epoch: number,
            step: number,
            train_loss: None,
            train_accuracy: None,
            validation_loss: None,
            validation_accuracy: None,
            test_loss: Some(test_loss),
            test_accuracy: None,
            seconds: 0.0,
        }
    }

    #[test]
    fn neither_the_newest_epoch_nor_the_best_is_lost() {
        let taken = |losses: &[f64], best: &[u64]| {
            let mut held = HeldEpochs::default();
            for (number, loss) in (1..).zip(losses) {
                held.add(epoch(number, *loss), best.contains(&number));
            }
            let len = held.len();
            let taken: Vec<_> = held.take().iter().map(|epoch| epoch.epoch).collect();
            assert_eq!((len, held.len()), (taken.len(), 0));
            taken
        };
        assert_eq!(taken(&[3.0, 1.0, 2.0], &[]), [2, 3]);
        assert_eq!(taken(&[3.0, 2.0, 1.0], &[]), [3]);
        assert_eq!(taken(&[1.0], &[]), [1]);
        assert!(taken(&[], &[]).is_empty());
        // Early stopping has the last word on what is best: it asks for more than a trifle.
        assert_eq!(taken(&[3.0, 2.0, 1.99, 2.5], &[1, 2]), [2, 4]);
    }
}
