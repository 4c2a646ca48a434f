//! One attempt to bring one file from one mirror.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, RANGE};
use sha2::{Digest, Sha256};

use super::{Progress, RemoteFile};

/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The disk cannot be written: no mirror will do better.
    Disk(io::Error),
    /// This mirror did not do.
    Mirror {
        /// What it said.
        said: String,
        /// Whether asking it once more makes sense.
        again: bool,
    },
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Goes on with `part` until it is the file.
pub(super) fn attempt(
    client: &Client,
    url: &str,
    wanted: &RemoteFile,
    part: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), Fault> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(part)?;
    if file.metadata()?.len() > wanted.bytes {
        file.set_len(0)?;
    }
    let found = file.metadata()?.len();
    let resumed = if found < wanted.bytes { transfer(client, url, wanted, &mut file, progress)? } else { true };
    let sha256 = hash(&mut file)?;
    if sha256 == wanted.sha256 {
        file.sync_all()?;
        return Ok(());
    }
    file.set_len(0)?;
    // Bytes that were here before may be the wrong ones; a whole answer of this mirror's own is its last word.
    Err(Fault::Mirror { said: format!("sent other bytes: sha256 {sha256}, not {}", wanted.sha256), again: resumed })
}

/// Appends what is missing; answers whether there was something before.
fn transfer(
    client: &Client,
    url: &str,
    wanted: &RemoteFile,
    file: &mut File,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<bool, Fault> {
    let found = file.metadata()?.len();
    // A mirror that compresses on the way would send other bytes than those that were hashed.
    let mut request = client.get(url).header(ACCEPT_ENCODING, "identity");
    if found > 0 {
        request = request.header(RANGE, format!("bytes={found}-"));
    }
    let mut response = request.send().map_err(|e| Fault::Mirror { said: describe(e), again: false })?;
    let status = response.status();
    let start = match status {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if continues(&response, found) => found,
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            file.set_len(0)?;
            return Err(Fault::Mirror { said: format!("answered {status} to a range"), again: found > 0 });
        }
        _ => return Err(Fault::Mirror { said: format!("answered {status}"), again: false }),
    };
    if let Some(length) = response.content_length()
        && length != wanted.bytes - start
    {
        let said = format!("offers {length} bytes where {} are missing", wanted.bytes - start);
        return Err(Fault::Mirror { said, again: false });
    }
    file.set_len(start)?;
    file.seek(SeekFrom::Start(start))?;
    receive(&mut response, start, wanted, file, progress)?;
    Ok(start > 0)
}

/// Whether a partial answer is the part that was asked for.
fn continues(response: &Response, found: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    found > 0 && range.is_some_and(|range| range.starts_with(&format!("bytes {found}-")))
}

fn receive(
    response: &mut Response,
    start: u64,
    wanted: &RemoteFile,
    file: &mut File,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), Fault> {
    let mut done = start;
    let mut piece = vec![0; PIECE];
    loop {
        progress(Progress { file: wanted.name, done, total: wanted.bytes });
        let fault = match response.read(&mut piece) {
            Ok(0) if done == wanted.bytes => return Ok(()),
            Ok(0) => "ended".to_owned(),
            Ok(n) if done + n as u64 <= wanted.bytes => {
                file.write_all(&piece[..n])?;
                done += n as u64;
                continue;
            }
            Ok(_) => {
                file.set_len(0)?;
                let said = format!("sends more than the {} bytes of the file", wanted.bytes);
                return Err(Fault::Mirror { said, again: false });
            }
            Err(e) => describe(e),
        };
        let said = format!("stopped at {done} of {} bytes: {fault}", wanted.bytes);
        return Err(Fault::Mirror { said, again: done > start });
    }
}

fn hash(file: &mut File) -> Result<String, io::Error> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            n => hasher.update(&piece[..n]),
        }
    }
}

/// An error with its causes; `reqwest` says only "error sending request" by itself.
pub(super) fn describe(error: impl Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
