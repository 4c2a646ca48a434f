//! Datasets shared, taken in and removed.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::data::idx_folder::tests::write_small;
use crate::data::upload::Files;
use crate::data::upload::tests::{npy, npz};
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
        let split = |n: usize| Split { inputs: Values::Bytes(vec![0; 3 * n].into()), labels: vec![0; n] };
        Ok(Dataset { info: self.info(), train: split(2), test: split(1) })
    }
}

fn library(names: &[&'static str], failures: usize) -> (Library, Arc<AtomicUsize>) {
    let loads = Arc::new(AtomicUsize::new(0));
    let source = |name: &&'static str| Box::new(Counted { name, loads: loads.clone(), failures }) as Box<dyn Source>;
    (Library::of(names.iter().map(source).collect(), PathBuf::from("no/such/folder")), loads)
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
    assert_eq!(library.names(), ["mnist", "digits", "fashion_mnist", "and", "or", "nand", "xor", "spiral", "moons"]);
    let info = library.info("mnist").unwrap();
    assert_eq!((info.train_samples, info.test_samples), (3, 2));
    assert_eq!(library.load("mnist").unwrap().info, info);
    // Plans were made on what was announced.
    write_small(folder.path(), 4, 2);
    library.kept.lock().unwrap().clear();
    let error = library.load("mnist").unwrap_err().to_string();
    assert!(error.contains("3 and 2") && error.contains("4 and 2"), "{error}");
}

/// A library over an empty folder, with one built-in dataset `built-in`.
fn over(folder: &Path) -> Library {
    let loads = Arc::default();
    Library::of(vec![Box::new(Counted { name: "built-in", loads, failures: 0 })], folder.join("datasets"))
}

/// An upload of three samples, in a file of this folder.
fn upload(folder: &Path, name: &str) -> Upload {
    let path = folder.join("upload.npz");
    let x = npy("<f4", &[3, 1], &[1.0f32, 2.0, 3.0].map(f32::to_le_bytes).concat());
    fs::write(&path, npz(&[("x", x), ("y", npy("|u1", &[3], &[0, 1, 1]))])).unwrap();
    Upload { name: name.into(), description: "Some.".into(), class_names: None, files: Files::Npz(path) }
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder.join("datasets")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_is_added_is_there_at_the_next_start_and_what_is_removed_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let library = over(folder.path());
    for name in ["b", "a"] {
        let listing = library.add(&upload(folder.path(), name)).unwrap();
        assert!(listing.available && listing.uploaded);
        assert_eq!((listing.info.train_samples, listing.info.test_samples), (2, 1));
    }
    assert_eq!(library.names(), ["built-in", "a", "b"]);
    assert_eq!(files(folder.path()), ["a", "b"], "nothing is left beside them");
    let before = library.load("a").unwrap();

    let again = over(folder.path());
    assert_eq!(again.list(), library.list());
    let after = again.load("a").unwrap();
    assert!(after.train == before.train && after.test == before.test && after.info == before.info);

    again.remove("a").unwrap();
    assert_eq!((again.names().join(" "), files(folder.path())), ("built-in b".into(), vec!["b".into()]));
    assert_eq!(over(folder.path()).names(), ["built-in", "b"]);
    assert_eq!(after.train.len(), 2, "who has it keeps it");
    again.add(&upload(folder.path(), "a")).unwrap();
}

#[test]
fn what_cannot_be_added_or_removed_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let library = over(folder.path());
    library.add(&upload(folder.path(), "a")).unwrap();
    fs::create_dir(folder.path().join("datasets/other")).unwrap();
    for taken in ["a", "built-in", "other"] {
        assert!(matches!(library.add(&upload(folder.path(), taken)), Err(UploadError::Taken(_))), "{taken}");
    }
    for name in ["", ".", "..", ".a", "a/b", "../a", "/a", "a/"] {
        let outcome = library.add(&upload(folder.path(), name));
        assert!(matches!(outcome, Err(UploadError::Fault { field: "name", .. })), "{name}: {outcome:?}");
    }
    let unsound = upload(folder.path(), "unsound");
    fs::write(folder.path().join("upload.npz"), b"PK").unwrap();
    assert!(matches!(library.add(&unsound), Err(UploadError::Fault { field: "file", .. })));
    assert!(matches!(library.remove("built-in"), Err(RemoveError::BuiltIn(_))));
    assert!(matches!(library.remove("other"), Err(RemoveError::Unknown(_))));
    assert_eq!((library.names().join(" "), files(folder.path()).join(" ")), ("built-in a".into(), "a other".into()));
}

#[test]
fn what_a_killed_process_left_is_no_dataset_and_is_removed_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let library = over(folder.path());
    library.add(&upload(folder.path(), "a")).unwrap();
    library.add(&upload(folder.path(), "b")).unwrap();
    let datasets = folder.path().join("datasets");
    let _ = library.spool().unwrap().keep();
    fs::rename(datasets.join("b"), datasets.join(".unfinished-b")).unwrap();
    fs::write(datasets.join("a/meta.json"), b"{").unwrap();
    let library = over(folder.path());
    assert_eq!(library.names(), ["built-in"], "a damaged one is left out");
    assert_eq!(files(folder.path()).len(), 3);
    library.remove_leftovers();
    assert_eq!(files(folder.path()), ["a"], "and is not removed");
}
