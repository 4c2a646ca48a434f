//! When it will be a waiting job's turn.

use std::collections::HashMap;

use uuid::Uuid;

use super::Scheduler;
use crate::job::hold::most_vain_starts;
use crate::job::status::Status;
use crate::job::view::{Job, WaitingFor};
use crate::store::{JobQuery, Page, Rest, StoreError};

impl Scheduler {
    /// The job of this id, if there is one.
    ///
    /// # Errors
    /// Any failure of the store.
    pub async fn job(&self, id: Uuid) -> Result<Option<Job>, StoreError> {
        match self.store().job(id).await? {
            Some(job) => self.estimated(job).await.map(Some),
            None => Ok(None),
        }
    }

    /// A part of the list of jobs.
    ///
    /// # Errors
    /// Any failure of the store.
    pub async fn jobs(&self, query: &JobQuery) -> Result<Page<Job>, StoreError> {
        let mut page = self.store().jobs(query).await?;
        self.estimate(&mut page.data).await?;
        Ok(page)
    }

    /// A job, with the time to its turn if it waits and that is known.
    pub(super) async fn estimated(&self, mut job: Job) -> Result<Job, StoreError> {
        self.estimate(std::slice::from_mut(&mut job)).await?;
        Ok(job)
    }

    async fn estimate(&self, jobs: &mut [Job]) -> Result<(), StoreError> {
        for job in jobs.iter_mut() {
            let storage = match job.status {
                Status::Queued => self.storage().holds_up_the_queue(),
                Status::Running => self.storage().is_waited_for(job.id),
                _ => false,
            };
            job.waiting_for = storage.then_some(WaitingFor::Storage);
        }
        if jobs.iter().any(|job| job.status == Status::Queued) {
            let (held, rests): (Vec<_>, Vec<_>) = {
                let most = most_vain_starts(self.up());
                self.store().rests().await?.into_iter().partition(|rest| rest.waits && rest.failed_starts > most)
            };
            let turns = turns(&rests, self.capacity().slots);
            for job in jobs.iter_mut().filter(|job| job.status == Status::Queued) {
                job.queue_eta_seconds = turns.get(&job.id).copied();
                if held.iter().any(|rest| rest.job == job.id) {
                    job.waiting_for = job.waiting_for.or(Some(WaitingFor::CrashBackoff));
                }
            }
        }
        Ok(())
    }
}

/// Seconds to the turn of each waiting job that is known: the rest of all before it, shared by the slots.
fn turns(rests: &[Rest], slots: usize) -> HashMap<Uuid, f64> {
    let running = rests.iter().filter(|rest| !rest.waits).count();
    let mut turns = HashMap::new();
    let mut ahead = Some(0.0);
    for (place, rest) in rests.iter().enumerate() {
        if rest.waits {
            // While a slot is free, nobody is waited for.
            let free = place < slots && running < slots;
            turns.extend(if free { Some(0.0) } else { ahead }.map(|ahead| (rest.job, ahead / slots.max(1) as f64)));
        }
        ahead = ahead.zip(rest.seconds).map(|(ahead, seconds)| ahead + seconds);
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The turns of the waiting jobs, in order; a job is whether it waits, and its rest.
    fn waits(jobs: &[(bool, Option<f64>)], slots: usize) -> Vec<Option<f64>> {
        let rest = |(id, &(waits, seconds))| Rest { job: Uuid::from_u128(id), waits, seconds, failed_starts: 0 };
        let rests: Vec<_> = (0..).zip(jobs).map(rest).collect();
        let turns = turns(&rests, slots);
        rests.iter().filter(|rest| rest.waits).map(|rest| turns.get(&rest.job).copied()).collect()
    }

    #[test]
    fn a_turn_comes_when_all_before_it_are_done() {
        let jobs = [(false, Some(8.0)), (true, Some(4.0)), (true, None), (true, Some(1.0))];
        assert_eq!(waits(&jobs, 1), [Some(8.0), Some(12.0), None]);
        assert_eq!(waits(&[(false, Some(8.0)), (false, Some(2.0)), (true, None)], 2), [Some(5.0)]);
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        assert_eq!(waits(&[(false, None), (true, Some(1.0)), (true, None)], 1), [None, None]);
    }

    #[test]
    fn a_free_slot_is_not_waited_for() {
        assert_eq!(waits(&[(true, None), (true, None)], 1), [Some(0.0), None]);
        assert_eq!(waits(&[(false, None), (true, None), (true, None)], 2), [Some(0.0), None]);
    }
}
