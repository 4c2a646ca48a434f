//! The loops that claim jobs and see them through, one a slot.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::Scheduler;
use super::build::this_build;
use super::control::{Control, Stop};
use super::record::{Lost, Recorder};
use super::run::{Ending, Start, Trained, run};
use super::watch::{Snapshot, Standing};
use crate::engine::checkpoint::all_finite;
use crate::interop::{WeightsMetadata, encode_weights, sha256_hex};
use crate::job::event::EventBody;
use crate::job::status::{Status, StopReason};
use crate::job::view::Job;
use crate::store::{Claim, Finish, LastState, NewWeights, News, RunKey, StoreError};

/// How long a worker sleeps on an empty queue unless it is woken.
const POLL: Duration = Duration::from_secs(1);
/// Messages that a training thread may be ahead of what is persisted.
const OUTBOX: usize = 256;

/// What one turn of a worker did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A job was claimed, and its run has ended.
    Ran(Uuid),
    /// Nothing was waiting.
    Empty,
}

impl Scheduler {
    /// Works until shutdown.
    pub(super) async fn work(self) {
        loop {
            // Armed before the claim: a job that arrives in between is not slept through.
            let woken = self.wake().notified();
            if self.is_shutting_down() {
                return;
            }
            match self.run_next().await {
                Ok(Turn::Ran(_)) => continue,
                Ok(Turn::Empty) => {}
                Err(error) => tracing::error!(%error, "failed to claim a job"),
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(POLL) => {}
                () = self.shutdown_token().cancelled() => return,
            }
        }
    }

    /// Claims the next job, if there is one, and sees its run through: one turn of a worker.
    ///
    /// # Errors
    /// If no job can be claimed; a run that fails is not an error of this.
    pub async fn run_next(&self) -> Result<Turn, StoreError> {
        let Some(mut claim) = self.store().claim(self.now(), self.up()).await? else { return Ok(Turn::Empty) };
        let job = claim.job.id;
        self.hub().publish(std::mem::take(&mut claim.events));
        tracing::info!(%job, attempt = claim.run.attempt, name = claim.job.name, "running");
        let control = self.enter(job);
        self.see_through(claim, control).await;
        self.leave(job);
        Ok(Turn::Ran(job))
    }

    async fn see_through(&self, claim: Claim, control: Control) {
        let Claim { run: key, job, last_event_id, checkpoint, .. } = claim;
        let mut recorder = Recorder {
            store: self.store().clone(),
            hub: self.hub().clone(),
            run: key,
            last_event_id,
            control: control.clone(),
            shutdown: self.shutdown_token().clone(),
            wall: self.instruments().wall.clone(),
            meters: self.instruments().meters.clone(),
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
                    control,
                    share: self.cores().join(),
                    outbox,
                    awake: self.awake().clone(),
                    meters: self.instruments().meters.clone(),
                };
                let ended = self.start_thread(start);
                match recorder.record(inbox).await {
                    Ok(()) => ended.await.unwrap_or_else(|_| Ending::Failed {
                        reason: StopReason::Error,
                        error: "the training thread could not be started".into(),
                    }),
                    Err(lost) => {
                        // The thread stops at its next mini-batch; nothing of it may be written.
                        let _ = ended.await;
                        return self.give_up(key, lost).await;
                    }
                }
            }
            Err(corrupt) => Ending::Failed { reason: StopReason::Error, error: corrupt.to_string() },
        };
        if let Err(lost) = self.conclude(&mut recorder, &job, ending).await {
            self.give_up(key, lost).await;
        }
    }

    /// Sees to the job of a run that could not write what it had to: it waits again as soon as the store can be written,
    /// and goes on from its last checkpoint. Where the server shuts down first, the next start sees to it.
    async fn give_up(&self, run: RunKey, lost: Lost) {
        tracing::warn!(job = %run.job, ?lost, "the run was given up");
        while lost == Lost::Abandoned && !self.is_shutting_down() {
            match self.store().abandon(run, self.now()).await {
                Ok(events) => return self.hub().publish(events),
                Err(StoreError::Fenced) => return,
                Err(error) => tracing::warn!(job = %run.job, %error, "failed to put the job back into the queue"),
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = self.shutdown_token().cancelled() => {}
            }
        }
    }

    /// Trains on an OS thread of its own; the receiver gets the ending.
    fn start_thread(&self, start: Start) -> oneshot::Receiver<Ending> {
        let (sender, receiver) = oneshot::channel();
        let library = self.library().clone();
        let thread = std::thread::Builder::new().name(format!("run-{}", start.job.id.simple()));
        let started = thread.spawn(move || {
            let ending = run(&start, &library);
            // Hangs up on the recorder and gives the cores back before anyone hears of the end.
            drop(start);
            let _ = sender.send(ending);
        });
        if let Err(error) = started {
            tracing::error!(%error, "failed to start a training thread");
        }
        receiver
    }

    /// Writes how the run ended, then tells it.
    async fn conclude(&self, recorder: &mut Recorder, job: &Job, ending: Ending) -> Result<(), Lost> {
        let finish = match ending {
            Ending::Fenced => return Err(Lost::Fenced),
            Ending::GivenBack(snapshot, standing) => return self.give_back(recorder, job, *snapshot, standing).await,
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
                        let (checkpoint, event) = recorder.checkpoint(last).await?;
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
        tracing::info!(job = %job.id, status = %finish.status, error = finish.error, "ended");
        self.hub().publish(events);
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
        let (checkpoint, event) = recorder.checkpoint(snapshot).await?;
        let events = [event];
        let news = || News { events: &events, looks: &[], progress: &standing.progress, metrics: &standing.metrics };
        let events = recorder.insist(|| self.store().release(recorder.run, &checkpoint, news(), self.now())).await?;
        recorder.meters.checkpoints.record(began.elapsed());
        let status = events.iter().rev().find_map(|event| match &event.body {
            EventBody::State(state) => Some(state.status.as_str()),
            _ => None,
        });
        tracing::info!(job = %job.id, status, "stopped");
        self.hub().publish(events);
        Ok(())
    }

    /// Tells one run to stop, if it runs here.
    pub(super) fn stop_run(&self, job: Uuid, why: Stop) {
        if let Some(control) = self.running().get(&job) {
            control.stop(why);
        }
    }
}

fn ended(
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
