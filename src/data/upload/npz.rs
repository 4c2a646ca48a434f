//! NPZ, NumPy's archive of arrays: a zip file of `NAME.npy`, stored or deflated (`numpy.savez`, `savez_compressed`).
//!
//! The arrays have the names of Keras' `mnist.npz`: `x_train`, `y_train`, `x_test`, `y_test`; or there are only `x` and
//! `y`, to be split. Others are left alone.
//!
//! The archive is read from its beginning, entry by entry. Its directory, at the end, is not looked at: it repeats what
//! is said before each entry, and room would be made for as many entries as it claims.

use std::io::Read;

use zip::read::{ZipFile, read_zipfile_from_stream};

use super::npy::{self, Array, NpyError};
use super::{FILE, Part, Parts, Place, UploadError};
use crate::data::Values;

/// Most entries of an archive.
const ENTRIES_MAX: usize = 1000;

/// Reads an archive whose arrays have at most `left` bytes together.
pub(super) fn read(mut stream: impl Read, mut left: u64) -> Result<Parts, UploadError> {
    let (mut train, mut test, mut together) =
        (Slot::new(["x_train", "y_train"]), Slot::new(["x_test", "y_test"]), Slot::new(["x", "y"]));
    let mut others = Vec::new();
    let whole = |detail: String| UploadError::fault(FILE, detail);
    for _ in 0..ENTRIES_MAX {
        let entry = read_zipfile_from_stream(&mut stream);
        let Some(entry) = entry.map_err(|error| whole(format!("not an .npz archive: {error}")))? else {
            return match [train, test, together].map(Slot::part) {
                [Some(train), Some(test), _] => Ok(Parts::Split { train, test }),
                [_, _, Some(part)] => Ok(Parts::Together(part)),
                _ => Err(whole(format!(
                    "the arrays x_train, y_train, x_test, y_test are needed, or x, y; others found: [{}]",
                    others.join(", ")
                ))),
            };
        };
        let array = entry.name().trim_end_matches(".npy").to_owned();
        match [&mut train, &mut test, &mut together].into_iter().find(|slot| slot.names.contains(&array.as_str())) {
            Some(slot) => slot.read(entry, &array, &mut left)?,
            // Some of them are enough for a message.
            None if others.len() < 8 => {
                others.push(array.chars().take(40).collect::<String>().escape_debug().to_string());
            }
            None => {}
        }
    }
    Err(whole(format!("more than {ENTRIES_MAX} arrays")))
}

/// Inputs and labels that belong together, as far as they were found.
struct Slot {
    /// Of the inputs, and of the labels.
    names: [&'static str; 2],
    inputs: Option<Array<Values>>,
    labels: Option<Array<Vec<u16>>>,
}

impl Slot {
    fn new(names: [&'static str; 2]) -> Self {
        Self { names, inputs: None, labels: None }
    }

    /// Reads one of the two.
    fn read(&mut self, mut entry: ZipFile<'_, impl Read>, array: &str, left: &mut u64) -> Result<(), UploadError> {
        let [inputs, labels] = self.places();
        let (place, is_there) =
            if array == self.names[0] { (inputs, self.inputs.is_some()) } else { (labels, self.labels.is_some()) };
        let fault = |error: NpyError| place.fault(error.to_string());
        if is_there {
            return Err(place.fault("is there twice"));
        }
        if array == self.names[0] {
            self.inputs = Some(npy::inputs(&mut entry, left).map_err(fault)?);
        } else {
            self.labels = Some(npy::labels(&mut entry, left).map_err(fault)?);
        }
        Ok(())
    }

    fn places(&self) -> [Place; 2] {
        self.names.map(|array| Place { field: FILE, array: Some(array) })
    }

    fn part(self) -> Option<Part> {
        let places = self.places();
        Some(Part { inputs: self.inputs?, labels: self.labels?, places })
    }
}
