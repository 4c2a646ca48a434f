//! Floor 4: from a request's bytes to a prediction.
//!
//! 1. [`input`]: what a request's body says, as the numbers a model takes
//!
//! Imports the engine and the datasets; knows no HTTP, only bytes and their media type.

pub mod input;
