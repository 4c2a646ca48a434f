//! How long a training is, and when what is due: decided by the settings and the number of samples alone.

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

/// Mini-batches between two `Metrics` events: about 400 events over a whole training, whatever its length.
pub fn metrics_stride(total: u64) -> u64 {
    total.div_ceil(400).max(1)
}

/// When what is due, in mini-batches and epochs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) per_epoch: u64,
    pub(super) total: u64,
    metrics: u64,
    epochs: u64,
    diagnostics: u64,
}

impl Pace {
    pub(super) fn new(settings: &Settings, samples: usize) -> Self {
        let (total, epochs) = (total_steps(settings, samples), total_epochs(settings, samples));
        Self {
            per_epoch: steps_per_epoch(settings, samples),
            total,
            metrics: metrics_stride(total),
            // Every epoch is measured, but of many thousands of tiny ones about a thousand; a look inside is larger.
            epochs: epochs.div_ceil(1000).max(1),
            diagnostics: epochs.div_ceil(100).max(1),
        }
    }

    /// The epoch, from 1, that mini-batch `step`, from 1, belongs to.
    pub(super) fn epoch(&self, step: u64) -> u64 {
        step.div_ceil(self.per_epoch)
    }

    /// Whether a `Metrics` event is due after mini-batch `step`.
    pub(super) fn metrics_due(&self, step: u64) -> bool {
        step.is_multiple_of(self.metrics) || step == self.total
    }

    /// Whether an epoch ends with mini-batch `step`; training may end in the middle of one.
    pub(super) fn ends_epoch(&self, step: u64) -> bool {
        step.is_multiple_of(self.per_epoch) || step == self.total
    }

    /// Whether the epoch that ends with mini-batch `step` is measured.
    pub(super) fn measures(&self, step: u64) -> bool {
        self.ends_epoch(step) && (self.epoch(step).is_multiple_of(self.epochs) || step == self.total)
    }

    /// Whether a look inside is due with the epoch that ends with mini-batch `step`.
    pub(super) fn looks_inside(&self, step: u64) -> bool {
        self.measures(step) && (self.epoch(step).is_multiple_of(self.diagnostics) || step == self.total)
    }
}
