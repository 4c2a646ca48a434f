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
    /// Normal with a given σ.
    Std(Std),
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
        let Role::Weight { fan_in, .. } = role else {
            values.fill(0.0);
            return;
        };
        let std = match self {
            Self::He(_) => (2.0 / fan_in as f64).sqrt(),
            Self::Xavier(_) => (1.0 / fan_in as f64).sqrt(),
            Self::Std(spec) => spec.std,
        };
        for value in values {
            *value = (std * rng.normal()) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rng::Purpose;

    #[test]
    fn deviations_are_those_of_the_formulas() {
        let role = Role::Weight { fan_in: 400, fan_out: 100 };
        for (init, expected) in [
            (Init::He(He {}), (2.0f64 / 400.0).sqrt()),
            (Init::Xavier(Xavier {}), 0.05),
            (Init::Std(Std { std: 0.01 }), 0.01),
        ] {
            let mut values = vec![0.0; 40_000];
            init.fill(role, &mut Rng::new(3, Purpose::Init, 0, 0), &mut values);
            let mean: f64 = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 40_000.0;
            let std = (values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / 40_000.0).sqrt();
            assert!((std / expected - 1.0).abs() < 0.02 && mean.abs() < expected * 0.02, "{init:?}: {std} {mean}");
        }
    }

    #[test]
    fn biases_start_at_zero() {
        let mut values = [1.0; 3];
        Init::He(He {}).fill(Role::Bias, &mut Rng::new(3, Purpose::Init, 0, 0), &mut values);
        assert_eq!(values, [0.0; 3]);
    }
}
