//! Jobs that go, and the disk space that they leave.

use uuid::Uuid;

use super::Scheduler;
use super::wishes::WishError;
use crate::store::StoreError;
use crate::supervisor::Failpoint;

impl Scheduler {
    /// Deletes a job that has ended, for good; streams of its events end. No job is made from it meanwhile.
    ///
    /// # Errors
    /// If it has not ended, or the store fails. `None` if there is no such job.
    pub async fn delete_job(&self, id: Uuid) -> Result<Option<()>, WishError> {
        let scheduler = self.clone();
        let delete = async move {
            let _no_job = scheduler.no_new_jobs().await;
            let deleted = scheduler.storage().counted(scheduler.store().delete_job(id).await)?;
            let Some(deleted) = deleted else { return Ok(None) };
            deleted?;
            tracing::info!(job = %id, "deleted");
            scheduler.hub().tell_deleted(id);
            Ok(Some(()))
        };
        // To its end, also where the client has gone meanwhile: whoever listens to the job must hear of it.
        tokio::spawn(delete).await.map_err(|error| StoreError::Internal(error.to_string()))?
    }

    /// Gives the space of what is deleted back to the disk, from now until shutdown. It goes by small steps, between which
    /// others write.
    pub(super) async fn give_back_space(self) {
        // What a process that was killed has freed is given back at once.
        loop {
            self.supervisor().failpoint(Failpoint::SpaceReclaimer);
            if let Err(error) = self.reclaim_all().await {
                tracing::warn!(%error, "failed to give freed disk space back");
            }
            tokio::select! {
                () = self.store().freed() => {}
                () = self.shutdown_token().cancelled() => return,
            }
        }
    }

    async fn reclaim_all(&self) -> Result<(), StoreError> {
        while !self.is_shutting_down() && self.store().reclaim().await? {}
        self.store().cut_log().await
    }
}
