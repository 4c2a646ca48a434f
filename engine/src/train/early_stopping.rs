//! Early stopping (L. Prechelt, *Early stopping, but when?*, 1998): training ends when what is monitored on the held-out
//! samples has not become better for some evaluations.

use serde::{Deserialize, Serialize};

use super::pace::evaluations_between;
use crate::describe::{Bound, Field, Kind};
use crate::loss::Score;

/// When to stop before the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// What is monitored.
    pub monitor: Monitor,
    /// Evaluations without a better value after which training stops.
    pub patience: u64,
    /// By how much a value must be better to count.
    pub min_delta: f64,
    /// Whether the weights of the best epoch become the result.
    pub restore_best: bool,
}

/// What is monitored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monitor {
    /// The loss on the held-out samples: smaller is better.
    ValidationLoss,
    /// The accuracy on them: larger is better.
    ValidationAccuracy,
}

/// The fields of a spec's `early_stopping`.
pub const FIELDS: &[Field] = &[
    Field::optional(
        "monitor",
        Kind::Word(&["validation_loss", "validation_accuracy"]),
        "\"validation_loss\"",
        "what must become better",
    ),
    Field::optional(
        "patience",
        Kind::Count { min: 1, max: 1_000_000 },
        "5",
        "evaluations without a better value, then training stops; there is one every evaluate_every epochs",
    ),
    Field::optional(
        "min_delta",
        Kind::Number { min: Bound::Included(0.0), max: Bound::Included(1e6) },
        "0.0",
        "by how much a value must be better to count",
    ),
    Field::optional("restore_best", Kind::Flag, "true", "whether the weights of the best epoch become the result"),
];

/// The best epoch so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// What was monitored.
    pub value: f64,
    /// Its number, from 1.
    pub epoch: u64,
    /// The parameters after it; empty where they are not to be restored.
    pub parameters: Vec<f32>,
}

/// An evaluation: the epoch it comes after, from 1, and the epochs between two of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evaluated {
    pub(super) epoch: u64,
    pub(super) every: u64,
}

/// What an evaluation leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Better,
    GoOn,
    Stop,
}

impl EarlyStopping {
    pub(super) fn value(&self, score: &Score) -> f64 {
        let value = match self.monitor {
            Monitor::ValidationLoss => score.mean_loss(),
            Monitor::ValidationAccuracy => score.accuracy(),
        };
        value.unwrap_or(f64::NAN)
    }

    pub(super) fn judge(&self, best: Option<&Best>, value: f64, at: Evaluated) -> Verdict {
        let Some(best) = best else { return if value.is_nan() { Verdict::GoOn } else { Verdict::Better } };
        let gain = match self.monitor {
            Monitor::ValidationLoss => best.value - value,
            Monitor::ValidationAccuracy => value - best.value,
        };
        if gain > self.min_delta {
            Verdict::Better
        } else if evaluations_between(best.epoch, at.epoch, at.every) >= self.patience {
            Verdict::Stop
        } else {
            Verdict::GoOn
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After which epoch training stops on these values, and the best one.
    fn stop(monitor: Monitor, patience: u64, min_delta: f64, values: &[f64]) -> (Option<u64>, u64) {
        let epochs: Vec<u64> = (1..=values.len() as u64).collect();
        let rule = EarlyStopping { monitor, patience, min_delta, restore_best: true };
        stop_of(&rule, 1, &epochs, values)
    }

    /// The same of evaluations every so many epochs, after these ones.
    fn stop_of(rule: &EarlyStopping, every: u64, epochs: &[u64], values: &[f64]) -> (Option<u64>, u64) {
        let mut best: Option<Best> = None;
        for (&epoch, &value) in epochs.iter().zip(values) {
            match rule.judge(best.as_ref(), value, Evaluated { epoch, every }) {
                Verdict::Better => best = Some(Best { value, epoch, parameters: vec![] }),
                Verdict::Stop => return (Some(epoch), best.map_or(0, |best| best.epoch)),
                Verdict::GoOn => {}
            }
        }
        (None, best.map_or(0, |best| best.epoch))
    }

    #[test]
    fn patience_counts_epochs_without_a_better_value() {
        let loss = [1.0, 0.5, 0.6, 0.4, 0.45, 0.41, 0.39];
        assert_eq!(stop(Monitor::ValidationLoss, 3, 0.0, &loss), (None, 7));
        assert_eq!(stop(Monitor::ValidationLoss, 2, 0.0, &loss), (Some(6), 4));
        assert_eq!(stop(Monitor::ValidationLoss, 1, 0.0, &loss), (Some(3), 2));
        // 0.39 is not better than 0.4 by 0.05.
        assert_eq!(stop(Monitor::ValidationLoss, 3, 0.05, &loss), (Some(7), 4));
        assert_eq!(stop(Monitor::ValidationAccuracy, 2, 0.0, &[0.5, 0.9, 0.8, 0.9]), (Some(4), 2));
    }

    #[test]
    fn patience_counts_evaluations_however_far_apart() {
        let rule = EarlyStopping { monitor: Monitor::ValidationLoss, patience: 2, min_delta: 0.0, restore_best: false };
        assert_eq!(stop_of(&rule, 10, &[10, 20, 30, 40], &[1.0, 0.5, 0.6, 0.7]), (Some(40), 20));
        // The last epoch is evaluated out of turn, and counts as one.
        assert_eq!(stop_of(&rule, 10, &[10, 20, 30, 33], &[1.0, 0.5, 0.6, 0.7]), (Some(33), 20));
        assert_eq!(stop_of(&rule, 10, &[10, 20, 23], &[1.0, 0.5, 0.6]), (None, 20));
        // The best epoch is one of another spacing: of the job that was forked.
        assert_eq!(stop_of(&rule, 10, &[13, 20, 30], &[0.5, 0.6, 0.7]), (Some(30), 13));
    }
}
