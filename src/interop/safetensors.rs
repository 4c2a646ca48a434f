//! Weights as a safetensors file: tensors `W1`, `b1`, `W2`, … with their shapes, as the book names them.
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
use crate::engine::network::{LayerSummary, Network};
use crate::engine::shape::Shape;

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
    #[error("not a safetensors file: {0}")]
    Format(#[from] SafeTensorError),
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
    #[error("the network has no tensor `{0}`")]
    Unknown(String),
    /// A tensor has another shape.
    #[error("the tensor `{name}` has shape {found}; the network needs {needed}")]
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
}

/// The file of these weights.
///
/// # Panics
/// If the parameters are not as many as the network's.
pub fn encode_weights(network: &Network, parameters: &[f32], metadata: &WeightsMetadata) -> Vec<u8> {
    assert_eq!(parameters.len(), network.parameter_count(), "weights of another network");
    let metadata = serde_json::to_string(metadata).expect("plain data");
    let tensors: Vec<_> =
        network.tensors().iter().map(|tensor| (tensor, to_bytes(&parameters[tensor.range.clone()]))).collect();
    let views = tensors.iter().map(|(tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.axes().to_vec(), bytes);
        (tensor.name.as_str(), view.expect("four bytes a value"))
    });
    serialize(views, Some(HashMap::from([(KEY.to_owned(), metadata)]))).expect("names are distinct")
}

/// Reads the weights of a network from a file: every tensor by its name, in its shape, and nothing else.
///
/// # Errors
/// What is missing, too much, of another shape or type, or not finite.
pub fn decode_weights(bytes: &[u8], network: &Network) -> Result<Vec<f32>, ImportError> {
    let file = SafeTensors::deserialize(bytes)?;
    let mut names = file.names();
    names.sort_unstable();
    if let Some(unknown) = names.iter().find(|name| network.tensors().iter().all(|tensor| tensor.name != **name)) {
        return Err(ImportError::Unknown((*unknown).into()));
    }
    let mut parameters = vec![0.0; network.parameter_count()];
    for tensor in network.tensors() {
        let name = || tensor.name.clone();
        let Ok(view) = file.tensor(&tensor.name) else {
            return Err(ImportError::Missing { name: name(), shape: tensor.shape.clone(), found: names.join(", ") });
        };
        if view.dtype() != Dtype::F32 {
            return Err(ImportError::Dtype { name: name(), found: view.dtype() });
        }
        if view.shape() != tensor.shape.axes() {
            let found = Shape::new(view.shape());
            return Err(ImportError::Shape { name: name(), found, needed: tensor.shape.clone() });
        }
        let values = floats(view.data());
        if !all_finite(&values) {
            return Err(ImportError::NotFinite(name()));
        }
        parameters[tensor.range.clone()].copy_from_slice(&values);
    }
    Ok(parameters)
}

/// SHA-256 in lowercase hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
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
        assert_eq!(message(&network(&[5]), &bytes), "the network has no tensor `W2`");
        assert!(message(&small, &bytes[..100]).starts_with("not a safetensors file"));
        let mut spoiled = weights;
        spoiled[0] = f32::INFINITY;
        let bytes = encode_weights(&small, &spoiled, &WeightsMetadata::new(&small, "digits", LOSS));
        assert!(message(&small, &bytes).contains("`W1` holds a number that is not finite"));
    }

    /// The book's published weights read as many of the test images as with NumPy: 93.52 %.
    #[test]
    fn the_books_weights_read_what_they_should() {
        let folders = ["DOJANG_BOOK_DIR", "DOJANG_MNIST_DIR"].map(std::env::var_os);
        let [Some(book), Some(mnist)] = folders else {
            eprintln!("skipped: DOJANG_BOOK_DIR and DOJANG_MNIST_DIR are not both set");
            return;
        };
        let book = std::path::Path::new(&book).join("three_layer_sigmoid.safetensors");
        let network = network(&[50, 100, 10]);
        let weights = decode_weights(&std::fs::read(book).expect("a file"), &network).expect("the book's weights");
        let mnist = crate::data::mnist::MNIST.load(std::path::Path::new(&mnist)).expect("MNIST");
        let crate::data::Values::Bytes(bytes) = &mnist.test.inputs else { panic!("MNIST's pixels are bytes") };
        let x: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
        let y = Model::new(network, weights, LOSS, 10).infer(&x);
        let hits =
            y.chunks(10).zip(&mnist.test.labels).filter(|(y, t)| crate::engine::loss::argmax(y) == usize::from(**t));
        assert_eq!(hits.count(), 9352);
    }
}
