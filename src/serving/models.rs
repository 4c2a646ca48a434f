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

use crate::data::Dtype;
use crate::data::library::Library;
use crate::engine::checkpoint::Checkpoint;
use crate::engine::model::Model;
use crate::engine::network::Network;
use crate::engine::shape::Shape;
use crate::interop::{WeightsMetadata, decode_weights, encode_weights, sha256_hex};
use crate::job::check::is_slug;
use crate::job::spec::TrainSpec;
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
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The selector is not one.
    #[error("{0}")]
    BadSelector(String),
    /// There is no such model.
    #[error("{0}")]
    NotFound(String),
    /// The store failed.
    #[error("failed to read the model: {0}")]
    Store(#[from] StoreError),
    /// What is stored does not make a model.
    #[error("failed to build the model: {0}")]
    Unusable(String),
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
    model: Model,
    spec: TrainSpec,
    version: Option<u32>,
    job: Option<Uuid>,
    weights_sha256: String,
    class_names: Vec<String>,
    dtype: Dtype,
    pool: Arc<ThreadPool>,
}

impl Served {
    /// The model's name.
    pub fn name(&self) -> &str {
        self.spec.model_name()
    }

    /// Its version; `None` for a job that has not ended.
    pub fn version(&self) -> Option<u32> {
        self.version
    }

    /// The job that trained it; `None` if it was imported.
    pub fn job(&self) -> Option<Uuid> {
        self.job
    }

    /// Whether it is what a source leads to: equal weights of two jobs, or under two names, are two models, for who
    /// answers is part of the answer.
    fn is_of(&self, source: &Source) -> bool {
        (self.job, self.version, self.name()) == (source.job, source.version, source.spec.model_name())
    }

    /// What its weights are known by.
    pub fn weights_sha256(&self) -> &str {
        &self.weights_sha256
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

/// The models that predict.
#[derive(Debug)]
pub struct Models {
    store: Store,
    library: Arc<Library>,
    kept: Mutex<VecDeque<Arc<Served>>>,
    pool: Arc<ThreadPool>,
    /// Room for one import at a time.
    imports: Arc<Semaphore>,
}

/// Where weights are to be had.
struct Source {
    spec: TrainSpec,
    version: Option<u32>,
    job: Option<Uuid>,
    weights: Weights,
}

enum Weights {
    Final { sha256: String },
    Checkpoint { sha256: String, bytes: Vec<u8> },
}

impl Models {
    /// Models of this store, predicting on `threads` threads of their own.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn new(store: Store, library: Arc<Library>, threads: usize) -> Result<Self, ThreadPoolBuildError> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("predict-{i}")).build()?;
        let imports = Arc::new(Semaphore::new(1));
        Ok(Self { store, library, kept: Mutex::default(), pool: Arc::new(pool), imports })
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

    /// The model that a selector means; without one, the newest version of all.
    ///
    /// # Errors
    /// If there is none, or it cannot be loaded.
    pub async fn resolve(&self, selector: Option<&Selector>) -> Result<Arc<Served>, ServeError> {
        let source = self.find(selector).await?;
        if let Some(served) = self.recall(&source) {
            return Ok(served);
        }
        let input = self.library.info(&source.spec.dataset.name).ok_or_else(|| {
            ServeError::NotFound(format!("the dataset `{}` of the model is gone", source.spec.dataset.name))
        })?;
        let bytes = match &source.weights {
            Weights::Final { sha256 } => self.store.weights(sha256).await?,
            Weights::Checkpoint { .. } => None,
        };
        let pool = self.pool.clone();
        let build = move || {
            let unusable = |error: &dyn std::fmt::Display| ServeError::Unusable(error.to_string());
            let network = Network::build(&input.input, &source.spec.network).map_err(|e| unusable(&e))?;
            let parameters = match (&source.weights, bytes) {
                (Weights::Checkpoint { bytes, .. }, _) => {
                    let checkpoint = Checkpoint::decode(bytes).map_err(|e| unusable(&e))?;
                    if checkpoint.parameters.len() != network.parameter_count() {
                        return Err(unusable(&"the checkpoint belongs to another network"));
                    }
                    // What it remembers besides is not needed, and may be of another number.
                    Checkpoint { slots: vec![], best: None, ..checkpoint }.arranged_for(&network).parameters
                }
                (Weights::Final { .. }, Some(bytes)) => decode_weights(&bytes, &network).map_err(|e| unusable(&e))?,
                (Weights::Final { .. }, None) => {
                    return Err(ServeError::NotFound("the model's weights are no longer kept".into()));
                }
            };
            let (Weights::Final { sha256 } | Weights::Checkpoint { sha256, .. }) = source.weights;
            Ok(Served {
                model: Model::new(network, &parameters, source.spec.loss, input.class_names.len()),
                version: source.version,
                job: source.job,
                weights_sha256: sha256,
                class_names: input.class_names,
                dtype: input.dtype,
                spec: source.spec,
                pool,
            })
        };
        let built = tokio::task::spawn_blocking(build).await;
        let served = Arc::new(built.map_err(|_| ServeError::Unusable("building it panicked".into()))??);
        self.keep(served.clone());
        Ok(served)
    }

    async fn find(&self, selector: Option<&Selector>) -> Result<Source, ServeError> {
        let version = match selector {
            Some(Selector::Job(id)) => return self.of_job(*id).await,
            Some(Selector::Model { name, version }) => {
                let found = self.store.model_version(name, *version).await?;
                found.ok_or_else(|| {
                    let which = version.map_or_else(String::new, |version| format!(" in version {version}"));
                    ServeError::NotFound(format!("there is no model `{name}`{which}; GET /v1/models lists them"))
                })?
            }
            None => self.store.newest_model().await?.ok_or_else(|| {
                ServeError::NotFound("there is no model yet: POST a job to /v1/jobs and wait for it".into())
            })?,
        };
        Ok(Source {
            spec: version.spec,
            version: Some(version.version),
            job: version.job,
            weights: Weights::Final { sha256: version.weights_sha256 },
        })
    }

    async fn of_job(&self, id: Uuid) -> Result<Source, ServeError> {
        let job = self.store.job(id).await?.ok_or_else(|| ServeError::NotFound(format!("there is no job {id}")))?;
        let weights = match job.weights_sha256 {
            Some(sha256) => Weights::Final { sha256 },
            None => {
                let checkpoint = self.store.checkpoint(id).await?.ok_or_else(|| {
                    let why = match job.checkpoint_removed_at {
                        Some(at) => format!("its checkpoint was removed at {at}"),
                        None => "has no checkpoint yet".into(),
                    };
                    ServeError::NotFound(format!("the job {id} is {} and {why}", job.status))
                })?;
                Weights::Checkpoint { sha256: checkpoint.sha256, bytes: checkpoint.bytes }
            }
        };
        Ok(Source { spec: job.spec, version: job.model_version, job: Some(id), weights })
    }

    fn recall(&self, source: &Source) -> Option<Arc<Served>> {
        let (Weights::Final { sha256 } | Weights::Checkpoint { sha256, .. }) = &source.weights;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|served| served.weights_sha256 == *sha256 && served.is_of(source))?;
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
        self.forget(|served| served.name() == name && (version.is_none() || served.version == version));
        Ok(deleted)
    }

    /// Frees the memory of the models of which this holds. Whoever asks for one again has it loaded again, if the store
    /// still has it.
    pub fn forget(&self, holds: impl Fn(&Served) -> bool) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).retain(|served| !holds(served));
    }

    fn keep(&self, served: Arc<Served>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a job that still trains, only the newest checkpoint is of use.
        kept.retain(|old| old.job.is_none() || old.job != served.job);
        kept.push_front(served);
        kept.truncate(KEPT);
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
