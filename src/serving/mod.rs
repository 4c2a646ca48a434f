//! Floor 4: from a request's bytes to a prediction.
//!
//! 1. [`input`]: what a request's body says, as the numbers a model takes
//! 2. [`models`]: which model answers, and the ones in use in memory; `load`: how they get there
//! 3. [`import`]: weights that were trained elsewhere
//!
//! Knows no HTTP, only bytes and their media type.

pub mod import;
pub mod input;
mod load;
mod meters;
pub mod models;

pub use import::TryError;
pub use meters::Meters;
pub use models::{Models, Selector, ServeError, Served, ServingOptions};
