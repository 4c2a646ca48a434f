//! Uploads, sound and unsound.

use std::fs;
use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tempfile::TempDir;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;
use crate::data::{Dtype, Split};
use crate::engine::shape::Shape;

/// An array as NumPy writes it.
pub(crate) fn npy(descr: &str, shape: &[usize], values: &[u8]) -> Vec<u8> {
    let axes: String = shape.iter().map(|axis| format!("{axis}, ")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({axes}), }}\n");
    npy_with_header(1, &header, values)
}

/// An array with this text as its header.
pub(super) fn npy_with_header(version: u8, text: &str, values: &[u8]) -> Vec<u8> {
    let length = text.len() as u32;
    let length = if version == 1 { &length.to_le_bytes()[..2] } else { &length.to_le_bytes()[..] };
    [b"\x93NUMPY", &[version, 0][..], length, text.as_bytes(), values].concat()
}

/// An archive as NumPy writes it, deflated.
pub(crate) fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    packed(arrays, CompressionMethod::Deflated)
}

fn packed(arrays: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = SimpleFileOptions::default().compression_method(method).large_file(true);
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// An archive without its directory, which repeats what stands before each entry.
fn entries(archive: &[u8]) -> &[u8] {
    let directory = archive.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    &archive[..directory]
}

/// Three samples of 2×2 bytes to learn from, and one to measure on.
fn sound() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("x_train", npy("|u1", &[3, 2, 2], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255])),
        ("y_train", npy("<i8", &[3], &[0u64, 1, 2].map(u64::to_le_bytes).concat())),
        ("x_test", npy("|u1", &[1, 2, 2], &[9, 9, 9, 9])),
        ("y_test", npy("|u1", &[1], &[1])),
    ]
}

/// The sound one with one array replaced, or added.
fn with(name: &'static str, bytes: Vec<u8>) -> Vec<(&'static str, Vec<u8>)> {
    let mut arrays = sound();
    arrays.retain(|array| array.0 != name);
    arrays.push((name, bytes));
    arrays
}

struct Case {
    folder: TempDir,
    class_names: Option<Vec<String>>,
}

impl Case {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), class_names: None }
    }

    fn named(names: &[&str]) -> Self {
        Self { class_names: Some(names.iter().map(|name| (*name).to_owned()).collect()), ..Self::new() }
    }

    fn read(&self, files: Files) -> Result<Dataset, UploadError> {
        let class_names = self.class_names.clone();
        Upload { name: "set".into(), description: String::new(), class_names, files }.read()
    }

    fn npz(&self, bytes: &[u8]) -> Result<Dataset, UploadError> {
        let path = self.folder.path().join("set.npz");
        fs::write(&path, bytes).unwrap();
        self.read(Files::Npz(path))
    }

    fn idx(&self, files: [&[u8]; 4]) -> Result<Dataset, UploadError> {
        let paths = IDX_FILES.map(|name| self.folder.path().join(name));
        paths.iter().zip(files).for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        self.read(Files::Idx(paths))
    }
}

/// Which field is at fault, and how.
fn fault(outcome: Result<Dataset, UploadError>) -> (&'static str, String) {
    match outcome {
        Err(UploadError::Fault { field, detail }) => (field, detail),
        other => panic!("{other:?}"),
    }
}

fn message(arrays: &[(&str, Vec<u8>)]) -> String {
    let (field, detail) = fault(Case::new().npz(&npz(arrays)));
    assert_eq!(field, FILE);
    detail
}

#[test]
fn an_archive_of_four_arrays_is_a_dataset() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let dataset = Case::new().npz(&packed(&sound(), method)).unwrap();
        let info = &dataset.info;
        assert_eq!((&info.input, info.dtype, info.classes), (&Shape::new(&[1, 2, 2]), Dtype::Uint8, 3));
        assert_eq!((info.train_samples, info.test_samples), (3, 1));
        assert_eq!(info.class_names, ["0", "1", "2"]);
        let values = Values::Bytes(vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255].into());
        assert!(dataset.train == Split { inputs: values, labels: vec![0, 1, 2] });
        assert_eq!(dataset.test.labels, [1]);
    }
}

#[test]
fn x_and_y_are_split_in_order() {
    for (samples, test) in [(2, 1), (6, 1), (12, 2), (13, 2)] {
        let x: Vec<u8> = (0..samples as u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
        let y: Vec<u8> = (0..samples as u8).map(|i| i % 2).collect();
        let arrays = [("x", npy("<f4", &[samples, 1], &x)), ("y", npy("|u1", &[samples, 1], &y)), ("z", vec![1])];
        let dataset = Case::new().npz(&npz(&arrays)).unwrap();
        assert_eq!((dataset.train.len(), dataset.test.len()), (samples - test, test));
        let first = (samples - test) as f32;
        assert!(dataset.test.inputs == Values::Floats((0..test).map(|i| first + i as f32).collect()));
        assert_eq!(usize::from(dataset.test.labels[0]), (samples - test) % 2);
    }
    let one = [("x", npy("|u1", &[1, 1], &[0])), ("y", npy("|u1", &[1], &[0]))];
    assert!(message(&one).starts_with("x: one sample cannot be split"));
}

#[test]
fn idx_files_are_a_dataset_plain_or_compressed() {
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let images = |n: usize| Idx { axes: vec![n, 2, 3], values: vec![5; 6 * n].into() }.to_bytes();
    let labels = |values: &[u8]| Idx { axes: vec![values.len()], values: values.into() }.to_bytes();
    let dataset =
        Case::named(&["a", "b"]).idx([&images(2), &labels(&[0, 1]), &gzip(&images(1)), &gzip(&labels(&[1]))]).unwrap();
    assert_eq!((&dataset.info.input, &dataset.info.class_names[1]), (&Shape::new(&[1, 2, 3]), &"b".to_owned()));
    assert_eq!((dataset.train.len(), dataset.test.len()), (2, 1));

    let (sound_images, sound_labels) = (images(2), labels(&[0, 1]));
    for (files, field, detail) in [
        ([&b"PK"[..], &sound_labels, &sound_images, &sound_labels], "train_images", "the header ends too early"),
        (
            [&sound_images, &labels(&[0]), &sound_images, &sound_labels],
            "train_labels",
            "1 labels; train_images has 2 samples",
        ),
        (
            [&sound_images, &sound_labels, &sound_images, &sound_images],
            "test_labels",
            "shape [2, 2, 3]; labels are [2]",
        ),
        ([&sound_images, &labels(&[1, 1]), &sound_labels, &sound_labels], "test_images", "shape [2]; inputs are"),
        (
            [&sound_images[..20], &sound_labels, &sound_images, &sound_labels],
            "train_images",
            "axes [2, 2, 3] promise 12",
        ),
        ([&images(0), &labels(&[]), &sound_images, &sound_labels], "train_images", "shape [0, 2, 3] holds no value"),
        ([&sound_images, &labels(&[0, 0]), &sound_images, &labels(&[0, 0])], "train_labels", "one class only"),
    ] {
        let (found, said) = fault(Case::new().idx(files));
        assert!(found == field && said.starts_with(detail), "{found}: {said}");
    }
}

#[test]
fn arrays_that_do_not_fit_are_refused_by_name() {
    assert_eq!(message(&with("y_train", npy("|u1", &[2], &[0, 1]))), "y_train: 2 labels; x_train has 3 samples");
    assert!(
        message(&with("y_test", npy("|u1", &[1, 3], &[0, 1, 0]))).starts_with("y_test: shape [1, 3]; labels are [1]")
    );
    assert!(
        message(&with("x_test", npy("<f4", &[1, 2, 2], &[0; 16])))
            .starts_with("x_test: samples of shape [1, 2, 2], float32")
    );
    assert!(message(&with("x_test", npy("|u1", &[1, 4], &[0; 4]))).starts_with("x_test: samples of shape [4], uint8"));
    assert!(message(&with("x_train", npy("|u1", &[3], &[0; 3]))).starts_with("x_train: shape [3]; inputs are [N, D]"));
    assert!(message(&with("x_train", npy("|u1", &[3, 0], &[]))).contains("holds no value"));
    assert!(
        message(&with("x_train", npy("<i4", &[3, 1], &[0; 12]))).starts_with("x_train: dtype `<i4` is not read here")
    );
    assert!(message(&with("y_test", npy("|u1", &[1], &[]))).starts_with("y_test: shape [1] promises 1 values"));
    let last = message(&with("x_train", npy("|u1", &[3, 8, 8, 3], &[0; 576])));
    assert!(last.contains("channels come first here, [N, 3, 8, 8]"), "{last}");
    let first = with("x_train", npy("|u1", &[3, 3, 8, 8], &[0; 576]));
    assert!(message(&first).starts_with("x_test: samples of shape [1, 2, 2]"), "channels first are read");
    assert!(message(&[("x", npy("|u1", &[1, 1], &[0])), ("Y", vec![])]).ends_with("others found: [Y]"));
    let (x, y) = (npy("|u1", &[2, 1], &[0, 1]), npy("|u1", &[2], &[0, 1]));
    assert_eq!(message(&[("x", x.clone())]), "y is missing: the arrays x, y belong together");
    assert_eq!(message(&[("y", y.clone())]), "x is missing: the arrays x, y belong together");
    assert_eq!(
        message(&[("x_train", x), ("y_train", y)]),
        "x_test, y_test are missing: the arrays x_train, y_train, x_test, y_test belong together"
    );
    let once = npz(&sound());
    let twice = [entries(&once), &once].concat();
    assert_eq!(fault(Case::new().npz(&twice)).1, "x_train: is there twice");
}

#[test]
fn an_archive_without_its_last_bytes_is_damaged() {
    let archive = npz(&sound());
    for length in entries(&archive).len()..archive.len() {
        let (field, detail) = fault(Case::new().npz(&archive[..length]));
        assert!(field == "file" && detail.contains("damaged or cut off"), "{length} of {}: {detail}", archive.len());
    }
    let mut commented = archive.clone();
    let end = commented.len();
    commented[end - 2..].copy_from_slice(&4u16.to_le_bytes());
    commented.extend(b"note");
    Case::new().npz(&commented).expect("an archive may end with a comment");
    assert!(Case::new().npz(&commented[..end + 3]).is_err());
    let mut fewer = archive;
    fewer[end - 12] -= 1;
    assert!(Case::new().npz(&fewer).is_err(), "another number of entries");
}

#[test]
fn names_of_classes_must_cover_the_labels() {
    let archive = npz(&sound());
    let read = |names: &[&str]| Case::named(names).npz(&archive);
    assert_eq!(read(&["a", "b", "c", "d"]).unwrap().info.classes, 4, "a class may have no sample");
    for (names, detail) in [
        (&["a", "b"][..], "2 names, but 3 classes: the highest label is 2"),
        (&["a"], "1 name, but 3 classes: the highest label is 2"),
        (&["a", " ", "c"], "` ` is no name of 1 to 120 visible characters"),
        (&["a", "b\n", "c"], "`b\\n` is no name of 1 to 120 visible characters"),
        (&["x"; 1001], "1001 names; a dataset has at most 1000 classes"),
    ] {
        assert_eq!(fault(read(names)), ("class_names", detail.into()));
    }
    let mut one = with("y_train", npy("|u1", &[3], &[0; 3]));
    one.retain(|array| array.0 != "y_test");
    one.push(("y_test", npy("|u1", &[1], &[0])));
    assert_eq!(message(&one), "one class only: there is nothing to tell apart");
}

#[test]
fn an_archive_takes_no_more_than_is_allowed() {
    // 64 MiB of zeros in 64 KiB; the array says 5 bytes.
    let bomb = npy("|u1", &[5, 1], &vec![0; 64 << 20]);
    let archive = npz(&with("x_train", bomb));
    assert!(archive.len() < 100_000);
    assert_eq!(fault(Case::new().npz(&archive)).1, "x_train: shape [5, 1] promises 5 values, but there are more");
    let honest = npz(&[("x", npy("|u1", &[1 << 20, 1], &vec![0; 1 << 20])), ("y", vec![])]);
    let outcome = npz::read(&honest[..], 1000).unwrap_err().to_string();
    assert!(outcome.contains("more than the 1000 bytes that all arrays together may have"), "{outcome}");
    let many: Vec<_> = (0..1001).map(|i| (format!("a{i}"), vec![])).collect();
    let many: Vec<_> = many.iter().map(|(name, bytes): &(String, Vec<u8>)| (name.as_str(), bytes.clone())).collect();
    assert_eq!(message(&many), "more than 1000 arrays");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_truncation_and_no_mutation_is_believed_or_panics(
        cut: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let archive = npz(&sound());
        let entries = entries(&archive);
        prop_assert!(npz::read(&entries[..cut.index(entries.len())], ARRAYS_MAX).is_err());
        let mut damaged = archive;
        for (place, value) in changes {
            let place = place.index(damaged.len());
            damaged[place] = value;
        }
        let _ = npz::read(&damaged[..], ARRAYS_MAX);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(npz::read(&bytes[..], ARRAYS_MAX).is_err());
        let _ = npz::read(&[b"PK\x03\x04", &bytes[..]].concat()[..], ARRAYS_MAX);
    }
}
