//! The learning-rate schedules: one file each, one line in the registry below.
//!
//! A schedule is a pure function of where training stands, so nothing of it has to be saved: it gives the factor by which
//! the optimizer's own learning rate is multiplied at a step.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::describe::{Bound, Entry, Field, Kind};

pub mod constant;
pub mod cosine;
pub mod exponential;
pub mod one_cycle;
pub mod step;
pub mod triangular;

/// A schedule at work.
pub trait Schedule: fmt::Debug + Send + Sync {
    /// Factor of the optimizer's learning rate for the mini-batch at hand, finite and not negative.
    fn rate(&self, at: Progress) -> f64;
}

/// Where training stands before a mini-batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Mini-batches done: 0 for the first.
    pub step: u64,
    /// Mini-batches of the whole training, at least 1.
    pub total_steps: u64,
    /// Mini-batches of an epoch, at least 1.
    pub steps_per_epoch: u64,
}

impl Progress {
    /// Epochs done.
    fn epoch(self) -> u64 {
        self.step / self.steps_per_epoch.max(1)
    }
}

/// From `from` to `to` along half a cosine, as `share` goes from 0 to 1; beyond 1 it stays at `to`.
fn anneal(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * (1.0 + libm::cos(std::f64::consts::PI * share.min(1.0))) / 2.0
}

/// A factor between 0 and 1, both included.
const fn share(name: &'static str, default: &'static str, doc: &'static str) -> Field {
    Field::optional(name, Kind::Number { min: Bound::Included(0.0), max: Bound::Included(1.0) }, default, doc)
}

/// A factor by which the rate falls each time: above 0, at most 1.
const fn decay(default: &'static str, doc: &'static str) -> Field {
    Field::optional("factor", Kind::Number { min: Bound::Excluded(0.0), max: Bound::Included(1.0) }, default, doc)
}

/// What a schedule's spec can do.
trait ScheduleKind: Schedule {
    /// Name, fields and words.
    const ENTRY: Entry;
}

/// Makes the enum of schedule specs and its registry from one line a schedule.
macro_rules! registry {
    ($($variant:ident => $module:ident),+ $(,)?) => {
        /// A schedule as a spec names it.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum ScheduleSpec {
            $(
                #[doc = concat!("See [`", stringify!($module), "`].")]
                $variant($module::$variant),
            )+
        }

        impl ScheduleSpec {
            /// The schedule.
            pub fn rule(&self) -> &dyn Schedule {
                match self { $(Self::$variant(spec) => spec,)+ }
            }
        }

        /// The registered schedules.
        pub fn entries() -> &'static [Entry] {
            const { &[$($module::$variant::ENTRY),+] }
        }
    };
}

registry! {
    Constant => constant,
    Step => step,
    Exponential => exponential,
    Cosine => cosine,
    OneCycle => one_cycle,
    Triangular => triangular,
}

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;
