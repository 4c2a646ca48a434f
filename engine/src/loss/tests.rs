//! What holds of every loss: finite differences, its oracle, extreme outputs, and its table.

use ndarray::Array2;
use proptest::prelude::*;

use super::binary_cross_entropy::BinaryCrossEntropy;
use super::mean_squared_error::MeanSquaredError;
use super::perceptron::Perceptron;
use super::softmax_cross_entropy::SoftmaxCrossEntropy;
use super::*;
use crate::describe::example;
use crate::gradient_check::{self, Case};
use crate::init::{Init, Std};
use crate::layer::{LayerSpec, affine::Affine, tanh::Tanh};
use crate::network::Network;
use crate::rng::{Purpose, Rng};
use crate::shape::Shape;

/// Every loss with every number of outputs that it takes: `(loss, outputs, classes)`.
fn cases() -> Vec<(LossSpec, usize, usize)> {
    let losses = [
        LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy { label_smoothing: 0.0 }),
        LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy { label_smoothing: 0.3 }),
        LossSpec::MeanSquaredError(MeanSquaredError {}),
        LossSpec::BinaryCrossEntropy(BinaryCrossEntropy {}),
        LossSpec::Perceptron(Perceptron {}),
    ];
    let widths = [(1, 2), (2, 2), (5, 5)];
    let all = losses.into_iter().flat_map(|loss| widths.map(|(outputs, classes)| (loss, outputs, classes)));
    all.filter(|(loss, outputs, classes)| loss.rule().outputs(*classes).accepts(*outputs)).collect()
}

/// A batch for a case out of a pool of numbers.
fn batch(pool: &[f32], picks: &[u16], outputs: usize, classes: usize) -> (Vec<f32>, Vec<u16>) {
    let labels: Vec<u16> = picks.iter().map(|pick| pick % classes as u16).collect();
    (pool[..labels.len() * outputs].to_vec(), labels)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn gradients_agree_with_finite_differences(
        // Away from zero, where the perceptron criterion has a kink.
        pool in proptest::collection::vec(prop_oneof![-8f32..-0.01, 0.01f32..8.0], 20),
        picks in proptest::collection::vec(0u16..60, 1..=4),
        scale in 0.01f32..2.0,
    ) {
        for (loss, width, classes) in cases() {
            let (outputs, labels) = batch(&pool, &picks, width, classes);
            let mut gradient = vec![9.0; outputs.len()];
            let score = loss.rule().score_and_gradient(&outputs, &labels, scale, &mut gradient);
            prop_assert_eq!(score, loss.rule().score(&outputs, &labels));
            let y = Array2::from_shape_fn((labels.len(), width), |(i, j)| f64::from(outputs[i * width + j]));
            let exact = loss.rule().reference(y.view(), &labels);
            prop_assert!((score.loss - exact).abs() < 1e-5 * exact.max(1.0), "{loss:?}: {} of {exact}", score.loss);
            for (i, d) in gradient.iter().enumerate() {
                let shifted = |h: f64| {
                    let mut y = y.clone();
                    y[[i / width, i % width]] += h;
                    loss.rule().reference(y.view(), &labels)
                };
                let numeric = f64::from(scale) * (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
                prop_assert!((numeric - f64::from(*d)).abs() < 1e-5, "{loss:?}: {d} instead of {numeric}");
            }
        }
    }

    #[test]
    fn predictions_speak_for_the_predicted_class(
        pool in proptest::collection::vec(-8f32..8.0, 20),
        picks in proptest::collection::vec(0u16..60, 1..=4),
    ) {
        for (loss, width, classes) in cases() {
            let (outputs, labels) = batch(&pool, &picks, width, classes);
            let mut predictions = vec![9.0; labels.len() * classes];
            loss.rule().predictions(&outputs, classes, &mut predictions);
            for (row, p) in outputs.chunks(width).zip(predictions.chunks(classes)) {
                let class = loss.rule().predicted_class(row);
                // Rounding may make the probabilities of nearly equal outputs equal.
                prop_assert!(p[class] >= p[argmax(p)], "{loss:?}: {row:?} → {p:?}");
                let is_row_of_a_distribution = width == 1 || matches!(loss, LossSpec::SoftmaxCrossEntropy(_));
                prop_assert!(!is_row_of_a_distribution || (p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn whole_networks_backpropagate_every_loss() {
    for (loss, width, classes) in cases() {
        let layers = [LayerSpec::Affine(Affine::of(6)), LayerSpec::Tanh(Tanh {}), LayerSpec::Affine(Affine::of(width))];
        let network = Network::build(&Shape::new(&[4]), &layers).expect("a sound network");
        let parameters = network.init(&Init::Std(Std { std: 0.5 }), 3);
        let mut rng = Rng::new(3, Purpose::GradientCheck, 0, 0);
        let x: Vec<f32> = (0..40 * 4).map(|_| rng.normal() as f32).collect();
        // Mostly the first class: where as many samples are wrong one way as the other, the perceptron's gradients cancel.
        let labels: Vec<u16> = (0..40).map(|i| if i < 25 { 0 } else { i % classes as u16 }).collect();
        let case = Case { parameters: &parameters, x: &x, labels: &labels, most_values: usize::MAX, seed: 3 };
        for error in gradient_check::check(&network, loss, case) {
            assert!(error.relative_error < 1e-4, "{loss:?} with {width} outputs: {error:?}");
        }
    }
}

#[test]
fn extreme_outputs_give_finite_losses_and_gradients() {
    for (loss, width, classes) in cases() {
        for (a, b) in [(1e30, -1e30), (-1e30, 1e30), (1e30, 1e30), (-1e30, -1e30), (0.0, 0.0)] {
            let outputs: Vec<f32> = (0..width).map(|k| if k == 0 { a } else { b }).collect();
            for label in 0..classes as u16 {
                let mut gradient = vec![f32::NAN; width];
                let score = loss.rule().score_and_gradient(&outputs, &[label], 1.0, &mut gradient);
                assert!(score.loss.is_finite() && score.loss >= 0.0, "{loss:?} of {outputs:?}: {score:?}");
                assert!(gradient.iter().all(|d| d.is_finite()), "{loss:?} of {outputs:?}: {gradient:?}");
                assert_eq!(loss.rule().row_loss(&outputs, label), score.loss);
            }
        }
    }
}

#[test]
fn what_is_not_finite_shows_in_the_loss() {
    for (loss, width, classes) in cases() {
        for (place, value) in (0..width).flat_map(|k| [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(|v| (k, v))) {
            let mut outputs = vec![1.0; width];
            outputs[place] = value;
            for label in 0..classes as u16 {
                let mut gradient = vec![0.0; width];
                assert!(!loss.rule().score(&outputs, &[label]).loss.is_finite(), "{loss:?} of {outputs:?}");
                let score = loss.rule().score_and_gradient(&outputs, &[label], 1.0, &mut gradient);
                assert!(!score.loss.is_finite(), "{loss:?} of {outputs:?}");
            }
        }
    }
}

#[test]
fn no_rows_are_no_loss() {
    for (loss, ..) in cases() {
        assert_eq!(loss.rule().score(&[], &[]), Score::default());
        assert_eq!(loss.rule().score_and_gradient(&[], &[], 1.0, &mut []), Score::default());
        loss.rule().predictions(&[], 2, &mut []);
    }
}

#[test]
fn each_says_how_many_outputs_it_takes() {
    let says = |loss: LossSpec, classes| loss.rule().outputs(classes).to_string();
    let softmax = LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy::default());
    let (binary, perceptron) =
        (LossSpec::BinaryCrossEntropy(BinaryCrossEntropy {}), LossSpec::Perceptron(Perceptron {}));
    assert_eq!(says(softmax, 10), "one output for each of the 10 classes");
    assert_eq!(says(binary, 10), "one output for each of the 10 classes");
    assert_eq!(says(binary, 2), "one output, or one for each of the 2 classes");
    assert_eq!(says(perceptron, 2), "exactly one output");
    assert_eq!(says(perceptron, 3), "exactly two classes, not 3");
    assert_eq!(says(binary, 1), "at least two classes, not 1");
    for (outputs, counts) in [
        (Outputs::PerClass(3), [false, false, true]),
        (Outputs::One, [true, false, false]),
        (Outputs::OneOrPerClass(2), [true, true, false]),
        (Outputs::Unfit { classes: 3, needed: "exactly two classes" }, [false; 3]),
    ] {
        assert_eq!([1, 2, 3].map(|count| outputs.accepts(count)), counts, "{outputs:?}");
        assert!(outputs.example().is_none_or(|count| outputs.accepts(count)));
    }
}

#[test]
fn the_tables_are_what_is_read() {
    for entry in entries() {
        let _: LossSpec = example(entry);
    }
    let unknown = r#"{"type": "perceptron", "margin": 1}"#;
    assert!(serde_json::from_str::<LossSpec>(unknown).is_err());
}
