//! Weights as a safetensors file: tensors `W1`, `b1`, `W2`, … with their shapes, as the book names them.
//!
//! The layers that have parameters are numbered from 1. An affine layer's `W` is `[inputs, units]` (PyTorch's `Linear` has
//! its transpose), its inputs in the order channels, height, width if an image comes before; a convolution's `W` is
//! `[filters, channels, kernel height, kernel width]`; both have `b`. Batch normalisation has `gamma`, `beta`,
//! `running_mean` and `running_var`. How the engine keeps them in memory does not show.
//!
//! The bytes are a pure function of the network, the weights and the metadata, so their SHA-256 tells whether two
//! trainings ended alike, and whoever downloads the file can check it with `sha256sum`.

use std::collections::HashMap;
use std::fmt::Write;

use ::safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView, serialize};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::engine::checkpoint::{all_finite, floats, to_bytes};
use crate::engine::loss::LossSpec;
use crate::engine::network::{LayerSummary, Network, Tensor};
use crate::engine::shape::Shape;
use crate::job::json::repeated_key;

/// The one metadata key: the crate's map of metadata has no order, and two keys would make the bytes random.
const KEY: &str = "dojang";

/// What the file says about its weights, besides the tensors.
#[derive(Debug, Clone, Serialize)]
pub struct WeightsMetadata {
    format: u32,
    dataset: String,
    loss: LossSpec,
    input: Shape,
    network: Vec<LayerSummary>,
}

impl WeightsMetadata {
    /// What there is to say of a network trained on a dataset.
    pub fn new(network: &Network, dataset: &str, loss: LossSpec) -> Self {
        Self { format: 1, dataset: dataset.into(), loss, input: network.input().clone(), network: network.summary() }
    }
}

/// Why a file does not hold the weights of a network.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no safetensors file.
    #[error("not a safetensors file: {}", unreadable(.0))]
    Format(#[from] SafeTensorError),
    /// A name stands twice in the header; which of the two counts is not defined.
    #[error("not a safetensors file: its header has `{0}` twice")]
    Repeated(String),
    /// A tensor is missing.
    #[error("the tensor `{name}` of shape {shape} is missing; the file has {found}")]
    Missing {
        /// The tensor.
        name: String,
        /// The shape it should have.
        shape: Shape,
        /// The names that there are.
        found: String,
    },
    /// A tensor does not belong there.
    #[error("the network has no tensor `{name}`; it has {known}")]
    Unknown {
        /// The tensor.
        name: String,
        /// The network's, with their shapes.
        known: String,
    },
    /// A tensor has another shape.
    #[error("the tensor `{name}` has shape {found}; the network needs {needed}{}", hint(found, needed))]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Shape,
        /// The network's.
        needed: Shape,
    },
    /// A tensor holds other numbers than `f32`.
    #[error("the tensor `{name}` holds {found:?}; only F32 is read")]
    Dtype {
        /// The tensor.
        name: String,
        /// What it holds.
        found: Dtype,
    },
    /// A weight is not finite.
    #[error("the tensor `{0}` holds a number that is not finite")]
    NotFinite(String),
    /// A variance is negative: its root would be no number.
    #[error("the tensor `{0}` holds a negative number; variances are at least 0")]
    NegativeVariance(String),
}

/// The way in which a file is none.
fn unreadable(error: &SafeTensorError) -> &'static str {
    match error {
        SafeTensorError::HeaderTooSmall => "it has less than the 8 bytes with which one begins",
        SafeTensorError::HeaderTooLarge | SafeTensorError::InvalidHeaderLength => {
            "its first 8 bytes are not the length of a header"
        }
        SafeTensorError::InvalidHeader(_)
        | SafeTensorError::InvalidHeaderDeserialization(_)
        | SafeTensorError::JsonError(_) => "its header is not the JSON of one",
        SafeTensorError::MetadataIncompleteBuffer => {
            "its tensors are not as long together as its data; it may be cut off"
        }
        _ => "its header does not fit its data",
    }
}

/// What may have happened to the axes of a tensor.
fn hint(found: &Shape, needed: &Shape) -> &'static str {
    let sorted = |shape: &Shape| {
        let mut axes = shape.axes().to_vec();
        axes.sort_unstable();
        axes
    };
    match (found.axes().len(), sorted(found) == sorted(needed)) {
        (2, true) => ", its transpose (PyTorch's Linear keeps [outputs, inputs])",
        (_, true) => ", the same axes in another order (a convolution's W is [filters, channels, height, width])",
        _ => "",
    }
}

/// The file of these weights.
///
/// # Panics
/// If the parameters are not as many as the network's.
pub fn encode_weights(network: &Network, parameters: &[f32], metadata: &WeightsMetadata) -> Vec<u8> {
    assert_eq!(parameters.len(), network.parameter_count(), "weights of another network");
    let metadata = serde_json::to_string(metadata).expect("plain data");
    let tensors: Vec<_> =
        network.tensors().iter().map(|tensor| (tensor, to_bytes(&of_file(tensor, parameters)))).collect();
    let views = tensors.iter().map(|(tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.axes().to_vec(), bytes);
        (tensor.name.as_str(), view.expect("four bytes a value"))
    });
    serialize(views, Some(HashMap::from([(KEY.to_owned(), metadata)]))).expect("names are distinct")
}

/// The values of a tensor, from the flat parameters, in the order of a file.
fn of_file(tensor: &Tensor, parameters: &[f32]) -> Vec<f32> {
    tensor.storage.to_file(&parameters[tensor.range.clone()])
}

/// Reads the weights of a network from a file: every tensor by its name, in its shape, and nothing else.
///
/// # Errors
/// What is missing, too much, of another shape or type, or not finite.
pub fn decode_weights(bytes: &[u8], network: &Network) -> Result<Vec<f32>, ImportError> {
    let file = SafeTensors::deserialize(bytes)?;
    if let Some(name) = repeated_key(header(bytes)) {
        return Err(ImportError::Repeated(name));
    }
    // Before any memory is taken: then the weights are no larger than the file.
    let views = views(&file, network)?;
    let mut parameters = vec![0.0; network.parameter_count()];
    for (tensor, view) in network.tensors().iter().zip(views) {
        let values = floats(view.data());
        if !all_finite(&values) {
            return Err(ImportError::NotFinite(tensor.name.clone()));
        }
        if tensor.name.starts_with("running_var") && values.iter().any(|value| *value < 0.0) {
            return Err(ImportError::NegativeVariance(tensor.name.clone()));
        }
        parameters[tensor.range.clone()].copy_from_slice(&tensor.storage.from_file(&values));
    }
    Ok(parameters)
}

/// The header of a file, JSON, after its length in 8 bytes.
fn header(bytes: &[u8]) -> &[u8] {
    let Some((length, rest)) = bytes.split_first_chunk() else { return &[] };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    rest.get(..length).unwrap_or_default()
}

/// What a file has for each tensor of a network, in its order.
fn views<'a>(file: &'a SafeTensors<'_>, network: &Network) -> Result<Vec<TensorView<'a>>, ImportError> {
    let mut names = file.names();
    names.sort_unstable();
    if let Some(unknown) = names.iter().find(|name| network.tensors().iter().all(|tensor| tensor.name != **name)) {
        let known = network.tensors().iter().map(|tensor| format!("{} {}", tensor.name, tensor.shape));
        return Err(ImportError::Unknown { name: (*unknown).into(), known: listed(known) });
    }
    let view = |tensor: &Tensor| {
        let name = || tensor.name.clone();
        let Ok(view) = file.tensor(&tensor.name) else {
            let found = listed(names.iter().map(|name| (*name).to_owned()));
            return Err(ImportError::Missing { name: name(), shape: tensor.shape.clone(), found });
        };
        if view.dtype() != Dtype::F32 {
            return Err(ImportError::Dtype { name: name(), found: view.dtype() });
        }
        if view.shape() != tensor.shape.axes() {
            let found = Shape::new(view.shape());
            return Err(ImportError::Shape { name: name(), found, needed: tensor.shape.clone() });
        }
        Ok(view)
    };
    network.tensors().iter().map(view).collect()
}

/// The first of some names.
fn listed(names: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 12;
    let mut names: Vec<_> = names.take(SHOWN + 1).collect();
    match names.len() {
        0 => return "none".into(),
        n if n > SHOWN => names[SHOWN] = "…".into(),
        _ => {}
    }
    names.join(", ")
}

/// SHA-256 in lowercase hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

#[cfg(test)]
#[path = "safetensors_tests.rs"]
mod tests;
