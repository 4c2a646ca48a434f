//! Weights that were trained elsewhere: read, and tried on the dataset's test samples, so that whoever brings them sees at
//! once whether they were read right.

use std::io;
use std::path::PathBuf;

use super::models::Models;
use crate::data::library::Library;
use crate::engine::loss::argmax;
use crate::engine::model::Model;
use crate::engine::samples::Samples;
use crate::interop::{ImportError, decode_weights, sha256_hex};
use crate::job::plan::Plan;
use crate::store::{NewVersion, NewWeights};

/// Samples that are evaluated at once.
const PASS: usize = 1024;

/// Why weights are not imported.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// They are not those of the network.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Their file cannot be read.
    #[error("failed to read the file: {0}")]
    Disk(#[from] io::Error),
    /// A bug of ours.
    #[error("reading the weights panicked")]
    Panicked,
}

impl Models {
    /// Reads a safetensors file as the weights of a plan's network, and evaluates them.
    ///
    /// One file at a time: each is held in memory, and what is read from it. Others wait.
    ///
    /// # Errors
    /// If they are not the weights of that network.
    pub async fn try_weights(&self, plan: Plan, file: PathBuf) -> Result<NewVersion, TryError> {
        let room = self.imports().clone().acquire_owned().await.map_err(|_| TryError::Panicked)?;
        let (library, pool) = (self.library().clone(), self.pool().clone());
        let read = move || {
            // Until the end of the work, also where the client has long gone.
            let _room = room;
            let bytes = std::fs::read(&file)?;
            let (spec, test_samples, classes) = (plan.spec().clone(), plan.test_samples(), plan.classes());
            let network = plan.into_network();
            let parameters = decode_weights(&bytes, &network)?;
            let model = Model::new(network, &parameters, spec.loss, classes);
            let accuracy = || accuracy(&model, &library, &spec.dataset.name, test_samples);
            let (test_accuracy, parameters) = (pool.install(accuracy), model.parameters().len());
            let weights = NewWeights { sha256: sha256_hex(&bytes), bytes };
            Ok(NewVersion { spec, parameters, test_accuracy, weights })
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| TryError::Panicked)?
    }
}

/// Share of a dataset's first test samples that a model reads right; `None` if the dataset is not to be had.
fn accuracy(model: &Model, library: &Library, dataset: &str, samples: usize) -> Option<f64> {
    let loaded = library.check(dataset).and_then(|()| library.load(dataset));
    match loaded {
        Ok(dataset) => share_of_hits(model, dataset.test.samples(Some(samples)), dataset.info.classes),
        Err(error) => {
            tracing::info!(%error, dataset, "weights are imported without a look at test samples");
            None
        }
    }
}

fn share_of_hits(model: &Model, samples: Samples<'_>, classes: usize) -> Option<f64> {
    let mut hits = 0;
    let mut x = vec![0.0; PASS.min(samples.len()) * samples.width()];
    for first in (0..samples.len()).step_by(PASS) {
        let labels = &samples.all_labels()[first..(first + PASS).min(samples.len())];
        let x = &mut x[..labels.len() * samples.width()];
        for (row, x) in x.chunks_exact_mut(samples.width()).enumerate() {
            samples.read(first + row, x);
        }
        let y = model.infer(x);
        hits += y.chunks_exact(classes).zip(labels).filter(|(y, label)| argmax(y) == usize::from(**label)).count();
    }
    (!samples.is_empty()).then(|| hits as f64 / samples.len() as f64)
}
