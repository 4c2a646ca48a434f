//! The layers: one file each, one line in the registry below.
//!
//! A layer is stateless: it knows its sizes, and is given its parameters and the buffers to work on. `x` and `y` hold
//! any number of samples, one after the other; a layer finds the number from their lengths.

use std::fmt;
use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::describe::Entry;
use super::shape::Shape;
use super::shard::Pieces;

mod activation;
pub mod affine;
pub mod elu;
pub mod gelu;
pub mod identity;
pub mod leaky_relu;
pub mod relu;
pub mod sigmoid;
pub mod silu;
pub mod softplus;
pub mod tanh;

/// A layer at work, built for one input shape.
pub trait Layer: fmt::Debug + Send + Sync {
    /// Shape of one output sample.
    fn output(&self) -> &Shape;

    /// Its parameters, in the order in which they lie in its range of the flat buffer.
    fn parameters(&self) -> &[Parameter] {
        &[]
    }

    /// Floating-point operations of one sample's forward pass, about.
    fn flops(&self) -> usize;

    /// `y = f(x)`.
    fn forward(&self, parameters: &[f32], x: &[f32], y: &mut [f32]);

    /// From `dy = ∂L/∂y`, `dx = ∂L/∂x`; `x` and `y` are those of [`forward`](Self::forward).
    fn backward(&self, parameters: &[f32], x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]);

    /// Writes `∂L/∂parameters` over the whole batch for the part `range` of this layer's parameters.
    ///
    /// The pieces of the batch come in index order and are added in that order.
    fn gradient(&self, range: Range<usize>, pieces: Pieces<'_>, gradient: &mut [f32]) {
        let _ = (range, pieces, gradient);
        unreachable!("{self:?} has no parameters");
    }

    /// Ranges that cut this layer's parameters into pieces of gradient work; by size alone, never by thread count.
    fn gradient_tiles(&self) -> Vec<Range<usize>> {
        Vec::new()
    }

    /// The forward pass by the book's formula in `f64`, slow and plain: the oracle of gradient checks and of
    /// [`forward`](Self::forward). `x` and the result are `[N, …]` flattened to two axes.
    fn reference(&self, parameters: &[f64], x: ArrayView2<'_, f64>) -> Array2<f64>;
}

/// One parameter tensor of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// `W` or `b`; the network adds the number: `W1`, `b1`.
    pub name: &'static str,
    /// Its axes.
    pub shape: Shape,
    /// How it starts.
    pub role: Role,
}

/// What a parameter is to initialisation and weight decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Weights between `fan_in` inputs and `fan_out` outputs: random at the start, decayed.
    Weight {
        /// Inputs of one output unit.
        fan_in: usize,
        /// Outputs of one input unit.
        fan_out: usize,
    },
    /// Biases: zero at the start, never decayed.
    Bias,
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

    /// The layer for inputs of this shape.
    fn build(&self, input: &Shape) -> Result<Box<dyn Layer>, LayerError>;
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
            /// The layer for inputs of this shape.
            ///
            /// # Errors
            /// If it cannot take them.
            pub fn build(&self, input: &Shape) -> Result<Box<dyn Layer>, LayerError> {
                match self { $(Self::$variant(spec) => spec.build(input),)+ }
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
