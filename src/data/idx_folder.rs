//! Datasets of 28×28 grey images in 10 classes that are published as four IDX files, as MNIST was first: one table
//! ([`IdxSet`]) a dataset.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::fetch::{self, Network, Progress, RemoteFile};
use super::idx::{Idx, IdxError};
use super::source::{Availability, DataError, Source};
use super::{Dataset, DatasetInfo, Dtype, Split, Values};
use crate::engine::shape::Shape;

/// Side of an image.
const SIDE: usize = 28;
/// Number of classes.
const CLASSES: u8 = 10;
/// Most values of a file: the real ones have 47,040,000.
const VALUES_MAX: usize = 1 << 26;
/// The files: training images and labels, test images and labels. Each may also end in `.gz`.
pub const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Why a folder's files are not such a dataset.
#[derive(Debug, thiserror::Error)]
pub enum IdxFolderError {
    /// Neither the file nor its `.gz` is there.
    #[error("{} (or {name}.gz) does not exist", folder.join(name).display())]
    Missing {
        /// Where it was looked for.
        folder: PathBuf,
        /// Its name.
        name: &'static str,
    },
    /// It cannot be read.
    #[error("{}: {error}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is not an IDX file.
    #[error("{}: {error}", file.display())]
    Idx {
        /// The file.
        file: PathBuf,
        /// Its fault.
        error: IdxError,
    },
    /// It is one, of something else.
    #[error("{}: {detail}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

/// What a dataset's files are called and hold is the same for all; this is what differs.
#[derive(Debug)]
pub struct IdxSet {
    /// The name that a spec uses, and that of its folder among our own.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub description: &'static str,
    /// A name for each class, in the order of the labels.
    pub class_names: [&'static str; CLASSES as usize],
    /// Where its files are, in the order in which to ask.
    pub mirrors: &'static [&'static str],
    /// Its files as they were first published; a mirror that packed them anew is not taken.
    pub files: [RemoteFile; 4],
}

/// Whether all four files are in a folder; which one is not, otherwise.
///
/// # Errors
/// The first that is missing.
pub fn check(folder: &Path) -> Result<(), IdxFolderError> {
    FILES.iter().try_for_each(|name| find(folder, name).map(drop))
}

/// Whether a folder that somebody names holds the four files: each is opened and its header read, but not its values.
///
/// # Errors
/// Every fault, in words.
pub fn check_given(folder: &Path) -> Result<(), String> {
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err("it is not a folder".into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err("there is no such folder".into()),
        Err(error) => return Err(error.to_string()),
    }
    // Whether files are there cannot be seen in a folder that cannot be looked into.
    std::fs::read_dir(folder).map_err(|error| format!("it cannot be read: {error}"))?;
    let missing: Vec<_> = FILES.into_iter().filter(|name| find(folder, name).is_err()).collect();
    if !missing.is_empty() {
        return Err(format!("it lacks {} (each may also end in .gz)", missing.join(", ")));
    }
    let axes = FILES.map(|name| declared_axes(folder, name).map_err(|error| error.to_string()));
    let [train_images, train_labels, test_images, test_labels] = axes;
    for (name, images, labels) in [(FILES[0], train_images?, train_labels?), (FILES[2], test_images?, test_labels?)] {
        let [count, SIDE, SIDE] = images[..] else {
            return Err(format!("{name} has axes {images:?}; images are [N, {SIDE}, {SIDE}]"));
        };
        if labels != [count] {
            return Err(format!("the labels for the {count} images of {name} have axes {labels:?}, not [{count}]"));
        }
    }
    Ok(())
}

impl IdxSet {
    /// Reads the four files of a folder. How many samples they hold is up to them.
    ///
    /// # Errors
    /// If a file is missing or damaged, an image is not 28×28, a label is not 0–9 or there is not one for each image.
    pub fn load(&self, folder: &Path) -> Result<Dataset, IdxFolderError> {
        let [train_images, train_labels, test_images, test_labels] = FILES;
        let train = split(folder, train_images, train_labels)?;
        let test = split(folder, test_images, test_labels)?;
        Ok(Dataset { info: self.info(train.len(), test.len()), train, test })
    }

    /// Downloads those of the four files that a folder lacks. Blocks.
    ///
    /// # Errors
    /// If the folder cannot be written, or no mirror has a file.
    pub fn fetch(&self, folder: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), fetch::FetchError> {
        fetch::files(self.mirrors, &self.files, folder, progress)
    }

    fn info(&self, train_samples: usize, test_samples: usize) -> DatasetInfo {
        DatasetInfo {
            name: self.name.into(),
            description: self.description.into(),
            input: Shape::new(&[1, SIDE, SIDE]),
            dtype: Dtype::Uint8,
            classes: CLASSES.into(),
            class_names: self.class_names.map(str::to_owned).to_vec(),
            train_samples,
            test_samples,
        }
    }

    /// Size of the download, in megabytes.
    fn megabytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum::<u64>().div_ceil(1_000_000)
    }
}

fn split(folder: &Path, images: &'static str, labels: &'static str) -> Result<Split, IdxFolderError> {
    let (images_file, labels_file) = (find(folder, images)?, find(folder, labels)?);
    let (images, labels) = (read(&images_file)?, read(&labels_file)?);
    let content = |file: &Path, detail: String| IdxFolderError::Content { file: file.into(), detail };
    let [count, SIDE, SIDE] = images.axes[..] else {
        return Err(content(&images_file, format!("axes {:?}; images are [N, {SIDE}, {SIDE}]", images.axes)));
    };
    if labels.axes != [count] {
        return Err(content(&labels_file, format!("axes {:?}; labels for {count} images are [{count}]", labels.axes)));
    }
    if let Some(index) = labels.values.iter().position(|label| *label >= CLASSES) {
        return Err(content(&labels_file, format!("label {index} is {}; labels are 0–9", labels.values[index])));
    }
    Ok(Split {
        inputs: Values::Bytes(images.values),
        labels: labels.values.iter().map(|label| u16::from(*label)).collect(),
    })
}

fn find(folder: &Path, name: &'static str) -> Result<PathBuf, IdxFolderError> {
    [folder.join(name), folder.join(format!("{name}.gz"))]
        .into_iter()
        .find(|file| file.is_file())
        .ok_or_else(|| IdxFolderError::Missing { folder: folder.into(), name })
}

/// Number of samples that a file declares.
fn count(folder: &Path, name: &'static str) -> Option<usize> {
    declared_axes(folder, name).ok()?.first().copied()
}

/// The axes that a file declares.
fn declared_axes(folder: &Path, name: &'static str) -> Result<Vec<usize>, IdxFolderError> {
    let file = find(folder, name)?;
    let mut beginning = Vec::new();
    let read = File::open(&file).and_then(|opened| opened.take(1 << 10).read_to_end(&mut beginning));
    match read {
        Ok(_) => Idx::declared_axes(&beginning, VALUES_MAX).map_err(|error| IdxFolderError::Idx { file, error }),
        Err(error) => Err(IdxFolderError::Read { file, error }),
    }
}

fn read(path: &Path) -> Result<Idx, IdxFolderError> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (bytes, file) = opened.map_err(|error| IdxFolderError::Read { file: path.into(), error })?;
    Idx::read(BufReader::new(file), bytes, VALUES_MAX).map_err(|error| IdxFolderError::Idx { file: path.into(), error })
}

/// The dataset and where it may be: a folder of the user's, else our own, filled from the network if that is allowed.
#[derive(Debug)]
pub struct IdxFolder {
    /// Which dataset.
    pub set: &'static IdxSet,
    /// A folder that is looked into first.
    pub given: Option<PathBuf>,
    /// Our own folder.
    pub own: PathBuf,
    /// Whether it may be filled from the network.
    pub network: Network,
}

impl IdxFolder {
    /// The first folder that has all four files; what is missing from the first one, otherwise.
    fn folder(&self) -> Result<&Path, IdxFolderError> {
        let mut folders = self.given.iter().chain([&self.own]).map(|folder| check(folder).map(|()| folder.as_path()));
        let first = folders.next().expect("our own folder is one");
        first.or_else(|error| folders.find_map(Result::ok).ok_or(error))
    }
}

impl Source for IdxFolder {
    /// As many samples as the files say; before they are downloaded, as many as they will say.
    fn info(&self) -> DatasetInfo {
        let counts = self.folder().ok().and_then(|folder| Some((count(folder, FILES[0])?, count(folder, FILES[2])?)));
        let (train, test) = counts.unwrap_or((60_000, 10_000));
        self.set.info(train, test)
    }

    fn availability(&self) -> Availability {
        match (self.folder(), self.network) {
            (Ok(_), _) => Availability::Ready,
            (Err(_), Network::Allowed) => {
                let megabytes = self.set.megabytes();
                Availability::OnFirstUse(format!("is downloaded at its first use, about {megabytes} MB"))
            }
            (Err(error), Network::Forbidden) => {
                Availability::Missing(format!("{error}, and nothing is downloaded (--no-fetch)"))
            }
        }
    }

    fn load(&self) -> Result<Dataset, DataError> {
        let folder = match (self.folder(), self.network) {
            (Ok(folder), _) => folder,
            (Err(error), Network::Forbidden) => return Err(error.into()),
            (Err(error), Network::Allowed) => {
                tracing::info!(%error, folder = %self.own.display(), "downloading {}", self.set.name);
                self.set.fetch(&self.own, &mut |_| {})?;
                &self.own
            }
        };
        Ok(self.set.load(folder)?)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;
    use crate::data::mnist::MNIST;
    use crate::engine::samples::Inputs;

    /// Four small files of the right kind: `train` and `test` images, labels 0, 1, 2 … 9, 0 …
    pub(crate) fn write_small(folder: &Path, train: usize, test: usize) {
        for (files, count) in [([FILES[0], FILES[1]], train), ([FILES[2], FILES[3]], test)] {
            let images = Idx {
                axes: vec![count, SIDE, SIDE],
                values: (0..count * SIDE * SIDE).map(|i| (i % 251) as u8).collect(),
            };
            let labels = Idx { axes: vec![count], values: (0..count).map(|i| (i % 10) as u8).collect() };
            fs::write(folder.join(files[0]), images.to_bytes()).unwrap();
            fs::write(folder.join(files[1]), labels.to_bytes()).unwrap();
        }
    }

    #[test]
    fn reads_four_files() {
        let folder = tempfile::tempdir().unwrap();
        write_small(folder.path(), 12, 3);
        let mnist = MNIST.load(folder.path()).unwrap();
        assert_eq!((mnist.info.train_samples, mnist.info.test_samples), (12, 3));
        assert_eq!(mnist.train.labels, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
        assert_eq!(mnist.test.inputs.len(), 3 * 784);
        let Inputs::Bytes(second) = mnist.train.input(1) else { panic!("pixels are bytes") };
        assert_eq!(second[0], (784 % 251) as u8);
    }

    #[test]
    fn says_which_file_is_at_fault_and_why() {
        let folder = tempfile::tempdir().unwrap();
        let message = || MNIST.load(folder.path()).unwrap_err().to_string();
        assert!(message().ends_with("train-images-idx3-ubyte (or train-images-idx3-ubyte.gz) does not exist"));
        let spoil = |name: &str, axes: &[usize], value: u8| {
            write_small(folder.path(), 2, 2);
            let idx = Idx { axes: axes.to_vec(), values: vec![value; axes.iter().product()].into() };
            fs::write(folder.path().join(name), idx.to_bytes()).unwrap();
            MNIST.load(folder.path()).unwrap_err().to_string()
        };
        assert!(spoil(FILES[0], &[2, 28, 27], 0).ends_with("axes [2, 28, 27]; images are [N, 28, 28]"));
        assert!(spoil(FILES[3], &[3], 0).ends_with("axes [3]; labels for 2 images are [2]"));
        assert!(spoil(FILES[1], &[2], 10).ends_with("train-labels-idx1-ubyte: label 0 is 10; labels are 0–9"));
        write_small(folder.path(), 2, 2);
        fs::write(folder.path().join(FILES[2]), b"<html>").unwrap();
        assert!(message().contains("t10k-images-idx3-ubyte: not an IDX file"));
    }

    #[test]
    fn a_given_folder_is_checked_file_by_file() {
        let folder = tempfile::tempdir().unwrap();
        let fault = |path: &Path| check_given(path).unwrap_err();
        assert_eq!(fault(&folder.path().join("none")), "there is no such folder");
        assert_eq!(
            fault(folder.path()),
            "it lacks train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte \
             (each may also end in .gz)"
        );
        write_small(folder.path(), 3, 2);
        assert_eq!(check_given(folder.path()), Ok(()));
        assert_eq!(fault(&folder.path().join(FILES[0])), "it is not a folder");
        fs::remove_file(folder.path().join(FILES[3])).unwrap();
        assert_eq!(fault(folder.path()), "it lacks t10k-labels-idx1-ubyte (each may also end in .gz)");
        fs::create_dir(folder.path().join(FILES[3])).unwrap();
        assert!(fault(folder.path()).starts_with("it lacks t10k-labels-idx1-ubyte"), "a folder is no file");
        let gz = folder.path().join(format!("{}.gz", FILES[3]));
        fs::write(&gz, [0x1f, 0x8b, 8, 0]).unwrap();
        assert!(fault(folder.path()).contains("t10k-labels-idx1-ubyte.gz: "), "{}", fault(folder.path()));
        let labels = Idx { axes: vec![9], values: vec![0; 9].into() };
        fs::write(&gz, labels.to_bytes()).unwrap();
        assert!(fault(folder.path()).ends_with("have axes [9], not [2]"), "{}", fault(folder.path()));
        fs::write(folder.path().join(FILES[0]), labels.to_bytes()).unwrap();
        assert!(fault(folder.path()).ends_with("has axes [9]; images are [N, 28, 28]"), "{}", fault(folder.path()));
    }

    #[test]
    fn a_given_folder_comes_before_our_own() {
        let (given, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let network = Network::Forbidden;
        let given_folder = Some(given.path().into());
        let mut source = IdxFolder { set: &MNIST, given: given_folder, own: own.path().into(), network };
        let Availability::Missing(detail) = source.availability() else { panic!("nothing is there yet") };
        assert!(detail.starts_with(given.path().to_str().unwrap()), "{detail}");
        assert!(matches!(source.load(), Err(DataError::IdxFolder(IdxFolderError::Missing { .. }))));
        write_small(own.path(), 2, 2);
        assert_eq!(source.availability(), Availability::Ready);
        assert_eq!(source.load().unwrap().train.len(), 2);
        write_small(given.path(), 3, 2);
        assert_eq!(source.load().unwrap().train.len(), 3);
        source.given = None;
        assert_eq!(source.load().unwrap().train.len(), 2);
    }
}
