//! Jobs made from others: a fork goes on from another's last checkpoint, a reproduction does another again.

use serde_json::Value;
use uuid::Uuid;

use super::Scheduler;
use super::intake::SubmitError;
use crate::engine::checkpoint::Checkpoint;
use crate::interop::sha256_hex;
use crate::job::fork::{check_length, forked_spec, keeps_best};
use crate::job::spec::TrainSpec;
use crate::job::status::Status;
use crate::job::view::Job;
use crate::store::{Corrupt, Fork, NewCheckpoint, RequestKey, StoreError, StoredCheckpoint};

impl Scheduler {
    /// Takes in a job that goes on from the last checkpoint of another, with some members of its spec replaced. The other
    /// may be in any state. When this returns, the job is durable, and so is what it begins from.
    ///
    /// # Errors
    /// If there is no such job or no checkpoint, every fault of the new spec, every member that the checkpoint cannot
    /// bear, or why the job cannot be kept.
    pub async fn fork(&self, id: Uuid, overrides: &Value, key: Option<&RequestKey>) -> Result<Job, SubmitError> {
        if let Some(job) = self.known(key).await? {
            return Ok(job);
        }
        let _intake = self.no_removal().await;
        let source = self.source(id).await?;
        let spec = forked_spec(&source.spec, overrides)?;
        let Some(checkpoint) = self.store().checkpoint(id).await? else {
            return Err(SubmitError::Conflict(no_checkpoint(&source)));
        };
        let plan = self.plan_with_data(spec)?;
        check_length(&plan, checkpoint.step)?;
        let fork = begin(&source, plan.spec(), checkpoint).await?;
        self.admit(self.new_job(&plan, Some(fork), None), key).await
    }

    /// Takes in a job that does one that succeeded again: the same spec, from the same beginning.
    ///
    /// # Errors
    /// If there is no such job, it has not succeeded, or its beginning is no longer there; or why the new one cannot be
    /// kept.
    pub async fn reproduce(&self, id: Uuid, key: Option<&RequestKey>) -> Result<Job, SubmitError> {
        if let Some(job) = self.known(key).await? {
            return Ok(job);
        }
        let _intake = self.no_removal().await;
        let original = self.source(id).await?;
        if original.status != Status::Succeeded {
            let detail = format!("the job is {}: only one that has succeeded can be reproduced", original.status);
            return Err(SubmitError::Conflict(detail));
        }
        let plan = self.plan_with_data(original.spec)?;
        let fork = match self.store().fork_of(id).await? {
            None => None,
            Some((source, sha256)) => Some(self.same_beginning(source, &sha256, plan.spec()).await?),
        };
        self.admit(self.new_job(&plan, fork, Some(id)), key).await
    }

    async fn source(&self, id: Uuid) -> Result<Job, SubmitError> {
        self.store().job(id).await?.ok_or(SubmitError::NoSource(id))
    }

    /// The checkpoint that a fork began from, if its source still has it.
    async fn same_beginning(&self, source: Uuid, sha256: &str, spec: &TrainSpec) -> Result<Fork, SubmitError> {
        let gone =
            |what: &str| SubmitError::Conflict(format!("the job was forked from {what}; it cannot be reproduced"));
        let deleted = || gone(&format!("job {source}, which is deleted"));
        let job = self.store().job(source).await?.ok_or_else(deleted)?;
        let checkpoint = self.store().checkpoint(source).await?.filter(|checkpoint| checkpoint.sha256 == sha256);
        let checkpoint = checkpoint.ok_or_else(|| gone(&format!("a checkpoint of job {source} that is gone")))?;
        Ok(begin(&job, spec, checkpoint).await?)
    }
}

/// Why a job that has no checkpoint cannot be forked.
fn no_checkpoint(source: &Job) -> String {
    match source.checkpoint_removed_at {
        Some(at) => format!(
            "the checkpoint of job {} was removed at {at}, by this server's bounds on checkpoints of ended jobs (--keep-checkpoints, --checkpoints-max-count, -bytes, -age); submit a new job",
            source.id
        ),
        None => format!("the job is {} and has no checkpoint to go on from; submit a new job", source.status),
    }
}

/// What a fork begins with: the source's state, without a best epoch that is measured by another rule. Its time of
/// training is its own.
async fn begin(source: &Job, spec: &TrainSpec, from: StoredCheckpoint) -> Result<Fork, StoreError> {
    let StoredCheckpoint { bytes, sha256: source_sha256, step, .. } = from;
    let checkpoint = if keeps_best(&source.spec, spec) || source.spec.early_stopping.is_none() {
        NewCheckpoint { bytes, sha256: source_sha256.clone(), step, trained_seconds: 0.0 }
    } else {
        let rewritten = tokio::task::spawn_blocking(move || {
            let bytes = Checkpoint { best: None, ..Checkpoint::decode(&bytes)? }.encode();
            Ok((sha256_hex(&bytes), bytes))
        });
        let (sha256, bytes) = rewritten
            .await
            .map_err(|error| StoreError::Internal(error.to_string()))?
            .map_err(|error: crate::engine::checkpoint::CheckpointError| Corrupt { what: error.to_string() })?;
        NewCheckpoint { bytes, sha256, step, trained_seconds: 0.0 }
    };
    Ok(Fork { source: source.id, source_sha256, checkpoint })
}
