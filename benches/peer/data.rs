//! What is learned from: MNIST where `DOJANG_MNIST_DIR` names its folder, random images otherwise.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dojang::data::Dataset;
use dojang::data::fetch::Network;
use dojang::data::library::{Library, Options};
use dojang::engine::samples::{Inputs, Samples};

use crate::nets::random_images;

/// The folder with MNIST's files, if one is named.
pub(crate) fn mnist_dir() -> Option<PathBuf> {
    env::var_os("DOJANG_MNIST_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// A dataset of dojang's; nothing is downloaded.
pub(crate) fn dataset(name: &str, folder: &Path) -> Result<Arc<Dataset>, Box<dyn Error>> {
    let options = Options {
        datasets_dir: folder.to_path_buf(),
        mnist_dir: mnist_dir(),
        fashion_mnist_dir: None,
        network: Network::Forbidden,
    };
    Ok(Library::with_options(&options).load(name)?)
}

/// Training samples.
pub(crate) enum Images {
    /// MNIST.
    Mnist(Arc<Dataset>),
    /// Random ones of so many values, and what tables call them.
    Random { inputs: Vec<u8>, labels: Vec<u16>, width: usize, name: &'static str },
}

impl Images {
    /// Samples of so many values: MNIST's if it fits and is there, or random ones; `full` ones are without a zero.
    pub(crate) fn load(width: usize, full: bool) -> Result<Self, Box<dyn Error>> {
        if full {
            let (mut inputs, labels) = random_images(width);
            for (i, value) in inputs.iter_mut().enumerate() {
                // A prime number of them, so that they are not all alike.
                *value = (*value).max(1 + (i % 251) as u8);
            }
            return Ok(Self::Random { inputs, labels, width, name: "full" });
        }
        if width == 784 && mnist_dir().is_some() {
            return Ok(Self::Mnist(dataset("mnist", Path::new("."))?));
        }
        let (inputs, labels) = random_images(width);
        Ok(Self::Random { inputs, labels, width, name: "random" })
    }

    /// What tables call them.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Mnist(_) => "mnist",
            Self::Random { name, .. } => name,
        }
    }

    /// The samples.
    pub(crate) fn samples(&self) -> Samples<'_> {
        match self {
            Self::Mnist(dataset) => dataset.train.samples(None),
            Self::Random { inputs, labels, width, .. } => Samples::new(Inputs::Bytes(inputs), labels, *width),
        }
    }
}

/// No samples, of so many values.
pub(crate) fn none(width: usize) -> Samples<'static> {
    Samples::new(Inputs::Bytes(&[]), &[], width)
}
