//! A look inside a network while it trains, *Deep Learning from Scratch* §6.2 (distributions of activations): which values
//! flow, which units are dead, how large gradients and updates are.
//!
//! It reads what the last mini-batch left behind, so it costs no pass of its own.

mod histogram;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::layer::{Pass, Role};
use super::network::{Network, Outputs, Shown, Weights};
use super::shape::Shape;
use super::step::Workspace;
pub use histogram::Histogram;
use histogram::norm;

/// Values of a level that a histogram is made of: the first ones of the batch.
const VALUES: usize = 1 << 16;
/// Most filters that are shown, and most values of one.
const FILTERS: usize = 64;
const FILTER_VALUES: usize = 1 << 8;

/// What there is to see after a mini-batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Mini-batches done.
    pub step: u64,
    /// The epoch that ended, from 1; or the first one, while it goes on.
    pub epoch: u64,
    /// The layers, as in the spec.
    pub layers: Vec<LayerLook>,
    /// The filters of the first layer that has some.
    pub filters: Option<Filters>,
}

/// What there is to see of a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerLook {
    /// Its index in the spec.
    pub layer: usize,
    /// Its canonical name.
    #[serde(rename = "type")]
    pub name: String,
    /// Its outputs.
    pub activations: Histogram,
    /// Share of its outputs that were exactly zero for every sample: of a rectifier, dead units.
    pub dead_share: f64,
    /// Its parameters.
    pub parameters: Vec<TensorLook>,
}

/// What there is to see of a parameter tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorLook {
    /// `W1`, `b1`, …
    pub name: String,
    /// Its values.
    pub values: Histogram,
    /// √Σ of its squared values.
    pub norm: f64,
    /// The same of its gradient; 0 of a running statistic.
    pub gradient_norm: f64,
    /// The same of its last change.
    pub update_norm: f64,
}

/// The filters of a convolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Filters {
    /// `W1`, …
    pub name: String,
    /// `[filters, channels, height, width]`; of many filters the first ones.
    pub shape: Shape,
    /// Their values.
    pub values: Vec<f32>,
}

/// Looks at a network after a mini-batch that changed its parameters from `before` to `after`.
pub(super) fn look(
    network: &Network,
    work: &Workspace,
    before: &[f32],
    after: &[f32],
    (step, epoch): (u64, u64),
) -> Diagnostics {
    let layers = network.shown().par_iter().enumerate().map(|(layer, shown)| {
        let (values, dead_share) = activations(network, work, before, shown);
        LayerLook {
            layer,
            name: shown.summary.name.clone(),
            activations: Histogram::of(&values),
            dead_share,
            parameters: shown.node.map_or_else(Vec::new, |node| tensors(network, work, before, after, node)),
        }
    });
    Diagnostics { step, epoch, layers: layers.collect(), filters: filters(network, after) }
}

/// Some outputs of a layer in a pass with these parameters, and the share of its places that are zero in all rows.
fn activations(network: &Network, work: &Workspace, parameters: &[f32], shown: &Shown) -> (Vec<f32>, f64) {
    let width = shown.summary.output.len();
    let (mut values, mut alive, mut outputs) = (Vec::new(), vec![false; width], Vec::new());
    for shard in work.level(shown.level) {
        outputs.clear();
        match shown.outputs {
            Outputs::Values | Outputs::Rectified => outputs.extend_from_slice(shard),
            Outputs::Plain(node) => {
                let layer = network.layer(node).collective().expect("a batch normalisation");
                let whole = work.batch(node).known().whole;
                outputs.resize(shard.len(), 0.0);
                layer.forward_plain(network.part(node, parameters), whole, shard, &mut outputs);
            }
            Outputs::First { node, .. } => {
                let layer = network.layer(node).first().expect("a layer that does the work of several");
                let mut scratch = vec![0.0; layer.memory().scratch];
                let at = network.context(node, Weights::predicting(parameters, &[]), Pass::Infer, 0);
                outputs.resize(shard.len() / network.width(node) * width, 0.0);
                layer.forward(&at, &mut scratch, shard, &mut outputs);
            }
        }
        if let Outputs::Rectified | Outputs::First { rectified: true, .. } = shown.outputs {
            outputs.iter_mut().for_each(|value| *value = value.max(0.0));
        }
        values.extend_from_slice(&outputs[..outputs.len().min(VALUES.saturating_sub(values.len()))]);
        for row in outputs.chunks_exact(width) {
            for (alive, value) in alive.iter_mut().zip(row) {
                *alive |= *value != 0.0;
            }
        }
    }
    let dead = alive.iter().filter(|alive| !**alive).count();
    (values, dead as f64 / width as f64)
}

fn tensors(network: &Network, work: &Workspace, before: &[f32], after: &[f32], layer: usize) -> Vec<TensorLook> {
    let of_layer = network.range(layer);
    let tensors = network.tensors().iter().filter(|tensor| of_layer.contains(&tensor.range.start));
    let look = |tensor: &super::network::Tensor| {
        let range = tensor.range.clone();
        let trained = !matches!(tensor.role, Role::Statistic { .. });
        TensorLook {
            name: tensor.name.clone(),
            values: Histogram::of(&after[range.clone()]),
            norm: norm([&after[range.clone()]], |[value]| value),
            gradient_norm: if trained { norm([&work.gradient[range.clone()]], |[value]| value) } else { 0.0 },
            update_norm: norm([&after[range.clone()], &before[range]], |[after, before]| after - before),
        }
    };
    tensors.map(look).collect()
}

fn filters(network: &Network, parameters: &[f32]) -> Option<Filters> {
    let tensor = network.tensors().iter().find(|tensor| tensor.shape.axes().len() == 4)?;
    let &[count, channels, height, width] = tensor.shape.axes() else { return None };
    let each = channels * height * width;
    let mut values = tensor.storage.to_file(&parameters[tensor.range.clone()]);
    let shown = if each > FILTER_VALUES { 0 } else { count.min(FILTERS) };
    values.truncate(shown * each);
    let shape = Shape::new(&[shown, channels, height, width]);
    (shown > 0).then(|| Filters { name: tensor.name.clone(), shape, values })
}
