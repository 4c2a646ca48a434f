//! Every layer against PyTorch: `tests/golden/activations.py` and `tests/golden/layers.py`.

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::infer::{Rows, Sizes};
use crate::loss::{Loss, Outputs};
use crate::network::{Network, Weights};
use crate::samples::{Inputs, Samples};
use crate::shape::Shape;
use crate::step::{Step as Pass1, Workspace};
use crate::update::{Place, Update};

const AT: Context<'static> =
    Context { parameters: &[], prepared: &[], transformed: &[], pass: Pass::Infer, layer: 0, first_row: 0, pieces: 1 };

#[derive(Deserialize)]
struct Curve {
    layer: LayerSpec,
    x: Vec<f32>,
    y: Vec<f64>,
    slope: Vec<f64>,
}

fn assert_close(what: &str, found: &[f32], expected: &[f64], least: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let error = (f64::from(*found) - expected).abs() / expected.abs().max(least);
        assert!(error < 1e-5, "{what}: {found} instead of {expected}");
    }
}

#[test]
fn every_activation_follows_pytorch() {
    let cases: Vec<Curve> =
        serde_json::from_str(include_str!("../../tests/golden/activations.json")).expect("the golden file");
    for case in cases {
        let layer = case.layer.build(&Form::planar(Shape::new(&[case.x.len()]))).expect("an activation");
        let mut y = vec![0.0; case.x.len()];
        layer.forward(&AT, &mut [], &case.x, &mut y);
        // Where a slope is the small difference of numbers near 1, f32 has no more than 1e-7 of it.
        assert_close(&format!("the value of {:?}", case.layer), &y, &case.y, 0.1);
        let (mut dx, dy) = (vec![0.0; case.x.len()], vec![1.0; y.len()]);
        layer.backward(&AT, &mut [], Backward { x: &case.x, y: &y, kept: &[], dy: &dy, dx: &mut dx });
        assert_close(&format!("the slope of {:?}", case.layer), &dx, &case.slope, 0.1);
    }
}

#[test]
fn every_layer_has_golden_values() {
    let files = [include_str!("../../tests/golden/activations.json"), include_str!("../../tests/golden/layers.json")];
    let seen: BTreeSet<String> = files
        .iter()
        .flat_map(|text| {
            let file: Value = serde_json::from_str(text).expect("a golden file");
            let cases = file.get("cases").unwrap_or(&file).as_array().expect("cases").clone();
            cases.into_iter().map(|case| case["layer"]["type"].as_str().expect("a layer").to_owned())
        })
        .collect();
    // Dropout's masks are ours: its own tests hold it.
    let without: Vec<_> =
        entries().iter().map(|entry| entry.name).filter(|name| !seen.contains(*name) && *name != "dropout").collect();
    assert!(without.is_empty(), "without golden values: {without:?}");
}

#[derive(Debug, Deserialize)]
struct Array {
    values: Vec<f32>,
}

#[derive(Debug, Deserialize)]
struct Case {
    layer: Option<Value>,
    layers: Option<Vec<Value>>,
    input: Vec<usize>,
    n: usize,
    mode: String,
    #[serde(default)]
    parameters: BTreeMap<String, Array>,
    /// Running statistics before the first batch.
    #[serde(default)]
    before: BTreeMap<String, Vec<f32>>,
    x: Vec<f32>,
    y: Vec<f64>,
    dy: Vec<f32>,
    dx: Vec<f64>,
    #[serde(default)]
    gradients: BTreeMap<String, Vec<f64>>,
    /// The second batch, and the running statistics after both.
    next_x: Option<Vec<f32>>,
    after: Option<BTreeMap<String, Vec<f64>>>,
}

/// A loss whose gradient is given.
#[derive(Debug)]
struct Upstream<'a>(&'a [f32]);

impl Loss for Upstream<'_> {
    fn outputs(&self, classes: usize) -> Outputs {
        Outputs::PerClass(classes)
    }

    fn row_loss(&self, _outputs: &[f32], _label: u16) -> f64 {
        0.0
    }

    /// The label is the row's number.
    fn row_loss_and_gradient(&self, outputs: &[f32], label: u16, _scale: f32, gradient: &mut [f32]) -> f64 {
        gradient.copy_from_slice(&self.0[usize::from(label) * outputs.len()..][..outputs.len()]);
        0.0
    }

    fn predicted_class(&self, _outputs: &[f32]) -> usize {
        0
    }

    fn predictions(&self, _outputs: &[f32], _classes: usize, _predictions: &mut [f32]) {}

    fn row_reference(&self, _outputs: ndarray::ArrayView1<'_, f64>, _label: u16) -> f64 {
        0.0
    }
}

/// A layer of the golden file as the checks of a job spec would complete it.
fn complete(layer: &Value) -> LayerSpec {
    let mut layer = layer.clone();
    let kind = layer["type"].as_str().expect("a type").to_owned();
    let members = layer.as_object_mut().expect("an object");
    if ["conv2d", "affine"].contains(&kind.as_str()) {
        members.entry("init").or_insert(Value::Null);
    }
    serde_json::from_value(layer).unwrap_or_else(|error| panic!("{kind}: {error}"))
}

/// The name in the golden file of a tensor such as `W1`.
fn plain(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

impl Case {
    fn network(&self) -> Network {
        let layers: Vec<LayerSpec> = match (&self.layer, &self.layers) {
            (Some(layer), _) => vec![complete(layer)],
            (None, Some(layers)) => layers.iter().map(complete).collect(),
            _ => panic!("a case without layers"),
        };
        Network::build(&Shape::new(&self.input), &layers).expect("a sound network")
    }

    fn parameters(&self, network: &Network) -> Vec<f32> {
        let mut parameters = vec![0.0; network.parameter_count()];
        for tensor in network.tensors() {
            let name = plain(&tensor.name);
            let values = self.parameters.get(name).map(|array| &array.values).or_else(|| self.before.get(name));
            let values = values.unwrap_or_else(|| panic!("no {name} in {:?}", self.layer));
            parameters[tensor.range.clone()].copy_from_slice(&tensor.storage.from_file(values));
        }
        parameters
    }

    fn what(&self) -> String {
        format!(
            "{} on {} × {:?}, {}",
            self.layer.as_ref().map_or("a stack".into(), Value::to_string),
            self.n,
            self.input,
            self.mode
        )
    }

    fn check_training(&self) {
        let (network, what) = (self.network(), self.what());
        let mut parameters = self.parameters(&network);
        let labels: Vec<u16> = (0..self.n as u16).collect();
        let indices: Vec<u32> = (0..self.n as u32).collect();
        let mut work = Workspace::new(&network, self.n, true);
        let pass = Pass::Train { seed: 0, step: 0 };
        let loss = Upstream(&self.dy);
        let step = |parameters: &[f32], x: &[f32], work: &mut Workspace| {
            let samples = Samples::new(Inputs::Floats(x), &labels, network.input().len());
            Pass1 { network: &network, loss: &loss, parameters, pass }.differentiate(work, &samples, &indices);
        };
        step(&parameters, &self.x, &mut work);
        let y: Vec<f32> = work.level(network.depth()).flatten().copied().collect();
        assert_close(&format!("y of {what}"), &y, &self.y, 1.0);
        assert_close(&format!("dx of {what}"), &work.input_gradient(), &self.dx, 1.0);
        // A learning rate of 0: only running statistics change.
        let still = crate::optimizer::sgd::Sgd { learning_rate: 0.0 };
        let update =
            Update { network: &network, optimizer: &still, clip: None, weight_decay: 0.0, keep_gradient: true };
        let moment = crate::optimizer::Moment::of(&still, 1, 0.0);
        update.run(&mut work, moment, Place { parameters: &mut parameters, slots: Default::default() });
        for tensor in network.tensors() {
            if let Some(expected) = self.gradients.get(plain(&tensor.name)) {
                let found = tensor.storage.to_file(&work.gradient[tensor.range.clone()]);
                assert_close(&format!("d{} of {what}", tensor.name), &found, expected, 1.0);
            }
        }
        if let (Some(x), Some(after)) = (&self.next_x, &self.after) {
            step(&parameters, x, &mut work);
            update.run(&mut work, moment, Place { parameters: &mut parameters, slots: Default::default() });
            for tensor in network.tensors() {
                if let Some(expected) = after.get(plain(&tensor.name)) {
                    let found = tensor.storage.to_file(&parameters[tensor.range.clone()]);
                    assert_close(&format!("{} of {what}", tensor.name), &found, expected, 1.0);
                }
            }
        }
    }

    /// In images of one channel, and in rows, the values lie as in the file.
    fn check_predicting(&self) {
        let (network, what) = (self.network(), self.what());
        let parameters = self.parameters(&network);
        let sizes = Sizes::new(&network, self.n).expect("a small network");
        let mut memory = sizes.memory();
        let transformed = network.transformed(&parameters);
        let weights = Weights::predicting(&parameters, &transformed);
        let width = self.x.len() / self.n;
        let read = |rows: Range<usize>, x: &mut [f32]| x.copy_from_slice(&self.x[rows.start * width..rows.end * width]);
        let y = network.infer(weights, sizes, &mut memory, self.n, Rows::Read(&read));
        assert_close(&format!("y of {what}"), y, &self.y, 1.0);
        if network.depth() == 1 {
            let at = network.context(0, weights, Pass::Infer, 0);
            let y: Vec<f32> = self.y.iter().map(|y| *y as f32).collect();
            let mut dx = vec![0.0; self.x.len()];
            network.layer(0).backward(
                &at,
                &mut [],
                Backward { x: &self.x, y: &y, kept: &[], dy: &self.dy, dx: &mut dx },
            );
            assert_close(&format!("dx of {what}"), &dx, &self.dx, 1.0);
        }
    }
}

#[test]
fn every_layer_follows_pytorch() {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<Case>,
        stacks: Vec<Case>,
    }
    let file: File = serde_json::from_str(include_str!("../../tests/golden/layers.json")).expect("the golden file");
    for case in file.cases.iter().chain(&file.stacks) {
        if case.mode == "train" { case.check_training() } else { case.check_predicting() }
    }
}
