//! The datasets of a server, each loaded once for all jobs; clients add some and remove them again.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use tempfile::TempDir;

use super::fashion_mnist::FASHION_MNIST;
use super::fetch::Network;
use super::idx_folder;
use super::mnist::MNIST;
use super::source::{Availability, DataError, Source, registry};
use super::stored::{self, Stored};
use super::upload::{Upload, UploadError};
use super::{Dataset, DatasetInfo};

/// How many datasets stay in memory when no job uses them: the ones used last.
const KEPT: usize = 2;
/// What the names of folders begin with that are only there while we work on them. No dataset's name does.
const UNFINISHED: &str = ".unfinished-";

/// Where datasets are looked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our own folder of datasets, one subfolder each.
    pub datasets_dir: PathBuf,
    /// A folder with MNIST's four files, looked into before our own.
    pub mnist_dir: Option<PathBuf>,
    /// A folder with Fashion-MNIST's four files, looked into before our own.
    pub fashion_mnist_dir: Option<PathBuf>,
    /// Whether missing files may be downloaded.
    pub network: Network,
}

/// A folder that was given for a dataset, and does not hold it.
#[derive(Debug, thiserror::Error)]
#[error("--{}-dir (or DOJANG_{}_DIR): {}: {fault}", dataset.replace('_', "-"), dataset.to_uppercase(), folder.display())]
pub struct GivenFolderError {
    /// The dataset.
    pub dataset: &'static str,
    /// The folder.
    pub folder: PathBuf,
    /// What is wrong with it.
    pub fault: String,
}

impl Options {
    /// Checks that the folders that are given hold what they are given for. One that does not is a mistake; without this
    /// the dataset would be downloaded instead, or missing.
    ///
    /// # Errors
    /// The first folder that does not hold its dataset.
    pub fn check(&self) -> Result<(), GivenFolderError> {
        for (set, given) in [(&MNIST, &self.mnist_dir), (&FASHION_MNIST, &self.fashion_mnist_dir)] {
            let Some(folder) = given else { continue };
            idx_folder::check_given(folder).map_err(|fault| GivenFolderError {
                dataset: set.name,
                folder: folder.clone(),
                fault,
            })?;
        }
        Ok(())
    }
}

/// All datasets there are, loaded when they are first asked for.
///
/// A dataset that jobs use is shared among them. One that none uses is dropped, unless it is one of the last two
/// that were asked for.
#[derive(Debug)]
pub struct Library {
    /// The built-in ones, then the uploaded ones by name.
    slots: RwLock<Vec<Arc<Slot>>>,
    kept: Mutex<VecDeque<Arc<Dataset>>>,
    datasets_dir: PathBuf,
    /// Held while a dataset is taken in or removed: one at a time, for its name and for the memory that reading takes.
    changing: Mutex<()>,
}

#[derive(Debug)]
struct Slot {
    info: DatasetInfo,
    source: Box<dyn Source>,
    /// Where it lies, if a client has sent it.
    uploaded: Option<PathBuf>,
    /// Locked while loading, so that whoever asks meanwhile waits and gets the same.
    loaded: Mutex<Weak<Dataset>>,
}

/// A dataset as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Listing {
    /// What it is.
    #[serde(flatten)]
    pub info: DatasetInfo,
    /// Whether it is here: a job on it needs no network.
    pub available: bool,
    /// Whether a job may use it all the same, as it is downloaded then.
    pub downloadable: bool,
    /// Why it is not here, and what happens at its first use.
    pub detail: Option<String>,
    /// Whether a client has sent it, and may remove it.
    pub uploaded: bool,
}

/// Why a dataset is not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// There is none of that name.
    #[error("there is no dataset `{0}`")]
    Unknown(String),
    /// It is part of dojang.
    #[error("the dataset `{0}` is built in")]
    BuiltIn(String),
    /// The disk fails.
    #[error("failed to remove the dataset: {0}")]
    Disk(#[from] io::Error),
}

impl Library {
    /// The datasets of these options, and those that clients have sent.
    pub fn with_options(options: &Options) -> Self {
        Self::of(registry(options), options.datasets_dir.clone())
    }

    /// The datasets of these sources, and those uploaded ones that lie in a folder.
    pub fn of(sources: Vec<Box<dyn Source>>, datasets_dir: PathBuf) -> Self {
        let slots = RwLock::new(sources.into_iter().map(|source| Arc::new(Slot::new(source, None))).collect());
        let library = Self { slots, kept: Mutex::default(), datasets_dir, changing: Mutex::default() };
        for folder in library.folders().into_iter().filter(|folder| !is_unfinished(folder)) {
            match Stored::open(&folder) {
                Ok(Some(stored)) => library.insert(stored, folder),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "an uploaded dataset is damaged and left out"),
            }
        }
        library
    }

    /// The datasets, and whether they are to be had.
    pub fn list(&self) -> Vec<Listing> {
        self.slots().iter().map(|slot| slot.listing()).collect()
    }

    /// One dataset, and whether it is to be had.
    pub fn listing(&self, name: &str) -> Option<Listing> {
        Some(self.slot(name)?.listing())
    }

    /// What they are, without a look at whether they are to be had.
    pub fn infos(&self) -> Vec<DatasetInfo> {
        self.slots().iter().map(|slot| slot.info.clone()).collect()
    }

    /// Whether a dataset is to be had, without loading it.
    ///
    /// # Errors
    /// If there is none of that name, or it is missing.
    pub fn check(&self, name: &str) -> Result<(), DataError> {
        match self.known(name)?.source.availability() {
            Availability::Ready | Availability::OnFirstUse(_) => Ok(()),
            Availability::Missing(detail) => Err(DataError::Missing { name: name.into(), detail }),
        }
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.slots().iter().map(|slot| slot.info.name.clone()).collect()
    }

    /// What is known of a dataset without loading it.
    pub fn info(&self, name: &str) -> Option<DatasetInfo> {
        Some(self.slot(name)?.info.clone())
    }

    /// Bytes a dataset takes in memory once it is loaded.
    pub fn memory_bytes(&self, name: &str) -> Option<usize> {
        self.slot(name)?.info.memory_bytes()
    }

    /// The dataset, from memory if it is there.
    ///
    /// **Blocks** while it is read, drawn or downloaded: call it on a thread that may wait. Of several callers at once,
    /// one loads and the others wait for it. A failure is not remembered.
    ///
    /// # Errors
    /// If there is none of that name, or it cannot be loaded.
    pub fn load(&self, name: &str) -> Result<Arc<Dataset>, DataError> {
        let slot = self.known(name)?;
        let mut loaded = lock(&slot.loaded);
        let dataset = match loaded.upgrade() {
            Some(dataset) => dataset,
            None => Arc::new(slot.load()?),
        };
        *loaded = Arc::downgrade(&dataset);
        self.keep(&dataset);
        Ok(dataset)
    }

    /// A folder for the files of an upload, on the disk where the dataset will be; gone when dropped.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn spool(&self) -> io::Result<TempDir> {
        fs::create_dir_all(&self.datasets_dir)?;
        tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&self.datasets_dir)
    }

    /// Takes a dataset in. When this returns it is durable. **Blocks** while it is read and written.
    ///
    /// # Errors
    /// If it is none, its name is taken, or the disk fails. Nothing is kept then.
    pub fn add(&self, upload: &Upload) -> Result<Listing, UploadError> {
        let _changing = lock(&self.changing);
        let name = &upload.name;
        if !is_folder_name(name) {
            return Err(UploadError::fault("name", "it cannot be the name of a folder"));
        }
        let folder = self.datasets_dir.join(name);
        // A folder may be there without a dataset: a damaged one, or files of another program.
        if self.slot(name).is_some() || folder.exists() {
            return Err(UploadError::Taken(name.clone()));
        }
        let staged = self.spool()?;
        stored::write(&upload.read()?, staged.path())?;
        fs::rename(staged.path(), &folder)?;
        // Its old name is free again; there is nothing left to be removed.
        let _ = staged.keep();
        stored::sync_folder(&self.datasets_dir)?;
        let stored = Stored::open(&folder).map_err(io::Error::other)?;
        self.insert(stored.ok_or_else(|| io::Error::other("what was written is gone"))?, folder);
        self.listing(name).ok_or_else(|| UploadError::Taken(name.clone()))
    }

    /// Removes an uploaded dataset, for good. Who uses it at the moment keeps it in memory. **Blocks.**
    ///
    /// # Errors
    /// If there is none of that name, it is built in, or the disk fails.
    pub fn remove(&self, name: &str) -> Result<(), RemoveError> {
        let _changing = lock(&self.changing);
        let slot = self.slot(name).ok_or_else(|| RemoveError::Unknown(name.into()))?;
        let folder = slot.uploaded.as_ref().ok_or_else(|| RemoveError::BuiltIn(name.into()))?;
        // Gone at once or not at all: it is deleted under another name.
        let unfinished = self.spool()?;
        fs::rename(folder, unfinished.path().join("removed"))?;
        self.slots.write().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, &slot));
        lock(&self.kept).retain(|dataset| dataset.info.name != name);
        stored::sync_folder(&self.datasets_dir)?;
        unfinished.close()?;
        Ok(())
    }

    /// Removes what a process that was killed has left of uploads. Only for the one process that owns the folder.
    pub fn remove_leftovers(&self) {
        for folder in self.folders().into_iter().filter(|folder| is_unfinished(folder)) {
            if let Err(error) = fs::remove_dir_all(&folder) {
                tracing::warn!(%error, folder = %folder.display(), "cannot remove what is left of an upload");
            }
        }
    }

    /// Bytes of the files in our own folder of datasets: those uploaded and downloaded. What cannot be looked at counts
    /// nothing. **Blocks.**
    pub fn disk_bytes(&self) -> u64 {
        files_below(&self.datasets_dir).iter().filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum()
    }

    /// The folders among the datasets, by name.
    fn folders(&self) -> Vec<PathBuf> {
        let entries = match fs::read_dir(&self.datasets_dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return vec![],
            Err(error) => {
                tracing::warn!(%error, folder = %self.datasets_dir.display(), "cannot look for uploaded datasets");
                return vec![];
            }
        };
        let mut folders: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|p| p.is_dir()).collect();
        folders.sort();
        folders
    }

    /// Adds an uploaded dataset to those that there are. A built-in one of its name stays what it is.
    fn insert(&self, stored: Stored, folder: PathBuf) {
        let slot = Slot::new(Box::new(stored), Some(folder));
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if slots.iter().any(|other| other.info.name == slot.info.name) {
            tracing::warn!(name = slot.info.name, "an uploaded dataset has the name of another one and is left out");
            return;
        }
        let comes_before = |other: &Arc<Slot>| other.uploaded.is_none() || other.info.name < slot.info.name;
        let place = slots.iter().take_while(|other| comes_before(other)).count();
        slots.insert(place, Arc::new(slot));
    }

    /// The datasets there are now.
    fn slots(&self) -> Vec<Arc<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn slot(&self, name: &str) -> Option<Arc<Slot>> {
        self.slots().into_iter().find(|slot| slot.info.name == name)
    }

    fn known(&self, name: &str) -> Result<Arc<Slot>, DataError> {
        self.slot(name).ok_or_else(|| DataError::Unknown { name: name.into(), known: self.names() })
    }

    fn keep(&self, dataset: &Arc<Dataset>) {
        let mut kept = lock(&self.kept);
        kept.retain(|other| !Arc::ptr_eq(other, dataset));
        kept.push_front(dataset.clone());
        kept.truncate(KEPT);
    }
}

impl Slot {
    fn new(source: Box<dyn Source>, uploaded: Option<PathBuf>) -> Self {
        Self { info: source.info(), source, uploaded, loaded: Mutex::default() }
    }

    fn listing(&self) -> Listing {
        let (available, downloadable, detail) = match self.source.availability() {
            Availability::Ready => (true, false, None),
            Availability::OnFirstUse(detail) => (false, true, Some(detail)),
            Availability::Missing(detail) => (false, false, Some(detail)),
        };
        Listing { info: self.info.clone(), available, downloadable, detail, uploaded: self.uploaded.is_some() }
    }

    fn load(&self) -> Result<Dataset, DataError> {
        let dataset = self.source.load()?;
        if dataset.info == self.info {
            return Ok(dataset);
        }
        let samples = |info: &DatasetInfo| format!("{} and {}", info.train_samples, info.test_samples);
        let (announced, loaded) = (samples(&self.info), samples(&dataset.info));
        Err(DataError::Different { name: self.info.name.clone(), announced, loaded })
    }
}

/// The files of the datasets in a folder of datasets, by name, without those of uploads that are not finished. Of what
/// goes meanwhile, or cannot be looked into, there are none.
pub fn files_below(datasets_dir: &Path) -> Vec<PathBuf> {
    let mut folders = vec![datasets_dir.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
            match path.is_dir() {
                true if is_unfinished(&path) => {}
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    files
}

/// Whether a folder is only there while we work on it.
fn is_unfinished(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED))
}

/// Whether a dataset's name leads to a visible folder among the datasets and to nowhere else.
fn is_folder_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(only)), None) if *only == *name)
        && !name.starts_with('.')
}

/// What these locks guard is whole after every step, so a panic of another holder changes nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "library_tests.rs"]
mod tests;
