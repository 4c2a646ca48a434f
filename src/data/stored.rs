//! Uploaded datasets on the disk: a folder each, read as fast as the disk is.
//!
//! | file | what |
//! | --- | --- |
//! | `meta.json` | what the dataset is, and of each array its size and SHA-256 |
//! | `train_inputs.bin`, `test_inputs.bin` | inputs `[N, …]`, row by row: bytes, or little-endian 32-bit numbers |
//! | `train_labels.bin`, `test_labels.bin` | labels `[N]`, little-endian 16-bit |
//!
//! A folder is written under another name, made durable, and then renamed: one that is there is whole.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::source::{Availability, DataError, Source};
use super::{Dataset, DatasetInfo, Dtype, Split, Values};
use crate::engine::aligned::Aligned;

const META: &str = "meta.json";
/// The way of writing that [`META`] tells of.
const FORMAT: u32 = 1;
/// Bytes read or written at once; a multiple of every size of a value.
const PIECE: usize = 64 << 10;

/// A dataset in a folder of its own.
#[derive(Debug)]
pub(super) struct Stored {
    folder: PathBuf,
    meta: Meta,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    format: u32,
    info: DatasetInfo,
    train_inputs: Digested,
    train_labels: Digested,
    test_inputs: Digested,
    test_labels: Digested,
}

/// What an array's file must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Digested {
    bytes: u64,
    sha256: String,
}

/// Writes a dataset into an empty folder, durably.
///
/// # Errors
/// If the disk fails.
pub(super) fn write(dataset: &Dataset, folder: &Path) -> io::Result<()> {
    let inputs = |name: &str, split: &Split| match &split.inputs {
        Values::Bytes(values) => write_array(&folder.join(name), values, |byte| [*byte]),
        Values::Floats(values) => write_array(&folder.join(name), values, |value| value.to_le_bytes()),
    };
    let labels =
        |name: &str, split: &Split| write_array(&folder.join(name), &split.labels, |label| label.to_le_bytes());
    let meta = Meta {
        format: FORMAT,
        info: dataset.info.clone(),
        train_inputs: inputs("train_inputs.bin", &dataset.train)?,
        train_labels: labels("train_labels.bin", &dataset.train)?,
        test_inputs: inputs("test_inputs.bin", &dataset.test)?,
        test_labels: labels("test_labels.bin", &dataset.test)?,
    };
    let mut file = File::create_new(folder.join(META))?;
    file.write_all(&serde_json::to_vec_pretty(&meta)?)?;
    file.sync_all()?;
    sync_folder(folder)
}

/// Makes durable which files a folder has.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    // Other systems cannot open a folder, and need not.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn write_array<T, const N: usize>(path: &Path, values: &[T], bytes: impl Fn(&T) -> [u8; N]) -> io::Result<Digested> {
    let mut file = BufWriter::new(File::create_new(path)?);
    let mut hasher = Sha256::new();
    let mut piece = Vec::with_capacity(PIECE);
    for values in values.chunks(PIECE / N) {
        piece.clear();
        values.iter().for_each(|value| piece.extend(bytes(value)));
        hasher.update(&piece);
        file.write_all(&piece)?;
    }
    file.into_inner()?.sync_all()?;
    Ok(Digested { bytes: (values.len() * N) as u64, sha256: hex(hasher) })
}

fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Stored {
    /// Reads what a folder holds, without reading its arrays. `None` if it holds no dataset of ours.
    ///
    /// # Errors
    /// If it does, and it is damaged.
    pub(super) fn open(folder: &Path) -> Result<Option<Self>, DataError> {
        let file = folder.join(META);
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(damaged(&file, &error)),
        };
        let meta: Meta = serde_json::from_slice(&text).map_err(|error| damaged(&file, &error))?;
        if meta.format != FORMAT {
            return Err(damaged(&file, &format!("format {}; this version reads {FORMAT}", meta.format)));
        }
        let info = &meta.info;
        if folder.file_name().is_none_or(|name| *name != *info.name) {
            return Err(damaged(&file, &format!("the dataset is named `{}`, its folder is not", info.name)));
        }
        let bytes = |samples: usize, value: usize, values: Option<usize>| -> Option<u64> {
            u64::try_from(samples.checked_mul(values?)?.checked_mul(value)?).ok()
        };
        let (width, size) = (info.input.checked_len(), info.dtype.size());
        for (array, samples, value, values) in [
            (&meta.train_inputs, info.train_samples, size, width),
            (&meta.train_labels, info.train_samples, size_of::<u16>(), Some(1)),
            (&meta.test_inputs, info.test_samples, size, width),
            (&meta.test_labels, info.test_samples, size_of::<u16>(), Some(1)),
        ] {
            if bytes(samples, value, values) != Some(array.bytes) {
                return Err(damaged(&file, &"its shape is not that of its arrays"));
            }
        }
        Ok(Some(Self { folder: folder.into(), meta }))
    }

    fn part(&self, name: &str, [inputs, labels]: [&Digested; 2]) -> Result<Split, DataError> {
        let path = self.folder.join(format!("{name}_inputs.bin"));
        let inputs = match self.meta.info.dtype {
            Dtype::Uint8 => Values::Bytes(read_array(&path, inputs, |[byte]| byte)?),
            Dtype::Float32 => Values::Floats(read_array(&path, inputs, f32::from_le_bytes)?),
        };
        let path = self.folder.join(format!("{name}_labels.bin"));
        Ok(Split { inputs, labels: read_array(&path, labels, u16::from_le_bytes)?.to_vec() })
    }
}

fn damaged(file: &Path, detail: &impl std::fmt::Display) -> DataError {
    DataError::Damaged { file: file.into(), detail: detail.to_string() }
}

fn read_array<T: Pod, const N: usize>(
    path: &Path,
    wanted: &Digested,
    value: impl Fn([u8; N]) -> T,
) -> Result<Aligned<T>, DataError> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (found, mut file) = opened.map_err(|error| damaged(path, &error))?;
    if found != wanted.bytes {
        return Err(damaged(path, &format!("{found} bytes; {} were written", wanted.bytes)));
    }
    let mut left = usize::try_from(found).map_err(|error| damaged(path, &error))?;
    let (mut values, mut done) = (Aligned::zeros(left / N), 0);
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let piece = &mut piece[..left.min(PIECE)];
        file.read_exact(piece).map_err(|error| damaged(path, &error))?;
        hasher.update(&*piece);
        let read = piece.as_chunks().0;
        for (to, bytes) in values[done..].iter_mut().zip(read) {
            *to = value(*bytes);
        }
        done += read.len();
        left -= piece.len();
    }
    let sha256 = hex(hasher);
    if sha256 != wanted.sha256 {
        return Err(damaged(path, &format!("sha256 {sha256}, not {}", wanted.sha256)));
    }
    Ok(values)
}

impl Source for Stored {
    fn info(&self) -> DatasetInfo {
        self.meta.info.clone()
    }

    fn availability(&self) -> Availability {
        Availability::Ready
    }

    fn load(&self) -> Result<Dataset, DataError> {
        let Meta { train_inputs, train_labels, test_inputs, test_labels, .. } = &self.meta;
        let (train, test) =
            (self.part("train", [train_inputs, train_labels])?, self.part("test", [test_inputs, test_labels])?);
        Ok(Dataset { info: self.info(), train, test })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::engine::shape::Shape;

    fn dataset(inputs: [Values; 2]) -> Dataset {
        let [train, test] = inputs;
        let info = DatasetInfo {
            name: "set".into(),
            description: "Some.".into(),
            input: Shape::new(&[2]),
            dtype: train.dtype(),
            classes: 300,
            class_names: (0..300).map(|i| i.to_string()).collect(),
            train_samples: 3,
            test_samples: 1,
        };
        let (train, test) =
            (Split { inputs: train, labels: vec![0, 299, 1] }, Split { inputs: test, labels: vec![258] });
        Dataset { info, train, test }
    }

    fn stored(dataset: &Dataset, parent: &Path) -> PathBuf {
        let folder = parent.join("set");
        fs::create_dir(&folder).unwrap();
        write(dataset, &folder).unwrap();
        folder
    }

    #[test]
    fn comes_back_as_it_was() {
        for inputs in [
            [Values::Bytes(vec![0, 1, 2, 253, 254, 255].into()), Values::Bytes(vec![7, 8].into())],
            [
                Values::Floats(vec![0.0, -1.5, f32::MIN_POSITIVE, 1e30, -0.0, 0.1].into()),
                Values::Floats(vec![7.0, 8.0].into()),
            ],
        ] {
            let parent = tempfile::tempdir().unwrap();
            let dataset = dataset(inputs);
            let loaded = Stored::open(&stored(&dataset, parent.path())).unwrap().expect("a dataset").load().unwrap();
            assert_eq!(loaded.info, dataset.info);
            assert!(loaded.train == dataset.train && loaded.test == dataset.test);
        }
    }

    #[test]
    fn more_than_a_piece_comes_back() {
        let parent = tempfile::tempdir().unwrap();
        let values: Vec<f32> = (0..PIECE).map(|i| i as f32).collect();
        let path = parent.path().join("array");
        let digested = write_array(&path, &values, |value| value.to_le_bytes()).unwrap();
        assert_eq!(*read_array(&path, &digested, f32::from_le_bytes).unwrap(), values);
    }

    #[test]
    fn damage_is_told_with_its_file() {
        let bytes = || [Values::Bytes(vec![0; 6].into()), Values::Bytes(vec![0; 2].into())];
        let message = |spoil: &dyn Fn(&Path)| {
            let parent = tempfile::tempdir().unwrap();
            let folder = stored(&dataset(bytes()), parent.path());
            spoil(&folder);
            let loaded = Stored::open(&folder).and_then(|stored| stored.expect("a dataset").load());
            loaded.unwrap_err().to_string()
        };
        let write = |name: &'static str, bytes: &'static [u8]| {
            move |folder: &Path| fs::write(folder.join(name), bytes).unwrap()
        };
        assert!(message(&write("train_inputs.bin", &[0, 0, 9, 0, 0, 0])).contains("train_inputs.bin: sha256 "));
        assert!(message(&write("test_labels.bin", &[0])).contains("test_labels.bin: 1 bytes; 2 were written"));
        assert!(
            message(&|folder| fs::remove_file(folder.join("test_inputs.bin")).unwrap()).contains("test_inputs.bin: ")
        );
        assert!(message(&write("meta.json", b"{")).contains("meta.json: "));
        let replace = |from: &'static str, to: &'static str| {
            move |folder: &Path| {
                let text = fs::read_to_string(folder.join(META)).unwrap();
                assert!(text.contains(from));
                fs::write(folder.join(META), text.replace(from, to)).unwrap();
            }
        };
        assert!(message(&replace("\"format\": 1", "\"format\": 2")).contains("format 2; this version reads 1"));
        assert!(message(&replace("\"train_samples\": 3", "\"train_samples\": 4")).contains("its shape is not that"));
        assert!(message(&replace("\"name\": \"set\"", "\"name\": \"sett\"")).contains("is named `sett`"));
        let empty = tempfile::tempdir().unwrap();
        assert!(Stored::open(empty.path()).unwrap().is_none());
    }
}
