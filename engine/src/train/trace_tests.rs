//! The book's networks, trained for 50 steps from equal weights on equal batches, lose as PyTorch's do:
//! `tests/golden/nets.py`.

use serde::Deserialize;
use serde_json::Value;

use crate::layer::{LayerSpec, Pass};
use crate::loss::softmax_cross_entropy::SoftmaxCrossEntropy;
use crate::network::Network;
use crate::optimizer::{Moment, OptimizerSpec};
use crate::samples::{Inputs, Samples};
use crate::shape::Shape;
use crate::step::{Step, Workspace};
use crate::update::{Place, Update};

#[derive(Deserialize)]
struct Net {
    name: String,
    input: Vec<usize>,
    batch_size: usize,
    network: Vec<Value>,
    optimizer: OptimizerSpec,
    weight_decay: f64,
    parameters: Vec<Parameter>,
    losses_f64: Vec<f64>,
    final_abs_sum_f64: Vec<f64>,
}

#[derive(Deserialize)]
struct Parameter {
    name: String,
    stream: u64,
    shape: Vec<usize>,
}

/// Value `k` of stream `s`: S. Vigna's splitmix64.
fn hash(s: u64, k: u64) -> u64 {
    let z = ((s << 32) + k).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn weights(parameter: &Parameter) -> Vec<f32> {
    let len = parameter.shape.iter().product::<usize>() as u64;
    let fan_in = match parameter.shape[..] {
        [inputs, _] => inputs,
        [_, channels, height, width] => channels * height * width,
        _ => 1,
    } as f64;
    let uniform = |k| (hash(parameter.stream, k) >> 40) as f64 / f64::from(1 << 23) - 1.0;
    let value = |k| match parameter.name.as_str() {
        "W" => (uniform(k) * (6.0 / fan_in).sqrt()) as f32,
        "gamma" => 1.0,
        _ => 0.0,
    };
    (0..len).map(value).collect()
}

/// The images and labels of a step.
fn batch(step: u64, size: usize) -> (Vec<f32>, Vec<u16>) {
    let (mut x, mut labels) = (Vec::new(), Vec::new());
    for i in 0..size as u64 {
        let label = (hash(2000 + step, i) >> 60) % 10;
        let (top, left) = (4 + 9 * (label / 4), 1 + 7 * (label % 4));
        for p in 0..784 {
            let inside = (top..top + 6).contains(&(p / 28)) && (left..left + 6).contains(&(p % 28));
            let byte = if inside { 255 } else { (hash(1000 + step, i * 784 + p) >> 56) as u8 };
            x.push(f32::from(byte) / 255.0);
        }
        labels.push(label as u16);
    }
    (x, labels)
}

fn network(net: &Net) -> Network {
    let complete = |layer: &Value| -> LayerSpec {
        let mut layer = layer.clone();
        if layer.get("filters").or_else(|| layer.get("units")).is_some() {
            layer["init"] = Value::Null;
        }
        serde_json::from_value(layer).expect("a layer")
    };
    let layers: Vec<_> = net.network.iter().map(complete).collect();
    Network::build(&Shape::new(&net.input), &layers).expect("a sound network")
}

/// The losses of all steps, and the parameters at the end.
fn train(net: &Net, network: &Network) -> (Vec<f64>, Vec<f32>) {
    let mut parameters = network.init(&crate::init::Init::Zeros(crate::init::Zeros {}), 0);
    let trained = network.tensors().iter().filter(|tensor| !tensor.name.starts_with("running"));
    for (tensor, parameter) in trained.zip(&net.parameters) {
        assert_eq!(tensor.shape.axes(), parameter.shape, "{} of {}", tensor.name, net.name);
        parameters[tensor.range.clone()].copy_from_slice(&tensor.storage.from_file(&weights(parameter)));
    }
    let (loss, optimizer) = (SoftmaxCrossEntropy::default(), net.optimizer.rule());
    let mut slots = vec![vec![0.0; parameters.len()]; optimizer.slots()];
    let indices: Vec<u32> = (0..net.batch_size as u32).collect();
    let mut work = Workspace::new(network, net.batch_size, false);
    let update = Update { network, optimizer, clip: None, weight_decay: net.weight_decay as f32, keep_gradient: false };
    let losses = (0..net.losses_f64.len() as u64).map(|step| {
        let (x, labels) = batch(step, net.batch_size);
        let samples = Samples::new(Inputs::Floats(&x), &labels, network.input().len());
        let pass = Pass::Train { seed: 0, step };
        let score =
            Step { network, loss: &loss, parameters: &parameters, pass }.differentiate(&mut work, &samples, &indices);
        let moment = Moment::of(optimizer, step + 1, optimizer.learning_rate());
        let mut slots = slots.iter_mut().map(Vec::as_mut_slice);
        let slots = std::array::from_fn(|_| slots.next().unwrap_or_default());
        update.run(&mut work, moment, Place { parameters: &mut parameters, slots });
        score.mean_loss().expect("samples")
    });
    (losses.collect(), parameters)
}

#[test]
fn the_books_networks_lose_as_pytorchs_do() {
    #[derive(Deserialize)]
    struct File {
        hash_examples: Vec<(u64, u64, String)>,
        nets: Vec<Net>,
    }
    let file: File = serde_json::from_str(include_str!("../../tests/golden/nets.json")).expect("the golden file");
    for (s, k, expected) in file.hash_examples {
        assert_eq!(format!("{:016x}", hash(s, k)), expected);
    }
    assert_eq!(file.nets.len(), 5);
    for net in &file.nets {
        let network = network(net);
        let (losses, parameters) = train(net, &network);
        for (step, (loss, expected)) in losses.iter().zip(&net.losses_f64).enumerate() {
            let error = (loss - expected).abs() / expected;
            assert!(error < 1e-3, "{}, step {step}: {loss} instead of {expected}", net.name);
        }
        let trained = network.tensors().iter().filter(|tensor| !tensor.name.starts_with("running"));
        for (tensor, expected) in trained.zip(&net.final_abs_sum_f64) {
            let sum: f64 = parameters[tensor.range.clone()].iter().map(|w| f64::from(w.abs())).sum();
            // A bias before batch normalisation has no gradient but rounding.
            assert!(
                (sum - expected).abs() < 1e-3 * expected + 1e-4,
                "{} of {}: {sum}, {expected}",
                tensor.name,
                net.name
            );
        }
    }
}
