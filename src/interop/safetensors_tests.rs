//! Weights come back as they were, and lie in a file as the field writes them.

use serde_json::{Value, json};

use super::*;
use crate::engine::init::{He, Init};
use crate::engine::layer::LayerSpec;
use crate::engine::layer::affine::Affine;
use crate::engine::layer::sigmoid::Sigmoid;
use crate::engine::loss::softmax_cross_entropy::SoftmaxCrossEntropy;
use crate::engine::model::Model;

const LOSS: LossSpec = LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy { label_smoothing: 0.0 });

fn network(units: &[usize]) -> Network {
    let mut layers: Vec<_> = units
        .iter()
        .flat_map(|&units| [LayerSpec::Affine(Affine::of(units)), LayerSpec::Sigmoid(Sigmoid {})])
        .collect();
    layers.pop();
    Network::build(&Shape::new(&[1, 28, 28]), &layers).expect("a sound network")
}

#[test]
fn comes_back_bit_for_bit_and_always_as_the_same_bytes() {
    let network = network(&[5, 10]);
    let weights = network.init(&Init::He(He {}), 1);
    let metadata = WeightsMetadata::new(&network, "digits", LOSS);
    let bytes = encode_weights(&network, &weights, &metadata);
    assert_eq!(decode_weights(&bytes, &network).expect("our own bytes"), weights);
    assert_eq!(bytes, encode_weights(&network, &weights, &metadata));
    assert_eq!(sha256_hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[test]
fn weights_of_another_network_are_refused_by_name() {
    let (small, large) = (network(&[5, 10]), network(&[6, 10]));
    let weights = small.init(&Init::He(He {}), 1);
    let bytes = encode_weights(&small, &weights, &WeightsMetadata::new(&small, "digits", LOSS));
    let message = |network: &Network, bytes: &[u8]| decode_weights(bytes, network).expect_err("wrong").to_string();
    assert_eq!(message(&large, &bytes), "the tensor `W1` has shape [784, 5]; the network needs [784, 6]");
    assert!(message(&network(&[5, 10, 10]), &bytes).contains("`W3` of shape [10, 10] is missing"));
    assert_eq!(message(&network(&[5]), &bytes), "the network has no tensor `W2`; it has W1 [784, 5], b1 [5]");
    assert!(message(&small, &bytes[..100]).starts_with("not a safetensors file"));
    let mut spoiled = weights;
    spoiled[0] = f32::INFINITY;
    let bytes = encode_weights(&small, &spoiled, &WeightsMetadata::new(&small, "digits", LOSS));
    assert!(message(&small, &bytes).contains("`W1` holds a number that is not finite"));
}

/// A network of layers with all their fields, as a stored spec has them.
fn layers(input: &[usize], layers: Value) -> Network {
    let layers: Vec<LayerSpec> = serde_json::from_value(layers).expect("complete layers");
    Network::build(&Shape::new(input), &layers).expect("a sound network")
}

/// A safetensors file of these tensors.
fn file(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let bytes: Vec<_> = tensors.iter().map(|(.., values)| to_bytes(values)).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).expect("four bytes a value"))
    });
    serialize(views, None).expect("a file")
}

/// Numbers that differ from place to place.
fn numbers(seed: usize, len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + seed * 11) % 64) as f32 / 32.0 - 1.0).collect()
}

#[test]
fn axes_in_another_order_are_recognised() {
    let conv = json!({"type": "conv2d", "filters": 3, "kernel": 2, "stride": 1, "padding": 0, "init": null});
    let network = layers(&[2, 4, 3], json!([conv, {"type": "affine", "units": 4}]));
    let (w1, w2) = (numbers(1, 24), numbers(2, 72));
    for (w1_shape, w2_shape, words) in [
        (&[3, 2, 2, 2][..], &[4, 18][..], "`W2` has shape [4, 18]; the network needs [18, 4], its transpose"),
        (
            &[2, 2, 2, 3],
            &[18, 4],
            "`W1` has shape [2, 2, 2, 3]; the network needs [3, 2, 2, 2], the same axes in another",
        ),
        (&[3, 8], &[18, 4], "`W1` has shape [3, 8]; the network needs [3, 2, 2, 2]"),
    ] {
        let bytes =
            file(&[("W1", w1_shape, &w1), ("b1", &[3], &w1[..3]), ("W2", w2_shape, &w2), ("b2", &[4], &w1[..4])]);
        let message = decode_weights(&bytes, &network).expect_err("wrong shapes").to_string();
        assert!(message.contains(words), "{message}");
    }
    let message = decode_weights(&file(&[]), &network).expect_err("nothing").to_string();
    assert!(message.ends_with("is missing; the file has none"), "{message}");
    let message =
        decode_weights(&file(&[("fc.weight", &[3], &w1[..3])]), &network).expect_err("other names").to_string();
    assert_eq!(message, "the network has no tensor `fc.weight`; it has W1 [3, 2, 2, 2], b1 [3], W2 [18, 4], b2 [4]");
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let tensor = |name: &str, range: &str| {
        format!("\"{name}\": {{\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": {range}}}")
    };
    let header = format!("{{{}, {}}}", tensor("b1", "[0, 4]"), tensor("b1", "[0, 4]"));
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
    let error = decode_weights(&bytes, &network(&[1])).unwrap_err().to_string();
    assert_eq!(error, "not a safetensors file: its header has `b1` twice");
}

#[test]
fn a_negative_variance_is_refused() {
    let network = layers(&[3], json!([{"type": "batch_norm", "momentum": 0.9, "epsilon": 1e-5}]));
    let of = |variance: &[f32]| {
        let ones: &[f32] = &[1.0; 3];
        let (mean, variance) = (("running_mean1", &[3][..], ones), ("running_var1", &[3][..], variance));
        decode_weights(&file(&[("gamma1", &[3], ones), ("beta1", &[3], ones), mean, variance]), &network)
    };
    assert!(of(&[0.0, 1.0, 2.0]).is_ok());
    let message = of(&[1.0, -0.1, 2.0]).expect_err("no variance").to_string();
    assert_eq!(message, "the tensor `running_var1` holds a negative number; variances are at least 0");
}

/// The book's formulas, with the indices in the order in which files have them.
#[test]
fn a_convolutions_file_is_read_as_the_field_writes_it() {
    let conv = json!({"type": "conv2d", "filters": 3, "kernel": 2, "stride": 1, "padding": 0, "init": null});
    let network = layers(&[2, 4, 3], json!([conv, {"type": "affine", "units": 4}]));
    let (w1, b1, w2, b2) = (numbers(1, 3 * 2 * 2 * 2), numbers(2, 3), numbers(3, 3 * 3 * 2 * 4), numbers(4, 4));
    let bytes = file(&[("W1", &[3, 2, 2, 2], &w1), ("b1", &[3], &b1), ("W2", &[18, 4], &w2), ("b2", &[4], &b2)]);
    let weights = decode_weights(&bytes, &network).expect("sound weights");
    let x = numbers(5, 2 * 4 * 3);
    let mut outputs = b2.clone();
    for f in 0..3 {
        for (i, j) in (0..3).flat_map(|i| (0..2).map(move |j| (i, j))) {
            let mut y = b1[f];
            for (c, u, v) in (0..8).map(|k| (k / 4, k / 2 % 2, k % 2)) {
                y += w1[((f * 2 + c) * 2 + u) * 2 + v] * x[(c * 4 + i + u) * 3 + j + v];
            }
            let row = (f * 3 + i) * 2 + j;
            outputs.iter_mut().zip(&w2[row * 4..]).for_each(|(sum, w)| *sum += y * w);
        }
    }
    let sum: f32 = outputs.iter().map(|y| y.exp()).sum();
    let found = Model::new(network, &weights, LOSS, 4).infer(&x);
    for (found, expected) in found.iter().zip(&outputs) {
        assert!((found - expected.exp() / sum).abs() < 1e-5, "{found} instead of {}", expected.exp() / sum);
    }

    // And what we write, whoever reads it finds in the same places.
    let network = layers(&[2, 4, 3], json!([conv, {"type": "affine", "units": 4}]));
    let ours = encode_weights(&network, &weights, &WeightsMetadata::new(&network, "digits", LOSS));
    let ours = SafeTensors::deserialize(&ours).expect("our own bytes");
    for (name, shape, values) in [("W1", &[3, 2, 2, 2][..], &w1), ("W2", &[18, 4], &w2)] {
        let view = ours.tensor(name).expect("a tensor");
        assert_eq!((view.shape(), &floats(view.data())), (shape, values), "{name}");
    }
}

/// How many of MNIST's test images a file of the book's weights reads; `None` without the files.
fn reads(name: &str, network: Network) -> Option<usize> {
    let [Some(book), Some(mnist)] = ["DOJANG_BOOK_DIR", "DOJANG_MNIST_DIR"].map(std::env::var_os) else {
        eprintln!("skipped: DOJANG_BOOK_DIR and DOJANG_MNIST_DIR are not both set");
        return None;
    };
    let book = std::path::Path::new(&book).join(name);
    let weights = decode_weights(&std::fs::read(book).expect("a file"), &network).expect("the book's weights");
    let mnist = crate::data::mnist::MNIST.load(std::path::Path::new(&mnist)).expect("MNIST");
    let samples = mnist.test.samples(None);
    let mut x = vec![0.0; samples.len() * 784];
    x.chunks_exact_mut(784).enumerate().for_each(|(index, x)| samples.read(index, x));
    let y = Model::new(network, &weights, LOSS, 10).infer(&x);
    let hits = |(y, t): &(&[f32], &u16)| crate::engine::loss::argmax(y) == usize::from(**t);
    Some(y.chunks(10).zip(&mnist.test.labels).filter(hits).count())
}

/// The book's published weights read as many of the test images as with NumPy: 93.52 % and 98.90 %.
#[test]
fn the_books_weights_read_what_they_should() {
    if let Some(hits) = reads("three_layer_sigmoid.safetensors", network(&[50, 100, 10])) {
        assert_eq!(hits, 9352);
    }
    let convnet = json!([
        {"type": "conv2d", "filters": 30, "kernel": 5, "stride": 1, "padding": 0, "init": null}, {"type": "relu"},
        {"type": "max_pool2d", "kernel": 2, "stride": null, "padding": 0},
        {"type": "affine", "units": 100}, {"type": "relu"}, {"type": "affine", "units": 10},
    ]);
    if let Some(hits) = reads("simple_convnet.safetensors", layers(&[1, 28, 28], convnet)) {
        assert_eq!(hits, 9890);
    }
}
