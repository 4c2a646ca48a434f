//! Which datasets are needed. The datasets themselves are files; the store only knows who names them.

use uuid::Uuid;

use super::error::StoreError;
use super::open::Store;

/// What needs a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatasetUse {
    /// A job that has not ended.
    Job(Uuid),
    /// A version of a model: its input's shape and its classes are those of the dataset.
    Model {
        /// The model.
        name: String,
        /// The version.
        version: u32,
    },
}

impl std::fmt::Display for DatasetUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Job(id) => write!(f, "the job {id}, which has not ended,"),
            Self::Model { name, version } => write!(f, "the model {name}@{version}"),
        }
    }
}

/// Whether a spec names a dataset. One that cannot be read names none; its job cannot be trained either.
macro_rules! names_dataset {
    () => {
        "case when json_valid(spec) then json_extract(spec, '$.dataset.name') end = ?"
    };
}

impl Store {
    /// Something that needs this dataset; `None` where nothing does.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn dataset_use(&self, name: &str) -> Result<Option<DatasetUse>, StoreError> {
        let mut tx = self.read().await?;
        let job: Option<Uuid> = sqlx::query_scalar(concat!(
            "select id from jobs where finished_at is null and ",
            names_dataset!(),
            " order by seq limit 1"
        ))
        .bind(name)
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(job) = job {
            return Ok(Some(DatasetUse::Job(job)));
        }
        let model: Option<(String, u32)> = sqlx::query_as(concat!(
            "select model, version from model_versions where ",
            names_dataset!(),
            " order by seq limit 1"
        ))
        .bind(name)
        .fetch_optional(&mut *tx)
        .await?;
        Ok(model.map(|(name, version)| DatasetUse::Model { name, version }))
    }
}
