//! Checkpoints of ended jobs, kept within the bounds that the server was started with.

use std::time::Duration;

use super::Scheduler;
use crate::store::RemovedCheckpoints;
use crate::supervisor::Failpoint;

/// How often checkpoints that have become too old are looked for.
const AGE_CHECK: Duration = Duration::from_secs(600);

impl Scheduler {
    /// Removes checkpoints beyond the bounds: when the server starts, whenever a job ends, and as they grow old.
    pub(super) async fn bound_checkpoints(self) {
        loop {
            self.supervisor().failpoint(Failpoint::CheckpointRetention);
            match self.store().remove_old_checkpoints(self.capacity().checkpoints, self.now()).await {
                Ok(RemovedCheckpoints { count: 0, .. }) => {}
                Ok(RemovedCheckpoints { count, bytes }) => {
                    self.instruments().meters.checkpoints_removed.increment(count);
                    tracing::info!(count, bytes, "removed the oldest checkpoints of ended jobs");
                }
                Err(error) => {
                    self.storage().count(&error);
                    tracing::warn!(%error, "failed to remove old checkpoints");
                }
            }
            tokio::select! {
                () = self.job_ended().notified() => {}
                () = tokio::time::sleep(AGE_CHECK) => {}
                () = self.shutdown_token().cancelled() => return,
            }
        }
    }
}
