//! The datasets of a server, each loaded once for all jobs.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::fetch::Network;
use super::source::{Availability, DataError, Source, registry};
use super::{Dataset, DatasetInfo};

/// How many datasets stay in memory when no job uses them: the ones used last.
const KEPT: usize = 2;

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

/// All datasets there are, loaded when they are first asked for.
///
/// A dataset that jobs use is shared among them. One that none uses is dropped, unless it is one of the last two
/// that were asked for.
#[derive(Debug)]
pub struct Library {
    slots: Vec<Slot>,
    kept: Mutex<VecDeque<Arc<Dataset>>>,
}

#[derive(Debug)]
struct Slot {
    info: DatasetInfo,
    source: Box<dyn Source>,
    /// Locked while loading, so that whoever asks meanwhile waits and gets the same.
    loaded: Mutex<Weak<Dataset>>,
}

/// A dataset as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Listing {
    /// What it is.
    #[serde(flatten)]
    pub info: DatasetInfo,
    /// Whether a job may use it.
    pub available: bool,
    /// Why not, or why its first use takes longer.
    pub detail: Option<String>,
}

impl Library {
    /// The datasets of these options.
    pub fn with_options(options: &Options) -> Self {
        Self::of(registry(options))
    }

    /// The datasets of these sources.
    pub fn of(sources: Vec<Box<dyn Source>>) -> Self {
        let slot = |source: Box<dyn Source>| Slot { info: source.info(), source, loaded: Mutex::default() };
        Self { slots: sources.into_iter().map(slot).collect(), kept: Mutex::default() }
    }

    /// The datasets, and whether they are to be had.
    pub fn list(&self) -> Vec<Listing> {
        let listing = |slot: &Slot| {
            let (available, detail) = match slot.source.availability() {
                Availability::Ready => (true, None),
                Availability::OnFirstUse(detail) => (true, Some(detail)),
                Availability::Missing(detail) => (false, Some(detail)),
            };
            Listing { info: slot.info.clone(), available, detail }
        };
        self.slots.iter().map(listing).collect()
    }

    /// What they are, without a look at whether they are to be had.
    pub fn infos(&self) -> Vec<DatasetInfo> {
        self.slots.iter().map(|slot| slot.info.clone()).collect()
    }

    /// Whether a dataset is to be had, without loading it.
    ///
    /// # Errors
    /// If there is none of that name, or it is missing.
    pub fn check(&self, name: &str) -> Result<(), DataError> {
        let slot = self.slot(name).ok_or_else(|| DataError::Unknown { name: name.into(), known: self.names() })?;
        match slot.source.availability() {
            Availability::Ready | Availability::OnFirstUse(_) => Ok(()),
            Availability::Missing(detail) => Err(DataError::Missing { name: name.into(), detail }),
        }
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.slots.iter().map(|slot| slot.info.name.clone()).collect()
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
        let slot = self.slot(name).ok_or_else(|| DataError::Unknown { name: name.into(), known: self.names() })?;
        let mut loaded = lock(&slot.loaded);
        let dataset = match loaded.upgrade() {
            Some(dataset) => dataset,
            None => Arc::new(slot.load()?),
        };
        *loaded = Arc::downgrade(&dataset);
        self.keep(&dataset);
        Ok(dataset)
    }

    fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.info.name == name)
    }

    fn keep(&self, dataset: &Arc<Dataset>) {
        let mut kept = lock(&self.kept);
        kept.retain(|other| !Arc::ptr_eq(other, dataset));
        kept.push_front(dataset.clone());
        kept.truncate(KEPT);
    }
}

impl Slot {
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

/// What these locks guard is whole after every step, so a panic of another holder changes nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::data::idx_folder::tests::write_small;
    use crate::data::{Dtype, Split, Values};
    use crate::engine::shape::Shape;

    /// A source that counts how often it is loaded, and fails the first `failures` times.
    #[derive(Debug)]
    struct Counted {
        name: &'static str,
        loads: Arc<AtomicUsize>,
        failures: usize,
    }

    impl Source for Counted {
        fn info(&self) -> DatasetInfo {
            DatasetInfo {
                name: self.name.into(),
                description: String::new(),
                input: Shape::new(&[3]),
                dtype: Dtype::Uint8,
                classes: 2,
                class_names: vec!["a".into(), "b".into()],
                train_samples: 2,
                test_samples: 1,
            }
        }

        fn availability(&self) -> Availability {
            Availability::Missing("never mind".into())
        }

        fn load(&self) -> Result<Dataset, DataError> {
            if self.loads.fetch_add(1, Ordering::SeqCst) < self.failures {
                return Err(DataError::Unknown { name: "not yet".into(), known: vec![] });
            }
            let split = |n: usize| Split { inputs: Values::Bytes(vec![0; 3 * n]), labels: vec![0; n] };
            Ok(Dataset { info: self.info(), train: split(2), test: split(1) })
        }
    }

    fn library(names: &[&'static str], failures: usize) -> (Library, Arc<AtomicUsize>) {
        let loads = Arc::new(AtomicUsize::new(0));
        let source =
            |name: &&'static str| Box::new(Counted { name, loads: loads.clone(), failures }) as Box<dyn Source>;
        (Library::of(names.iter().map(source).collect()), loads)
    }

    #[test]
    fn many_askers_at_once_share_one_load() {
        let (library, loads) = library(&["x"], 0);
        let barrier = Barrier::new(8);
        let pointers: Vec<_> = std::thread::scope(|scope| {
            let ask = || {
                barrier.wait();
                library.load("x").unwrap()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(loads.load(Ordering::SeqCst), 1);
        assert!(pointers.iter().all(|dataset| Arc::ptr_eq(dataset, &pointers[0])));
    }

    #[test]
    fn the_last_ones_stay_and_the_used_ones_stay() {
        let (library, loads) = library(&["a", "b", "c"], 0);
        let used = library.load("a").unwrap();
        let gone = Arc::downgrade(&library.load("b").unwrap());
        library.load("c").unwrap();
        library.load("b").unwrap();
        assert_eq!(loads.load(Ordering::SeqCst), 3, "b and c are kept");
        library.load("a").unwrap();
        library.load("c").unwrap();
        assert_eq!(loads.load(Ordering::SeqCst), 4, "a was in use; c had been dropped for a");
        assert!(gone.upgrade().is_none(), "b was dropped for c");
        drop(used);
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let (library, _) = library(&["x"], 1);
        assert!(library.load("x").is_err());
        assert!(library.load("x").is_ok());
    }

    #[test]
    fn answers_without_loading() {
        let (library, loads) = library(&["x", "y"], 0);
        assert_eq!(library.names(), ["x", "y"]);
        assert_eq!(library.memory_bytes("x"), Some(3 * (3 + 2)));
        assert_eq!(library.info("z"), None);
        assert_eq!(library.load("z").unwrap_err().to_string(), "no dataset is named `z`; there are x, y");
        let listing = &library.list()[0];
        assert_eq!((listing.available, listing.detail.as_deref()), (false, Some("never mind")));
        assert_eq!(loads.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_smaller_mnist_is_announced_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        write_small(folder.path(), 3, 2);
        let options = Options {
            datasets_dir: folder.path().join("datasets"),
            mnist_dir: Some(folder.path().into()),
            fashion_mnist_dir: None,
            network: Network::Forbidden,
        };
        let library = Library::with_options(&options);
        assert_eq!(
            library.names(),
            ["mnist", "digits", "fashion_mnist", "and", "or", "nand", "xor", "spiral", "moons"]
        );
        let info = library.info("mnist").unwrap();
        assert_eq!((info.train_samples, info.test_samples), (3, 2));
        assert_eq!(library.load("mnist").unwrap().info, info);
        // Plans were made on what was announced.
        write_small(folder.path(), 4, 2);
        library.kept.lock().unwrap().clear();
        let error = library.load("mnist").unwrap_err().to_string();
        assert!(error.contains("3 and 2") && error.contains("4 and 2"), "{error}");
    }
}
