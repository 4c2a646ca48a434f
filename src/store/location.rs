//! Where the database is: its files as they were when it was opened.
//!
//! SQLite goes on writing into a file that was deleted or moved away, and nobody finds again what is written there. So
//! every write looks whether the files are still in their place.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::error::StoreError;

/// The files of an open database; a clone is another handle of the same.
#[derive(Debug, Clone)]
pub(super) struct Location(Arc<Files>);

#[derive(Debug)]
struct Files {
    database: PathBuf,
    log: PathBuf,
    database_id: Option<FileId>,
    /// Known from when it is first seen: it is made with the first write, and stays until the database is closed.
    log_id: OnceLock<FileId>,
}

/// A file, whatever its name: device and inode.
type FileId = (u64, u64);

impl Location {
    /// The files of the database that is open in this file.
    pub(super) fn of(database: &Path) -> Self {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        let (database, log) = (database.to_owned(), PathBuf::from(log));
        let files = Files { database_id: file_id(&database), log_id: OnceLock::new(), database, log };
        Self(Arc::new(files))
    }

    /// Whether the files are where they were.
    ///
    /// # Errors
    /// [`StoreError::Replaced`] if one was removed, moved away or replaced.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let log_id = file_id(&self.0.log);
        let known = log_id.map(|id| *self.0.log_id.get_or_init(|| id)).or_else(|| self.0.log_id.get().copied());
        if file_id(&self.0.database) == self.0.database_id && log_id == known {
            Ok(())
        } else {
            Err(StoreError::Replaced)
        }
    }
}

/// What file has this name. `None` if there is none.
fn file_id(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|file| id_of(&file))
}

#[cfg(unix)]
fn id_of(file: &Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt as _;
    (file.dev(), file.ino())
}

/// Other systems do not let go of a file that is open.
#[cfg(not(unix))]
fn id_of(_file: &Metadata) -> FileId {
    (0, 0)
}
