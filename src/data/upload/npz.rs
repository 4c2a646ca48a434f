//! NPZ, NumPy's archive of arrays: a zip file of `NAME.npy`, stored or deflated (`numpy.savez`, `savez_compressed`).
//!
//! The arrays have the names of Keras' `mnist.npz`: `x_train`, `y_train`, `x_test`, `y_test`; or there are only `x` and
//! `y`, to be split. Others are left alone.
//!
//! The archive is read from its beginning, entry by entry. Of its directory, at the end, only the last record is looked at,
//! which tells that the file is whole: the others repeat what is said before each entry, and room would be made for as many
//! entries as it claims.

use std::io::{BufRead, ErrorKind, Read};

use zip::read::{ZipFile, read_zipfile_from_stream};
use zip::result::ZipError;

use super::npy::{self, Array, NpyError};
use super::{FILE, Part, Parts, Place, UploadError};
use crate::data::{Values, damage};

/// Most entries of an archive.
const ENTRIES_MAX: usize = 1000;

/// The first bytes of a file in an archive.
const ENTRY: &[u8] = b"PK\x03\x04";

/// Why an entry of an archive cannot be read.
fn of_archive(error: &ZipError) -> &'static str {
    match error {
        ZipError::UnsupportedArchive(_) | ZipError::InvalidPassword => {
            "the archive is encrypted or written in a way that is not read here; numpy.savez_compressed writes one that is"
        }
        ZipError::Io(error) if error.kind() != ErrorKind::UnexpectedEof => damage::of_stream(error),
        _ => "the archive is damaged or cut off",
    }
}

/// Reads an archive whose arrays have at most `left` bytes together.
pub(super) fn read(mut stream: impl BufRead, mut left: u64) -> Result<Parts, UploadError> {
    let start = stream.fill_buf()?;
    if !start.starts_with(ENTRY) {
        let kind = damage::kind_of_file(&start[..start.len().min(64)]);
        return Err(UploadError::fault(
            FILE,
            format!("not an .npz archive, as numpy.savez_compressed writes it: {kind}"),
        ));
    }
    let (mut train, mut test, mut together) =
        (Slot::new(["x_train", "y_train"]), Slot::new(["x_test", "y_test"]), Slot::new(["x", "y"]));
    let mut others = Vec::new();
    let whole = |detail: String| UploadError::fault(FILE, detail);
    for found in 0..ENTRIES_MAX {
        let entry = read_zipfile_from_stream(&mut stream);
        let Some(entry) = entry.map_err(|error| whole(of_archive(&error).into()))? else {
            if !directory_is_whole(&mut stream, found)? {
                return Err(whole("the archive is damaged or cut off: its directory, at the end, is not whole".into()));
            }
            let missing = missing(&train, &test, &together);
            return match [train, test, together].map(Slot::part) {
                [Some(train), Some(test), _] => Ok(Parts::Split { train, test }),
                [_, _, Some(part)] => Ok(Parts::Together(part)),
                _ => {
                    let needed = missing
                        .unwrap_or_else(|| "the arrays x_train, y_train, x_test, y_test are needed, or x, y".into());
                    let found = if others.is_empty() {
                        String::new()
                    } else {
                        format!("; others found: [{}]", others.join(", "))
                    };
                    Err(whole(needed + &found))
                }
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

/// The arrays that are missing where some of those that belong together are there.
fn missing(train: &Slot, test: &Slot, together: &Slot) -> Option<String> {
    let needed = if train.is_empty() && test.is_empty() { vec![together] } else { vec![train, test] };
    if needed.iter().all(|slot| slot.is_empty()) {
        return None;
    }
    let missing: Vec<_> = needed.iter().flat_map(|slot| slot.missing()).collect();
    let all: Vec<_> = needed.iter().flat_map(|slot| slot.names).collect();
    let verb = if missing.len() == 1 { "is" } else { "are" };
    Some(format!("{} {verb} missing: the arrays {} belong together", missing.join(", "), all.join(", ")))
}

/// Reads what follows the entries to its end; whether an end of the directory is there that lists as many entries as were
/// found. Its comment, of up to 64 KiB, is the last of an archive.
fn directory_is_whole(stream: &mut impl BufRead, entries: usize) -> std::io::Result<bool> {
    const END: &[u8] = b"PK\x05\x06";
    const END_SIZE: usize = 22;
    const LONGEST: usize = END_SIZE + u16::MAX as usize;
    let mut tail = Vec::new();
    loop {
        let bytes = stream.fill_buf()?;
        let size = bytes.len();
        if size == 0 {
            break;
        }
        tail.extend_from_slice(bytes);
        stream.consume(size);
        tail.drain(..tail.len().saturating_sub(LONGEST));
    }
    let is_end = |record: &[u8]| {
        let number = |at: usize| usize::from(u16::from_le_bytes([record[at], record[at + 1]]));
        record.starts_with(END) && number(10) == entries && record.len() >= END_SIZE + number(20)
    };
    Ok(tail.windows(END_SIZE).enumerate().any(|(at, _)| is_end(&tail[at..])))
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

    fn is_empty(&self) -> bool {
        self.inputs.is_none() && self.labels.is_none()
    }

    fn missing(&self) -> impl Iterator<Item = &'static str> {
        let there = [self.inputs.is_some(), self.labels.is_some()];
        self.names.into_iter().zip(there).filter(|(_, is_there)| !is_there).map(|(name, _)| name)
    }

    fn places(&self) -> [Place; 2] {
        self.names.map(|array| Place { field: FILE, array: Some(array) })
    }

    fn part(self) -> Option<Part> {
        let places = self.places();
        Some(Part { inputs: self.inputs?, labels: self.labels?, places })
    }
}
