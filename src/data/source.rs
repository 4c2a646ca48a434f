//! What a dataset's file must provide, and the registry of those that there are.

use std::fmt;

use super::fetch::FetchError;
use super::library::Options;
use super::mnist::{Mnist, MnistError};
use super::procedural::Procedural;
use super::{Dataset, DatasetInfo};

/// Somewhere a dataset comes from. A new one is a file that implements this, and a line in the registry below.
pub trait Source: fmt::Debug + Send + Sync {
    /// What it is; known without loading it, and true once it is loaded.
    fn info(&self) -> DatasetInfo;

    /// Whether [`load`](Self::load) would work now. Cheap: at most a look at which files exist.
    fn availability(&self) -> Availability;

    /// Brings it into memory. May take seconds, and blocks.
    ///
    /// # Errors
    /// If it is not to be had.
    fn load(&self) -> Result<Dataset, DataError>;
}

/// Whether a dataset is to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// Now.
    Ready,
    /// Yes, but its first use takes longer, for this reason.
    OnFirstUse(String),
    /// No, for this reason.
    Missing(String),
}

/// Why a dataset is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is none of that name.
    #[error("no dataset is named `{name}`; there are {}", known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// It is not to be had now.
    #[error("`{name}` is not available: {detail}")]
    Missing {
        /// The dataset.
        name: String,
        /// Why.
        detail: String,
    },
    /// MNIST's files are missing or damaged.
    #[error(transparent)]
    Mnist(#[from] MnistError),
    /// Its files cannot be downloaded.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was loaded is not what was announced, and plans were made on the announcement.
    #[error("`{name}` should have {announced} samples to learn from and to measure on, but {loaded} were loaded")]
    Different {
        /// The dataset.
        name: String,
        /// Announced numbers of samples.
        announced: String,
        /// Loaded numbers of samples.
        loaded: String,
    },
}

/// The datasets there are, in the order in which they are listed.
pub(super) fn registry(options: &Options) -> Vec<Box<dyn Source>> {
    vec![
        Box::new(Mnist {
            given: options.mnist_dir.clone(),
            own: options.datasets_dir.join("mnist"),
            network: options.network,
        }),
        Box::new(Procedural::digits()),
    ]
}
