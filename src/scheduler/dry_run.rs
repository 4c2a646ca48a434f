//! A spec checked as a submit would check it, without a job.

use serde::Serialize;

use super::Scheduler;
use super::build::this_build;
use super::intake::SubmitError;
use crate::job::plan::{Plan, PlanSummary};
use crate::job::spec::TrainSpec;
use crate::job::status::Status;
use crate::job::view::Job;
use crate::store::{JobQuery, Order};

/// Newest jobs that are looked through for one like the spec.
const LOOKED_THROUGH: u32 = 100;

/// What a spec would come to as a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DryRun {
    /// Layers with their shapes, parameters, samples, memory, and length of the training.
    #[serde(flatten)]
    pub plan: PlanSummary,
    /// Seconds from the start to the end, about: as a job like it took on this machine; `None` where there was none.
    pub estimated_seconds: Option<f64>,
}

impl Scheduler {
    /// Checks a spec as [`submit`](Self::submit) does; nothing is kept and nothing is queued.
    ///
    /// # Errors
    /// Every fault of the spec; a failure of the store.
    pub async fn dry_run(&self, spec: TrainSpec) -> Result<DryRun, SubmitError> {
        let plan = self.plan_with_data(spec)?;
        let query =
            JobQuery { status: Some(Status::Succeeded), limit: LOOKED_THROUGH, after: None, order: Order::Newest };
        let past = self.store().jobs(&query).await?.data;
        let estimated_seconds = past.iter().find_map(|job| estimate(&plan, job));
        Ok(DryRun { plan: plan.summary(), estimated_seconds })
    }
}

/// Seconds that the plan takes if its mini-batches take as long as those of a past job. `None` if that job was another
/// training, was interrupted, or ran on another processor.
fn estimate(plan: &Plan, past: &Job) -> Option<f64> {
    let (spec, other) = (plan.spec(), &past.spec);
    // All that decides the work of a mini-batch; the rate at which it learns does not.
    let same_work = spec.network == other.network
        && spec.dataset.name == other.dataset.name
        && spec.dataset.augment == other.dataset.augment
        && spec.batch_size == other.batch_size
        && std::mem::discriminant(&spec.optimizer) == std::mem::discriminant(&other.optimizer)
        && spec.diagnostics == other.diagnostics;
    let undisturbed = past.attempt == 1 && past.forked_from.is_none();
    if !same_work || !undisturbed || past.trained_with != [this_build().clone()] || past.progress.step == 0 {
        return None;
    }
    let took = past.finished_at?.duration_since(past.started_at?).as_secs_f64();
    if took <= 0.0 {
        return None;
    }
    let seconds = took * plan.total_steps() as f64 / past.progress.step as f64;
    Some(spec.max_seconds.map_or(seconds, |most| seconds.min(most)))
}
