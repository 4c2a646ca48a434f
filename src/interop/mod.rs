//! Floor 4: weights and networks in the formats of others.
//!
//! 1. [`safetensors`]: weights by the book's names, `W1`, `b1`, `W2`, …
//!
//! Imports the engine and the datasets.

pub mod safetensors;
