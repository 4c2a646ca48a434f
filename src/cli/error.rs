//! How a command ends.

use std::io;
use std::path::Path;

use super::client::ClientError;
use crate::app::AppError;

/// How a command that went through its course ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As it should.
    Well,
    /// Not as it should, and the command has said why.
    Badly,
}

/// Why a command did not go through its course.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The server refused or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server in this process failed.
    #[error("the server: {0}")]
    App(#[from] AppError),
    /// A file cannot be read or written.
    #[error("{file}: {source}")]
    File {
        /// Its path.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody reads what is written.
    #[error("cannot write to stdout: {0}")]
    Stdout(#[source] io::Error),
    /// The arguments do not say what can be done.
    #[error("{0}")]
    Usage(String),
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl CliError {
    /// Turns the error of a file into one that names it.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::File { file: path.display().to_string(), source }
    }
}
