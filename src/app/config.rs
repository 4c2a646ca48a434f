//! What a server is started with, and the defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::resources::Resources;
use crate::clock::Wall;
use crate::data::fetch::Network;
use crate::data::library::Options;
use crate::http::{AllowedHosts, Limits};
use crate::store::CheckpointRetention;
use crate::supervisor::Failpoints;
use crate::webhooks;

/// Least memory for serving where nothing else is said: a picture of some megapixels, or a model of some million weights.
const SERVING_MIN: u64 = 64 << 20;

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
    /// Bytes that models in memory and requests may take, besides training.
    pub serving_memory: u64,
    /// Most jobs that may wait: no more are accepted then.
    pub max_queued: usize,
    /// Whether jobs that have succeeded or failed keep their last checkpoint, to be forked.
    pub keep_checkpoints: bool,
    /// Which checkpoints of ended jobs are kept.
    pub checkpoints: CheckpointRetention,
    /// How news of jobs is sent, if it is.
    pub webhooks: Option<webhooks::Settings>,
    /// The names that it answers to.
    pub hosts: AllowedHosts,
    /// How patient it is with clients.
    pub limits: Limits,
    /// The clock on the wall.
    pub wall: Wall,
    /// Lines of the log that could not be written; whoever writes the log counts them here.
    pub dropped_log_lines: Arc<AtomicU64>,
    /// Where tasks panic on purpose, for tests.
    pub failpoints: Failpoints,
}

impl Config {
    /// The defaults: loopback, all cores, one job at a time, a thousand that wait, three quarters of the memory to training
    /// and an eighth to serving. Cores and memory are those of the container, where there is one, and else of the machine.
    pub fn new(data_dir: PathBuf) -> Self {
        let resources = Resources::of_this_process();
        let memory = resources.memory.unwrap_or(4 << 30);
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir,
            mnist_dir: None,
            fashion_mnist_dir: None,
            fetch: true,
            threads: resources.threads,
            slots: 1,
            memory_budget: memory / 4 * 3,
            serving_memory: (memory / 8).max(SERVING_MIN),
            max_queued: 1000,
            keep_checkpoints: true,
            checkpoints: CheckpointRetention::default(),
            webhooks: None,
            hosts: AllowedHosts::default(),
            limits: Limits::default(),
            wall: Wall::default(),
            dropped_log_lines: Arc::default(),
            failpoints: Failpoints::default(),
        }
    }

    /// Where datasets are looked for.
    pub(super) fn datasets(&self) -> Options {
        Options {
            datasets_dir: self.data_dir.join("datasets"),
            mnist_dir: self.mnist_dir.clone(),
            fashion_mnist_dir: self.fashion_mnist_dir.clone(),
            network: if self.fetch { Network::Allowed } else { Network::Forbidden },
        }
    }
}
