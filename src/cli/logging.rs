//! Logs: to stderr, for people on a terminal and as JSON lines elsewhere. Logging never blocks and never panics.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::time::Duration;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use super::error::CliError;
use super::out::Paint;
use super::stderr;
use crate::supervisor::panic_message;

/// Time that the message of a panic has to get out: it may be the last word of this process.
const PANIC_FLUSH: Duration = Duration::from_millis(200);

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Begins to log what `DOJANG_LOG` or `RUST_LOG` ask for, or else `default`; panics, too.
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
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr::queue().clone())
        // It would tell of its failures by `eprintln!`, which panics on a closed pipe.
        .log_internal_errors(false);
    let begun = match format {
        LogFormat::Human => builder.with_ansi(Paint::stderr().on()).with_target(false).try_init(),
        LogFormat::Json => {
            stderr::queue().write_json();
            builder.json().flatten_event(true).try_init()
        }
    };
    begun.map_err(|error| CliError::Other(format!("cannot begin to log: {error}")))?;
    // The standard hook writes to stderr itself, and so waits for ever where nobody drains it.
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let (thread, place) = (thread.name().unwrap_or("?"), info.location().map(ToString::to_string).unwrap_or_default());
    let cause = panic_message(info.payload());
    // Only where RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => tracing::error!(thread, place, %backtrace, "{cause}"),
        _ => tracing::error!(thread, place, "{cause}"),
    }
    stderr::queue().flush(PANIC_FLUSH);
}
