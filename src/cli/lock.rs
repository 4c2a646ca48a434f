//! One process a data folder.
//!
//! A second one would take the running jobs of the first for abandoned and take them over, and whoever watches a job in
//! one process would never hear of what the other does with it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::error::CliError;

/// The right to serve from a data folder; given back when dropped, and by the system when the process dies.
#[derive(Debug)]
pub(crate) struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes the folder, which must be there.
    ///
    /// # Errors
    /// If another process has it, or the lock's file cannot be opened.
    pub(crate) fn take(data_dir: &Path) -> Result<Self, CliError> {
        let path = data_dir.join("dojang.lock");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(CliError::file(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CliError::Other(taken(data_dir, &mut file))),
            Err(TryLockError::Error(error)) => {
                // Some network file systems know no locks; that is no reason not to serve.
                tracing::warn!(%error, path = %path.display(), "cannot lock the data folder; let no other process use it");
            }
        }
        // Only for the sentence that a second process says; the lock does not depend on it.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn taken(data_dir: &Path, file: &mut File) -> String {
    let mut pid = String::new();
    let by = match file.read_to_string(&mut pid) {
        Ok(_) if !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()) => format!(" (process {pid})"),
        _ => String::new(),
    };
    let folder = data_dir.display();
    format!("another dojang{by} uses {folder}: send jobs to it, or take another folder with --data-dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_and_given_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = DataLock::take(folder.path()).expect("it is free");
        let error = DataLock::take(folder.path()).expect_err("it is taken").to_string();
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        drop(first);
        DataLock::take(folder.path()).expect("it is free again");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = DataLock::take(Path::new("no/such/folder")).expect_err("no folder").to_string();
        assert!(error.starts_with("no/such/folder/dojang.lock: "), "{error}");
    }
}
