//! Models and their versions.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::{Corrupt, StoreError};
use super::moves::Head;
use super::open::Store;
use super::row::{document, spec, time};
use crate::job::plan::PlanSummary;
use crate::job::spec::TrainSpec;
use crate::job::view::LastMetrics;

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
    /// The job that trained it.
    pub job: Uuid,
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

/// A query of versions; what follows says which.
macro_rules! versions {
    ($which:literal) => {
        concat!(
            "select v.model, v.version, v.job, v.weights_sha256, v.created_at, jobs.spec, jobs.plan, jobs.metrics
             from model_versions as v join jobs on jobs.id = v.job ",
            $which
        )
    };
}

impl Store {
    /// All models, that with the newest version first.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn models(&self) -> Result<Vec<ModelEntry>, StoreError> {
        let rows: Vec<Row> =
            sqlx::query_as(versions!("order by max(v.seq) over (partition by v.model) desc, v.seq desc"))
                .fetch_all(&self.readers)
                .await?;
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
}

#[derive(sqlx::FromRow)]
struct Row {
    model: String,
    version: u32,
    job: Uuid,
    weights_sha256: String,
    created_at: String,
    spec: String,
    plan: String,
    metrics: String,
}

impl Row {
    fn into_version(self) -> Result<ModelVersion, Corrupt> {
        let job = self.job;
        let spec = spec(&self.spec, &format!("spec of job {job}"))?;
        let plan: PlanSummary = document(&self.plan, &format!("plan of job {job}"))?;
        let metrics: LastMetrics = document(&self.metrics, &format!("metrics of job {job}"))?;
        Ok(ModelVersion {
            created_at: time(&self.created_at, &format!("created_at of {}@{}", self.model, self.version))?,
            name: self.model,
            version: self.version,
            job,
            weights_sha256: self.weights_sha256,
            test_accuracy: metrics.test_accuracy,
            parameters: plan.parameters,
            dataset: spec.dataset.name.clone(),
            spec,
        })
    }
}

/// Makes weights the next version of their job's model, and returns its number.
pub(super) async fn add_version(
    db: &mut SqliteConnection,
    head: &Head,
    weights_sha256: &str,
    at: Timestamp,
) -> Result<u32, StoreError> {
    let version: u32 = sqlx::query_scalar(
        "insert into models (name, last_version) values (?, 1)
         on conflict (name) do update set last_version = last_version + 1 returning last_version",
    )
    .bind(&head.model)
    .fetch_one(&mut *db)
    .await?;
    sqlx::query("insert into model_versions (model, version, job, weights_sha256, created_at) values (?, ?, ?, ?, ?)")
        .bind(&head.model)
        .bind(version)
        .bind(head.id)
        .bind(weights_sha256)
        .bind(at.to_string())
        .execute(db)
        .await?;
    Ok(version)
}
