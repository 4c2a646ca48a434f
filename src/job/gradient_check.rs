//! A gradient check as a client asks for it: backpropagation against numerical differentiation on a network of its own,
//! *Deep Learning from Scratch* §5.7.4.

use ndarray::Array2;
use serde::Serialize;
use serde_json::{Value, json};

use super::check;
use super::fault::{Fault, Faults, Pointer};
use super::json::parse;
use super::plan::Plan;
use super::recipes::spec_from_value;
use super::spec::TrainSpec;
use crate::data::Dataset;
use crate::engine::describe::{Field, Kind};
use crate::engine::gradient_check::{self, Case, TOLERANCE, TensorError};
use crate::engine::layer::{LayerSpec, Pass, Role};
use crate::engine::rng::{Purpose, Rng};

/// Most operations of a forward pass over all samples. The reference copies every window of a convolution: this is at
/// most a gigabyte of them.
const MOST_PASS: u64 = 250_000_000;
/// Most operations of a check under one [draw](DRAWS) of noise, all of them of the slow reference in `f64`; twice as many
/// if no value agreed at first, for each is then looked at again over a finer step.
const MOST_WORK: u64 = 20_000_000_000;

/// Standard deviation of the noise on inputs.
const INPUT_NOISE: f64 = 0.5;
/// By how much biases are moved, up or down: far from 0, so that few units are near the kink of their ReLU.
const BIAS_NOISE: [f64; 2] = [0.25, 0.75];
/// The engine's check has the streams before it.
const NOISE_STREAM: u64 = 4;
/// How often the noise is drawn, at most.
const DRAWS: u64 = 4;

/// The fields of a check, besides its `spec`.
pub const FIELDS: &[Field] = &[
    Field::optional(
        "samples",
        Kind::Count { min: 1, max: 16 },
        "4",
        "the first so many training samples are the batch whose loss is differentiated",
    ),
    Field::optional(
        "values_per_tensor",
        Kind::Count { min: 1, max: 256 },
        "16",
        "how many values of a tensor are checked, of a large one a random choice",
    ),
    Field::optional(
        "seed",
        Kind::Nullable(&Kind::Count { min: 0, max: u64::MAX }),
        "null",
        "decides which values are checked and what dropout drops; the spec's if null",
    ),
];

/// What a client asks for: `{"spec": …, "samples": …, …}`, or a spec alone.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckRequest {
    spec: TrainSpec,
    samples: usize,
    values_per_tensor: usize,
    seed: u64,
    /// Whether the spec is a member of the document, not the document itself.
    wrapped: bool,
}

impl CheckRequest {
    /// Reads a request from a JSON text.
    ///
    /// # Errors
    /// Every fault that can be seen without knowing the dataset.
    pub fn parse(text: &[u8]) -> Result<Self, Faults> {
        let document = parse(text)?;
        let has = |key: &str| document.get(key).is_some();
        let wrapped = has("spec") || !["dataset", "network", "recipe"].into_iter().any(has);
        let mut faults: Vec<Fault> = Vec::new();
        let (spec, options) = match document {
            Value::Object(mut members) if wrapped => (members.remove("spec"), members.into()),
            Value::Object(_) => (Some(document), json!({})),
            other => (None, other),
        };
        let options = check::object(FIELDS, &options, &Pointer::root(), &mut faults);
        if options.is_null() {
            return Err(Faults(faults));
        }
        let spec = match spec.map(spec_from_value) {
            Some(Ok(spec)) => Some(spec),
            Some(Err(of_spec)) => {
                faults.extend(place(wrapped, of_spec).0);
                None
            }
            None => {
                faults.push(Pointer::root().fault("the field `spec` is missing: a job's spec, or {\"recipe\": …}"));
                None
            }
        };
        let count = |key: &str| options[key].as_u64();
        match spec {
            Some(spec) if faults.is_empty() => Ok(Self {
                samples: count("samples").map_or(1, |n| n as usize),
                values_per_tensor: count("values_per_tensor").map_or(1, |n| n as usize),
                seed: count("seed").unwrap_or(spec.seed),
                spec,
                wrapped,
            }),
            _ => Err(Faults(faults)),
        }
    }

    /// The check, once `plan` has planned its spec.
    ///
    /// # Errors
    /// What cannot be trained cannot be checked either; and what would take too long is not.
    pub fn admit(self, plan: impl FnOnce(TrainSpec) -> Result<Plan, Faults>) -> Result<GradientCheck, Faults> {
        let Self { spec, samples, values_per_tensor, seed, wrapped } = self;
        let plan = plan(spec).map_err(|faults| place(wrapped, faults))?;
        let check = GradientCheck { plan, samples, values_per_tensor, seed };
        match check.size_fault(wrapped) {
            Some(fault) => Err(Faults(vec![fault])),
            None => Ok(check),
        }
    }
}

/// Faults of the spec, as faults of the document.
fn place(wrapped: bool, faults: Faults) -> Faults {
    if wrapped { faults.within("spec") } else { faults }
}

/// A check that can be made.
#[derive(Debug)]
pub struct GradientCheck {
    plan: Plan,
    samples: usize,
    values_per_tensor: usize,
    seed: u64,
}

/// What came of a check.
///
/// A difference across a kink (a ReLU's at 0, a maximum that changes hands, the perceptron's loss at 0) is between the
/// slopes of its two sides: gradients that do not agree there are not wrong. [`GradientCheck::run`] keeps away from them
/// as well as it can; another seed chooses other values and other noise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GradientReport {
    /// Up to which relative error gradients agree.
    pub tolerance: f64,
    /// Whether all of them do.
    pub agrees: bool,
    /// Mean loss of the samples at the initial weights, by the reference in `f64`.
    pub loss: f64,
    /// Number of samples.
    pub samples: usize,
    /// The parameter tensors in the order of the network, and the inputs, `x`.
    pub tensors: Vec<TensorReport>,
}

/// What came of the check of one tensor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorReport {
    /// The type of its layer; `None` for the inputs.
    #[serde(rename = "type")]
    pub layer_type: Option<&'static str>,
    /// Index of the layer, name, and how far the gradients are apart.
    #[serde(flatten)]
    pub error: TensorError,
    /// Whether that is within the tolerance.
    pub agrees: bool,
}

/// Whether the gradients of a tensor agree, in a network whose largest gradient is this.
///
/// Where nothing depends on a tensor, as on a bias before batch normalisation, backpropagation gives the rounding of a
/// sum over all that the network is: that much smaller gradients may be off a little more.
fn agrees(error: &TensorError, largest: f64) -> bool {
    let tolerance = if error.largest_gradient < 1e-3 * largest { 10.0 * TOLERANCE } else { TOLERANCE };
    error.relative_error < tolerance
}

impl GradientCheck {
    /// The dataset whose samples are needed.
    pub fn dataset(&self) -> &str {
        &self.plan.spec().dataset.name
    }

    /// Compares the gradients of the mean loss over the dataset's first training samples, at initial weights.
    ///
    /// Biases and inputs are moved by some noise: with biases of zero and a background that is all the same, every
    /// ReLU and every maximum of a pool would be at its kink, where there is no gradient to agree on. A kink can still
    /// be near by chance; what is wrong is wrong under any noise. So tensors that do not agree are given another
    /// [draw](DRAWS), and the best one of each counts.
    ///
    /// Takes up to some tens of seconds.
    pub fn run(&self, dataset: &Dataset) -> GradientReport {
        let (network, spec) = (self.plan.network(), self.plan.spec());
        let batch = dataset.train.samples(Some(self.samples));
        let mut x = vec![0.0; batch.len() * batch.width()];
        x.chunks_exact_mut(batch.width()).enumerate().for_each(|(index, x)| batch.read(index, x));
        let parameters = network.init(&spec.init, spec.seed);
        let start = self.case(&parameters, &x, batch.all_labels());
        let mut tensors = self.draw(start, 0);
        for draw in 1..DRAWS {
            if tensors.iter().all(|tensor| tensor.agrees) {
                break;
            }
            for (best, other) in tensors.iter_mut().zip(self.draw(start, draw)) {
                if other.error.relative_error < best.error.relative_error {
                    *best = other;
                }
            }
        }
        GradientReport {
            tolerance: TOLERANCE,
            agrees: tensors.iter().all(|tensor| tensor.agrees),
            loss: self.loss(start),
            samples: batch.len(),
            tensors,
        }
    }

    fn case<'a>(&self, parameters: &'a [f32], x: &'a [f32], labels: &'a [u16]) -> Case<'a> {
        Case { parameters, x, labels, most_values: self.values_per_tensor, seed: self.seed }
    }

    /// The check of a case under one draw of noise.
    fn draw(&self, start: Case<'_>, draw: u64) -> Vec<TensorReport> {
        let (network, spec) = (self.plan.network(), self.plan.spec());
        let mut rng = Rng::new(self.seed, Purpose::GradientCheck, NOISE_STREAM, draw);
        let (mut parameters, mut x) = (start.parameters.to_vec(), start.x.to_vec());
        x.iter_mut().for_each(|value| *value += (INPUT_NOISE * rng.normal()) as f32);
        for tensor in network.tensors().iter().filter(|tensor| tensor.role == Role::Bias) {
            for value in &mut parameters[tensor.range.clone()] {
                let sign = if rng.below(2) == 0 { -1.0 } else { 1.0 };
                *value += (sign * rng.uniform_in(BIAS_NOISE[0], BIAS_NOISE[1])) as f32;
            }
        }
        let errors = gradient_check::check(network, spec.loss, self.case(&parameters, &x, start.labels));
        let largest = errors.iter().map(|error| error.largest_gradient).fold(0.0, f64::max);
        let report = |error: TensorError| TensorReport {
            layer_type: error.layer.and_then(|layer| spec.network.get(layer)).map(LayerSpec::name),
            agrees: agrees(&error, largest),
            error,
        };
        errors.into_iter().map(report).collect()
    }

    /// The mean loss of a case by the reference.
    fn loss(&self, case: Case<'_>) -> f64 {
        let (n, width) = (case.labels.len(), self.plan.network().input().len());
        let parameters: Vec<f64> = case.parameters.iter().map(|value| f64::from(*value)).collect();
        let x = Array2::from_shape_fn((n, width), |(i, j)| f64::from(case.x[i * width + j]));
        let pass = Pass::Train { seed: case.seed, step: 0 };
        let outputs = self.plan.network().reference(&parameters, pass, &x.view());
        self.plan.spec().loss.rule().reference(outputs.view(), case.labels) / n as f64
    }

    /// What is too much of the check.
    fn size_fault(&self, wrapped: bool) -> Option<Fault> {
        let root = Pointer::root();
        let network = if wrapped { root.at("spec").at("network") } else { root.at("network") };
        let available = self.plan.train_samples();
        if self.samples > available {
            let detail = format!("{} is more than the {available} samples that are learned from", self.samples);
            return Some(root.at("samples").fault(detail));
        }
        let least = self.plan.least_batch();
        if self.samples < least {
            let detail = "batch_norm on rows of values has nothing to normalise one sample by; take 2 or more";
            return Some(root.at("samples").fault(detail));
        }
        let pass = (self.plan.network().flops() as u64).saturating_mul(self.samples as u64);
        if pass > MOST_PASS || self.work(pass, 1) > MOST_WORK {
            let detail = format!(
                "with {} of `samples`, a forward pass takes about {} million operations, too many for the plain \
                 reference that gradients are checked against; take fewer samples or a smaller network",
                self.samples,
                pass.div_ceil(1_000_000),
            );
            return Some(network.fault(detail));
        }
        if self.work(pass, self.values_per_tensor) <= MOST_WORK {
            return None;
        }
        let most = (1..self.values_per_tensor).rev().find(|values| self.work(pass, *values) <= MOST_WORK).unwrap_or(1);
        let detail = format!(
            "{} values of each tensor would take too long; with {} of `samples`, {most} can be checked",
            self.values_per_tensor, self.samples,
        );
        Some(if wrapped {
            root.at("values_per_tensor").fault(detail)
        } else {
            network.fault(format!("{detail}: {{\"spec\": …, \"values_per_tensor\": {most}}}"))
        })
    }

    /// Operations of the reference, where gradients agree: two passes for every value that is checked.
    fn work(&self, pass: u64, values_per_tensor: usize) -> u64 {
        let network = self.plan.network();
        let trained = network.tensors().iter().filter(|tensor| !matches!(tensor.role, Role::Statistic { .. }));
        let lengths = trained.map(|tensor| tensor.range.len()).chain([self.samples * network.input().len()]);
        let values: usize = lengths.map(|len| len.min(values_per_tensor)).sum();
        pass.saturating_mul(2 * values as u64)
    }
}

#[cfg(test)]
#[path = "gradient_check_tests.rs"]
mod tests;
