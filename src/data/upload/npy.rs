//! NPY, the format of one NumPy array (`numpy.lib.format`, versions 1.0 to 3.0).
//!
//! ```text
//! 93 'NUMPY' | major minor | header length, little-endian u16 (1.0) or u32 | header: a Python dict | the values
//! {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 28, 28), }
//! ```
//!
//! Arrays come from strangers: the header is short, its dict is read without recursion, and what it declares is checked
//! against a limit before a value is read. Values are turned into what is kept while they are read, so that an array is
//! in memory once.

use std::io::{self, Read};

use super::CLASSES_MAX;
use crate::data::{Values, damage};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest header: a plain array's has 128 bytes.
const HEADER_MAX: usize = 4096;
/// Most axes: `[N, C, H, W]`.
const RANK_MAX: usize = 4;
/// Bytes read at once; a multiple of every size of a value.
const PIECE: usize = 64 << 10;
/// Values that room is made for before any was read.
const ROOM: usize = 1 << 20;

/// Why bytes are not such an array.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NpyError {
    /// It does not begin as an array does.
    #[error("not an array in NumPy's format")]
    Magic,
    /// The header is not one of a plain array.
    #[error("its header is not that of a plain array: {0}")]
    Header(String),
    /// The values are of a type that is not read here.
    #[error("dtype {found} is not read here: {needed}")]
    Dtype { found: String, needed: &'static str },
    /// Column by column.
    #[error("its values lie in Fortran order; np.ascontiguousarray turns them into C order")]
    Fortran,
    /// Larger than allowed.
    #[error("shape {axes:?} of `{descr}` is more than the {limit} bytes that all arrays together may have")]
    TooLarge { axes: Vec<usize>, descr: String, limit: u64 },
    /// There are fewer or more values than the header says.
    #[error("shape {axes:?} promises {declared} values, but there are {found}")]
    Length { axes: Vec<usize>, declared: usize, found: &'static str },
    /// A value that cannot be learned from.
    #[error("value {index} is not finite as a 32-bit number")]
    NotFinite { index: usize },
    /// A label that is no class.
    #[error("label {index} is {value}; labels are 0 to {}", CLASSES_MAX - 1)]
    Label { index: usize, value: i128 },
    /// The stream fails: damaged compression, a wrong checksum.
    #[error("cannot be read: {0}")]
    Stream(&'static str),
}

impl From<io::Error> for NpyError {
    fn from(error: io::Error) -> Self {
        Self::Stream(damage::of_stream(&error))
    }
}

/// The axes of an array with what its values are kept as.
pub(super) type Array<T> = (Vec<usize>, T);

/// Reads inputs: unsigned bytes as they are, 32- and 64-bit numbers as 32-bit ones. `left` is lowered by the array's
/// bytes.
pub(super) fn inputs(stream: &mut impl Read, left: &mut u64) -> Result<Array<Values>, NpyError> {
    let header = Header::read(stream)?;
    let values = match (header.kind, header.size) {
        ('u', 1) => Values::Bytes(header.values(stream, left, |bytes, _| Ok(bytes[0]))?.into()),
        ('f', 4) => {
            let value = |bytes: &[u8], index| finite(f32::from_le_bytes(array(bytes)), index);
            Values::Floats(header.values(stream, left, value)?.into())
        }
        ('f', 8) => {
            let value = |bytes: &[u8], index| finite(f64::from_le_bytes(array(bytes)) as f32, index);
            Values::Floats(header.values(stream, left, value)?.into())
        }
        _ => return Err(header.dtype("inputs are uint8, float32 or float64; .astype(np.float32) makes them so")),
    };
    Ok((header.axes, values))
}

/// Reads labels of any integer type. `left` is lowered by the array's bytes.
pub(super) fn labels(stream: &mut impl Read, left: &mut u64) -> Result<Array<Vec<u16>>, NpyError> {
    let header = Header::read(stream)?;
    let (signed, size) = (header.kind == 'i', header.size);
    if !matches!((header.kind, size), ('i' | 'u', 1 | 2 | 4 | 8)) {
        return Err(header.dtype("labels are whole numbers; .astype(np.uint8) makes them so"));
    }
    let labels = header.values(stream, left, |bytes, index| {
        let low = u64::from_le_bytes(array(bytes));
        // The sign is the highest bit of as many bytes as there are.
        let unused = 64 - 8 * size as u32;
        let value = if signed { i128::from((low << unused) as i64 >> unused) } else { i128::from(low) };
        match u16::try_from(value) {
            Ok(label) if usize::from(label) < CLASSES_MAX => Ok(label),
            _ => Err(NpyError::Label { index, value }),
        }
    })?;
    Ok((header.axes, labels))
}

fn finite(value: f32, index: usize) -> Result<f32, NpyError> {
    if value.is_finite() { Ok(value) } else { Err(NpyError::NotFinite { index }) }
}

/// Little-endian bytes, filled up with zeros.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut all = [0; N];
    all[..bytes.len()].copy_from_slice(bytes);
    all
}

/// What comes before the values.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    descr: String,
    big_endian: bool,
    /// `u`, `i`, `f` …
    kind: char,
    /// Bytes of a value.
    size: usize,
    axes: Vec<usize>,
}

impl Header {
    fn read(stream: &mut impl Read) -> Result<Self, NpyError> {
        let mut start = [0; 8];
        read_exact(stream, &mut start)?;
        if !start.starts_with(MAGIC) {
            return Err(NpyError::Magic);
        }
        let length = if start[6] == 1 {
            let mut length = [0; 2];
            read_exact(stream, &mut length)?;
            usize::from(u16::from_le_bytes(length))
        } else {
            let mut length = [0; 4];
            read_exact(stream, &mut length)?;
            u32::from_le_bytes(length) as usize
        };
        if !matches!(start[6], 1..=3) {
            return Err(NpyError::Header(format!("version {}.{}", start[6], start[7])));
        }
        if length > HEADER_MAX {
            return Err(NpyError::Header(format!("{length} bytes")));
        }
        let mut text = vec![0; length];
        read_exact(stream, &mut text)?;
        let text = String::from_utf8(text).map_err(|_| NpyError::Header("it is no text".into()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, NpyError> {
        let dict = Dict::parse(text).map_err(NpyError::Header)?;
        let mut rest = dict.descr.chars();
        let order = rest.next();
        let kind = rest.next();
        let (Some(order @ ('<' | '>' | '|' | '=')), Some(kind)) = (order, kind) else {
            return Err(NpyError::Header(format!("`{}` is no dtype", shortened(&dict.descr))));
        };
        // Objects have no size, dates a unit after it: neither is of a kind that is read.
        let size = rest.as_str().parse().unwrap_or(0);
        if !(1..=RANK_MAX).contains(&dict.shape.len()) {
            let detail = format!("{} axes; arrays have 1 to {RANK_MAX}", dict.shape.len());
            return Err(NpyError::Header(detail));
        }
        if dict.fortran_order && dict.shape.len() > 1 {
            return Err(NpyError::Fortran);
        }
        // `=` is the order of whoever wrote the file; NumPy itself never writes it.
        Ok(Self { big_endian: order == '>', kind, size, axes: dict.shape, descr: dict.descr })
    }

    fn dtype(&self, needed: &'static str) -> NpyError {
        let descr = shortened(&self.descr);
        let found = match self.kind {
            'O' => format!("`{descr}` (Python objects)"),
            'U' | 'S' | 'a' => format!("`{descr}` (texts)"),
            'b' => format!("`{descr}` (true or false)"),
            'c' => format!("`{descr}` (complex numbers)"),
            'M' | 'm' => format!("`{descr}` (dates or times)"),
            'V' => format!("`{descr}` (raw bytes)"),
            _ => format!("`{descr}`"),
        };
        NpyError::Dtype { found, needed }
    }

    /// Reads exactly the declared values, each by `value` from its bytes in little-endian order, and sees that nothing
    /// follows.
    fn values<T>(
        &self,
        stream: &mut impl Read,
        left: &mut u64,
        value: impl Fn(&[u8], usize) -> Result<T, NpyError>,
    ) -> Result<Vec<T>, NpyError> {
        let count = self.axes.iter().try_fold(1, |len: usize, &axis| len.checked_mul(axis));
        let bytes = count.and_then(|count| (count as u64).checked_mul(self.size as u64));
        let (Some(count), Some(bytes)) = (count, bytes.filter(|bytes| bytes <= left)) else {
            return Err(NpyError::TooLarge { axes: self.axes.clone(), descr: self.descr.clone(), limit: *left });
        };
        *left -= bytes;
        let mut values = Vec::with_capacity(count.min(ROOM));
        let mut piece = vec![0; PIECE];
        while values.len() < count {
            let size = ((count - values.len()) * self.size).min(PIECE / self.size * self.size);
            let piece = &mut piece[..size];
            stream.read_exact(piece).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => self.length(count, "fewer"),
                _ => error.into(),
            })?;
            for bytes in piece.chunks_exact_mut(self.size) {
                if self.big_endian {
                    bytes.reverse();
                }
                values.push(value(bytes, values.len())?);
            }
        }
        // Reading on to the end also checks the archive's checksum.
        match stream.read(&mut [0])? {
            0 => Ok(values),
            _ => Err(self.length(count, "more")),
        }
    }

    fn length(&self, declared: usize, found: &'static str) -> NpyError {
        NpyError::Length { axes: self.axes.clone(), declared, found }
    }
}

fn read_exact(stream: &mut impl Read, buffer: &mut [u8]) -> Result<(), NpyError> {
    stream.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => NpyError::Magic,
        _ => error.into(),
    })
}

/// The beginning of a text, for a message.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect::<String>().trim().escape_debug().to_string()
}

/// The header's dict. Whatever Python would read besides what NumPy writes for a plain array is not one.
#[derive(Debug, Default)]
struct Dict {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Dict {
    /// Reads a header's text.
    ///
    /// # Errors
    /// The part of it that is not as NumPy writes it for a plain array.
    fn parse(text: &str) -> Result<Self, String> {
        const OTHER: &str = "it is not a dict of descr, fortran_order and shape, as NumPy writes it";
        let braced = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let mut rest = braced.ok_or(OTHER)?;
        let mut dict = Self::default();
        let mut seen = [false; 3];
        while !rest.trim().is_empty() {
            let (key, after) = quoted(rest).ok_or(OTHER)?;
            let after = after.trim_start().strip_prefix(':').ok_or(OTHER)?.trim_start();
            let (place, after) = match key {
                "descr" => {
                    let (descr, after) = quoted(after).ok_or(
                        "its dtype is structured, several fields a value; save each field as an array of its own",
                    )?;
                    dict.descr = descr.into();
                    (0, after)
                }
                "fortran_order" => {
                    dict.fortran_order = after.starts_with("True");
                    let after = after.strip_prefix("True").or_else(|| after.strip_prefix("False"));
                    (1, after.ok_or("fortran_order is neither True nor False")?)
                }
                "shape" => {
                    let tuple = after.strip_prefix('(').and_then(|after| after.split_once(')'));
                    let (shape, after) = tuple.ok_or("its shape is no tuple")?;
                    dict.shape = axes(shape)?;
                    (2, after)
                }
                _ => return Err(format!("`{}` is none of descr, fortran_order and shape", shortened(key))),
            };
            if std::mem::replace(&mut seen[place], true) {
                return Err(format!("{key} comes twice"));
            }
            let after = after.trim_start();
            rest = if after.is_empty() { after } else { after.strip_prefix(',').ok_or(OTHER)? };
        }
        if seen == [true; 3] { Ok(dict) } else { Err(OTHER.into()) }
    }
}

/// The axes of a shape, from the text between its parentheses.
fn axes(shape: &str) -> Result<Vec<usize>, String> {
    let axes = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let read = |axis: &str| {
        let wrong = || format!("its shape has the axis `{}`; axes are whole numbers from 0", shortened(axis));
        axis.parse().map_err(|_| wrong())
    };
    axes.map(read).collect()
}

/// A text in quotes at the beginning, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let quote = text.chars().next().filter(|quote| "'\"".contains(*quote))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
#[path = "npy_tests.rs"]
mod tests;
