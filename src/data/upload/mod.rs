//! Datasets that clients send, as files of strangers: nothing in them is believed before it is checked, and what they
//! may take of memory is limited however small they are packed.
//!
//! | files | read as |
//! | --- | --- |
//! | `file`: an `.npz` archive | arrays `x_train`, `y_train`, `x_test`, `y_test`, or `x`, `y` |
//! | `train_images`, `train_labels`, `test_images`, `test_labels` | IDX files like MNIST's, gzip-compressed or not |
//!
//! Inputs are rows `[N, D]`, grey images `[N, H, W]` or images `[N, C, H, W]`, **channels first**. `uint8` stays bytes,
//! which a network sees as 0–1; `float32` and `float64` become 32-bit numbers, which it sees as they are. Labels are
//! whole numbers of any type, `[N]`, from 0.
//!
//! `x` and `y` alone are split in order: the last sixth of the samples (at least one) is measured on, the others are
//! learned from. Whoever has sorted samples shuffles them before.

mod check;
mod npy;
mod npz;

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::idx::Idx;
use super::{Dataset, Values};
use npy::Array;

/// Most classes of a dataset.
pub const CLASSES_MAX: usize = 1000;
/// Most bytes of all arrays of an upload together, uncompressed.
const ARRAYS_MAX: u64 = 1 << 30;

/// The form field of an `.npz` archive.
pub const FILE: &str = "file";
/// The form fields of IDX files, in the order of [`Files::Idx`].
pub const IDX_FILES: [&str; 4] = ["train_images", "train_labels", "test_images", "test_labels"];

/// What a client sends.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The dataset's name, which can stand in a URL as it is.
    pub name: String,
    /// What it is, in a sentence.
    pub description: String,
    /// A name for each class; their numbers if none are given.
    pub class_names: Option<Vec<String>>,
    /// Its samples.
    pub files: Files,
}

/// Where the samples are.
#[derive(Debug, Clone)]
pub enum Files {
    /// An `.npz` archive.
    Npz(PathBuf),
    /// IDX files, in the order of [`IDX_FILES`].
    Idx([PathBuf; 4]),
}

/// Why a dataset is not taken in. Nothing of it is kept then.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// What was sent makes no dataset.
    #[error("{field}: {detail}")]
    Fault {
        /// The form field that is at fault.
        field: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// There is one of that name.
    #[error("there is a dataset `{0}` already")]
    Taken(String),
    /// The disk fails.
    #[error("failed to keep the dataset: {0}")]
    Disk(#[from] io::Error),
}

impl UploadError {
    pub(super) fn fault(field: &'static str, detail: impl Into<String>) -> Self {
        Self::Fault { field, detail: detail.into() }
    }
}

/// Where arrays came from, for messages.
#[derive(Debug, Clone, Copy)]
struct Place {
    field: &'static str,
    /// Its name in an archive.
    array: Option<&'static str>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.array.unwrap_or(self.field))
    }
}

impl Place {
    fn fault(self, detail: impl Into<String>) -> UploadError {
        let detail = detail.into();
        UploadError::fault(self.field, self.array.map_or(detail.clone(), |array| format!("{array}: {detail}")))
    }
}

/// Inputs and labels as they were read, not yet held against each other.
#[derive(Debug)]
struct Part {
    inputs: Array<Values>,
    labels: Array<Vec<u16>>,
    /// Where the inputs and the labels are from.
    places: [Place; 2],
}

/// The samples of an upload.
#[derive(Debug)]
enum Parts {
    /// To learn from and to measure on, each by itself.
    Split { train: Part, test: Part },
    /// All in one.
    Together(Part),
}

impl Upload {
    /// Reads the files. Takes as much memory as the dataset has, and blocks.
    ///
    /// # Errors
    /// If they make no dataset.
    pub fn read(&self) -> Result<Dataset, UploadError> {
        let parts = match &self.files {
            Files::Npz(path) => npz::read(BufReader::new(File::open(path)?), ARRAYS_MAX)?,
            Files::Idx(paths) => idx(paths, ARRAYS_MAX)?,
        };
        check::dataset(self, parts)
    }
}

fn idx(
    [train_images, train_labels, test_images, test_labels]: &[PathBuf; 4],
    mut left: u64,
) -> Result<Parts, UploadError> {
    let [a, b, c, d] = IDX_FILES.map(|field| Place { field, array: None });
    let mut part = |[images, labels]: [&Path; 2], places: [Place; 2]| -> Result<Part, UploadError> {
        let images = idx_file(images, places[0], &mut left)?;
        let labels = idx_file(labels, places[1], &mut left)?;
        let inputs = (images.axes, Values::Bytes(images.values));
        Ok(Part {
            inputs,
            labels: (labels.axes, labels.values.iter().map(|label| u16::from(*label)).collect()),
            places,
        })
    };
    Ok(Parts::Split {
        train: part([train_images, train_labels], [a, b])?,
        test: part([test_images, test_labels], [c, d])?,
    })
}

fn idx_file(path: &Path, place: Place, left: &mut u64) -> Result<Idx, UploadError> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let limit = usize::try_from(*left).unwrap_or(usize::MAX);
    let idx = Idx::read(BufReader::new(file), bytes, limit).map_err(|error| place.fault(error.to_string()))?;
    *left = left.saturating_sub(idx.values.len() as u64);
    Ok(idx)
}

/// The field that holds the labels to learn from.
fn label_field(files: &Files) -> &'static str {
    match files {
        Files::Npz(_) => FILE,
        Files::Idx(_) => IDX_FILES[1],
    }
}

#[cfg(test)]
pub(crate) mod tests;
