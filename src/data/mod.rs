//! Floor 1: datasets. Imports the engine alone; does its own file and network I/O, without tokio, so it blocks.
//!
//! 1. [`Dataset`]: what a dataset is
//! 2. [`source`]: what a dataset's file provides, and the registry of those there are
//! 3. [`mnist`], [`fashion_mnist`] over [`idx_folder`], [`procedural`] over [`digits`], [`toy`]: the datasets
//! 4. [`library`]: each loaded once for all jobs
//! 5. [`upload`], [`stored`]: datasets that clients send, checked and kept
//! 6. [`idx`], [`fetch`]: a file format, and files from the network

mod damage;
mod dataset;
pub mod digits;
pub mod fashion_mnist;
pub mod fetch;
pub mod idx;
pub mod idx_folder;
pub mod library;
pub mod mnist;
pub mod procedural;
pub mod source;
pub mod stored;
pub mod toy;
pub mod upload;

pub use dataset::{Dataset, DatasetInfo, Dtype, Split, Values};
