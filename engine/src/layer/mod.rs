//! The layers: one file each, one line in the registry below.
//!
//! A layer is stateless: it knows its sizes, and is given its parameters and the buffers to work on. `x` and `y` hold
//! any number of samples, one after the other; a layer finds the number from their lengths. How the values of a sample
//! lie is its [`Form`].

use std::fmt;
use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::describe::Entry;
use super::form::Form;

mod activation;
pub mod affine;
mod averages;
pub mod avg_pool2d;
pub mod batch_norm;
pub mod conv2d;
pub mod dropout;
pub mod elu;
pub mod flatten;
pub mod gelu;
pub mod global_avg_pool;
pub mod identity;
pub mod leaky_relu;
pub mod max_pool2d;
mod panels;
mod parameter;
pub mod relu;
mod relus;
pub(super) mod reorder;
pub mod sigmoid;
pub mod silu;
pub mod softmax;
pub mod softplus;
pub mod step;
pub mod tanh;
pub mod window;

pub use panels::Panels;
pub use parameter::{Parameter, Role, Storage};
pub(super) use relus::Relus;

impl LayerSpec {
    /// Whether most of the gradients that it hands down are zero, as a rule.
    pub(super) fn hands_down_zeros(&self) -> bool {
        matches!(self, Self::Relu(_) | Self::MaxPool2d(_))
    }
}

/// Most runs of tiles that are worked on side by side.
pub const MOST_ABREAST: usize = 3;

/// A layer at work, built for one input form.
pub trait Layer: fmt::Debug + Send + Sync {
    /// Shape of one output sample, and how it lies in memory.
    fn output(&self) -> &Form;

    /// Its parameters, in the order in which they lie in its range of the flat buffer.
    fn parameters(&self) -> &[Parameter] {
        &[]
    }

    /// Floating-point operations of one sample's forward pass, about.
    fn flops(&self) -> usize;

    /// The memory it needs besides inputs and outputs.
    fn memory(&self) -> Memory {
        Memory::default()
    }

    /// Whether many rows at once are much cheaper than one by one, as where large weights are read once for all rows.
    fn likes_many_rows(&self) -> bool {
        false
    }

    /// Brings the parameters into the form that [`backward`](Self::backward) works with; done once after each update.
    ///
    /// A layer that [can do without](Memory::can_do_without) it is spared it for small batches, and where nothing below
    /// it learns.
    fn prepare(&self, parameters: &[f32], prepared: &mut [f32]) {
        let _ = (parameters, prepared);
    }

    /// Brings the parameters into a form that [`forward`](Self::forward) is faster with; done once after each update.
    fn transform(&self, parameters: &[f32], transformed: &mut [f32]) {
        let _ = (parameters, transformed);
    }

    /// `y = f(x)`.
    fn forward(&self, at: &Context<'_>, scratch: &mut [f32], x: &[f32], y: &mut [f32]);

    /// The same, where the way back will follow: what it wants to know, besides `x` and `y`, is [kept](Memory::kept).
    fn forward_keeping(&self, at: &Context<'_>, scratch: &mut [f32], x: &[f32], y: &mut [f32], kept: &mut [f32]) {
        let _ = kept;
        self.forward(at, scratch, x, y);
    }

    /// From `dy = ∂L/∂y`, `dx = ∂L/∂x`; `x` and `y` are those of [`forward_keeping`](Self::forward_keeping).
    fn backward(&self, at: &Context<'_>, scratch: &mut [f32], pass: Backward<'_>);

    /// Adds `∂L/∂parameters` over some rows to `partial`, for a layer that asks for [partial gradients](Memory::partial).
    fn accumulate(&self, scratch: &mut [f32], seen: Seen<'_>, partial: &mut [f32]) {
        let _ = (scratch, seen, partial);
    }

    /// Writes `∂L/∂parameters` over the whole batch for the part `range` of this layer's parameters; of a running
    /// statistic, what the batch shows.
    ///
    /// The pieces of the batch come in index order and are added in that order. It all happens on the calling thread:
    /// parameters are shared out tile by tile, and a thread has memory for one tile.
    fn gradient(&self, range: Range<usize>, batch: Batch<'_>, gradient: &mut [f32]) {
        let _ = (range, batch, gradient);
        unreachable!("{self:?} has no parameters");
    }

    /// Ranges that cut this layer's parameters into pieces of gradient work, in order; by size alone, never by thread count.
    fn gradient_tiles(&self) -> Vec<Range<usize>> {
        Vec::new()
    }

    /// How many runs of as many tiles, from the first one on, are best worked on side by side, for they read the same
    /// inputs: at most [`MOST_ABREAST`].
    fn tiles_abreast(&self) -> usize {
        1
    }

    /// Of a layer that does the work of several, the first of them.
    fn first(&self) -> Option<&dyn Layer> {
        None
    }

    /// Set where one row's output depends on the whole batch.
    fn collective(&self) -> Option<&dyn Collective> {
        None
    }

    /// The forward pass by the book's formula in `f64`, slow and plain: the oracle of gradient checks and of
    /// [`forward`](Self::forward). `x` and the result are `[N, …]` flattened to two axes, a whole batch.
    fn reference(&self, at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64>;
}

/// A layer whose outputs depend on the whole batch while it trains, through sums over its rows.
///
/// The batch comes in shards: each shard is measured, the measures are combined in index order, and only then do the
/// rows go on; and so on the way back.
pub trait Collective: Sync {
    /// Numbers of a shard's measure.
    fn measure_len(&self) -> usize;

    /// Numbers of a combined measure.
    fn whole_len(&self) -> usize;

    /// Adds rows of a shard to its measure, which has `seen` rows already; 0 at first.
    fn measure(&self, x: &[f32], seen: usize, measure: &mut [f64]);

    /// Combines the measures of all shards, given with their number of rows, in index order.
    fn combine(&self, shards: &mut dyn Iterator<Item = (usize, &[f64])>, whole: &mut [f64]);

    /// `y = f(x)` for some rows of a batch whose measure is known.
    fn forward(&self, parameters: &[f32], whole: &[f64], x: &[f32], y: &mut [f32]);

    /// The same before a ReLU that the layer has taken in: what it would give without.
    fn forward_plain(&self, parameters: &[f32], whole: &[f64], x: &[f32], y: &mut [f32]) {
        self.forward(parameters, whole, x, y);
    }

    /// Adds, to `sums`, what the gradients will need of some rows.
    fn measure_backward(&self, parameters: &[f32], whole: &[f64], x: &[f32], dy: &[f32], sums: &mut [f64]);

    /// From `dy`, `dx` for some rows of a batch of `rows` rows whose measures are known.
    fn backward(&self, parameters: &[f32], batch: Known<'_>, x: &[f32], dy: &[f32], dx: &mut [f32]);
}

/// What is known of a whole batch at a [`Collective`] layer.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Its rows.
    pub rows: usize,
    /// Its combined measure.
    pub whole: &'a [f64],
    /// The sums of its backward measures.
    pub sums: &'a [f64],
}

/// What a layer's backward pass reads and writes.
#[derive(Debug)]
pub struct Backward<'a> {
    /// Its inputs.
    pub x: &'a [f32],
    /// Its outputs.
    pub y: &'a [f32],
    /// What it kept.
    pub kept: &'a [f32],
    /// Gradient of its outputs.
    pub dy: &'a [f32],
    /// Gradient of its inputs, to be written.
    pub dx: &'a mut [f32],
}

/// What a layer's partial gradient is worked out from.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its inputs.
    pub x: &'a [f32],
    /// What it kept.
    pub kept: &'a [f32],
    /// Gradient of its outputs.
    pub dy: &'a [f32],
}

/// Memory of a layer, in values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Of its [prepared](Layer::prepare) parameters.
    pub prepared: usize,
    /// Whether it can also go back without them, which pays for a few rows.
    pub can_do_without: bool,
    /// Of its [transformed](Layer::transform) parameters.
    pub transformed: usize,
    /// Of a pass, for anything; nothing in it lasts.
    pub scratch: usize,
    /// Of a row, from its way forward to its way back.
    pub kept: usize,
    /// Of a shard's part of the gradient, for a layer whose gradient is cheapest while its rows are at hand; 0 for one
    /// that works its gradient out over the whole batch.
    pub partial: usize,
}

/// What a pass works with besides the values.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The layer's parameters.
    pub parameters: &'a [f32],
    /// The same, [prepared](Layer::prepare); empty if they are not.
    pub prepared: &'a [f32],
    /// The same, [transformed](Layer::transform); empty if they are not.
    pub transformed: &'a [f32],
    /// Whether it trains.
    pub pass: Pass,
    /// The layer's index in the spec.
    pub layer: usize,
    /// The first row's index in its batch.
    pub first_row: usize,
    /// In how many pieces the rows may be gone through, side by side, for all threads to have work.
    pub pieces: usize,
}

/// Whether a pass trains, and what its random draws depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// It predicts: running statistics, no dropout.
    Infer,
    /// It trains.
    Train {
        /// The job's seed.
        seed: u64,
        /// The mini-batch.
        step: u64,
    },
}

/// What a [reference](Layer::reference) pass works with besides the values.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// The layer's parameters.
    pub parameters: &'a [f64],
    /// Whether it trains.
    pub pass: Pass,
    /// The layer's index in the spec.
    pub layer: usize,
}

/// Why a layer cannot stand where the spec puts it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct LayerError {
    /// The field that is at fault, or `None` for the layer as a whole.
    pub field: Option<&'static str>,
    /// What is wrong.
    pub detail: String,
}

/// What a layer's spec can do.
trait LayerKind {
    /// Name, fields and words.
    const ENTRY: Entry;

    /// Whether images must come with the channels of a pixel together.
    const INTERLEAVED: bool = false;

    /// The layer for inputs of this form.
    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError>;
}

impl LayerError {
    /// A fault of the layer as a whole.
    fn new(detail: impl Into<String>) -> Self {
        Self { field: None, detail: detail.into() }
    }

    /// A fault of a field.
    fn at(field: &'static str, detail: impl Into<String>) -> Self {
        Self { field: Some(field), detail: detail.into() }
    }
}

/// Makes the enum of layer specs and its registry from one line a layer.
macro_rules! registry {
    ($($variant:ident => $module:ident),+ $(,)?) => {
        /// A layer as a spec names it.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum LayerSpec {
            $(
                #[doc = concat!("See [`", stringify!($module), "`].")]
                $variant($module::$variant),
            )+
        }

        impl LayerSpec {
            /// The layer for inputs of this form.
            ///
            /// # Errors
            /// If it cannot take them.
            pub fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
                match self { $(Self::$variant(spec) => spec.build(input),)+ }
            }

            /// Whether images must come with the channels of a pixel together.
            pub(super) fn wants_interleaved(&self) -> bool {
                match self { $(Self::$variant(_) => $module::$variant::INTERLEAVED,)+ }
            }

            /// Its canonical name.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $module::$variant::ENTRY.name,)+ }
            }
        }

        /// The registered layers.
        pub fn entries() -> &'static [Entry] {
            const { &[$($module::$variant::ENTRY),+] }
        }
    };
}

registry! {
    Affine => affine,
    Conv2d => conv2d,
    MaxPool2d => max_pool2d,
    AvgPool2d => avg_pool2d,
    GlobalAvgPool => global_avg_pool,
    BatchNorm => batch_norm,
    Dropout => dropout,
    Flatten => flatten,
    Softmax => softmax,
    Step => step,
    Relu => relu,
    LeakyRelu => leaky_relu,
    Elu => elu,
    Gelu => gelu,
    Silu => silu,
    Softplus => softplus,
    Sigmoid => sigmoid,
    Tanh => tanh,
    Identity => identity,
}

#[cfg(test)]
mod golden_tests;
