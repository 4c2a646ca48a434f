//! Weights in the formats that others read.

mod weights;

pub use weights::{ImportError, WeightsMetadata, decode_weights, encode_weights, sha256_hex};
