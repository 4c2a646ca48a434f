//! The composition root: builds the floors, runs them, and takes them down in the right order.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Wall;
use crate::data::fetch::Network;
use crate::data::library::{Library, Options};
use crate::http::{Api, Limits, Prometheus, Server};
use crate::scheduler::{Capacity, Instruments, Meters, Scheduler};
use crate::serving::Models;
use crate::store::{CheckpointRetention, Store, StoreError};
use crate::webhooks::{self, Courier, PostError};

/// Longest wait for running jobs to save a checkpoint at shutdown. With what connections get after it ([`Limits::drain`]),
/// and the store, it is less than the ten seconds that `docker stop` waits.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// Longest wait for the store to close: nothing is lost without.
const CLOSE: Duration = Duration::from_secs(1);

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where `dojang.db` and `datasets/` are.
    pub data_dir: PathBuf,
    /// A folder with the IDX files of MNIST.
    pub mnist_dir: Option<PathBuf>,
    /// A folder with the IDX files of Fashion-MNIST.
    pub fashion_mnist_dir: Option<PathBuf>,
    /// Whether datasets may be downloaded.
    pub fetch: bool,
    /// Training threads.
    pub threads: usize,
    /// Jobs that train at once.
    pub slots: usize,
    /// Bytes that training may take at its peak, of all slots together.
    pub memory_budget: u64,
    /// Most jobs that may wait: no more are accepted then.
    pub max_queued: usize,
    /// Whether jobs that have succeeded or failed keep their last checkpoint, to be forked.
    pub keep_checkpoints: bool,
    /// Which checkpoints of ended jobs are kept.
    pub checkpoints: CheckpointRetention,
    /// How news of jobs is sent, if it is.
    pub webhooks: Option<webhooks::Settings>,
    /// How patient it is with clients.
    pub limits: Limits,
    /// The clock on the wall.
    pub wall: Wall,
}

impl Config {
    /// The defaults: loopback, all cores, one job at a time, a thousand that wait, three quarters of the memory.
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir,
            mnist_dir: None,
            fashion_mnist_dir: None,
            fetch: true,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            slots: 1,
            memory_budget: total_memory().unwrap_or(4 << 30) / 4 * 3,
            max_queued: 1000,
            keep_checkpoints: true,
            checkpoints: CheckpointRetention::default(),
            webhooks: None,
            limits: Limits::default(),
            wall: Wall::default(),
        }
    }
}

/// The machine's memory, where the system tells it.
fn total_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Why a server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data directory cannot be used.
    #[error("failed to use the data directory {path}: {error}")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The store cannot be opened.
    #[error("failed to open the store: {0}")]
    Store(#[from] StoreError),
    /// The address cannot be listened on.
    #[error("failed to listen on {addr}: {error}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// Threads cannot be started.
    #[error("failed to start the prediction threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// Nothing can be sent.
    #[error(transparent)]
    Webhooks(#[from] PostError),
}

/// A server that is built and bound, but not yet serving.
#[derive(Debug)]
pub struct App {
    server: Server,
    addr: SocketAddr,
    api: Api,
    courier: Option<Courier>,
}

impl App {
    /// Opens the store, looks for the datasets and binds the address.
    ///
    /// # Errors
    /// What cannot be opened, started or bound.
    pub async fn build(config: Config) -> Result<Self, AppError> {
        make_data_dir(&config.data_dir)?;
        let store = Store::open(&config.data_dir.join("dojang.db")).await?;
        Self::build_on(store, config).await
    }

    /// As [`build`](Self::build), on a store that is open already.
    ///
    /// # Errors
    /// As of [`build`](Self::build).
    pub async fn build_on(store: Store, config: Config) -> Result<Self, AppError> {
        let store = match &config.webhooks {
            Some(webhooks::Settings { url: Some(_), .. }) => store.telling_the_server(),
            _ => store,
        };
        let prometheus = Prometheus::default();
        let instruments =
            webhooks::Instruments { wall: config.wall.clone(), meters: prometheus.record(webhooks::Meters::default) };
        let courier = config.webhooks.as_ref().map(|settings| Courier::new(store.clone(), settings, instruments));
        let courier = courier.transpose()?;
        let library = Arc::new(Library::with_options(&Options {
            datasets_dir: config.data_dir.join("datasets"),
            mnist_dir: config.mnist_dir.clone(),
            fashion_mnist_dir: config.fashion_mnist_dir.clone(),
            network: if config.fetch { Network::Allowed } else { Network::Forbidden },
        }));
        let models = Arc::new(Models::new(store.clone(), library.clone(), config.threads)?);
        let capacity = Capacity {
            threads: config.threads,
            slots: config.slots,
            // Jobs that train at once share the memory, too.
            job_memory: config.memory_budget / config.slots.max(1) as u64,
            max_queued: config.max_queued as u64,
            keep_checkpoints: config.keep_checkpoints,
            checkpoints: config.checkpoints,
            webhooks: config.webhooks.as_ref().map(|settings| settings.reach),
        };
        let instruments = Instruments { wall: config.wall, meters: prometheus.record(Meters::default) };
        let scheduler = Scheduler::new(store, library, capacity, instruments);
        let listen = |error| AppError::Listen { addr: config.listen, error };
        let server = Server::bind(config.listen, config.limits).await.map_err(listen)?;
        let addr = server.addr().map_err(listen)?;
        let api = Api::new(scheduler, models, config.threads, prometheus);
        Ok(Self { server, addr, api, courier })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` resolves.
    ///
    /// Then, in this order: `/readyz` says 503 and streams of events end, running jobs save a checkpoint and go back into
    /// the queue, webhooks under way get a second, connections finish their requests, the store is closed.
    ///
    /// # Errors
    /// If the jobs of the last process cannot be brought back.
    pub async fn run_until_stopped(self, stop: impl Future<Output = ()> + Send) -> Result<(), AppError> {
        let scheduler = self.api.scheduler.clone();
        // This process owns the folder from now on.
        scheduler.library().remove_leftovers();
        scheduler.start().await?;
        let courier = self.courier.map(Courier::start);
        tracing::info!(addr = %self.addr, "serving");
        let wind_down = async {
            stop.await;
            tracing::info!("shutting down");
            let quiet = async {
                if let Some(courier) = courier {
                    courier.stop().await;
                }
            };
            let (stopped, ()) = tokio::join!(tokio::time::timeout(SHUTDOWN, scheduler.shutdown()), quiet);
            if stopped.is_err() {
                tracing::warn!("a run did not stop in time; it goes on from its last checkpoint at the next start");
            }
        };
        tokio::spawn(self.api.keep_up());
        self.server.serve(self.api, wind_down).await;
        if tokio::time::timeout(CLOSE, scheduler.store().close()).await.is_err() {
            tracing::warn!("the store did not close in time; what it has acknowledged is on the disk");
        }
        Ok(())
    }
}

/// Makes the data directory, readable by its owner alone: it holds what clients have sent.
///
/// # Errors
/// If it cannot be made.
pub fn make_data_dir(path: &Path) -> Result<(), AppError> {
    create_private(path).map_err(|error| AppError::DataDir { path: path.to_owned(), error })
}

fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
