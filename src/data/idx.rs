//! IDX, the format of MNIST and its kin: a tensor of bytes, plain or gzip-compressed.
//!
//! ```text
//! 0 0 | 8 = unsigned bytes | rank r | size of axis 1 … r, big-endian u32 each | the values, row by row
//! ```
//! (Y. LeCun, *The MNIST database*, "File formats for vectors and multidimensional matrices".)
//!
//! Files come from strangers: what a header declares is checked against a limit, and against what the bytes at hand can
//! possibly hold, before memory is taken for it.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

use super::damage;
use crate::engine::aligned::Aligned;

/// Most axes a file may have: `[N, C, H, W]`.
const RANK_MAX: usize = 4;
/// The type code of unsigned bytes, the only one that is read.
const UNSIGNED_BYTES: u8 = 8;
/// What a gzip stream begins with.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Deflate cannot spell more than this many bytes with one (P. Deutsch, RFC 1951: 258 for two bits, and some headers).
const DEFLATE_RATIO_MAX: u64 = 1040;

/// A tensor of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// Sizes of the axes, the number of samples first.
    pub axes: Vec<usize>,
    /// The values, row by row.
    pub values: Aligned<u8>,
}

/// Why bytes are not such a tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdxError {
    /// It does not begin as an IDX file does.
    #[error("not an IDX file: it begins with {0:02x?}, not with 00 00 08")]
    Magic([u8; 4]),
    /// It holds something else than bytes.
    #[error("values of type {0:#04x}; only unsigned bytes (0x08) are read")]
    Type(u8),
    /// More axes than any dataset has, or none.
    #[error("{0} axes; files have 1 to {RANK_MAX}")]
    Rank(u8),
    /// The header ends too early.
    #[error("the header ends too early")]
    Header,
    /// Larger than the reader allows.
    #[error("axes {axes:?} are more than the {limit} values that are allowed")]
    TooLarge {
        /// Declared sizes.
        axes: Vec<usize>,
        /// Values allowed.
        limit: usize,
    },
    /// There are not as many values as the header says.
    #[error("axes {axes:?} promise {declared} values, but there are {found}")]
    Length {
        /// Declared sizes.
        axes: Vec<usize>,
        /// Their product.
        declared: usize,
        /// What there is, as far as it was read.
        found: Found,
    },
    /// The stream cannot be read: a damaged gzip stream, or a failing disk.
    #[error("cannot be read: {0}")]
    Stream(&'static str),
}

/// Number of values found where another was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// This many.
    Exactly(usize),
    /// More than promised; nobody counted how many.
    More,
    /// Fewer than promised: so many compressed bytes cannot hold them.
    Fewer,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(n) => write!(f, "{n}"),
            Self::More => write!(f, "more"),
            Self::Fewer => write!(f, "fewer"),
        }
    }
}

impl Idx {
    /// Reads a file of at most `limit` values, plain or gzip.
    ///
    /// # Errors
    /// If it is anything but exactly one such tensor.
    pub fn parse(bytes: &[u8], limit: usize) -> Result<Self, IdxError> {
        Self::read(bytes, bytes.len() as u64, limit)
    }

    /// Reads a stream of `bytes` bytes that holds at most `limit` values, plain or gzip.
    ///
    /// # Errors
    /// If it is anything but exactly one such tensor.
    pub fn read(mut stream: impl BufRead, bytes: u64, limit: usize) -> Result<Self, IdxError> {
        if stream.fill_buf().map_err(|e| unreadable(&e))?.starts_with(&GZIP_MAGIC) {
            let mut stream = MultiGzDecoder::new(stream);
            let header = Header::read(&mut stream, limit)?;
            if header.len as u64 > bytes.saturating_mul(DEFLATE_RATIO_MAX) {
                return Err(header.length(Found::Fewer));
            }
            return header.values(stream);
        }
        let header = Header::read(&mut stream, limit)?;
        let found = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(4 + 4 * header.axes.len());
        if found != header.len {
            return Err(header.length(Found::Exactly(found)));
        }
        header.values(stream)
    }

    /// The axes that a file's beginning declares; a kilobyte of it is enough.
    ///
    /// # Errors
    /// If it does not begin as such a file does.
    pub fn declared_axes(beginning: &[u8], limit: usize) -> Result<Vec<usize>, IdxError> {
        let mut rest = beginning;
        let header = if beginning.starts_with(&GZIP_MAGIC) {
            Header::read(&mut MultiGzDecoder::new(rest), limit)
        } else {
            Header::read(&mut rest, limit)
        };
        header.map(|header| header.axes)
    }

    /// The plain file; [`parse`](Self::parse) reads it.
    ///
    /// # Panics
    /// If the axes are not those of the values, or not such as the format can write.
    pub fn to_bytes(&self) -> Vec<u8> {
        assert!((1..=RANK_MAX).contains(&self.axes.len()), "1 to {RANK_MAX} axes");
        let len = self.axes.iter().try_fold(1, |len: usize, &axis| len.checked_mul(axis));
        assert_eq!(len, Some(self.values.len()), "as many values as the axes say");
        let mut bytes = vec![0, 0, UNSIGNED_BYTES, self.axes.len() as u8];
        for &axis in &self.axes {
            bytes.extend(u32::try_from(axis).expect("an axis is counted in 32 bits").to_be_bytes());
        }
        bytes.extend(&*self.values);
        bytes
    }
}

#[derive(Debug)]
struct Header {
    axes: Vec<usize>,
    len: usize,
}

impl Header {
    fn read(stream: &mut impl Read, limit: usize) -> Result<Self, IdxError> {
        let mut magic = [0; 4];
        read_exact(stream, &mut magic)?;
        let [0, 0, kind, rank] = magic else { return Err(IdxError::Magic(magic)) };
        if kind != UNSIGNED_BYTES {
            return Err(IdxError::Type(kind));
        }
        if !(1..=RANK_MAX).contains(&usize::from(rank)) {
            return Err(IdxError::Rank(rank));
        }
        let mut axes = Vec::with_capacity(RANK_MAX);
        for _ in 0..rank {
            let mut size = [0; 4];
            read_exact(stream, &mut size)?;
            axes.push(u32::from_be_bytes(size) as usize);
        }
        let len = axes.iter().try_fold(1, |len: usize, &axis| len.checked_mul(axis));
        match len.filter(|len| *len <= limit) {
            Some(len) => Ok(Self { axes, len }),
            None => Err(IdxError::TooLarge { axes, limit }),
        }
    }

    /// Reads exactly the declared values, and sees that nothing follows.
    fn values(self, mut stream: impl Read) -> Result<Idx, IdxError> {
        let (mut values, mut found) = (Aligned::zeros(self.len), 0);
        while found < self.len {
            match stream.read(&mut values[found..]) {
                Ok(0) => return Err(self.length(Found::Exactly(found))),
                Ok(more) => found += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&error)),
            }
        }
        // Reading on to the end also checks the stream's checksum.
        match stream.read(&mut [0]).map_err(|e| unreadable(&e))? {
            0 => Ok(Idx { axes: self.axes, values }),
            _ => Err(self.length(Found::More)),
        }
    }

    fn length(self, found: Found) -> IdxError {
        IdxError::Length { axes: self.axes, declared: self.len, found }
    }
}

fn read_exact(stream: &mut impl Read, buffer: &mut [u8]) -> Result<(), IdxError> {
    stream.read_exact(buffer).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => IdxError::Header,
        _ => unreadable(&e),
    })
}

fn unreadable(error: &io::Error) -> IdxError {
    IdxError::Stream(damage::of_stream(error))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn compress(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn tensor() -> impl Strategy<Value = Idx> {
        prop::collection::vec(0usize..6, 1..=RANK_MAX).prop_flat_map(|axes| {
            let len = axes.iter().product::<usize>();
            prop::collection::vec(any::<u8>(), len)
                .prop_map(move |values| Idx { axes: axes.clone(), values: values.into() })
        })
    }

    proptest! {
        #[test]
        fn comes_back_plain_and_compressed(idx in tensor()) {
            let bytes = idx.to_bytes();
            prop_assert_eq!(Idx::parse(&bytes, LIMIT).unwrap(), idx.clone());
            prop_assert_eq!(Idx::parse(&compress(&bytes), LIMIT).unwrap(), idx);
        }

        #[test]
        fn every_truncation_and_every_addition_is_an_error(idx in tensor(), cut: prop::sample::Index) {
            for bytes in [idx.to_bytes(), compress(&idx.to_bytes())] {
                prop_assert!(Idx::parse(&bytes[..cut.index(bytes.len())], LIMIT).is_err());
            }
            let longer = [idx.to_bytes(), vec![0]].concat();
            prop_assert!(Idx::parse(&longer, LIMIT).is_err());
            prop_assert!(Idx::parse(&compress(&longer), LIMIT).is_err());
        }

        #[test]
        fn no_mutation_panics(idx in tensor(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            for mut bytes in [idx.to_bytes(), compress(&idx.to_bytes())] {
                for (place, value) in &changes {
                    let place = place.index(bytes.len());
                    bytes[place] = *value;
                }
                let _ = Idx::parse(&bytes, LIMIT);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Idx::parse(&bytes, LIMIT);
            let _ = Idx::parse(&[&[0, 0, 8, 3], &bytes[..]].concat(), LIMIT);
            let _ = Idx::parse(&[&GZIP_MAGIC, &bytes[..]].concat(), LIMIT);
        }
    }

    #[test]
    fn a_declared_size_is_judged_before_memory_is_taken() {
        let huge = [0, 0, 8, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(Idx::parse(&huge, usize::MAX), Err(IdxError::TooLarge { .. })), "the product overflows");
        let large = [0, 0, 8, 1, 0x7f, 0xff, 0xff, 0xff];
        assert!(matches!(Idx::parse(&large, 1000), Err(IdxError::TooLarge { limit: 1000, .. })));
        assert!(matches!(Idx::parse(&large, usize::MAX), Err(IdxError::Length { found: Found::Exactly(0), .. })));
        let lie = compress(&large);
        assert!(matches!(Idx::parse(&lie, usize::MAX), Err(IdxError::Length { found: Found::Fewer, .. })));
    }

    #[test]
    fn a_gzip_bomb_is_not_inflated_beyond_what_it_declares() {
        let bomb = compress(&[&[0, 0, 8, 1, 0, 0, 0, 5][..], &vec![0; 8 << 20]].concat());
        assert!(bomb.len() < 10_000);
        assert!(matches!(Idx::parse(&bomb, LIMIT), Err(IdxError::Length { declared: 5, found: Found::More, .. })));
    }

    #[test]
    fn messages_say_what_is_there() {
        let message = |bytes: &[u8]| Idx::parse(bytes, LIMIT).unwrap_err().to_string();
        assert_eq!(message(b"\x89PNG"), "not an IDX file: it begins with [89, 50, 4e, 47], not with 00 00 08");
        assert_eq!(message(&[0, 0, 0x0d, 1]), "values of type 0x0d; only unsigned bytes (0x08) are read");
        assert_eq!(message(&[0, 0, 8, 9]), "9 axes; files have 1 to 4");
        assert_eq!(message(&[0, 0, 8, 1, 0, 0, 0, 3, 7]), "axes [3] promise 3 values, but there are 1");
        assert_eq!(message(&[0, 0]), "the header ends too early");
    }
}
