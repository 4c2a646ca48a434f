//! Weights in the formats that others read.

mod safetensors;

pub use self::safetensors::{ImportError, WeightsMetadata, decode_weights, encode_weights, sha256_hex};
