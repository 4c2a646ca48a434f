//! Models and their versions.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::{Corrupt, StoreError};
use super::from_row::from_row;
use super::jobs::Page;
use super::moves::Head;
use super::open::Store;
use super::row::{int, json, spec, time};
use super::weights::{self, NewWeights};
use crate::job::spec::TrainSpec;

/// A model with its versions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelEntry {
    /// Its name.
    pub name: String,
    /// The newest version.
    pub latest_version: u32,
    /// All versions, the newest first.
    pub versions: Vec<ModelVersion>,
}

/// A version of a model: weights, and the spec that tells how to read them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelVersion {
    /// The model's name.
    #[serde(skip)]
    pub name: String,
    /// The version, from 1.
    pub version: u32,
    /// Where its weights are from.
    pub source: Source,
    /// The job that trained it; none if it was imported.
    pub job: Option<Uuid>,
    /// SHA-256 of the weights file.
    pub weights_sha256: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Share of the test samples read right.
    pub test_accuracy: Option<f64>,
    /// Number of parameters.
    pub parameters: usize,
    /// What it learned from.
    pub dataset: String,
    /// What was asked for.
    #[serde(skip)]
    pub spec: TrainSpec,
}

/// Where the weights of a version are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A job has trained them.
    Job,
    /// A client has brought them along.
    Import,
}

/// A version to keep that no job has trained.
#[derive(Debug, Clone, PartialEq)]
pub struct NewVersion {
    /// Tells the model, what the weights were trained on, and how to read them.
    pub spec: TrainSpec,
    /// Number of parameters.
    pub parameters: usize,
    /// Share of the test samples read right.
    pub test_accuracy: Option<f64>,
    /// The weights.
    pub weights: NewWeights,
}

/// A query of versions; what follows says which.
macro_rules! versions {
    ($which:literal) => {
        concat!(
            "select v.model, v.version, v.job, v.spec, v.parameters, v.test_accuracy, v.weights_sha256, v.created_at
             from model_versions as v ",
            $which
        )
    };
}

impl Store {
    /// At most `limit` models in the order of their names (of the bytes of their UTF-8), from the first name after this
    /// one on; nothing needs to have that name. All versions of each.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn models(&self, after: Option<&str>, limit: u32) -> Result<Page<ModelEntry>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(versions!(
            "where v.model in (select distinct model from model_versions where model > ? order by model limit ?)
             order by v.model, v.seq desc"
        ))
        // No name is empty.
        .bind(after.unwrap_or_default())
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.readers)
        .await?;
        let mut data = entries(rows)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = data.len() > limit;
        data.truncate(limit);
        Ok(Page { data, has_more })
    }

    /// A model with all its versions; `None` where there is none of this name.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn model(&self, name: &str) -> Result<Option<ModelEntry>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(versions!("where v.model = ? order by v.seq desc"))
            .bind(name)
            .fetch_all(&self.readers)
            .await?;
        Ok(entries(rows)?.pop())
    }

    /// A version of a model, or its newest; `None` where there is none.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn model_version(&self, name: &str, version: Option<u32>) -> Result<Option<ModelVersion>, StoreError> {
        let row: Option<Row> = sqlx::query_as(versions!(
            "where v.model = ?1 and (?2 is null or v.version = ?2) order by v.version desc limit 1"
        ))
        .bind(name)
        .bind(version)
        .fetch_optional(&self.readers)
        .await?;
        Ok(row.map(Row::into_version).transpose()?)
    }

    /// The newest version of all; `None` where there is none yet.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn newest_model(&self) -> Result<Option<ModelVersion>, StoreError> {
        let row: Option<Row> =
            sqlx::query_as(versions!("order by v.seq desc limit 1")).fetch_optional(&self.readers).await?;
        Ok(row.map(Row::into_version).transpose()?)
    }

    /// Keeps weights that no job has trained as the next version of their model.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn import_version(&self, new: &NewVersion, at: Timestamp) -> Result<ModelVersion, StoreError> {
        let mut tx = self.write().await?;
        weights::keep(&mut tx, &new.weights).await?;
        let model = new.spec.model_name();
        let version = next_version(&mut tx, model).await?;
        sqlx::query(
            "insert into model_versions (model, version, spec, parameters, test_accuracy, weights_sha256, created_at)
             values (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(model)
        .bind(version)
        .bind(json(&new.spec)?)
        .bind(int(new.parameters as u64)?)
        .bind(new.test_accuracy)
        .bind(&new.weights.sha256)
        .bind(at.to_string())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(ModelVersion {
            name: model.into(),
            version,
            source: Source::Import,
            job: None,
            weights_sha256: new.weights.sha256.clone(),
            created_at: at,
            test_accuracy: new.test_accuracy,
            parameters: new.parameters,
            dataset: new.spec.dataset.name.clone(),
            spec: new.spec.clone(),
        })
    }
}

/// Versions as models, each with its own in their order; those of a model stand together.
fn entries(rows: Vec<Row>) -> Result<Vec<ModelEntry>, StoreError> {
    let mut models: Vec<ModelEntry> = Vec::new();
    for row in rows {
        let version = row.into_version()?;
        match models.last_mut().filter(|model| model.name == version.name) {
            Some(model) => model.versions.push(version),
            None => models.push(ModelEntry {
                name: version.name.clone(),
                latest_version: version.version,
                versions: vec![version],
            }),
        }
    }
    Ok(models)
}

struct Row {
    model: String,
    version: u32,
    job: Option<Uuid>,
    spec: String,
    parameters: u64,
    test_accuracy: Option<f64>,
    weights_sha256: String,
    created_at: String,
}
from_row!(Row { model, version, job, spec, parameters: i64, test_accuracy, weights_sha256, created_at });

impl Row {
    fn into_version(self) -> Result<ModelVersion, Corrupt> {
        let what = |column: &str| format!("{column} of {}@{}", self.model, self.version);
        let spec = spec(&self.spec, &what("spec"))?;
        Ok(ModelVersion {
            created_at: time(&self.created_at, &what("created_at"))?,
            name: self.model,
            version: self.version,
            source: if self.job.is_some() { Source::Job } else { Source::Import },
            job: self.job,
            weights_sha256: self.weights_sha256,
            test_accuracy: self.test_accuracy,
            parameters: self.parameters as usize,
            dataset: spec.dataset.name.clone(),
            spec,
        })
    }
}

/// The number of a model's next version, which is then taken.
async fn next_version(db: &mut SqliteConnection, model: &str) -> Result<u32, StoreError> {
    Ok(sqlx::query_scalar(
        "insert into models (name, last_version) values (?, 1)
         on conflict (name) do update set last_version = last_version + 1 returning last_version",
    )
    .bind(model)
    .fetch_one(db)
    .await?)
}

/// Makes weights the next version of their job's model, and returns its number.
///
/// The job's last figures must have been recorded. A plan that is damaged must not keep it from ending.
pub(super) async fn add_version(
    db: &mut SqliteConnection,
    head: &Head,
    weights_sha256: &str,
    at: Timestamp,
) -> Result<u32, StoreError> {
    let version = next_version(db, &head.model).await?;
    sqlx::query(
        "insert into model_versions
             (model, version, job, spec, parameters, test_accuracy, weights_sha256, created_at)
         select model, ?, id, spec,
                coalesce(case when json_valid(plan) then json_extract(plan, '$.parameters') end, 0),
                json_extract(metrics, '$.test_accuracy'), ?, ?
         from jobs where id = ?",
    )
    .bind(version)
    .bind(weights_sha256)
    .bind(at.to_string())
    .bind(head.id)
    .execute(db)
    .await?;
    Ok(version)
}
