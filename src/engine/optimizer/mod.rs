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

/// An update rule.
pub trait Optimizer: fmt::Debug + Send + Sync {
    /// How many buffers of the parameters' size it keeps, at most [`MAX_SLOTS`].
    fn slots(&self) -> usize;

    /// The learning rate of the spec.
    fn learning_rate(&self) -> f64;

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
    /// Whether this part of the parameters is subject to weight decay: weights are, biases are not.
    pub decays: bool,
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
