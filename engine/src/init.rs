//! How weights start, *Deep Learning from Scratch* §6.2; biases start at zero.

use serde::{Deserialize, Serialize};

use super::describe::{Bound, Entry, Field, Kind};
use super::layer::Role;
use super::rng::Rng;

/// A way of drawing initial weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Init {
    /// Normal with σ = √(2 / fan-in).
    He(He),
    /// Normal with σ = √(1 / fan-in).
    Xavier(Xavier),
    /// Uniform with He's variance.
    HeUniform(HeUniform),
    /// Uniform with Xavier's variance.
    XavierUniform(XavierUniform),
    /// Normal with a given σ.
    Std(Std),
    /// All the same value.
    Constant(Constant),
    /// All zero.
    Zeros(Zeros),
}

/// K. He et al., *Delving deep into rectifiers*, 2015: keeps the signal's variance through ReLU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct He {}

/// The book's form of X. Glorot, Y. Bengio, *Understanding the difficulty of training deep feedforward neural networks*,
/// 2010: keeps the signal's variance through activations that are linear around zero (sigmoid, tanh).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Xavier {}

/// A fixed standard deviation, as the notes' `weight_init_std=0.01`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Std {
    /// σ.
    pub std: f64,
}

/// [`He`]'s variance in a uniform distribution: within ±√(6 / fan-in).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeUniform {}

/// [`Xavier`]'s variance in a uniform distribution: within ±√(3 / fan-in).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XavierUniform {}

/// One value for all weights: units that start alike stay alike, which the book's §6.2.1 warns of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The value.
    pub value: f64,
}

/// Zero for all weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zeros {}

/// The field by which a layer says how its own weights start.
pub(super) const FIELD: Field = Field::optional(
    "init",
    Kind::Nullable(&Kind::OneOf(entries)),
    "null",
    "initial weights of this layer, if not the job's",
);

/// The registered initialisations.
pub fn entries() -> &'static [Entry] {
    const ENTRIES: &[Entry] = &[
        Entry { name: "he", aliases: &["kaiming"], doc: "Normal, σ = √(2 / inputs): for ReLU.", fields: &[] },
        Entry {
            name: "xavier",
            aliases: &["glorot"],
            doc: "Normal, σ = √(1 / inputs), as in the book: for sigmoid and tanh.",
            fields: &[],
        },
        Entry {
            name: "he_uniform", aliases: &[], doc: "Uniform within ±√(6 / inputs): He's variance.", fields: &[]
        },
        Entry {
            name: "xavier_uniform",
            aliases: &[],
            doc: "Uniform within ±√(3 / inputs): Xavier's variance.",
            fields: &[],
        },
        Entry {
            name: "constant",
            aliases: &[],
            doc: "All weights the same value.",
            fields: &[Field::required(
                "value",
                Kind::Number { min: Bound::Included(-100.0), max: Bound::Included(100.0) },
                "the value of every weight",
            )],
        },
        Entry { name: "zeros", aliases: &[], doc: "All weights zero.", fields: &[] },
        Entry {
            name: "std",
            aliases: &["normal"],
            doc: "Normal with a fixed standard deviation.",
            fields: &[Field::optional(
                "std",
                Kind::Number { min: Bound::Included(0.0), max: Bound::Included(100.0) },
                "0.01",
                "standard deviation",
            )],
        },
    ];
    ENTRIES
}

impl Init {
    /// Writes the initial values of one parameter.
    pub fn fill(&self, role: Role, rng: &mut Rng, values: &mut [f32]) {
        let fan_in = match role {
            Role::Weight { fan_in, .. } => fan_in,
            Role::Bias => return values.fill(0.0),
            Role::Scale => return values.fill(1.0),
            Role::Statistic { start, .. } => return values.fill(start),
        };
        match self.distribution(fan_in) {
            Distribution::Normal { std } => values.iter_mut().for_each(|w| *w = (std * rng.normal()) as f32),
            Distribution::Uniform { bound } => {
                values.iter_mut().for_each(|w| *w = (bound * rng.uniform_in(-1.0, 1.0)) as f32);
            }
            Distribution::Constant { value } => values.fill(value as f32),
        }
    }

    /// What the weights of units with `fan_in` inputs are drawn from.
    pub fn distribution(&self, fan_in: usize) -> Distribution {
        let fan_in = fan_in as f64;
        match self {
            Self::He(_) => Distribution::Normal { std: (2.0 / fan_in).sqrt() },
            Self::Xavier(_) => Distribution::Normal { std: (1.0 / fan_in).sqrt() },
            Self::HeUniform(_) => Distribution::Uniform { bound: (6.0 / fan_in).sqrt() },
            Self::XavierUniform(_) => Distribution::Uniform { bound: (3.0 / fan_in).sqrt() },
            Self::Std(spec) => Distribution::Normal { std: spec.std },
            Self::Constant(spec) => Distribution::Constant { value: spec.value },
            Self::Zeros(_) => Distribution::Constant { value: 0.0 },
        }
    }
}

/// What initial weights are drawn from; its mean is zero, but of a constant's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Normal.
    Normal {
        /// σ.
        std: f64,
    },
    /// Uniform within ± `bound`.
    Uniform {
        /// The bound.
        bound: f64,
    },
    /// One value.
    Constant {
        /// The value.
        value: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn deviations_are_those_of_the_formulas() {
        let role = Role::Weight { fan_in: 400, fan_out: 100 };
        for (init, expected) in [
            (Init::He(He {}), (2.0f64 / 400.0).sqrt()),
            (Init::Xavier(Xavier {}), 0.05),
            (Init::HeUniform(HeUniform {}), (2.0f64 / 400.0).sqrt()),
            (Init::XavierUniform(XavierUniform {}), 0.05),
            (Init::Std(Std { std: 0.01 }), 0.01),
        ] {
            let mut values = vec![0.0; 40_000];
            init.fill(role, &mut Rng::new(3, Purpose::Init, 0, 0), &mut values);
            let mean: f64 = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 40_000.0;
            let std = (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / 40_000.0).sqrt();
            assert!((std / expected - 1.0).abs() < 0.02 && mean.abs() < expected * 0.02, "{init:?}: {std} {mean}");
        }
    }

    #[derive(Deserialize)]
    struct Case {
        init: Init,
        fan_in: usize,
        std: Option<f64>,
        bound: Option<f64>,
    }

    /// The formulas against PyTorch's: `tests/golden/inits.py`.
    #[test]
    fn every_spread_is_pytorchs() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../tests/golden/inits.json")).expect("the golden file");
        assert_eq!(cases.len(), 20);
        for Case { init, fan_in, std, bound } in cases {
            let (found, expected) = match init.distribution(fan_in) {
                Distribution::Normal { std: found } => (found, std),
                Distribution::Uniform { bound: found } => (found, bound),
                Distribution::Constant { .. } => panic!("{init:?} draws nothing"),
            };
            let expected = expected.expect("a deviation of a normal, a bound of a uniform distribution");
            assert!((found / expected - 1.0).abs() < 1e-12, "{init:?} of {fan_in}: {found} instead of {expected}");
        }
    }

    #[test]
    fn constants_are_constant() {
        let role = Role::Weight { fan_in: 4, fan_out: 1 };
        for (init, expected) in [(Init::Constant(Constant { value: 0.5 }), 0.5), (Init::Zeros(Zeros {}), 0.0)] {
            let mut values = [9.0; 4];
            init.fill(role, &mut Rng::new(3, Purpose::Init, 0, 0), &mut values);
            assert_eq!(values, [expected; 4]);
        }
    }

    #[test]
    fn biases_start_at_zero() {
        let mut values = [1.0; 3];
        Init::He(He {}).fill(Role::Bias, &mut Rng::new(3, Purpose::Init, 0, 0), &mut values);
        assert_eq!(values, [0.0; 3]);
    }
}
