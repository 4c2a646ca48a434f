//! Layers in a row over one flat parameter buffer.
//!
//! The network holds no weights: it knows which range of the buffer belongs to which layer, so that updating, hashing,
//! saving and checking are one loop each.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};

use super::aligned::LINE;
use super::form::Form;
use super::init::Init;
use super::layer::reorder::Reorder;
use super::layer::{Layer, LayerError, LayerSpec, Memory, Pass, Reference, Role, Storage};
use super::rng::{Purpose, Rng};
use super::segment::{Segment, segments};
use super::shape::Shape;

mod place;
mod weights;

pub(super) use weights::{Prepared, Weights};

/// Most parameters of a network: 16 GiB of them. Larger ones are refused before anything is laid out.
const MAX_PARAMETERS: usize = 1 << 32;

/// A network for one input shape.
#[derive(Debug)]
pub struct Network {
    input: Form,
    /// The spec's layers.
    shown: Vec<Shown>,
    nodes: Vec<Node>,
    segments: Vec<Segment>,
    tensors: Vec<Tensor>,
    tiles: Vec<Tile>,
    len: usize,
    prepared: usize,
    transformed: usize,
    flops: usize,
}

#[derive(Debug)]
struct Node {
    /// The spec's layer; `None` for what the network put there itself.
    spec: Option<usize>,
    layer: Box<dyn Layer>,
    /// Its parameters.
    range: Range<usize>,
    /// The same, prepared.
    prepared: Range<usize>,
    /// The same, transformed.
    transformed: Range<usize>,
}

impl Node {
    /// Its index in the spec, or in the network if it is in none: what random draws depend on, for which layers are worked
    /// out together is a matter of the processor.
    fn index(&self, in_network: usize) -> usize {
        self.spec.unwrap_or(in_network)
    }
}

/// A layer of the spec, and where its outputs are found.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) summary: LayerSummary,
    /// The level of its outputs: 0 is the network's input, then each layer's output.
    pub(super) level: usize,
    /// What they are to that level.
    pub(super) outputs: Outputs,
    /// The layer that works it out, if it is not one that has taken it in.
    pub(super) node: Option<usize>,
}

/// What the outputs of a spec's layer are to the level where they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outputs {
    /// The level's values.
    Values,
    /// The values rectified: of a ReLU that the pool after it has taken in.
    Rectified,
    /// What the node would give without a ReLU that it has taken in; the level is its input.
    Plain(usize),
    /// What the [first](Layer::first) of the node's layers gives, rectified if so; the level is the node's input.
    First {
        /// The node.
        node: usize,
        /// Whether a ReLU comes after it.
        rectified: bool,
    },
}

/// One named parameter tensor and its place in the flat buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// `W1`, `b1`, `W2`, …: numbered over the layers that have parameters, as the book's `params` are.
    pub name: String,
    /// Its axes, as files have them.
    pub shape: Shape,
    /// How its values lie in the flat buffer.
    pub storage: Storage,
    /// What it is to initialisation, training and weight decay.
    pub role: Role,
    /// How it starts, if not as the job says.
    pub init: Option<Init>,
    /// Where it lies.
    pub range: Range<usize>,
}

/// A piece of gradient and update work.
#[derive(Debug, Clone)]
pub(super) struct Tile {
    /// The layer's index.
    pub(super) layer: usize,
    /// The part of that layer's own parameters.
    pub(super) local: Range<usize>,
    /// The same part in the flat buffer.
    pub(super) range: Range<usize>,
    /// What they are.
    pub(super) role: Role,
}

/// A layer as a reader of a plan sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LayerSummary {
    /// Its canonical name.
    #[serde(rename = "type")]
    pub name: String,
    /// Shape of one output sample.
    pub output: Shape,
    /// Number of parameters.
    pub parameters: usize,
}

/// Why a network cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layer {index}: {error}")]
pub struct NetworkError {
    /// Index of the layer at fault.
    pub index: usize,
    /// Its fault.
    pub error: LayerError,
}

impl Network {
    /// The network of these layers on inputs of this shape.
    ///
    /// # Errors
    /// The first layer that cannot stand where it is.
    pub fn build(input: &Shape, specs: &[LayerSpec]) -> Result<Self, NetworkError> {
        let mut network = Self {
            input: Form::planar(input.clone()),
            shown: vec![],
            nodes: vec![],
            segments: vec![],
            tensors: vec![],
            tiles: vec![],
            len: 0,
            prepared: 0,
            transformed: 0,
            flops: 0,
        };
        let mut next = 0;
        while next < specs.len() {
            next += network.place(specs, next)?;
        }
        if let Some(image) = network.form().interleaved() {
            let planar = Reorder::planar(network.form(), image);
            // As large as the level before it, which has been counted.
            network.push(None, Box::new(planar));
        }
        network.segments = segments(&network);
        Ok(network)
    }

    /// Appends a layer; `None` where its size overflows.
    fn push(&mut self, spec: Option<usize>, layer: Box<dyn Layer>) -> Option<()> {
        let (start, index) = (self.len, self.nodes.len());
        layer.output().shape().checked_len()?;
        let number = 1 + self.nodes.iter().filter(|node| !node.range.is_empty()).count();
        for parameter in layer.parameters() {
            let end = self.len.checked_add(parameter.shape.checked_len()?)?;
            self.tensors.push(Tensor {
                name: format!("{}{number}", parameter.name),
                shape: parameter.shape.clone(),
                storage: parameter.storage.clone(),
                role: parameter.role,
                init: parameter.init.clone(),
                range: self.len..end,
            });
            self.len = end;
        }
        self.flops = self.flops.checked_add(layer.flops())?;
        let prepared = self.prepared;
        let Memory { prepared: wanted, can_do_without, transformed, .. } = layer.memory();
        let unused = can_do_without && number == 1;
        let end = prepared.checked_add(if unused { 0 } else { wanted })?;
        // The next one begins at a cache line.
        self.prepared = end.checked_next_multiple_of(LINE)?;
        let transformed = self.transformed..self.transformed.checked_add(transformed)?;
        self.transformed = transformed.end.checked_next_multiple_of(LINE)?;
        self.nodes.push(Node { spec, layer, range: start..self.len, prepared: prepared..end, transformed });
        if self.len > MAX_PARAMETERS {
            return None;
        }
        for local in self.nodes[index].layer.gradient_tiles() {
            let range = start + local.start..start + local.end;
            let tensor = self.tensors.iter().find(|tensor| tensor.range.contains(&range.start))?;
            self.tiles.push(Tile { layer: index, local, range, role: tensor.role });
        }
        Some(())
    }

    /// Shape of one input sample.
    pub fn input(&self) -> &Shape {
        self.input.shape()
    }

    /// Shape of one output sample.
    pub fn output(&self) -> &Shape {
        self.form().shape()
    }

    /// The form of what the last layer gives.
    fn form(&self) -> &Form {
        self.nodes.last().map_or(&self.input, |node| node.layer.output())
    }

    /// Number of parameters, with the running statistics.
    pub fn parameter_count(&self) -> usize {
        self.len
    }

    /// The named parameter tensors, in the order of the flat buffer.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The layers as a reader of a plan sees them.
    pub fn summary(&self) -> Vec<LayerSummary> {
        self.shown.iter().map(|shown| shown.summary.clone()).collect()
    }

    /// The spec's layers, and where to look for them.
    pub(super) fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// Floating-point operations of one sample's forward pass, about.
    pub fn flops(&self) -> usize {
        self.flops
    }

    /// Initial parameters: a pure function of the seed, which panels do not change. `init` is for the weights whose layer
    /// does not say otherwise.
    pub fn init(&self, init: &Init, seed: u64) -> Vec<f32> {
        let mut parameters = vec![0.0; self.len];
        for (index, tensor) in self.tensors.iter().enumerate() {
            let mut rng = Rng::new(seed, Purpose::Init, index as u64, 0);
            let init = tensor.init.as_ref().unwrap_or(init);
            let values = &mut parameters[tensor.range.clone()];
            init.fill(tensor.role, &mut rng, values);
            if let Storage::Panels(panels, _) = &tensor.storage {
                values.copy_from_slice(&panels.from_rows(values));
            }
        }
        parameters
    }

    /// Number of layers, with those the network put there itself.
    pub(super) fn depth(&self) -> usize {
        self.nodes.len()
    }

    /// Values of one sample at a level: 0 is the input, then each layer's output.
    pub(super) fn width(&self, level: usize) -> usize {
        let form = level.checked_sub(1).map_or(&self.input, |layer| self.nodes[layer].layer.output());
        form.shape().len()
    }

    pub(super) fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn layer(&self, index: usize) -> &dyn Layer {
        self.nodes[index].layer.as_ref()
    }

    /// The spec's index of the layer that a tensor belongs to.
    pub(super) fn layer_of(&self, tensor: &Tensor) -> Option<usize> {
        self.nodes.iter().find(|node| node.range.contains(&tensor.range.start))?.spec
    }

    /// Where a layer's parameters lie in the flat buffer.
    pub(super) fn range(&self, index: usize) -> Range<usize> {
        self.nodes[index].range.clone()
    }

    /// A layer's part of the flat parameter buffer.
    pub(super) fn part<'a>(&self, index: usize, parameters: &'a [f32]) -> &'a [f32] {
        &parameters[self.nodes[index].range.clone()]
    }

    /// Whether a layer or one below it has parameters.
    pub(super) fn learns_at_or_below(&self, layer: usize) -> bool {
        self.nodes[..=layer].iter().any(|node| !node.range.is_empty())
    }

    /// The forward pass in `f64` by each layer's plain formula: the oracle of the fast one. `x` is `[N, inputs]`, a whole
    /// batch.
    pub fn reference(&self, parameters: &[f64], pass: Pass, x: &ArrayView2<'_, f64>) -> Array2<f64> {
        self.nodes.iter().enumerate().fold(x.to_owned(), |x, (layer, node)| {
            let at = Reference { parameters: &parameters[node.range.clone()], pass, layer: node.index(layer) };
            node.layer.reference(&at, x.view())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{affine::Affine, relu::Relu};

    fn two_layer_net() -> Network {
        let specs = [LayerSpec::Affine(Affine::of(50)), LayerSpec::Relu(Relu {}), LayerSpec::Affine(Affine::of(10))];
        Network::build(&Shape::new(&[1, 28, 28]), &specs).expect("a sound network")
    }

    #[test]
    fn parameters_are_named_and_placed_as_in_the_book() {
        let network = two_layer_net();
        let names: Vec<_> = network.tensors().iter().map(|t| (t.name.as_str(), t.range.clone())).collect();
        let expected = [("W1", 0..39_200), ("b1", 39_200..39_250), ("W2", 39_250..39_750), ("b2", 39_750..39_760)];
        assert_eq!(names, expected);
        assert_eq!(network.parameter_count(), 39_760);
        assert_eq!(network.output(), &Shape::new(&[10]));
    }

    #[test]
    fn tiles_cover_the_buffer_in_order_and_biases_do_not_decay() {
        let network = two_layer_net();
        let mut next = 0;
        for tile in network.tiles() {
            assert_eq!(tile.range.start, next);
            next = tile.range.end;
            let tensor = network.tensors().iter().find(|t| t.range.contains(&tile.range.start)).expect("a tensor");
            assert!(tile.range.end <= tensor.range.end, "a tile crosses tensors");
            assert_eq!(matches!(tile.role, Role::Weight { .. }), tensor.name.starts_with('W'));
        }
        assert_eq!(next, network.parameter_count());
    }

    #[test]
    fn initial_weights_depend_on_the_seed_alone() {
        let network = two_layer_net();
        let he = Init::He(crate::init::He {});
        assert_eq!(network.init(&he, 1), network.init(&he, 1));
        assert_ne!(network.init(&he, 1), network.init(&he, 2));
    }
}
