//! Datasets that go: only while nothing needs them.

use super::state::Scheduler;
use crate::data::library::RemoveError;
use crate::store::{DatasetUse, StoreError};

/// Why a dataset stays.
#[derive(Debug, thiserror::Error)]
pub enum RemoveDatasetError {
    /// Something needs it.
    #[error("the dataset `{name}` is needed: {by} was made for it")]
    InUse {
        /// The dataset.
        name: String,
        /// What needs it.
        by: DatasetUse,
    },
    /// It is not there, built in, or the disk fails.
    #[error(transparent)]
    Library(#[from] RemoveError),
    /// Nobody knows what needs it.
    #[error("failed to look for what needs the dataset: {0}")]
    Store(#[from] StoreError),
}

impl Scheduler {
    /// Removes an uploaded dataset, for good. No job is accepted for it meanwhile.
    ///
    /// # Errors
    /// If it is not there, built in or needed, or the store or the disk fails.
    pub async fn remove_dataset(&self, name: &str) -> Result<(), RemoveDatasetError> {
        let _no_job = self.no_new_jobs().await;
        match self.library().listing(name) {
            None => return Err(RemoveError::Unknown(name.into()).into()),
            Some(listing) if !listing.uploaded => return Err(RemoveError::BuiltIn(name.into()).into()),
            Some(_) => {}
        }
        if let Some(by) = self.store().dataset_use(name).await? {
            return Err(RemoveDatasetError::InUse { name: name.into(), by });
        }
        let (library, name) = (self.library().clone(), name.to_owned());
        let removed = tokio::task::spawn_blocking(move || library.remove(&name)).await;
        Ok(removed.map_err(|error| RemoveError::Disk(std::io::Error::other(error)))??)
    }
}
