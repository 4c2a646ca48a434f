//! Files from the network: the right bytes or none.
//!
//! A file is downloaded to `name.part` and renamed to `name` only once its SHA-256 is the pinned one, so a file that is
//! there is whole. What an interruption leaves in `name.part` is gone on with, by an HTTP range, also after a restart
//! and at another mirror: the hash judges the sum of the parts.
//!
//! **Everything here blocks** and must not be called on a thread of an async runtime (`reqwest::blocking` panics there);
//! a job's own thread, `spawn_blocking` or the command line are right.

#[cfg(test)]
mod tests;
mod transfer;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::blocking::Client;

/// How often a mirror is asked for a file while that brings bytes.
const TRIES: usize = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a mirror may say nothing at all, before the answer and between two pieces of it.
const SILENCE: Duration = Duration::from_secs(30);

/// Whether the network may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Missing files are downloaded.
    Allowed,
    /// Missing files are an error.
    Forbidden,
}

/// A file to have.
#[derive(Debug, Clone, Copy)]
pub struct RemoteFile {
    /// Its name, here and on every mirror.
    pub name: &'static str,
    /// Its size: no mirror fills the disk with more.
    pub bytes: u64,
    /// Its hash, in lowercase hex.
    pub sha256: &'static str,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file.
    pub file: &'a str,
    /// Its bytes that are here.
    pub done: u64,
    /// All its bytes.
    pub total: u64,
}

/// Why a file is not here.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The folder cannot be used.
    #[error("{}: {error}", path.display())]
    Folder {
        /// The folder or the file in it.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// No connection can be made at all.
    #[error("cannot prepare downloads: {0}")]
    Client(String),
    /// No mirror gave the right bytes.
    #[error("cannot download {file}:{}", answers.iter().map(|answer| format!("\n  {answer}")).collect::<String>())]
    Mirrors {
        /// The file.
        file: String,
        /// What each mirror said, in the order in which they were asked.
        answers: Vec<Answer>,
    },
}

/// What a mirror said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The file's address there.
    pub url: String,
    /// What it said, or what is wrong with what it sent.
    pub said: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.url, self.said)
    }
}

/// Downloads those of `files` that `folder` lacks, from the first of `mirrors` that has them. Blocks.
///
/// # Errors
/// If the folder cannot be written, or no mirror has a file.
pub fn files(
    mirrors: &[&str],
    files: &[RemoteFile],
    folder: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), FetchError> {
    crate::tls::prepare();
    let client = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(SILENCE)
        .user_agent(concat!("dojang/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| FetchError::Client(transfer::describe(e)))?;
    fetch(&client, mirrors, files, folder, progress)
}

/// The same, with a given client.
fn fetch(
    client: &Client,
    mirrors: &[&str],
    files: &[RemoteFile],
    folder: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), FetchError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        |error| FetchError::Folder { path, error }
    };
    fs::create_dir_all(folder).map_err(at(folder))?;
    // Two processes must not write the same part; the lock goes with the handle, even if we are killed.
    let lock = folder.join(".lock");
    let lock = File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(at(&lock))?;
    for file in files {
        let target = folder.join(file.name);
        if !target.is_file() {
            let part = folder.join(format!("{}.part", file.name));
            download(client, mirrors, file, &part, progress)?;
            fs::rename(&part, &target).map_err(at(&target))?;
        }
        progress(Progress { file: file.name, done: file.bytes, total: file.bytes });
    }
    drop(lock);
    Ok(())
}

/// Fills `part` with the file's bytes.
fn download(
    client: &Client,
    mirrors: &[&str],
    file: &RemoteFile,
    part: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), FetchError> {
    let mut answers = Vec::new();
    for mirror in mirrors {
        let url = format!("{mirror}{}", file.name);
        for _ in 0..TRIES {
            match transfer::attempt(client, &url, file, part, progress) {
                Ok(()) => return Ok(()),
                Err(transfer::Fault::Disk(error)) => return Err(FetchError::Folder { path: part.into(), error }),
                Err(transfer::Fault::Mirror { said, again }) => {
                    answers.push(Answer { url: url.clone(), said });
                    if !again {
                        break;
                    }
                }
            }
        }
    }
    Err(FetchError::Mirrors { file: file.name.into(), answers })
}
