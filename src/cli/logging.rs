//! Logs: to stderr, for people on a terminal and as JSON lines elsewhere.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use super::error::CliError;
use super::out::Paint;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Begins to log what `DOJANG_LOG` or `RUST_LOG` ask for, or else `default`.
///
/// # Errors
/// If the filter is not readable.
pub(crate) fn start(format: Option<LogFormat>, default: &str) -> Result<(), CliError> {
    let wanted = ["DOJANG_LOG", "RUST_LOG"].into_iter().find_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.trim().is_empty())?;
        Some((name, value))
    });
    let (name, directives) = wanted.unwrap_or(("the default", default.into()));
    let filter = EnvFilter::try_new(&directives)
        .map_err(|error| CliError::Other(format!("{name}: `{directives}` is no log filter: {error}")))?;
    let format = format.unwrap_or(if io::stderr().is_terminal() { LogFormat::Human } else { LogFormat::Json });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let begun = match format {
        LogFormat::Human => builder.with_ansi(Paint::stderr().on()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| CliError::Other(format!("cannot begin to log: {error}")))
}
