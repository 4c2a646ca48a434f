//! The witness of backpropagation, *Deep Learning from Scratch* §5.7.4: its gradients against numerical differences.
//!
//! The differences are central ones of the `f64` reference, so the check also holds the fast `f32` forward pass to the
//! plain formulas.

use ndarray::{Array2, ArrayView1, ArrayView2};

use super::layer::LayerSpec;
use super::loss::{Loss, LossSpec, Outputs};
use super::network::{Network, Tensor};
use super::optimizer::OptimizerSpec;
use super::rng::{Purpose, Rng};
use super::samples::{Inputs, Samples};
use super::shape::Shape;
use super::step::{Setting, Workspace};

/// Half the distance of a central difference.
const STEP: f64 = 1e-5;

/// How far backpropagation is from numerical differentiation for one tensor.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TensorError {
    /// `W1`, `b1`, …, or `x` for the inputs.
    pub name: String,
    /// `max |a − n| / max(max |a|, max |n|)`: the largest difference, relative to the tensor's largest gradient.
    pub relative_error: f64,
}

/// Compares the gradients of `loss` at `parameters` on a batch `x` `[N, inputs]` with labels, tensor by tensor.
///
/// Costs two reference passes a parameter and input: for small networks and batches.
pub fn check(network: &Network, loss: LossSpec, parameters: &[f32], x: &[f32], labels: &[u16]) -> Vec<TensorError> {
    compare(network, loss.rule(), parameters, x, labels)
}

fn compare(network: &Network, loss: &dyn Loss, parameters: &[f32], x: &[f32], labels: &[u16]) -> Vec<TensorError> {
    let n = labels.len();
    let samples = Samples::new(Inputs::Floats(x), labels, network.input().len());
    let indices: Vec<u32> = (0..n as u32).collect();
    let optimizer = OptimizerSpec::Sgd(super::optimizer::sgd::Sgd { learning_rate: 1.0 });
    let setting = Setting { network, loss, optimizer: optimizer.rule(), weight_decay: 0.0 };
    let mut work = Workspace::new(network, n, true);
    setting.differentiate(&mut work, parameters, &samples, &indices);
    let layout = work.layout.clone();
    let shards = work.arena.chunks(layout.len).zip(indices.chunks(layout.rows));
    let dx: Vec<f32> =
        shards.flat_map(|(shard, indices)| layout.input_gradient(shard, indices.len()).to_vec()).collect();
    let backprop = setting.gradient(&mut work, n).to_vec();

    let mut p: Vec<f64> = parameters.iter().map(|v| f64::from(*v)).collect();
    let mut x = Array2::from_shape_fn((n, samples.width()), |(i, j)| f64::from(x[i * samples.width() + j]));
    let mean_loss =
        |p: &[f64], x: ArrayView2<'_, f64>| loss.reference(network.reference(p, &x).view(), labels) / n as f64;

    let mut errors = Vec::new();
    for Tensor { name, range, .. } in network.tensors() {
        let numeric: Vec<f64> = range
            .clone()
            .map(|i| {
                let value = p[i];
                let mut at = |v: f64| {
                    p[i] = v;
                    mean_loss(&p, x.view())
                };
                let difference = at(value + STEP) - at(value - STEP);
                p[i] = value;
                difference / (2.0 * STEP)
            })
            .collect();
        errors.push(TensorError { name: name.clone(), relative_error: distance(&backprop[range.clone()], &numeric) });
    }
    let numeric: Vec<f64> = (0..x.len())
        .map(|i| {
            let place = (i / samples.width(), i % samples.width());
            let value = x[place];
            let mut at = |v: f64| {
                x[place] = v;
                mean_loss(&p, x.view())
            };
            let difference = at(value + STEP) - at(value - STEP);
            x[place] = value;
            difference / (2.0 * STEP)
        })
        .collect();
    errors.push(TensorError { name: "x".into(), relative_error: distance(&dx, &numeric) });
    errors
}

fn distance(backprop: &[f32], numeric: &[f64]) -> f64 {
    let pairs = || backprop.iter().map(|v| f64::from(*v)).zip(numeric.iter().copied());
    let scale = pairs().map(|(a, n)| a.abs().max(n.abs())).fold(1e-7, f64::max);
    pairs().map(|(a, n)| (a - n).abs()).fold(0.0, f64::max) / scale
}

/// A random network state to check: parameters and a batch of inputs, standard normal.
fn random_case(network: &Network, n: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let draw = |len: usize, stream: u64, scale: f64| -> Vec<f32> {
        let mut rng = Rng::new(seed, Purpose::GradientCheck, stream, 0);
        (0..len).map(|_| (scale * rng.normal()) as f32).collect()
    };
    (draw(network.parameter_count(), 0, 0.5), draw(n * network.input().len(), 1, 1.0))
}

/// Asserts that a chain of layers backpropagates a random linear functional of its outputs as finite differences say.
///
/// # Panics
/// If it does not: this is the test of every layer.
pub fn assert_gradients_agree(layers: &[LayerSpec], input: &Shape, n: usize, seed: u64) {
    let network = Network::build(input, layers).expect("a sound network");
    let (parameters, x) = random_case(&network, n, seed);
    let mut rng = Rng::new(seed, Purpose::GradientCheck, 2, 0);
    let loss = Functional { weights: (0..network.output().len()).map(|_| rng.normal() as f32).collect() };
    for error in compare(&network, &loss, &parameters, &x, &vec![0; n]) {
        assert!(error.relative_error < 1e-4, "{layers:?} on {n} × {input}, seed {seed}: {error:?}");
    }
}

/// Asserts that the fast forward pass of a chain of layers agrees with its plain `f64` formulas.
///
/// # Panics
/// If it does not: this is the test of every layer.
pub fn assert_forward_agrees(layers: &[LayerSpec], input: &Shape, n: usize, seed: u64) {
    let network = Network::build(input, layers).expect("a sound network");
    let (parameters, x) = random_case(&network, n, seed);
    let mut work = Workspace::new(&network, n, false);
    let layout = work.layout.clone();
    let width = input.len();
    let p: Vec<f64> = parameters.iter().map(|v| f64::from(*v)).collect();
    let shards = work.arena.chunks_mut(layout.len).zip(x.chunks(layout.rows * width));
    for (shard, x) in shards {
        let rows = x.len() / width;
        layout.input(shard, rows).copy_from_slice(x);
        network.forward(&parameters, &layout, shard, rows);
        let x = Array2::from_shape_fn((rows, width), |(i, j)| f64::from(x[i * width + j]));
        let exact = network.reference(&p, &x.view());
        for (fast, exact) in layout.output_values(shard, rows).iter().zip(&exact) {
            let error = (f64::from(*fast) - exact).abs() / exact.abs().max(1.0);
            assert!(error < 1e-5, "{layers:?} on {n} × {input}, seed {seed}: {fast} instead of {exact}");
        }
    }
}

/// `Σ wⱼ yⱼ`: a loss whose gradient is as general as any.
#[derive(Debug)]
struct Functional {
    weights: Vec<f32>,
}

impl Loss for Functional {
    fn outputs(&self, _classes: usize) -> Outputs {
        Outputs::PerClass(self.weights.len())
    }

    fn row_loss(&self, outputs: &[f32], _label: u16) -> f64 {
        outputs.iter().zip(&self.weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
    }

    fn row_loss_and_gradient(&self, outputs: &[f32], label: u16, scale: f32, gradient: &mut [f32]) -> f64 {
        for (d, w) in gradient.iter_mut().zip(&self.weights) {
            *d = scale * w;
        }
        self.row_loss(outputs, label)
    }

    fn predicted_class(&self, _outputs: &[f32]) -> usize {
        0
    }

    fn predictions(&self, outputs: &[f32], _classes: usize, predictions: &mut [f32]) {
        predictions.copy_from_slice(outputs);
    }

    fn row_reference(&self, outputs: ArrayView1<'_, f64>, _label: u16) -> f64 {
        outputs.iter().zip(&self.weights).map(|(y, w)| y * f64::from(*w)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::layer::{affine::Affine, relu::Relu, sigmoid::Sigmoid};
    use super::super::loss::softmax_cross_entropy::SoftmaxCrossEntropy;
    use super::*;

    #[test]
    fn a_whole_network_with_its_loss() {
        let layers = [
            LayerSpec::Affine(Affine { units: 7 }),
            LayerSpec::Relu(Relu {}),
            LayerSpec::Affine(Affine { units: 6 }),
            LayerSpec::Sigmoid(Sigmoid {}),
            LayerSpec::Affine(Affine { units: 4 }),
        ];
        let network = Network::build(&Shape::new(&[5]), &layers).expect("a sound network");
        // 70 rows are three shards, the last one smaller.
        let (parameters, x) = random_case(&network, 70, 11);
        let labels: Vec<u16> = (0..70).map(|i| i % 4).collect();
        let loss = LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy::default());
        let errors = check(&network, loss, &parameters, &x, &labels);
        let names: Vec<_> = errors.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["W1", "b1", "W2", "b2", "W3", "b3", "x"]);
        for error in errors {
            assert!(error.relative_error < 1e-4, "{error:?}");
        }
    }

    #[test]
    fn a_wrong_gradient_is_seen() {
        assert!(distance(&[1.0, 2.0], &[1.0, 2.001]) > 4e-4);
        assert!(distance(&[1.0, 2.0], &[1.0, 2.0]) == 0.0);
    }
}
