//! The composition root: builds the floors, runs them, and takes them down in the right order.

mod cgroup;
mod config;
mod resources;

pub use config::Config;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::data::library::{GivenFolderError, Library};
use crate::http::{Api, ApiOptions, Process, Prometheus, Server};
use crate::memory::{MemoryAccount, MemoryShares};
use crate::scheduler::{Capacity, Instruments, Meters, Scheduler};
use crate::serving::{self, Models, ServingOptions};
use crate::store::{Store, StoreError};
use crate::supervisor::{self, DeadTask, Supervisor};
use crate::webhooks::{self, Courier, PostError};

/// Longest wait for running jobs to save a checkpoint at shutdown. With what connections get after it ([`Limits::drain`](crate::http::Limits::drain)),
/// and the store, it is less than the ten seconds that `docker stop` waits.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// Longest wait for the store to close: nothing is lost without.
const CLOSE: Duration = Duration::from_secs(1);

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
    #[error("failed to listen on {addr}: {error}{}", advice(error))]
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
    /// A folder that was given for a dataset does not hold it.
    #[error(transparent)]
    Dataset(#[from] GivenFolderError),
    /// One of the server's own tasks died again and again.
    #[error("stopped, as it could not go on: {0}")]
    Died(#[from] DeadTask),
}

impl AppError {
    /// Whether an address cannot be listened on as somebody else listens there.
    pub fn is_taken_port(&self) -> bool {
        matches!(self, Self::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse)
    }
}

/// A word of help for those who cannot listen on an address.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program, maybe another dojang, uses the port: stop that one, or take another port with --listen \
             ADDR:PORT (port 0 takes a free one)"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address: name one of its own with --listen",
        io::ErrorKind::PermissionDenied => "; ports below 1024 mostly need privileges: take another with --listen",
        _ => "",
    }
}

/// A server that is built and bound, but not yet serving.
#[derive(Debug)]
pub struct App {
    server: Server,
    addr: SocketAddr,
    api: Api,
    courier: Option<Courier>,
}

/// A server whose address is bound and whose datasets are where they should be; nothing has been created yet.
#[derive(Debug)]
pub struct Bound {
    server: Server,
    config: Config,
}

impl Bound {
    /// Checks what was given and binds the address. Connections wait until the server serves.
    ///
    /// # Errors
    /// A folder that does not hold its dataset, an address that cannot be bound.
    pub async fn new(config: Config) -> Result<Self, AppError> {
        config.datasets().check()?;
        let listen = |error| AppError::Listen { addr: config.listen, error };
        let server = Server::bind(config.listen, config.limits).await.map_err(listen)?;
        Ok(Self { server, config })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not tell it.
    pub fn addr(&self) -> Result<SocketAddr, AppError> {
        self.server.addr().map_err(|error| AppError::Listen { addr: self.config.listen, error })
    }

    /// The same server, with its data elsewhere.
    #[must_use]
    pub fn in_dir(mut self, data_dir: &Path) -> Self {
        self.config.data_dir = data_dir.to_owned();
        self
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.config.data_dir
    }

    /// Opens the store in the data directory, which is made where it is missing, and builds the server on it.
    ///
    /// # Errors
    /// What cannot be made, opened or started.
    pub async fn build(self) -> Result<App, AppError> {
        make_data_dir(&self.config.data_dir)?;
        let store = Store::open(&self.config.data_dir.join("dojang.db")).await?;
        self.build_on(store)
    }

    /// Builds the server on a store that is open already.
    fn build_on(self, store: Store) -> Result<App, AppError> {
        let addr = self.addr()?;
        let Self { server, config } = self;
        let store = match &config.webhooks {
            Some(webhooks::Settings { url: Some(_), .. }) => store.telling_the_server(),
            _ => store,
        };
        let prometheus = Prometheus::default();
        let supervisor = Supervisor::new(prometheus.record(supervisor::Meters::default), config.failpoints.clone());
        let instruments = webhooks::Instruments {
            wall: config.wall.clone(),
            meters: prometheus.record(webhooks::Meters::default),
            supervisor: supervisor.clone(),
        };
        let courier = config.webhooks.as_ref().map(|settings| Courier::new(store.clone(), settings, instruments));
        let courier = courier.transpose()?;
        let library = Arc::new(Library::with_options(&config.datasets()));
        let shares = MemoryShares { training: config.memory_budget, serving: config.serving_memory };
        let memory = MemoryAccount::new(shares, config.limits.memory_wait);
        let options = ServingOptions {
            threads: config.threads,
            memory: memory.clone(),
            meters: prometheus.record(serving::Meters::default),
        };
        let models = Models::new(store.clone(), library.clone(), options)?;
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
        let meters = prometheus.record(Meters::default);
        let instruments =
            Instruments { wall: config.wall, meters, supervisor: supervisor.clone(), memory: memory.clone() };
        let scheduler = Scheduler::new(store, library, capacity, instruments);
        let process = Process { threads: config.threads, dropped_log_lines: config.dropped_log_lines, supervisor };
        let api = Api::new(scheduler, models, ApiOptions { process, hosts: config.hosts, memory, prometheus });
        Ok(App { server, addr, api, courier })
    }
}

impl App {
    /// Binds the address, opens the store and looks for the datasets.
    ///
    /// # Errors
    /// What cannot be bound, opened or started.
    pub async fn build(config: Config) -> Result<Self, AppError> {
        Bound::new(config).await?.build().await
    }

    /// As [`build`](Self::build), on a store that is open already.
    ///
    /// # Errors
    /// As of [`build`](Self::build).
    pub async fn build_on(store: Store, config: Config) -> Result<Self, AppError> {
        Bound::new(config).await?.build_on(store)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` resolves, or one of its own tasks cannot be kept alive.
    ///
    /// Then, in this order: `/readyz` says 503 and streams of events end, running jobs save a checkpoint and go back into
    /// the queue, webhooks under way get a second, connections finish their requests, the store is closed.
    ///
    /// # Errors
    /// If the jobs of the last process cannot be brought back; [`AppError::Died`], after it has stopped in order, if a task
    /// could not be kept alive.
    pub async fn run_until_stopped(self, stop: impl Future<Output = ()> + Send) -> Result<(), AppError> {
        let (scheduler, supervisor) = (self.api.scheduler.clone(), self.api.process.supervisor.clone());
        // This process owns the folder from now on.
        scheduler.library().remove_leftovers();
        scheduler.start().await?;
        let courier = self.courier.map(Courier::start);
        tracing::info!(addr = %self.addr, "serving");
        let wind_down = async {
            tokio::select! {
                () = stop => {}
                () = supervisor.wait_for_death() => {}
            }
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
        self.server.serve(self.api, &supervisor, wind_down).await;
        if tokio::time::timeout(CLOSE, scheduler.store().close()).await.is_err() {
            tracing::warn!("the store did not close in time; what it has acknowledged is on the disk");
        }
        supervisor.dead().map_or(Ok(()), |dead| Err(dead.into()))
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
