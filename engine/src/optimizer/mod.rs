//! The optimizers: one file each, one line in the registry below.
//!
//! An optimizer is stateless too: its memory (velocity, moments) lies in buffers of the parameters' own layout, which
//! the trainer owns, saves and restores. An update is element-wise, so it can run on any part of the parameters.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::describe::{Bound, Entry, Field, Kind};

pub mod adagrad;
pub mod adam;
pub mod adamw;
pub mod momentum;
pub mod nesterov;
pub mod rmsprop;
pub mod sgd;

/// The most buffers that any optimizer keeps beside the parameters.
pub const MAX_SLOTS: usize = 2;

/// What a running mean, a running mean square or a velocity comes to; 0 where it is too small to move a weight.
///
/// What is fed with zeros from some step on, as at a ReLU that has died, decays for ever: after some hundred steps its
/// numbers are denormal (IEEE 754 §3.4), and many processors calculate a hundred times slower with those.
#[inline(always)]
fn settled(value: f32) -> f32 {
    /// 2⁻¹⁰⁵: times a learning rate it is far from denormal still.
    const TINY: f32 = f32::from_bits((127 - 105) << 23);
    if value.abs() < TINY { 0.0 } else { value }
}

/// A gradient, 0 where its square would be [as small](settled).
#[inline(always)]
fn felt(gradient: f32) -> f32 {
    /// 2⁻⁵³.
    const TINY: f32 = f32::from_bits((127 - 53) << 23);
    if gradient.abs() < TINY { 0.0 } else { gradient }
}

/// An update rule.
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// How many buffers of the parameters' size it keeps, at most [`MAX_SLOTS`].
    fn slots(&self) -> usize;

    /// The learning rate of the spec.
    fn learning_rate(&self) -> f64;

    /// Divisors that depend on the number of the update alone, for a [`Moment`]: they are worked out once, not for every
    /// part of the parameters.
    fn divisors(&self, _update: u64) -> [f64; 2] {
        [1.0; 2]
    }

    /// Moves `parameters` along `gradient`; `slots` are the same part of its buffers.
    fn update(&self, moment: Moment, parameters: &mut [f32], gradient: &[f32], slots: [&mut [f32]; MAX_SLOTS]);
}

/// Where in training an update happens.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Number of this update, from 1.
    pub update: u64,
    /// The learning rate now.
    pub learning_rate: f64,
    /// The rule's [divisors](Optimizer::divisors).
    pub(super) divisors: [f64; 2],
    /// Whether this part of the parameters is subject to weight decay: weights are, biases are not.
    pub decays: bool,
}

impl Moment {
    /// That of an update, from 1, by a rule, of parameters that do not decay.
    pub fn of(rule: &dyn Optimizer, update: u64, learning_rate: f64) -> Self {
        Self { update, learning_rate, divisors: rule.divisors(update), decays: false }
    }
}

/// What an optimizer's spec can do.
trait OptimizerKind: Optimizer {
    /// Name, fields and words.
    const ENTRY: Entry;
}

/// The field that every optimizer has.
const fn learning_rate(default: &'static str) -> Field {
    Field::optional(
        "learning_rate",
        Kind::Number { min: Bound::Excluded(0.0), max: Bound::Included(1000.0) },
        default,
        "size of a step",
    )
}

/// A factor in `[0, 1)`.
const fn factor(name: &'static str, default: &'static str, doc: &'static str) -> Field {
    Field::optional(name, Kind::Number { min: Bound::Included(0.0), max: Bound::Excluded(1.0) }, default, doc)
}

/// What keeps a divisor from zero.
const fn epsilon(default: &'static str) -> Field {
    let kind = Kind::Number { min: Bound::Excluded(0.0), max: Bound::Included(1.0) };
    Field::optional("epsilon", kind, default, "keeps the divisor from zero")
}

/// Makes the enum of optimizer specs and its registry from one line an optimizer.
macro_rules! registry {
    ($($variant:ident => $module:ident),+ $(,)?) => {
        /// An optimizer as a spec names it.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum OptimizerSpec {
            $(
                #[doc = concat!("See [`", stringify!($module), "`].")]
                $variant($module::$variant),
            )+
        }

        impl OptimizerSpec {
            /// The update rule.
            pub fn rule(&self) -> &dyn Optimizer {
                match self { $(Self::$variant(spec) => spec,)+ }
            }
        }

        /// The registered optimizers.
        pub fn entries() -> &'static [Entry] {
            const { &[$($module::$variant::ENTRY),+] }
        }
    };
}

registry! {
    Sgd => sgd,
    Momentum => momentum,
    Nesterov => nesterov,
    Adagrad => adagrad,
    Rmsprop => rmsprop,
    Adam => adam,
    Adamw => adamw,
}

#[cfg(test)]
mod golden_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decays_ends_at_zero_and_is_never_denormal() {
        for entry in entries() {
            let optimizer: OptimizerSpec = crate::describe::example(entry);
            let (mut w, mut a, mut b) = ([0.5f32; 6], [0.0f32; 6], [0.0f32; 6]);
            for update in 1..=3000u64 {
                let gradient = if update == 1 { [1.0, 1e-3, 1e-10, -1.2e-16, 1e-22, 1e-40] } else { [0.0; 6] };
                let moment = Moment { decays: true, ..Moment::of(optimizer.rule(), update, 0.001) };
                optimizer.rule().update(moment, &mut w, &gradient, [&mut a, &mut b]);
                let denormal = a.iter().chain(&b).chain(&w).find(|value| value.is_subnormal());
                assert_eq!(denormal, None, "{} after {update} updates", entry.name);
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_so() {
        assert!(settled(f32::NAN).is_nan() && felt(f32::NAN).is_nan());
        assert_eq!([settled(-1e-30), settled(1e-33), felt(1e-15), felt(-1e-17)], [-1e-30, 0.0, 1e-15, 0.0]);
    }
}
