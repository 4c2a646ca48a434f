//! Weights as a safetensors file: a tensor for each parameter, by its name in the network.
//!
//! The bytes are a pure function of the weights and the metadata: the crate orders tensors by type and name, and its
//! metadata, a map without an order, has here one key alone, with a JSON text.
//!
//! ```
//! use dojang::engine::layer::{LayerSpec, affine::Affine};
//! use dojang::engine::{network::Network, shape::Shape};
//! use dojang::interop::safetensors::{WeightsMetadata, decode, encode};
//!
//! let layers = vec![LayerSpec::Affine(Affine { units: 2 })];
//! let network = Network::build(&Shape::new(&[3]), &layers)?;
//! let metadata = WeightsMetadata { input: Shape::new(&[3]), network: layers, ..WeightsMetadata::default() };
//! let bytes = encode(&network, &[0.5; 8], &metadata);
//! assert_eq!(decode(&bytes, &network)?, [0.5; 8]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::checkpoint::{floats, to_bytes};
use crate::engine::layer::LayerSpec;
use crate::engine::loss::LossSpec;
use crate::engine::network::Network;
use crate::engine::shape::Shape;

const KEY: &str = "dojang";

/// What a file says of its weights: enough to build the network anew.
///
/// Nothing of it tells one run from another, so that equal specs with equal weights give equal files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WeightsMetadata {
    /// Shape of one input sample.
    pub input: Shape,
    /// The layers.
    pub network: Vec<LayerSpec>,
    /// The loss, which says how outputs become probabilities.
    pub loss: Option<LossSpec>,
    /// The dataset they were trained on.
    pub dataset: Option<String>,
    /// A name for each class.
    pub class_names: Vec<String>,
}

impl Default for WeightsMetadata {
    fn default() -> Self {
        Self { input: Shape::new(&[]), network: vec![], loss: None, dataset: None, class_names: vec![] }
    }
}

/// Why bytes are not a network's weights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Not a safetensors file.
    #[error("not a safetensors file: {0}")]
    Format(String),
    /// Tensors of the network are missing from the file.
    #[error("missing {}; the file has {}", list(missing), list(found))]
    Missing {
        /// Name and shape of those that are missing.
        missing: Vec<String>,
        /// Names that the file has.
        found: Vec<String>,
    },
    /// The file has tensors that the network does not.
    #[error("unexpected {}; the network has {}", list(extra), list(expected))]
    Extra {
        /// Their names.
        extra: Vec<String>,
        /// Names that the network has.
        expected: Vec<String>,
    },
    /// A tensor has other axes than the network's.
    #[error("tensor `{name}` has shape {found:?}; the network's is {expected}")]
    Shape {
        /// Its name.
        name: String,
        /// Its axes.
        found: Vec<usize>,
        /// The network's.
        expected: Shape,
    },
    /// A tensor holds other numbers than `f32`.
    #[error("tensor `{name}` holds {found}; only F32 is read")]
    Dtype {
        /// Its name.
        name: String,
        /// Its type.
        found: String,
    },
    /// A weight is infinite or not a number.
    #[error("tensor `{name}`: value {index} is {value}")]
    NotFinite {
        /// The tensor.
        name: String,
        /// The value's index in it.
        index: usize,
        /// The value, as text.
        value: String,
    },
    /// The metadata are not ours, or damaged.
    #[error("metadata `{KEY}`: {0}")]
    Metadata(String),
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        // A stranger's file may have any number of them.
        names if names.len() > 20 => format!("{} and {} more", names[..20].join(", "), names.len() - 20),
        names => names.join(", "),
    }
}

/// The file of a network's weights.
///
/// # Panics
/// If the weights are not as many as the network's parameters.
pub fn encode(network: &Network, parameters: &[f32], metadata: &WeightsMetadata) -> Vec<u8> {
    assert_eq!(network.parameter_count(), parameters.len(), "weights of another network");
    let metadata = serde_json::to_string(metadata).expect("metadata are texts and numbers");
    let buffers: Vec<_> =
        network.tensors().iter().map(|tensor| (tensor, to_bytes(&parameters[tensor.range.clone()]))).collect();
    let views = buffers.iter().map(|(tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.axes().to_vec(), bytes).expect("four bytes a value");
        (tensor.name.as_str(), view)
    });
    serialize(views, Some(HashMap::from([(KEY.to_owned(), metadata)]))).expect("names are distinct")
}

/// A network's weights from a file, whoever wrote it.
///
/// # Errors
/// If the file does not have exactly the network's tensors, of its shapes and finite.
pub fn decode(bytes: &[u8], network: &Network) -> Result<Vec<f32>, ImportError> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| ImportError::Format(e.to_string()))?;
    compare_names(&file, network)?;
    let mut parameters = vec![0.0; network.parameter_count()];
    for tensor in network.tensors() {
        let name = || tensor.name.clone();
        let view = file.tensor(&tensor.name).map_err(|e| ImportError::Format(e.to_string()))?;
        if view.dtype() != Dtype::F32 {
            return Err(ImportError::Dtype { name: name(), found: view.dtype().to_string() });
        }
        if view.shape() != tensor.shape.axes() {
            let (found, expected) = (view.shape().to_vec(), tensor.shape.clone());
            return Err(ImportError::Shape { name: name(), found, expected });
        }
        let values = floats(view.data());
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(ImportError::NotFinite { name: name(), index, value: values[index].to_string() });
        }
        parameters[tensor.range.clone()].copy_from_slice(&values);
    }
    Ok(parameters)
}

fn compare_names(file: &SafeTensors<'_>, network: &Network) -> Result<(), ImportError> {
    let mut found = file.names().into_iter().map(str::to_owned).collect::<Vec<_>>();
    found.sort_unstable();
    let tensors = network.tensors();
    let missing: Vec<_> = tensors
        .iter()
        .filter(|tensor| found.binary_search(&tensor.name).is_err())
        .map(|tensor| format!("{} {}", tensor.name, tensor.shape))
        .collect();
    if !missing.is_empty() {
        return Err(ImportError::Missing { missing, found });
    }
    let expected: Vec<_> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
    let extra: Vec<_> = found.into_iter().filter(|name| !expected.contains(name)).collect();
    if extra.is_empty() { Ok(()) } else { Err(ImportError::Extra { extra, expected }) }
}

/// What a file of ours says of its weights; `None` if it is not ours.
///
/// # Errors
/// If it is not a safetensors file, or names a layer that is not known here.
pub fn metadata(bytes: &[u8]) -> Result<Option<WeightsMetadata>, ImportError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| ImportError::Format(e.to_string()))?;
    let text = header.metadata().as_ref().and_then(|map| map.get(KEY));
    text.map(|text| serde_json::from_str(text)).transpose().map_err(|e| ImportError::Metadata(e.to_string()))
}

/// The SHA-256 of these bytes, in lowercase hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::data::mnist;
    use crate::engine::layer::{affine::Affine, sigmoid::Sigmoid};
    use crate::engine::loss::{SoftmaxCrossEntropy, argmax};
    use crate::engine::model::Model;

    fn layers(units: &[usize]) -> Vec<LayerSpec> {
        let layer = |&units| [LayerSpec::Affine(Affine { units }), LayerSpec::Sigmoid(Sigmoid {})];
        let mut layers: Vec<_> = units.iter().flat_map(layer).collect();
        layers.pop();
        layers
    }

    fn network(input: &[usize], units: &[usize]) -> Network {
        Network::build(&Shape::new(input), &layers(units)).unwrap()
    }

    fn example() -> (Network, Vec<f32>, WeightsMetadata) {
        // Eleven layers with weights: `W10` comes before `W2` by name, and after it in the network.
        let units = [4; 11];
        let network = network(&[3], &units);
        let weights = (0..network.parameter_count()).map(|i| (i as f32).sin()).collect();
        let metadata = WeightsMetadata {
            input: Shape::new(&[3]),
            network: layers(&units),
            loss: Some(LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy {})),
            dataset: Some("toy".into()),
            class_names: vec!["a".into(), "\"b\"".into()],
        };
        (network, weights, metadata)
    }

    #[test]
    fn comes_back_bit_for_bit() {
        let (network, mut weights, about) = example();
        (weights[0], weights[1]) = (-0.0, f32::MIN_POSITIVE / 2.0);
        let bytes = encode(&network, &weights, &about);
        let read = decode(&bytes, &network).unwrap();
        assert!(read.iter().map(|w| w.to_bits()).eq(weights.iter().map(|w| w.to_bits())));
        assert_eq!(metadata(&bytes).unwrap(), Some(about));
    }

    #[test]
    fn bytes_never_change_under_us() {
        let (network, weights, metadata) = example();
        let bytes = encode(&network, &weights, &metadata);
        for _ in 0..20 {
            // A map with an order of its own would give another one now and then.
            assert_eq!(encode(&network, &weights, &metadata), bytes);
        }
        let small = Network::build(&Shape::new(&[2]), &layers(&[1])).unwrap();
        let about = WeightsMetadata { input: Shape::new(&[2]), network: layers(&[1]), ..WeightsMetadata::default() };
        let bytes = encode(&small, &[1.0, 2.0, 3.0], &about);
        let header = String::from_utf8_lossy(&bytes[8..bytes.len() - 12]);
        assert_eq!(
            header.trim_end(),
            concat!(
                r#"{"__metadata__":{"dojang":"{\"input\":[2],\"network\":[{\"type\":\"affine\",\"units\":1}],"#,
                r#"\"loss\":null,\"dataset\":null,\"class_names\":[]}"},"#,
                r#""W1":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"#,
                r#""b1":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#
            )
        );
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (small, large) = (network(&[2], &[2]), network(&[2], &[2, 2]));
        let of = |network: &Network, value: f32| {
            encode(network, &vec![value; network.parameter_count()], &WeightsMetadata::default())
        };
        let message = |bytes: &[u8], network: &Network| decode(bytes, network).unwrap_err().to_string();
        assert_eq!(message(&of(&small, 0.0), &large), "missing W2 [2, 2], b2 [2]; the file has W1, b1");
        assert_eq!(message(&of(&large, 0.0), &small), "unexpected W2, b2; the network has W1, b1");
        let other = of(&network(&[3], &[2]), 0.0);
        assert_eq!(message(&other, &small), "tensor `W1` has shape [3, 2]; the network's is [2, 2]");
        assert_eq!(message(&of(&small, f32::NAN), &small), "tensor `W1`: value 0 is NaN");
        let halves = TensorView::new(Dtype::F16, vec![2, 2], &[0; 8]).unwrap();
        let bias = TensorView::new(Dtype::F32, vec![2], &[0; 8]).unwrap();
        let halves = serialize([("W1", halves), ("b1", bias)], None).unwrap();
        assert_eq!(message(&halves, &small), "tensor `W1` holds F16; only F32 is read");
        assert_eq!(metadata(&halves), Ok(None));
        assert!(message(b"PK", &small).starts_with("not a safetensors file"));
    }

    proptest! {
        #[test]
        fn damage_never_panics(place: prop::sample::Index, value: u8, cut: prop::sample::Index) {
            let (network, weights, about) = example();
            let mut bytes = encode(&network, &weights, &about);
            let place = place.index(bytes.len());
            bytes[place] = value;
            let _ = (decode(&bytes, &network), metadata(&bytes));
            prop_assert!(decode(&bytes[..cut.index(bytes.len())], &network).is_err());
        }
    }

    #[test]
    fn the_books_trained_network_reads_as_well_here() {
        let (Some(book), Some(folder)) = (std::env::var_os("DOJANG_BOOK_DIR"), std::env::var_os("DOJANG_MNIST_DIR"))
        else {
            return println!("skipped: DOJANG_BOOK_DIR or DOJANG_MNIST_DIR is not set");
        };
        let bytes = std::fs::read(Path::new(&book).join("three_layer_sigmoid.safetensors")).unwrap();
        let network = network(&[1, 28, 28], &[50, 100, 10]);
        let weights = decode(&bytes, &network).unwrap();
        let model = Model::new(network, weights, LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy {}));
        let test = mnist::load(Path::new(&folder)).unwrap().test;
        let inputs: Vec<_> = test.inputs.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        let outputs = model.infer(&inputs);
        let right =
            outputs.chunks_exact(10).zip(&test.labels).filter(|(row, label)| argmax(row) == usize::from(**label));
        assert_eq!(right.count(), 9352, "the book's §3.6.2 says 93.52 %");
    }
}
