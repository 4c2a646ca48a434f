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
    /// Others of so many values, and what tables call them.
    Own { inputs: Vec<u8>, labels: Vec<u16>, width: usize, name: &'static str },
}

impl Images {
    /// Samples of so many values: MNIST's if it fits and is there, random ones otherwise; `full` ones are the same, but
    /// every zero is a one.
    pub(crate) fn load(width: usize, full: bool) -> Result<Self, Box<dyn Error>> {
        let images = if width == 784 && mnist_dir().is_some() {
            Self::Mnist(dataset("mnist", Path::new("."))?)
        } else {
            let (inputs, labels) = random_images(width);
            Self::Own { inputs, labels, width, name: "random" }
        };
        Ok(if full { images.without_zeros(width) } else { images })
    }

    fn without_zeros(&self, width: usize) -> Self {
        let samples = self.samples();
        let mut sample = vec![0.0; width];
        let inputs = (0..samples.len()).flat_map(|index| {
            samples.read(index, &mut sample);
            sample.iter().map(|value| (value * 255.0).round().max(1.0) as u8).collect::<Vec<_>>()
        });
        Self::Own { inputs: inputs.collect(), labels: samples.all_labels().to_vec(), width, name: "full" }
    }

    /// What tables call them.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Mnist(_) => "mnist",
            Self::Own { name, .. } => name,
        }
    }

    /// The samples.
    pub(crate) fn samples(&self) -> Samples<'_> {
        match self {
            Self::Mnist(dataset) => dataset.train.samples(None),
            Self::Own { inputs, labels, width, .. } => Samples::new(Inputs::Bytes(inputs), labels, *width),
        }
    }
}

/// No samples, of so many values.
pub(crate) fn none(width: usize) -> Samples<'static> {
    Samples::new(Inputs::Bytes(&[]), &[], width)
}
