//! What a dataset's file must provide, and the registry of those that there are.

use std::fmt;
use std::path::PathBuf;

use super::fashion_mnist::FASHION_MNIST;
use super::fetch::FetchError;
use super::idx_folder::{IdxFolder, IdxFolderError, IdxSet};
use super::library::Options;
use super::mnist::MNIST;
use super::procedural::Procedural;
use super::toy::TOYS;
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
    /// The IDX files are missing or damaged.
    #[error(transparent)]
    IdxFolder(#[from] IdxFolderError),
    /// Its files cannot be downloaded.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What was kept of an upload is no longer what was written.
    #[error("{}: {detail}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// How it shows.
        detail: String,
    },
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
    let folder = |set: &'static IdxSet, given: &Option<PathBuf>| IdxFolder {
        set,
        given: given.clone(),
        own: options.datasets_dir.join(set.name),
        network: options.network,
    };
    let mut sources: Vec<Box<dyn Source>> = vec![
        Box::new(folder(&MNIST, &options.mnist_dir)),
        Box::new(Procedural::digits()),
        Box::new(folder(&FASHION_MNIST, &options.fashion_mnist_dir)),
    ];
    sources.extend(TOYS.map(|toy| Box::new(toy) as Box<dyn Source>));
    sources
}
