//! `dojang serve`: the server.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};

use super::error::{CliError, Ended};
use super::format::parse_bytes;
use super::given::GivenArgs;
use super::host_args::HostArgs;
use super::lock::DataLock;
use super::logging::{self, LogFormat};
use super::out::say;
use super::stderr;
use super::stop::Stop;
use super::webhook_args::WebhookArgs;
use crate::app::{Bound, Config, make_data_dir};
use crate::store::CheckpointRetention;

const EXAMPLES: &str = "\
Examples:
  dojang serve
  dojang serve --listen 0.0.0.0:8080 --data-dir /var/lib/dojang
  DOJANG_THREADS=8 DOJANG_MEMORY_BUDGET=16GiB dojang serve --log-format json

The first SIGINT (Ctrl-C), SIGTERM or SIGHUP stops in order: running jobs save a checkpoint and go on at the next start. \
A second SIGINT or SIGTERM ends the process at once; nothing that was acknowledged is lost by that either. \
A SIGHUP that is ignored at the start, as by nohup, stays ignored.
\
Exit code: 0 after a signal, 1 if the server cannot start or go on, 2 for wrong usage.
DOJANG_LOG (or RUST_LOG) filters the log: info (default), debug, dojang=trace,warn …";

/// Run the server: API, dashboard, training and predictions
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, env = "DOJANG_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:8080", value_parser = parse_listen)]
    listen: SocketAddr,
    #[command(flatten)]
    hosts: HostArgs,
    #[command(flatten)]
    process: ProcessArgs,
    #[command(flatten)]
    webhooks: WebhookArgs,
    /// Form of the log on stderr [default: human on a terminal, json otherwise]
    #[arg(long, env = "DOJANG_LOG_FORMAT", value_name = "FORMAT", value_enum)]
    log_format: Option<LogFormat>,
}

/// What a server is made of, wherever it runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProcessArgs {
    /// Folder of the database and the downloaded datasets; made if it is not there
    #[arg(long, env = "DOJANG_DATA_DIR", value_name = "DIR", default_value = "./dojang-data", help_heading = "Data")]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) power: PowerArgs,
}

/// What a server may use of its machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct PowerArgs {
    #[command(flatten)]
    given: GivenArgs,
    /// Never download a dataset
    #[arg(long, env = "DOJANG_NO_FETCH", value_parser = FalseyValueParser::new(), help_heading = "Data")]
    no_fetch: bool,
    /// Threads that train, of all jobs together [default: one a core of the machine, or of the container's quota]
    #[arg(long, env = "DOJANG_THREADS", value_name = "N", value_parser = parse_count, help_heading = "Resources")]
    threads: Option<usize>,
    /// Jobs that train at the same time [default: 1]
    #[arg(long, env = "DOJANG_SLOTS", value_name = "N", value_parser = parse_count, help_heading = "Resources")]
    slots: Option<usize>,
    /// Memory that training may take, in bytes or with a unit (4GiB, 512MiB); a larger job is refused [default: ¾ of the machine's, or of the container's limit]
    #[arg(long, env = "DOJANG_MEMORY_BUDGET", value_name = "SIZE", value_parser = parse_bytes, help_heading = "Resources")]
    memory_budget: Option<u64>,
    /// Memory that models and requests may take besides, in bytes or with a unit; what does not fit waits or is refused
    /// [default: ⅛ of the machine's, at least 64MiB]
    #[arg(long, env = "DOJANG_SERVING_MEMORY", value_name = "SIZE", value_parser = parse_serving_memory, help_heading = "Resources")]
    serving_memory: Option<u64>,
    /// Jobs that may wait; while so many do, new ones are refused with 429 [default: 1000]
    #[arg(long, env = "DOJANG_MAX_QUEUED", value_name = "N", value_parser = parse_count, help_heading = "Resources")]
    max_queued: Option<usize>,
    /// Whose last checkpoint is kept
    #[arg(long, env = "DOJANG_KEEP_CHECKPOINTS", value_name = "WHOSE", value_enum, default_value_t = Kept::Ended, help_heading = "Data")]
    keep_checkpoints: Kept,
    /// Checkpoints of ended jobs that are kept, at most: those of the jobs that ended last; 0 keeps none [default: 100]
    #[arg(long, env = "DOJANG_CHECKPOINTS_MAX_COUNT", value_name = "N", help_heading = "Data")]
    checkpoints_max_count: Option<u64>,
    /// Bytes of the checkpoints of ended jobs that are kept, at most, or with a unit (4GiB); 0 keeps none [default: 1GiB]
    #[arg(long, env = "DOJANG_CHECKPOINTS_MAX_BYTES", value_name = "SIZE", value_parser = parse_bytes_or_none, help_heading = "Data")]
    checkpoints_max_bytes: Option<u64>,
    /// Days after the end of a job that its checkpoint is kept, at most; 0 keeps none [default: no bound]
    #[arg(long, env = "DOJANG_CHECKPOINTS_MAX_AGE", value_name = "DAYS", value_parser = parse_days, help_heading = "Data")]
    checkpoints_max_age: Option<Duration>,
}

/// Whose last checkpoint is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kept {
    /// That of every job that has ended: it can be forked
    Ended,
    /// Of no job that has succeeded or failed; a cancelled one keeps it, to be resumed
    #[value(name = "none")]
    Neither,
}

impl ProcessArgs {
    /// The server that these arguments describe.
    pub(crate) fn config(self, listen: SocketAddr) -> Config {
        self.power.config(listen, self.data_dir)
    }
}

impl PowerArgs {
    /// The server that these arguments describe, with its data in `data_dir`.
    pub(crate) fn config(self, listen: SocketAddr, data_dir: PathBuf) -> Config {
        let mut config = Config::new(data_dir);
        config.listen = listen;
        config.mnist_dir = self.given.mnist_dir;
        config.fashion_mnist_dir = self.given.fashion_mnist_dir;
        config.fetch = !self.no_fetch;
        config.dropped_log_lines = stderr::queue().dropped();
        config.threads = self.threads.unwrap_or(config.threads);
        config.slots = self.slots.unwrap_or(config.slots);
        config.memory_budget = self.memory_budget.unwrap_or(config.memory_budget);
        config.serving_memory = self.serving_memory.unwrap_or(config.serving_memory);
        config.max_queued = self.max_queued.unwrap_or(config.max_queued);
        config.keep_checkpoints = self.keep_checkpoints == Kept::Ended;
        let CheckpointRetention { max_count, max_bytes, max_age } = config.checkpoints;
        config.checkpoints = CheckpointRetention {
            max_count: self.checkpoints_max_count.unwrap_or(max_count),
            max_bytes: self.checkpoints_max_bytes.unwrap_or(max_bytes),
            max_age: self.checkpoints_max_age.or(max_age),
        };
        config
    }
}

/// Reads a number of things of which there must be some.
fn parse_count(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("a whole number of at least 1 is needed".into()),
    }
}

/// Reads a size that may be nothing.
fn parse_bytes_or_none(text: &str) -> Result<u64, String> {
    if text.trim() == "0" { Ok(0) } else { parse_bytes(text) }
}

/// Reads a size in which some requests fit.
fn parse_serving_memory(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 16 << 20;
    let bytes = parse_bytes(text)?;
    if bytes < LEAST { Err("at least 16MiB are needed".into()) } else { Ok(bytes) }
}

/// Reads `ADDR:PORT`; a name is looked up.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let found = text
        .to_socket_addrs()
        .map_err(|_| "an address and a port are needed; write it like 127.0.0.1:8080".to_owned())?;
    // Where a name means both, what most clients try first is IPv4.
    let mut all: Vec<_> = found.collect();
    all.sort_by_key(SocketAddr::is_ipv6);
    all.first().copied().ok_or_else(|| format!("`{text}` names no address"))
}

/// Reads a number of days, whole or not.
fn parse_days(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a number of days; write it like 30 or 0.5");
    let days: f64 = text.trim().parse().map_err(|_| wrong())?;
    let seconds = days * 24.0 * 3600.0;
    if seconds >= 0.0 { Duration::try_from_secs_f64(seconds).map_err(|_| wrong()) } else { Err(wrong()) }
}

/// Serves until a signal.
pub(crate) async fn run(args: ServeArgs) -> Result<Ended, CliError> {
    logging::start(args.log_format, "info")?;
    let stop = Stop::listen().map_err(|error| CliError::Other(format!("cannot listen for signals: {error}")))?;
    let mut config = args.process.config(args.listen);
    config.hosts = args.hosts.allowed();
    config.webhooks = args.webhooks.settings()?;
    let (threads, memory_budget) = (config.threads, config.memory_budget);
    let bound = Bound::new(config).await?;
    let data_dir = bound.data_dir().to_owned();
    // Before anything in the folder is touched, its database brought up to date not least, and until the server is gone.
    make_data_dir(&data_dir)?;
    let _lock = DataLock::take(&data_dir)?;
    let app = tokio::select! {
        app = Box::pin(bound.build()) => app?,
        () = stop.requested() => return Ok(Ended::Well),
    };
    let addr = app.addr();
    tracing::info!(
        %addr,
        data_dir = %data_dir.display(),
        version = env!("CARGO_PKG_VERSION"),
        threads,
        memory_budget,
        "listening on http://{addr}"
    );
    let asked = async move {
        stop.requested().await;
        tracing::info!("stopping; a second signal ends the process at once");
    };
    Box::pin(app.run_until_stopped(asked)).await?;
    tracing::info!("stopped");
    Ok(Ended::Well)
}

/// Says what a person needs who finds a port taken.
pub(crate) fn say_taken(wanted: SocketAddr, taken: SocketAddr) {
    say(&format!("{wanted} is taken; listening on {taken} instead"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_of_zero_keeps_no_checkpoint() {
        assert_eq!((parse_bytes_or_none("0"), parse_bytes_or_none("4GiB")), (Ok(0), Ok(4 << 30)));
        assert_eq!((parse_days("0"), parse_days("0.5")), (Ok(Duration::ZERO), Ok(Duration::from_secs(43_200))));
        for wrong in ["-1", "nan", "x", ""] {
            assert!(parse_bytes_or_none(wrong).is_err() && parse_days(wrong).is_err(), "{wrong}");
        }
    }
}
