//! The loops that claim jobs and see them through, one a slot.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::Scheduler;
use super::build::this_build;
use super::control::Stop;
use super::record::{Lost, Recorder};
use super::recovery::{ActiveRun, WorkerSlot};
use super::run::{Ending, Start, Trained, failed, run};
use super::watch::{Snapshot, Standing};
use crate::engine::checkpoint::all_finite;
use crate::interop::{WeightsMetadata, encode_weights, sha256_hex};
use crate::job::event::EventBody;
use crate::job::status::{Status, StopReason};
use crate::job::view::Job;
use crate::store::{Claim, Figures, Finish, LastState, NewWeights, News, RunKey, StoreError};
use crate::supervisor::Failpoint;

/// How long a worker sleeps on an empty queue unless it is woken.
pub(super) const POLL: Duration = Duration::from_secs(1);
/// Messages that a training thread may be ahead of what is persisted.
const OUTBOX: usize = 256;

/// What one turn of a worker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// A job was claimed, and its run has ended.
    Ran(Uuid),
    /// Nothing was waiting.
    Empty,
}

impl Scheduler {
    /// Works until shutdown. After a panic it is called again with the same slot, and settles the run that is left there.
    pub(super) async fn work(self, slot: WorkerSlot) {
        self.recover(&slot).await;
        loop {
            // Armed before the claim: a job that arrives in between is not slept through.
            let woken = self.wake().notified();
            if self.is_shutting_down() {
                return;
            }
            let turn = self.run_next(&slot).await;
            self.storage().claimed(turn.as_ref().err());
            if let Ok(Turn::Ran(_)) = turn {
                continue;
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(POLL) => {}
                () = self.shutdown_token().cancelled() => return,
            }
        }
    }

    /// Claims the next job, if there is one, and sees its run through: one turn of a worker.
    async fn run_next(&self, slot: &WorkerSlot) -> Result<Turn, StoreError> {
        self.supervisor().failpoint(Failpoint::Claim);
        let Some(memory) = self.slot_memory() else { return Ok(Turn::Empty) };
        let Some(mut claim) = self.store().claim(self.now(), self.up()).await? else { return Ok(Turn::Empty) };
        let job = claim.job.id;
        let active = slot.begin(self, claim.run);
        self.hub().publish(std::mem::take(&mut claim.events));
        tracing::info!(%job, attempt = claim.run.attempt, name = claim.job.name, "running");
        match self.run_memory(memory, &claim.job, &active.control).await {
            Some(_memory) => self.see_through(claim, active).await,
            None => {
                self.give_up(claim.run, Lost::Abandoned).await;
                drop(active);
            }
        }
        self.forget_panics(job);
        slot.end();
        Ok(Turn::Ran(job))
    }

    async fn see_through(&self, claim: Claim, mut active: ActiveRun) {
        self.supervisor().failpoint(Failpoint::BeforeTraining);
        let Claim { run: key, job, last_event_id, failed_starts, checkpoint, .. } = claim;
        let mut recorder = Recorder {
            store: self.store().clone(),
            hub: self.hub().clone(),
            run: key,
            last_event_id,
            control: active.control.clone(),
            storage: self.storage().clone(),
            shutdown: self.shutdown_token().clone(),
            instruments: self.instruments().clone(),
        };
        let ending = match checkpoint {
            Ok(checkpoint) => {
                if let Err(lost) = recorder.insist(|| self.store().record_build(key, this_build())).await {
                    return self.give_up(key, lost).await;
                }
                let (outbox, inbox) = mpsc::channel(OUTBOX);
                let start = Start {
                    job: job.clone(),
                    checkpoint,
                    failed_starts,
                    control: active.control.clone(),
                    share: self.cores().join(),
                    outbox,
                    awake: self.awake().clone(),
                    instruments: self.instruments().clone(),
                    _alive: active.thread.take(),
                };
                let ended = self.start_thread(start);
                let standing = Standing { progress: job.progress.clone(), metrics: job.metrics.clone() };
                match recorder.record(inbox, standing).await {
                    Ok(()) => ended.await.unwrap_or_else(|_| {
                        failed("the training thread ended without a word; the server's log has more")
                    }),
                    Err(lost) => {
                        // The thread stops at its next mini-batch; nothing of it may be written.
                        let _ = ended.await;
                        return self.give_up(key, lost).await;
                    }
                }
            }
            Err(corrupt) => failed(corrupt.to_string()),
        };
        if let Err(lost) = self.conclude(&mut recorder, &job, ending).await {
            self.give_up(key, lost).await;
        }
    }

    /// Sees to the job of a run that could not write what it had to: it waits again as soon as the store can be written,
    /// and goes on from its last checkpoint. Where the server shuts down first, the next start sees to it.
    async fn give_up(&self, run: RunKey, lost: Lost) {
        tracing::warn!(job = %run.job, ?lost, "the run was given up");
        if lost == Lost::Abandoned {
            self.settle(run, || self.store().abandon(run, self.now())).await;
        }
    }

    /// Trains on an OS thread of its own; the receiver gets the ending.
    fn start_thread(&self, mut start: Start) -> oneshot::Receiver<Ending> {
        let (sender, receiver) = oneshot::channel();
        let library = self.library().clone();
        let thread = std::thread::Builder::new().name(format!("run-{}", start.job.id.simple()));
        let started = thread.spawn(move || {
            start.instruments.supervisor.failpoint(Failpoint::TrainingThread);
            let ending = run(&mut start, &library);
            // Hangs up on the recorder and gives the cores back before anyone hears of the end.
            drop(start);
            let _ = sender.send(ending);
        });
        started.map(|_| receiver).unwrap_or_else(|error| {
            tracing::error!(%error, "failed to start a training thread");
            let (sender, receiver) = oneshot::channel();
            let _ = sender.send(failed(format!("failed to start the training thread: {error}")));
            receiver
        })
    }

    /// Writes how the run ended, then tells it.
    async fn conclude(&self, recorder: &mut Recorder, job: &Job, ending: Ending) -> Result<(), Lost> {
        let finish = match ending {
            Ending::Fenced => return Err(Lost::Fenced),
            Ending::GivenBack(snapshot, standing) => return self.give_back(recorder, job, *snapshot, *standing).await,
            Ending::Trained(trained) => {
                let Trained { reason, network, parameters, evaluation, standing, last } = *trained;
                if all_finite(&parameters) {
                    let metadata = WeightsMetadata::new(&network, &job.spec.dataset.name, job.spec.loss);
                    let encoded = tokio::task::spawn_blocking(move || {
                        let bytes = encode_weights(&network, &parameters, &metadata);
                        NewWeights { sha256: sha256_hex(&bytes), bytes }
                    });
                    let weights = encoded.await.map_err(|_| Lost::Abandoned)?;
                    let end = ended(Status::Succeeded, reason, None, Some(weights), Some(standing), job);
                    let end = Finish { evaluation: Some(evaluation), ..end };
                    if self.capacity().keep_checkpoints {
                        let (checkpoint, event, _permit) = recorder.checkpoint(last).await?;
                        Finish { events: vec![event], last_state: LastState::Replaced(checkpoint), ..end }
                    } else {
                        end
                    }
                } else {
                    let error = Some("the final weights are not finite".into());
                    ended(Status::Failed, StopReason::Diverged, error, None, Some(standing), job)
                }
            }
            Ending::Failed { reason, error } => ended(Status::Failed, reason, Some(error), None, None, job),
        };
        // Unlike a cancelled job, one that ends here is never resumed: only forks would go on from its state.
        let finish = match self.capacity().keep_checkpoints {
            true => finish,
            false => Finish { last_state: LastState::Deleted, ..finish },
        };
        let events = recorder.insist(|| self.store().finish(recorder.run, &finish, self.now())).await?;
        self.supervisor().failpoint(Failpoint::AfterFinish);
        tracing::info!(job = %job.id, status = %finish.status, error = finish.error, "ended");
        self.hub().publish(events);
        self.job_ended().notify_one();
        Ok(())
    }

    /// Writes the last state of a run that was told to stop. Whether its job is cancelled, paused or waits again is for
    /// the store to say: a client may have changed its mind since.
    async fn give_back(
        &self,
        recorder: &mut Recorder,
        job: &Job,
        snapshot: Snapshot,
        standing: Standing,
    ) -> Result<(), Lost> {
        let began = Instant::now();
        let (checkpoint, event, _permit) = recorder.checkpoint(snapshot).await?;
        let events = [event];
        let (figures, Standing { progress, metrics }) = (Figures::default(), &standing);
        let news = || News { events: &events, figures: &figures, looks: &[], progress, metrics };
        let events = recorder.insist(|| self.store().release(recorder.run, &checkpoint, news(), self.now())).await?;
        recorder.instruments.meters.checkpoints.record(began.elapsed());
        let status = events.iter().rev().find_map(|event| match &event.body {
            EventBody::State(state) => Some(state.status.as_str()),
            _ => None,
        });
        tracing::info!(job = %job.id, status, "stopped");
        self.hub().publish(events);
        // It may have been cancelled.
        self.job_ended().notify_one();
        Ok(())
    }

    /// Tells one run to stop, if it runs here.
    pub(super) fn stop_run(&self, job: Uuid, why: Stop) {
        if let Some(control) = self.running().get(&job) {
            control.stop(why);
        }
    }
}

/// The end of a run in this state; without a standing, the job is where it was last known to be.
pub(super) fn ended(
    status: Status,
    stop_reason: StopReason,
    error: Option<String>,
    weights: Option<NewWeights>,
    standing: Option<Standing>,
    job: &Job,
) -> Finish {
    let standing =
        standing.unwrap_or_else(|| Standing { progress: job.progress.clone(), metrics: job.metrics.clone() });
    Finish {
        events: vec![],
        progress: standing.progress,
        metrics: standing.metrics,
        status,
        stop_reason,
        error,
        evaluation: None,
        weights,
        last_state: LastState::AsItIs,
    }
}
