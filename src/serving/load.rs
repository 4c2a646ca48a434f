//! Loading a model from the store: once for all who ask for it meanwhile, and within the memory for it.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::ThreadPool;
use tokio::sync::watch;
use uuid::Uuid;

use super::models::{Models, Selector, ServeError, Served};
use crate::data::DatasetInfo;
use crate::engine::checkpoint::Checkpoint;
use crate::engine::model::Model;
use crate::engine::network::Network;
use crate::interop::decode_weights;
use crate::job::spec::TrainSpec;
use crate::memory::{MemoryUse, Reservation};

/// A model's identity: equal weights of two jobs, or under two names, are two models, for who answers is part of the
/// answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ModelKey {
    pub(super) name: String,
    pub(super) version: Option<u32>,
    pub(super) job: Option<Uuid>,
    pub(super) weights_sha256: String,
}

/// A model that is in the store.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) key: ModelKey,
    spec: TrainSpec,
    weights: Weights,
}

/// Where a model's weights are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weights {
    /// In a file of their own.
    Final,
    /// In a checkpoint of so many bytes, of the job that still trains.
    Checkpoint { job: Uuid, bytes: u64 },
}

/// The loads under way. Whoever asks for a model that is being loaded waits for that load.
#[derive(Debug, Default)]
pub(super) struct Loads(Mutex<HashMap<ModelKey, Loading>>);

/// A load under way; its outcome goes to all who wait for it, and is not remembered.
type Loading = watch::Receiver<Option<Result<Arc<Served>, ServeError>>>;

/// A load's entry among those under way; gone when dropped, also by a panic.
struct Entry {
    models: Arc<Models>,
    key: ModelKey,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.models.loads().0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl Models {
    /// The model that a selector means; without one, the newest version of all.
    ///
    /// # Errors
    /// If there is none, or it cannot be loaded.
    pub async fn resolve(self: &Arc<Self>, selector: Option<&Selector>) -> Result<Arc<Served>, ServeError> {
        let source = self.find(selector).await?;
        if let Some(served) = self.recall(&source.key) {
            return Ok(served);
        }
        let mut loading = self.loading(source);
        let outcome = match loading.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        outcome.unwrap_or_else(|| Err(ServeError::Unusable("loading it panicked".into())))
    }

    /// The load of a model that is under way, or a new one. It goes on where those who wait for it are gone.
    fn loading(self: &Arc<Self>, source: Source) -> Loading {
        let mut loads = self.loads().0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loading) = loads.get(&source.key) {
            return loading.clone();
        }
        // It may have ended since the caller looked: a model is kept before its load is no longer under way.
        if let Some(served) = self.recall(&source.key) {
            return watch::channel(Some(Ok(served))).1;
        }
        let (sender, loading) = watch::channel(None);
        let entry = Entry { models: self.clone(), key: source.key.clone() };
        loads.insert(entry.key.clone(), loading.clone());
        tokio::spawn(async move {
            let outcome = entry.models.load(source).await;
            drop(entry);
            sender.send_replace(Some(outcome));
        });
        loading
    }

    async fn find(&self, selector: Option<&Selector>) -> Result<Source, ServeError> {
        let version = match selector {
            Some(Selector::Job(id)) => return self.of_job(*id).await,
            Some(Selector::Model { name, version }) => {
                let found = self.store().model_version(name, *version).await?;
                found.ok_or_else(|| {
                    let which = version.map_or_else(String::new, |version| format!(" in version {version}"));
                    ServeError::NotFound(format!("there is no model `{name}`{which}; GET /v1/models lists them"))
                })?
            }
            None => self.store().newest_model().await?.ok_or_else(|| {
                ServeError::NotFound("there is no model yet: POST a job to /v1/jobs and wait for it".into())
            })?,
        };
        let key = ModelKey {
            name: version.spec.model_name().into(),
            version: Some(version.version),
            job: version.job,
            weights_sha256: version.weights_sha256,
        };
        Ok(Source { key, spec: version.spec, weights: Weights::Final })
    }

    async fn of_job(&self, id: Uuid) -> Result<Source, ServeError> {
        let job = self.store().job(id).await?.ok_or_else(|| ServeError::NotFound(format!("there is no job {id}")))?;
        let (weights_sha256, weights) = match job.weights_sha256 {
            Some(sha256) => (sha256, Weights::Final),
            None => {
                let checkpoint = self.store().checkpoint_size(id).await?.ok_or_else(|| {
                    let why = match job.checkpoint_removed_at {
                        Some(at) => format!("its checkpoint was removed at {at}"),
                        None => "has no checkpoint yet".into(),
                    };
                    ServeError::NotFound(format!("the job {id} is {} and {why}", job.status))
                })?;
                (checkpoint.sha256, Weights::Checkpoint { job: id, bytes: checkpoint.bytes })
            }
        };
        let key =
            ModelKey { name: job.spec.model_name().into(), version: job.model_version, job: Some(id), weights_sha256 };
        Ok(Source { key, spec: job.spec, weights })
    }

    async fn load(&self, source: Source) -> Result<Arc<Served>, ServeError> {
        let dataset = &source.spec.dataset.name;
        let input = self
            .library()
            .info(dataset)
            .ok_or_else(|| ServeError::NotFound(format!("the dataset `{dataset}` of the model is gone")))?;
        let network = Network::build(&input.input, &source.spec.network).map_err(|e| unusable(&e))?;
        let size = ModelSize::of(&network, self.pool().current_num_threads());
        let memory = self.memory().reserve(MemoryUse::Models, size.loading(source.weights)).await?;
        self.meters().loads.increment(1);
        let (key, bytes) = self.read(source.key.clone(), source.weights).await?;
        let Source { spec, weights, .. } = source;
        let parts = Parts { key, spec, weights, bytes, network, input, size, memory, pool: self.pool().clone() };
        let built = tokio::task::spawn_blocking(|| parts.build()).await;
        let served = Arc::new(built.map_err(|_| ServeError::Unusable("building it panicked".into()))??);
        self.keep(served.clone());
        Ok(served)
    }

    /// The bytes that hold a model's weights. A checkpoint may be newer than the one that was asked for.
    async fn read(&self, key: ModelKey, weights: Weights) -> Result<(ModelKey, Vec<u8>), ServeError> {
        match weights {
            Weights::Final => {
                let bytes = self.store().weights(&key.weights_sha256).await?;
                let bytes =
                    bytes.ok_or_else(|| ServeError::NotFound("the model's weights are no longer kept".into()))?;
                Ok((key, bytes))
            }
            Weights::Checkpoint { job, .. } => {
                let checkpoint = self.store().checkpoint(job).await?;
                let checkpoint = checkpoint.ok_or_else(|| {
                    ServeError::NotFound(format!("the checkpoint of the job {job} is gone; ask again"))
                })?;
                Ok((ModelKey { weights_sha256: checkpoint.sha256, ..key }, checkpoint.bytes))
            }
        }
    }
}

/// Bytes that a model takes, about, and rather too many.
#[derive(Debug, Clone, Copy)]
struct ModelSize {
    parameters: u64,
    /// Of one pass of a few rows through the layers.
    pass: u64,
    /// Once it is loaded.
    resident: u64,
}

impl ModelSize {
    /// The sizes of a model that predicts on so many threads.
    fn of(network: &Network, threads: usize) -> Self {
        /// Values that a pass's widest level has, unless a single row has more, and its most rows (`engine::infer`).
        const VALUES: u64 = 1 << 18;
        const ROWS: u64 = 64;
        let parameters = 4 * network.parameter_count() as u64;
        let levels = network.summary().into_iter().map(|layer| layer.output.len() as u64);
        let widest = levels.chain([network.input().len() as u64]).max().unwrap_or(1).max(1);
        // Two buffers for the layers up to the last convolution, two for those after it.
        let pass = 4 * 4 * widest * (VALUES / widest).clamp(1, ROWS);
        // Some layers keep a transformed copy of their parameters. Memories of passes are kept for the next ones.
        let resident = 3 * parameters + pass * threads as u64;
        Self { parameters, pass, resident }
    }

    /// Bytes at the peak of loading it: the file and what is read from it, then that and the model.
    fn loading(self, weights: Weights) -> u64 {
        let read = match weights {
            Weights::Final => 3 * self.parameters,
            Weights::Checkpoint { bytes, .. } => 2 * bytes + self.parameters,
        };
        read.max(self.parameters + self.resident)
    }
}

/// All that a model is built from.
struct Parts {
    key: ModelKey,
    spec: TrainSpec,
    weights: Weights,
    bytes: Vec<u8>,
    network: Network,
    input: DatasetInfo,
    size: ModelSize,
    memory: Reservation,
    pool: Arc<ThreadPool>,
}

impl Parts {
    fn build(self) -> Result<Served, ServeError> {
        let Self { key, spec, weights, bytes, network, input, size, mut memory, pool } = self;
        let DatasetInfo { class_names, dtype, .. } = input;
        let parameters = match weights {
            Weights::Final => decode_weights(&bytes, &network).map_err(|e| unusable(&e))?,
            Weights::Checkpoint { .. } => {
                let checkpoint = Checkpoint::decode(&bytes).map_err(|e| unusable(&e))?;
                if checkpoint.parameters.len() != network.parameter_count() {
                    return Err(unusable(&"the checkpoint belongs to another network"));
                }
                // What it remembers besides is not needed, and may be of another number.
                Checkpoint { slots: vec![], best: None, ..checkpoint }.arranged_for(&network).parameters
            }
        };
        drop(bytes);
        let model = Model::new(network, &parameters, spec.loss, class_names.len());
        drop(parameters);
        memory.try_resize(size.resident);
        Ok(Served { model, key, spec, class_names, dtype, pool, pass_bytes: size.pass, _memory: memory })
    }
}

fn unusable(error: &dyn Display) -> ServeError {
    ServeError::Unusable(error.to_string())
}
