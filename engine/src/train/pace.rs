//! How long a training is, which of its epochs are evaluated, and which have diagnostics: decided by the settings and the
//! number of samples alone, and none of it by the planned length but for the last epoch.

use super::{Length, Settings};

/// How many of the training samples are learned from, and how many are held out: of a split, neither is left empty.
pub fn split(settings: &Settings, samples: usize) -> (usize, usize) {
    if settings.validation_fraction == 0.0 || samples < 2 {
        return (samples, 0);
    }
    let held_out = (settings.validation_fraction * samples as f64).round() as usize;
    let held_out = held_out.clamp(1, samples - 1);
    (samples - held_out, held_out)
}

/// Mini-batches of an epoch over a dataset of so many training samples.
pub fn steps_per_epoch(settings: &Settings, samples: usize) -> u64 {
    split(settings, samples).0.div_ceil(settings.batch_size) as u64
}

/// Mini-batches of the whole training.
pub fn total_steps(settings: &Settings, samples: usize) -> u64 {
    match settings.length {
        Length::Epochs(epochs) => epochs.saturating_mul(steps_per_epoch(settings, samples)),
        Length::Steps(steps) => steps,
    }
}

/// Epochs of the whole training; the last may be cut short.
pub fn total_epochs(settings: &Settings, samples: usize) -> u64 {
    total_steps(settings, samples).div_ceil(steps_per_epoch(settings, samples).max(1))
}

/// Evaluations due in the epochs after `epoch`, up to and with the last of `epochs`.
pub fn evaluations_after(epoch: u64, epochs: u64, evaluate_every: u64) -> u64 {
    if epoch >= epochs { 0 } else { evaluations_between(epoch, epochs, evaluate_every) }
}

/// Evaluations in the epochs after `earlier`, up to and with `evaluated`, which is one of them.
pub(super) fn evaluations_between(earlier: u64, evaluated: u64, evaluate_every: u64) -> u64 {
    // The last epoch of a training may be evaluated out of turn.
    evaluated.div_ceil(evaluate_every.max(1)).saturating_sub(earlier / evaluate_every.max(1))
}

/// The epochs from the first that all have diagnostics.
const DIAGNOSED_EPOCHS: u64 = 32;

/// The first mini-batch within a first epoch that has diagnostics: shorter ones are soon over.
const LONG_EPOCH: u64 = 1024;

/// Whether a mini-batch has diagnostics before the first epoch ends: the 1024th, and then always the one four times as far.
fn has_early_diagnostics(step: u64) -> bool {
    step >= LONG_EPOCH && step.is_power_of_two() && (step / LONG_EPOCH).ilog2().is_multiple_of(2)
}

/// Whether an epoch, from 1, has diagnostics: every epoch up to 32, every second up to 64, every fourth up to 128, and so on.
/// Their number grows with the logarithm of the epochs trained, and does not depend on how many are planned.
fn has_diagnostics(epoch: u64) -> bool {
    epoch.is_multiple_of((epoch.next_power_of_two() / DIAGNOSED_EPOCHS).max(1))
}

/// Epochs and their evaluations, in mini-batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) per_epoch: u64,
    pub(super) total: u64,
    evaluate_every: u64,
}

impl Pace {
    pub(super) fn new(settings: &Settings, samples: usize) -> Self {
        Self {
            per_epoch: steps_per_epoch(settings, samples),
            total: total_steps(settings, samples),
            evaluate_every: settings.evaluate_every.max(1),
        }
    }

    /// The epoch, from 1, that mini-batch `step`, from 1, belongs to.
    pub(super) fn epoch(&self, step: u64) -> u64 {
        step.div_ceil(self.per_epoch)
    }

    /// Whether an epoch ends with mini-batch `step`; training may end in the middle of one.
    fn ends_epoch(&self, step: u64) -> bool {
        step.is_multiple_of(self.per_epoch) || step == self.total
    }

    /// Whether an epoch ends with mini-batch `step` and is evaluated.
    pub(super) fn evaluates(&self, step: u64) -> bool {
        self.ends_epoch(step) && (self.epoch(step).is_multiple_of(self.evaluate_every) || step == self.total)
    }

    /// Whether mini-batch `step` has diagnostics: at the end of an epoch, or within the first one.
    pub(super) fn has_diagnostics(&self, step: u64) -> bool {
        if self.ends_epoch(step) {
            has_diagnostics(self.epoch(step)) || step == self.total
        } else {
            step < self.per_epoch && has_early_diagnostics(step)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_become_rarer_and_do_not_depend_on_the_plan() {
        let until = |epochs: u64| (1..=epochs).filter(|epoch| has_diagnostics(*epoch)).collect::<Vec<_>>();
        assert_eq!(until(32), (1..=32).collect::<Vec<_>>());
        assert_eq!(
            until(100)[32..],
            [34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62, 64, 68, 72, 76, 80, 84, 88, 92, 96, 100]
        );
        assert_eq!((until(100_000).len(), until(1_000_000).len()), (216, 270));
    }

    #[test]
    fn a_long_first_epoch_has_diagnostics_before_it_ends() {
        let pace = Pace { per_epoch: 100_000, total: 250_000, evaluate_every: 1 };
        let steps: Vec<_> = (1..=pace.total).filter(|step| pace.has_diagnostics(*step)).collect();
        assert_eq!(steps, [1024, 4096, 16_384, 65_536, 100_000, 200_000, 250_000]);
        assert!((1..1000).all(|step| !Pace { per_epoch: 1000, ..pace }.has_diagnostics(step)));
    }

    #[test]
    fn evaluations_to_come_are_counted() {
        let counted = [(0, 10, 1), (9, 10, 1), (10, 10, 1), (0, 10, 4), (4, 10, 4), (7, 10, 4), (8, 10, 4), (0, 3, 7)];
        let counted = counted.map(|(done, epochs, every)| evaluations_after(done, epochs, every));
        assert_eq!(counted, [10, 1, 0, 3, 2, 2, 1, 1]);
    }
}
