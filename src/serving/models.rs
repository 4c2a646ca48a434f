//! Which model answers, and keeping the ones in use in memory.
//!
//! A model is known by the SHA-256 of its weights: a name, a version, a job all lead to one, and the store is the only
//! place where weights come from.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::load::{Loads, ModelKey};
use super::meters::Meters;
use crate::data::Dtype;
use crate::data::library::Library;
use crate::engine::model::Model;
use crate::engine::shape::Shape;
use crate::interop::{WeightsMetadata, encode_weights, sha256_hex};
use crate::job::check::is_slug;
use crate::job::spec::TrainSpec;
use crate::memory::{Evict, MemoryAccount, MemoryError, Reservation};
use crate::store::{Store, StoreError};

/// Models that stay in memory; the one that was not asked for the longest leaves first.
const KEPT: usize = 16;

/// Which model is asked for: `NAME`, `NAME@VERSION` or `job:ID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The newest version of a model, or a given one.
    Model {
        /// Its name.
        name: String,
        /// The version.
        version: Option<u32>,
    },
    /// What a job has learned, also while it still trains.
    Job(Uuid),
}

/// Why no model can answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServeError {
    /// The selector is not one.
    #[error("{0}")]
    BadSelector(String),
    /// There is no such model.
    #[error("{0}")]
    NotFound(String),
    /// The store failed.
    #[error("failed to read the model: {0}")]
    Store(Arc<StoreError>),
    /// There is no memory for it.
    #[error("the model cannot be loaded: {0}")]
    Memory(#[from] MemoryError),
    /// What is stored does not make a model.
    #[error("failed to build the model: {0}")]
    Unusable(String),
}

impl From<StoreError> for ServeError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl FromStr for Selector {
    type Err = ServeError;

    fn from_str(text: &str) -> Result<Self, ServeError> {
        let bad = |what: String| ServeError::BadSelector(format!("the model selector: {what}"));
        if let Some(id) = text.strip_prefix("job:") {
            return Uuid::try_parse(id)
                .map(Self::Job)
                .map_err(|_| bad(format!("`{}` is no job's id", id.escape_debug())));
        }
        let (name, version) = match text.split_once('@') {
            None => (text, None),
            Some((name, version)) => match version.parse() {
                Ok(version) if version > 0 => (name, Some(version)),
                _ => return Err(bad(format!("`{}` is no version's number", version.escape_debug()))),
            },
        };
        if !is_slug(name) {
            return Err(bad(format!("`{}` is no model's name; NAME, NAME@VERSION or job:ID", name.escape_debug())));
        }
        Ok(Self::Model { name: name.into(), version })
    }
}

/// A model in memory, and who it is.
#[derive(Debug)]
pub struct Served {
    pub(super) model: Model,
    pub(super) key: ModelKey,
    pub(super) spec: TrainSpec,
    pub(super) class_names: Vec<String>,
    pub(super) dtype: Dtype,
    pub(super) pool: Arc<ThreadPool>,
    /// Bytes of one pass through the layers, about.
    pub(super) pass_bytes: u64,
    /// Its memory, reserved for as long as anybody uses it.
    pub(super) _memory: Reservation,
}

impl Served {
    /// The model's name.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// Bytes that a prediction of so many samples takes besides its inputs: the layers' buffers and the probabilities.
    pub fn prediction_bytes(&self, samples: usize) -> u64 {
        let threads =
            if self.model.is_small(samples * self.input().len()) { 1 } else { self.pool.current_num_threads() };
        self.pass_bytes * threads as u64 + 4 * (samples * self.class_names.len()) as u64
    }

    /// Its version; `None` for a job that has not ended.
    pub fn version(&self) -> Option<u32> {
        self.key.version
    }

    /// The job that trained it; `None` if it was imported.
    pub fn job(&self) -> Option<Uuid> {
        self.key.job
    }

    /// What its weights are known by.
    pub fn weights_sha256(&self) -> &str {
        &self.key.weights_sha256
    }

    /// A name for each output.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Shape of one input.
    pub fn input(&self) -> &Shape {
        self.model.network().input()
    }

    /// Whether it has learned from bytes or from numbers.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Class probabilities `[N, classes]` of inputs `[N, …]`, on the threads that only predict.
    pub fn infer(&self, inputs: &[f32]) -> Vec<f32> {
        if self.model.is_small(inputs.len()) {
            return self.model.infer(inputs);
        }
        self.pool.install(|| self.model.infer(inputs))
    }

    /// The weights as a safetensors file, and its SHA-256.
    pub fn weights_file(&self) -> (String, Vec<u8>) {
        let network = self.model.network();
        let metadata = WeightsMetadata::new(network, &self.spec.dataset.name, self.spec.loss);
        let bytes = encode_weights(network, self.model.parameters(), &metadata);
        (sha256_hex(&bytes), bytes)
    }
}

/// What models are served with.
#[derive(Debug)]
pub struct ServingOptions {
    /// Threads that only predict.
    pub threads: usize,
    /// Where their memory is reserved.
    pub memory: MemoryAccount,
    /// What counts.
    pub meters: Meters,
}

/// The models that predict.
#[derive(Debug)]
pub struct Models {
    store: Store,
    library: Arc<Library>,
    kept: Mutex<VecDeque<Arc<Served>>>,
    loads: Loads,
    pool: Arc<ThreadPool>,
    /// Room for one import at a time.
    imports: Arc<Semaphore>,
    memory: MemoryAccount,
    meters: Meters,
}

impl Models {
    /// Models of this store. The account evicts them when others need memory.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn new(
        store: Store,
        library: Arc<Library>,
        options: ServingOptions,
    ) -> Result<Arc<Self>, ThreadPoolBuildError> {
        let ServingOptions { threads, memory, meters } = options;
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("predict-{i}")).build()?;
        let imports = Arc::new(Semaphore::new(1));
        let (kept, loads) = (Mutex::default(), Loads::default());
        let models = Arc::new(Self { store, library, kept, loads, pool: Arc::new(pool), imports, memory, meters });
        let cache: Arc<dyn Evict> = models.clone();
        models.memory.add_cache(Arc::downgrade(&cache));
        Ok(models)
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn loads(&self) -> &Loads {
        &self.loads
    }

    pub(super) fn memory(&self) -> &MemoryAccount {
        &self.memory
    }

    pub(super) fn meters(&self) -> &Meters {
        &self.meters
    }

    pub(super) fn library(&self) -> &Arc<Library> {
        &self.library
    }

    pub(super) fn pool(&self) -> &Arc<ThreadPool> {
        &self.pool
    }

    pub(super) fn imports(&self) -> &Arc<Semaphore> {
        &self.imports
    }

    pub(super) fn recall(&self, key: &ModelKey) -> Option<Arc<Served>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|served| served.key == *key)?;
        let served = kept.remove(place)?;
        kept.push_front(served.clone());
        Some(served)
    }

    /// Deletes a version of a model, or all it has, for good. Returns whether there was any. Requests that are under way
    /// are answered still.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn delete(&self, name: &str, version: Option<u32>) -> Result<bool, StoreError> {
        let deleted = self.store.delete_versions(name, version).await?;
        self.forget(|served| served.name() == name && (version.is_none() || served.version() == version));
        Ok(deleted)
    }

    /// Frees the memory of the models of which this holds. Whoever asks for one again has it loaded again, if the store
    /// still has it.
    pub fn forget(&self, holds: impl Fn(&Served) -> bool) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).retain(|served| !holds(served));
    }

    pub(super) fn keep(&self, served: Arc<Served>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a job that still trains, only the newest checkpoint is of use.
        kept.retain(|old| old.job().is_none() || old.job() != served.job());
        kept.push_front(served);
        kept.truncate(KEPT);
    }
}

impl Evict for Models {
    fn evict(&self) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // One that a request uses would not give its memory back now.
        let idle = kept.iter().rposition(|served| Arc::strong_count(served) == 1);
        idle.is_some_and(|place| kept.remove(place).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_strictly() {
        let model = |name: &str, version| Selector::Model { name: name.into(), version };
        assert_eq!("mnist".parse::<Selector>().expect("a name"), model("mnist", None));
        assert_eq!("mnist@3".parse::<Selector>().expect("a version"), model("mnist", Some(3)));
        let id = Uuid::from_u128(7);
        assert_eq!(format!("job:{id}").parse::<Selector>().expect("a job"), Selector::Job(id));
        for bad in ["", "@1", "mnist@", "mnist@0", "mnist@x", "mnist@-1", "a b", "job:", "job:12", "../x"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }
}
