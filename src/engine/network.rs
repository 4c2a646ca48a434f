//! Layers in a row over one flat parameter buffer.
//!
//! The network holds no weights: it knows which range of the buffer belongs to which layer, so that updating, hashing,
//! saving and checking are one loop each.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};

use super::init::Init;
use super::layer::{Layer, LayerError, LayerSpec, Role};
use super::rng::{Purpose, Rng};
use super::shape::Shape;
use super::shard::Layout;

/// Most parameters of a network: 16 GiB of them. Larger ones are refused before anything is laid out.
const MAX_PARAMETERS: usize = 1 << 32;

/// A network for one input shape.
#[derive(Debug)]
pub struct Network {
    input: Shape,
    nodes: Vec<Node>,
    tensors: Vec<Tensor>,
    tiles: Vec<Tile>,
    len: usize,
    flops: usize,
}

#[derive(Debug)]
struct Node {
    name: &'static str,
    layer: Box<dyn Layer>,
    range: Range<usize>,
}

/// One named parameter tensor and its place in the flat buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// `W1`, `b1`, `W2`, …: numbered over the layers that have parameters, as the book's `params` are.
    pub name: String,
    /// Its axes.
    pub shape: Shape,
    /// What it is to initialisation and weight decay.
    pub role: Role,
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
    /// Whether weight decay applies.
    pub(super) decays: bool,
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
        let mut network =
            Self { input: input.clone(), nodes: vec![], tensors: vec![], tiles: vec![], len: 0, flops: 0 };
        for (index, spec) in specs.iter().enumerate() {
            let shape = network.output().clone();
            let layer = spec.build(&shape).map_err(|error| NetworkError { index, error })?;
            network.push(spec.name(), layer).ok_or_else(|| NetworkError {
                index,
                error: LayerError { field: None, detail: "the network has more than 2^32 parameters".into() },
            })?;
        }
        Ok(network)
    }

    /// Appends a layer; `None` where its size overflows.
    fn push(&mut self, name: &'static str, layer: Box<dyn Layer>) -> Option<()> {
        let (start, index) = (self.len, self.nodes.len());
        layer.output().checked_len()?;
        let number = 1 + self.nodes.iter().filter(|node| !node.range.is_empty()).count();
        for parameter in layer.parameters() {
            let end = self.len.checked_add(parameter.shape.checked_len()?)?;
            self.tensors.push(Tensor {
                name: format!("{}{number}", parameter.name),
                shape: parameter.shape.clone(),
                role: parameter.role,
                range: self.len..end,
            });
            self.len = end;
        }
        self.flops = self.flops.checked_add(layer.flops())?;
        self.nodes.push(Node { name, layer, range: start..self.len });
        if self.len > MAX_PARAMETERS {
            return None;
        }
        for local in self.nodes[index].layer.gradient_tiles() {
            let range = start + local.start..start + local.end;
            let decays = self
                .tensors
                .iter()
                .any(|tensor| tensor.range.contains(&range.start) && matches!(tensor.role, Role::Weight { .. }));
            self.tiles.push(Tile { layer: index, local, range, decays });
        }
        Some(())
    }

    /// Shape of one input sample.
    pub fn input(&self) -> &Shape {
        &self.input
    }

    /// Shape of one output sample.
    pub fn output(&self) -> &Shape {
        self.nodes.last().map_or(&self.input, |node| node.layer.output())
    }

    /// Number of parameters.
    pub fn parameter_count(&self) -> usize {
        self.len
    }

    /// The named parameter tensors, in the order of the flat buffer.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The layers as a reader of a plan sees them.
    pub fn summary(&self) -> Vec<LayerSummary> {
        let describe = |node: &Node| LayerSummary {
            name: node.name.into(),
            output: node.layer.output().clone(),
            parameters: node.range.len(),
        };
        self.nodes.iter().map(describe).collect()
    }

    /// Floating-point operations of one sample's forward pass, about.
    pub fn flops(&self) -> usize {
        self.flops
    }

    /// Initial parameters: a pure function of the seed.
    pub fn init(&self, init: &Init, seed: u64) -> Vec<f32> {
        let mut parameters = vec![0.0; self.len];
        for (index, tensor) in self.tensors.iter().enumerate() {
            let mut rng = Rng::new(seed, Purpose::Init, index as u64, 0);
            init.fill(tensor.role, &mut rng, &mut parameters[tensor.range.clone()]);
        }
        parameters
    }

    /// Values of one sample at every level: the input, then each layer's output.
    pub(super) fn widths(&self) -> Vec<usize> {
        std::iter::once(self.input.len()).chain(self.nodes.iter().map(|node| node.layer.output().len())).collect()
    }

    pub(super) fn tiles(&self) -> &[Tile] {
        &self.tiles
    }

    pub(super) fn layer(&self, index: usize) -> &dyn Layer {
        self.nodes[index].layer.as_ref()
    }

    /// Runs `rows` samples of a shard from its input to the last layer's output.
    pub(super) fn forward(&self, parameters: &[f32], layout: &Layout, shard: &mut [f32], rows: usize) {
        for (level, node) in self.nodes.iter().enumerate() {
            let (x, y) = layout.value_pair(shard, level, rows);
            node.layer.forward(&parameters[node.range.clone()], x, y);
        }
    }

    /// Runs `rows` samples of a shard from the last layer's output gradient down to the first layer that needs it.
    pub(super) fn backward(&self, parameters: &[f32], layout: &Layout, shard: &mut [f32], rows: usize) {
        let lowest = if layout.has_input_gradient() { 0 } else { self.first_with_parameters() + 1 };
        for (index, node) in self.nodes.iter().enumerate().skip(lowest).rev() {
            let views = layout.backward(shard, index, rows);
            node.layer.backward(&parameters[node.range.clone()], views.x, views.y, views.dy, views.dx);
        }
    }

    /// Below this layer nobody asks for a gradient.
    fn first_with_parameters(&self) -> usize {
        self.nodes.iter().position(|node| !node.range.is_empty()).unwrap_or(self.nodes.len())
    }

    /// The forward pass in `f64` by each layer's plain formula: the oracle of the fast one. `x` is `[N, inputs]`.
    pub fn reference(&self, parameters: &[f64], x: &ArrayView2<'_, f64>) -> Array2<f64> {
        self.nodes.iter().fold(x.to_owned(), |x, node| node.layer.reference(&parameters[node.range.clone()], x.view()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::layer::{affine::Affine, relu::Relu};
    use super::*;

    fn two_layer_net() -> Network {
        let specs = [
            LayerSpec::Affine(Affine { units: 50 }),
            LayerSpec::Relu(Relu {}),
            LayerSpec::Affine(Affine { units: 10 }),
        ];
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
            assert_eq!(tile.decays, tensor.name.starts_with('W'));
        }
        assert_eq!(next, network.parameter_count());
    }

    #[test]
    fn initial_weights_depend_on_the_seed_alone() {
        let network = two_layer_net();
        let he = Init::He(super::super::init::He {});
        assert_eq!(network.init(&he, 1), network.init(&he, 1));
        assert_ne!(network.init(&he, 1), network.init(&he, 2));
    }
}
