//! Floor 1: datasets. Imports the engine alone; does its own file and network I/O, without tokio.

mod dataset;

pub use dataset::{Dataset, DatasetInfo, Split};
