//! The witness of backpropagation, *Deep Learning from Scratch* §5.7.4: its gradients against numerical differences.
//!
//! The differences are central ones of the `f64` reference, so the check also holds the fast `f32` forward pass to the
//! plain formulas.

use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2};

use super::infer::{Rows, Sizes};
use super::layer::{LayerSpec, Pass, Role};
use super::loss::{Loss, LossSpec, Outputs};
use super::network::{Network, Weights};
use super::optimizer::sgd::Sgd;
use super::rng::{Purpose, Rng};
use super::samples::{Inputs, Samples};
use super::shape::Shape;
use super::step::{Step, Workspace};
use super::update::Update;

/// Half the distance of a central difference.
const STEP: f64 = 1e-5;
/// The same where the first one finds another slope: a kink may lie between, as where another value of a pool's window
/// becomes the largest.
const FINE_STEP: f64 = 1e-8;

/// Differences up to this share of the largest gradient are rounding: `f32` has seven digits, a deep network eats some.
pub const TOLERANCE: f64 = 1e-4;

/// How far backpropagation is from numerical differentiation for one tensor.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TensorError {
    /// The layer's index in the spec; `None` for the inputs.
    pub layer: Option<usize>,
    /// `W1`, `b1`, …, or `x` for the inputs.
    pub name: String,
    /// Values that were checked; of a large tensor a random choice.
    pub checked: usize,
    /// The largest gradient among them, by backpropagation.
    pub largest_gradient: f64,
    /// `max |a − n| / max(max |a|, max |n|)`: the largest difference, relative to the tensor's largest gradient; of a
    /// tensor whose gradients are next to nothing, relative to a hundredth of the network's largest.
    pub relative_error: f64,
}

/// What is checked.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The parameters, flat.
    pub parameters: &'a [f32],
    /// A batch of inputs, `[N, …]`.
    pub x: &'a [f32],
    /// Its labels.
    pub labels: &'a [u16],
    /// Most values of a tensor that are checked.
    pub most_values: usize,
    /// Decides which, and what dropout drops.
    pub seed: u64,
}

/// Compares the gradients of the mean loss of a case, tensor by tensor, as they are while training.
///
/// Costs two reference passes a value, and two more for one that does not agree over the first step.
pub fn check(network: &Network, loss: LossSpec, case: Case<'_>) -> Vec<TensorError> {
    compare(network, loss.rule(), case)
}

fn compare(network: &Network, loss: &dyn Loss, case: Case<'_>) -> Vec<TensorError> {
    let (n, width) = (case.labels.len(), network.input().len());
    let pass = Pass::Train { seed: case.seed, step: 0 };
    let (backprop, dx) = backpropagate(network, loss, case, pass);
    let mut p: Vec<f64> = case.parameters.iter().map(|v| f64::from(*v)).collect();
    let mut x = Array2::from_shape_fn((n, width), |(i, j)| f64::from(case.x[i * width + j]));
    let mean_loss = |p: &[f64], x: ArrayView2<'_, f64>| {
        loss.reference(network.reference(p, pass, &x).view(), case.labels) / n as f64
    };
    let choose = |range: Range<usize>, stream: usize| choose(range, case.most_values, case.seed, stream as u64);

    let mut tensors = Vec::new();
    // A running statistic has no gradient.
    let trained = network.tensors().iter().filter(|tensor| !matches!(tensor.role, Role::Statistic { .. }));
    for (stream, tensor) in trained.enumerate() {
        let pairs = choose(tensor.range.clone(), stream).into_iter().map(|i| {
            let value = p[i];
            let numeric = difference(backprop[i], |h| {
                p[i] = value + h;
                mean_loss(&p, x.view())
            });
            p[i] = value;
            (f64::from(backprop[i]), numeric)
        });
        tensors.push((network.layer_of(tensor), tensor.name.clone(), pairs.collect::<Vec<_>>()));
    }
    let pairs = choose(0..x.len(), tensors.len()).into_iter().map(|i| {
        let place = (i / width, i % width);
        let value = x[place];
        let numeric = difference(dx[i], |h| {
            x[place] = value + h;
            mean_loss(&p, x.view())
        });
        x[place] = value;
        (f64::from(dx[i]), numeric)
    });
    tensors.push((None, "x".into(), pairs.collect()));
    let largest = |pairs: &[(f64, f64)]| pairs.iter().map(|(a, n)| a.abs().max(n.abs())).fold(0.0, f64::max);
    let least_scale = 1e-2 * tensors.iter().map(|(_, _, pairs)| largest(pairs)).fold(1e-7, f64::max);
    let error = |(layer, name, pairs): (Option<usize>, String, Vec<(f64, f64)>)| TensorError {
        layer,
        name,
        checked: pairs.len(),
        largest_gradient: pairs.iter().map(|(a, _)| a.abs()).fold(0.0, f64::max),
        relative_error: pairs.iter().map(|(a, n)| (a - n).abs()).fold(0.0, f64::max) / largest(&pairs).max(least_scale),
    };
    tensors.into_iter().map(error).collect()
}

/// Gradients of the parameters and of the inputs, by backpropagation.
fn backpropagate(network: &Network, loss: &dyn Loss, case: Case<'_>, pass: Pass) -> (Vec<f32>, Vec<f32>) {
    let samples = Samples::new(Inputs::Floats(case.x), case.labels, network.input().len());
    let indices: Vec<u32> = (0..case.labels.len() as u32).collect();
    let mut work = Workspace::new(network, indices.len(), true);
    Step { network, loss, parameters: case.parameters, pass }.differentiate(&mut work, &samples, &indices);
    let dx = work.input_gradient();
    let optimizer = Sgd { learning_rate: 1.0 };
    let update = Update { network, optimizer: &optimizer, clip: None, weight_decay: 0.0, keep_gradient: true };
    (update.gradient(&mut work, &mut case.parameters.to_vec()), dx)
}

/// A central difference of a function of a small step, by which its `slope` is to be checked.
fn difference(slope: f32, mut at: impl FnMut(f64) -> f64) -> f64 {
    let mut over = |step: f64| (at(step) - at(-step)) / (2.0 * step);
    let (slope, found) = (f64::from(slope), over(STEP));
    let differs = (slope - found).abs() > TOLERANCE * slope.abs().max(found.abs());
    if differs { over(FINE_STEP) } else { found }
}

/// At most `most` of the places, in order.
fn choose(range: Range<usize>, most: usize, seed: u64, stream: u64) -> Vec<usize> {
    let mut places: Vec<usize> = range.collect();
    if places.len() > most {
        Rng::new(seed, Purpose::GradientCheck, 3, stream).shuffle(&mut places);
        places.truncate(most);
        places.sort_unstable();
    }
    places
}

/// A random network state to check: parameters and a batch of inputs, standard normal.
fn random_case(network: &Network, n: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let draw = |len: usize, stream: u64, scale: f64| -> Vec<f32> {
        let mut rng = Rng::new(seed, Purpose::GradientCheck, stream, 0);
        (0..len).map(|_| (scale * rng.normal()) as f32).collect()
    };
    let mut parameters = draw(network.parameter_count(), 0, 0.5);
    for tensor in network.tensors() {
        if let Role::Statistic { start, .. } = tensor.role {
            // Near their start: a variance must be positive.
            parameters[tensor.range.clone()].iter_mut().for_each(|value| *value = start + 0.1 * value.abs());
        }
    }
    (parameters, draw(n * network.input().len(), 1, 1.0))
}

/// Asserts that a chain of layers backpropagates a random linear functional of its outputs as finite differences say.
///
/// # Panics
/// If it does not: this is the test of every layer.
pub fn assert_gradients_agree(layers: &[LayerSpec], input: &Shape, n: usize, seed: u64) {
    assert_some_gradients_agree(layers, input, n, seed, usize::MAX);
}

/// The same of so many values of each tensor at most: of large ones, all would take long.
///
/// # Panics
/// If one does not.
pub fn assert_some_gradients_agree(layers: &[LayerSpec], input: &Shape, n: usize, seed: u64, most_values: usize) {
    let network = Network::build(input, layers).expect("a sound network");
    let (parameters, x) = random_case(&network, n, seed);
    let mut rng = Rng::new(seed, Purpose::GradientCheck, 2, 0);
    let loss = Functional { weights: (0..network.output().len()).map(|_| rng.normal() as f32).collect() };
    let labels = vec![0; n];
    let case = Case { parameters: &parameters, x: &x, labels: &labels, most_values, seed };
    for error in compare(&network, &loss, case) {
        assert!(error.relative_error < TOLERANCE, "{layers:?} on {n} × {input}, seed {seed}: {error:?}");
    }
}

/// Asserts that two chains of layers with as many parameters have the same gradients, to the last bit.
///
/// # Panics
/// If they have not: this is the test of layers that take others in.
pub fn assert_same_gradients(chains: [&[LayerSpec]; 2], input: &Shape, n: usize, seed: u64) {
    let [one, other] = gradients_of(chains, input, n, seed);
    assert_eq!(one, other, "{chains:?} on {n} × {input}, seed {seed}");
}

/// Asserts that they have the same gradients but for rounding.
///
/// # Panics
/// If they have not: this is the test of layers that take others in and add in another order.
pub fn assert_near_gradients(chains: [&[LayerSpec]; 2], input: &Shape, n: usize, seed: u64) {
    let [one, other] = gradients_of(chains, input, n, seed);
    for (one, other) in [(one.0, other.0), (one.1, other.1)] {
        let largest = one.iter().chain(&other).fold(1.0, |largest: f32, value| largest.max(value.abs()));
        assert_eq!(one.len(), other.len());
        for (one, other) in one.iter().zip(&other) {
            let near = (one - other).abs() <= 1e-5 * largest;
            assert!(near, "{chains:?} on {n} × {input}, seed {seed}: {one} and {other}, {largest} at most");
        }
    }
}

/// The gradients of the parameters and of the inputs of two chains of layers, in the same random case.
fn gradients_of(chains: [&[LayerSpec]; 2], input: &Shape, n: usize, seed: u64) -> [(Vec<f32>, Vec<f32>); 2] {
    chains.map(|layers| {
        let network = Network::build(input, layers).expect("a sound network");
        let (parameters, x) = random_case(&network, n, seed);
        let mut rng = Rng::new(seed, Purpose::GradientCheck, 2, 0);
        let loss = Functional { weights: (0..network.output().len()).map(|_| rng.normal() as f32).collect() };
        let case = Case { parameters: &parameters, x: &x, labels: &vec![0; n], most_values: 0, seed };
        backpropagate(&network, &loss, case, Pass::Train { seed, step: 0 })
    })
}

/// Asserts that the fast forward pass of a chain of layers agrees with its plain `f64` formulas.
///
/// # Panics
/// If it does not: this is the test of every layer.
pub fn assert_forward_agrees(layers: &[LayerSpec], input: &Shape, n: usize, seed: u64) {
    assert_forward_within(1e-5, layers, input, n, seed);
}

/// The same with another tolerance than 1e-5, relative where a value is above 1.
///
/// # Panics
/// If it does not agree.
pub fn assert_forward_within(tolerance: f64, layers: &[LayerSpec], input: &Shape, n: usize, seed: u64) {
    let network = Network::build(input, layers).expect("a sound network");
    let (parameters, x) = random_case(&network, n, seed);
    let rows = Array2::from_shape_fn((n, input.len()), |(i, j)| f64::from(x[i * input.len() + j]));
    let p: Vec<f64> = parameters.iter().map(|v| f64::from(*v)).collect();
    let (labels, indices): (Vec<u16>, Vec<u32>) = (vec![0; n], (0..n as u32).collect());
    let samples = Samples::new(Inputs::Floats(&x), &labels, input.len());
    let pass = Pass::Train { seed: 0, step: 0 };
    let mut work = Workspace::new(&network, n, false);
    let loss = Functional { weights: vec![1.0; network.output().len()] };
    Step { network: &network, loss: &loss, parameters: &parameters, pass }.differentiate(&mut work, &samples, &indices);
    let training: Vec<f32> = work.level(network.depth()).flatten().copied().collect();
    let sizes = Sizes::new(&network, n).expect("a small network");
    let mut memory = sizes.memory();
    let transformed = network.transformed(&parameters);
    let weights = Weights::predicting(&parameters, &transformed);
    let predicting = x
        .chunks(sizes.rows * input.len())
        .flat_map(|x| network.infer(weights, sizes, &mut memory, x.len() / input.len(), Rows::At(x)).to_vec());
    for (pass, fast) in [(pass, training), (Pass::Infer, predicting.collect())] {
        let exact = network.reference(&p, pass, &rows.view());
        assert_eq!(fast.len(), exact.len());
        for (fast, exact) in fast.iter().zip(&exact) {
            let error = (f64::from(*fast) - exact).abs() / exact.abs().max(1.0);
            assert!(error < tolerance, "{layers:?} on {n} × {input}, seed {seed}, {pass:?}: {fast} instead of {exact}");
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
            LayerSpec::Affine(Affine::of(7)),
            LayerSpec::Relu(Relu {}),
            LayerSpec::Affine(Affine::of(6)),
            LayerSpec::Sigmoid(Sigmoid {}),
            LayerSpec::Affine(Affine::of(4)),
        ];
        let network = Network::build(&Shape::new(&[5]), &layers).expect("a sound network");
        // 70 rows are three shards, the last one smaller.
        let (parameters, x) = random_case(&network, 70, 11);
        let labels: Vec<u16> = (0..70).map(|i| i % 4).collect();
        let loss = LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy::default());
        let case = Case { parameters: &parameters, x: &x, labels: &labels, most_values: usize::MAX, seed: 0 };
        let errors = check(&network, loss, case);
        let names: Vec<_> = errors.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["W1", "b1", "W2", "b2", "W3", "b3", "x"]);
        for error in errors {
            assert!(error.relative_error < 1e-4, "{error:?}");
        }
    }

    #[test]
    fn a_convolutional_network_with_batch_normalisation() {
        let layers = serde_json::json!([
            {"type": "conv2d", "filters": 3, "kernel": 3, "stride": 1, "padding": 1, "init": null},
            {"type": "batch_norm", "momentum": 0.9, "epsilon": 1e-5}, {"type": "tanh"},
            {"type": "avg_pool2d", "kernel": 2, "stride": null, "padding": 0},
            {"type": "conv2d", "filters": 4, "kernel": 2, "stride": 1, "padding": 0, "init": null}, {"type": "gelu"},
            {"type": "affine", "units": 6, "init": null}, {"type": "batch_norm", "momentum": 0.9, "epsilon": 1e-5},
            {"type": "sigmoid"}, {"type": "affine", "units": 3, "init": null},
        ]);
        let layers: Vec<LayerSpec> = serde_json::from_value(layers).expect("layers");
        // The shorter one has shards of one row below its first batch normalisation and larger ones above.
        for (n, layers) in [(10, &layers[..]), (40, &layers[..]), (10, &layers[..4]), (33, &layers[..4])] {
            assert_forward_agrees(layers, &Shape::new(&[2, 6, 6]), n, 5);
            assert_gradients_agree(layers, &Shape::new(&[2, 6, 6]), n, 5);
        }
    }

    /// A loss whose gradient is a little wrong in one place.
    #[derive(Debug)]
    struct Crooked(Functional);

    impl Loss for Crooked {
        fn outputs(&self, classes: usize) -> Outputs {
            self.0.outputs(classes)
        }

        fn row_loss(&self, outputs: &[f32], label: u16) -> f64 {
            self.0.row_loss(outputs, label)
        }

        fn row_loss_and_gradient(&self, outputs: &[f32], label: u16, scale: f32, gradient: &mut [f32]) -> f64 {
            let loss = self.0.row_loss_and_gradient(outputs, label, scale, gradient);
            gradient[1] *= 1.001;
            loss
        }

        fn predicted_class(&self, outputs: &[f32]) -> usize {
            self.0.predicted_class(outputs)
        }

        fn predictions(&self, outputs: &[f32], classes: usize, predictions: &mut [f32]) {
            self.0.predictions(outputs, classes, predictions);
        }

        fn row_reference(&self, outputs: ArrayView1<'_, f64>, label: u16) -> f64 {
            self.0.row_reference(outputs, label)
        }
    }

    #[test]
    fn a_wrong_gradient_is_seen() {
        let network = Network::build(&Shape::new(&[5]), &[LayerSpec::Affine(Affine::of(3))]).expect("a sound network");
        let (parameters, x) = random_case(&network, 4, 1);
        let case = Case { parameters: &parameters, x: &x, labels: &[0; 4], most_values: 50, seed: 1 };
        let errors = compare(&network, &Crooked(Functional { weights: vec![1.0, 2.0, 3.0] }), case);
        assert!(errors.iter().all(|error| error.relative_error > 3e-4), "{errors:?}");
    }

    #[test]
    fn a_kink_next_to_a_value_is_no_error() {
        let pool = serde_json::from_value(
            serde_json::json!({"type": "max_pool2d", "kernel": [1, 2], "stride": null, "padding": 0}),
        );
        let layers = [pool.expect("a pool")];
        let network = Network::build(&Shape::new(&[1, 1, 2]), &layers).expect("a sound network");
        let x = [1.0, 1.0 + 0.4 * STEP as f32];
        let case = Case { parameters: &[], x: &x, labels: &[0], most_values: 2, seed: 1 };
        let errors = compare(&network, &Functional { weights: vec![1.0] }, case);
        assert!(errors.iter().all(|error| error.relative_error < TOLERANCE), "{errors:?}");
    }

    #[test]
    fn a_choice_of_values_is_enough_for_a_large_tensor() {
        let network =
            Network::build(&Shape::new(&[50]), &[LayerSpec::Affine(Affine::of(30))]).expect("a sound network");
        let (parameters, x) = random_case(&network, 4, 1);
        let case = Case { parameters: &parameters, x: &x, labels: &[0; 4], most_values: 9, seed: 1 };
        let errors = compare(&network, &Functional { weights: vec![0.5; 30] }, case);
        assert_eq!(
            errors.iter().map(|e| (e.layer, e.checked)).collect::<Vec<_>>(),
            [(Some(0), 9), (Some(0), 9), (None, 9)]
        );
        assert!(errors.iter().all(|error| error.relative_error < TOLERANCE), "{errors:?}");
    }
}
