//! The recorder of a run: persists what the training thread tells, then passes it on.
//!
//! Messages that come while a commit is under way go into the next one, so a fast training costs few commits. A
//! checkpoint, its event and the progress are one transaction.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::byte_budget::Reservation;
use super::checkpointing::CheckpointPermit;
use super::control::{Control, Stop};
use super::hub::Hub;
use super::state::Instruments;
use super::storage::StorageHealth;
use super::watch::{Message, Snapshot, Standing};
use crate::engine::diagnostics::Diagnostics;
use crate::interop::sha256_hex;
use crate::job::event::{Event, EventBody, Saved};
use crate::store::{Figures, NewCheckpoint, News, RunKey, Store, StoreError};
use crate::supervisor::Failpoint;

/// Least time between two commits of a run: people do not see faster, and disks live longer.
const PACE: Duration = Duration::from_millis(100);
/// How often the store is asked whether the job is to be cancelled or paused: wake-ups are hints, polling is the truth.
const POLL: Duration = Duration::from_secs(1);
/// Tries of a write that fails for another reason than a full or busy disk.
const TRIES: u32 = 5;

/// Why nothing more can be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// Another worker owns the job.
    Fenced,
    /// The store cannot be written and the server shuts down, or it fails in a way that waiting does not cure: the next
    /// run goes on from the last checkpoint.
    Abandoned,
}

/// Persists one run.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) store: Store,
    pub(super) hub: Hub,
    pub(super) run: RunKey,
    pub(super) last_event_id: u64,
    pub(super) control: Control,
    pub(super) storage: StorageHealth,
    pub(super) shutdown: CancellationToken,
    pub(super) instruments: Instruments,
}

/// Events that go into one commit, with what they leave behind.
#[derive(Debug, Default)]
struct Batch {
    events: Vec<Event>,
    figures: Figures,
    looks: Vec<Diagnostics>,
    /// Room of the looks, held until they are persisted.
    room: Vec<Reservation>,
    standing: Option<Standing>,
}

impl Recorder {
    /// Records until the training thread hangs up; `standing` is where the job stands at the start.
    pub(super) async fn record(
        &mut self,
        mut inbox: mpsc::Receiver<Message>,
        mut standing: Standing,
    ) -> Result<(), Lost> {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut messages = Vec::new();
        loop {
            tokio::select! {
                received = inbox.recv_many(&mut messages, 256) => {
                    if received == 0 {
                        return Ok(());
                    }
                    let committed = Instant::now();
                    let result = self.persist(&mut messages, &mut standing).await;
                    if let Err(lost) = result {
                        self.control.stop(Stop::Fenced);
                        // Dropping the inbox frees a training thread that waits for room.
                        return Err(lost);
                    }
                    if !inbox.is_closed() {
                        tokio::time::sleep_until(committed + PACE).await;
                    }
                }
                _ = poll.tick() => self.ask_whether_to_stop().await,
            }
        }
    }

    async fn ask_whether_to_stop(&self) {
        match self.store.stop_requested(self.run).await {
            Ok(true) => self.control.stop(Stop::GiveBack),
            Ok(false) => {}
            Err(StoreError::Fenced) => self.control.stop(Stop::Fenced),
            Err(error) => tracing::warn!(%error, "failed to ask whether the job is to stop"),
        }
    }

    pub(super) async fn persist(&mut self, messages: &mut Vec<Message>, last: &mut Standing) -> Result<(), Lost> {
        self.instruments.supervisor.failpoint(Failpoint::BeforeCommit);
        let mut batch = Batch::default();
        for message in messages.drain(..) {
            match message {
                Message::Event { body, standing } => {
                    batch.events.push(self.event(body));
                    batch.standing = Some(*standing);
                }
                Message::Figures { figures, standing } => {
                    batch.figures.append(*figures);
                    batch.standing = Some(*standing);
                }
                Message::Look { look, standing, room } => {
                    batch.looks.push(*look);
                    batch.room.push(room);
                    batch.standing = Some(*standing);
                }
                Message::Checkpoint(snapshot) => {
                    let mut ready = std::mem::take(&mut batch);
                    *last = ready.standing.take().unwrap_or_else(|| last.clone());
                    last.reach(&snapshot);
                    self.save(ready, *snapshot, last).await?;
                }
            }
        }
        if !batch.events.is_empty() || !batch.looks.is_empty() || !batch.figures.is_empty() {
            if let Some(standing) = batch.standing.take() {
                *last = standing;
            }
            let Batch { events, looks, figures, room: _room, .. } = batch;
            let (store, run) = (self.store.clone(), self.run);
            let Standing { progress, metrics } = &*last;
            let news = || News { events: &events, figures: &figures, looks: &looks, progress, metrics };
            self.insist(|| store.append(run, news())).await?;
            self.instruments.supervisor.failpoint(Failpoint::AfterCommit);
            self.hub.publish(events);
        }
        Ok(())
    }

    async fn save(
        &mut self,
        Batch { mut events, looks, figures, room: _room, .. }: Batch,
        snapshot: Snapshot,
        standing: &Standing,
    ) -> Result<(), Lost> {
        let began = Instant::now();
        let (checkpoint, event, permit) = self.checkpoint(snapshot).await?;
        let encoded = began.elapsed();
        events.push(event);
        let (store, run) = (self.store.clone(), self.run);
        let Standing { progress, metrics } = standing;
        let news = || News { events: &events, figures: &figures, looks: &looks, progress, metrics };
        let mut last_try = Instant::now();
        let save = || {
            last_try = Instant::now();
            store.save_checkpoint(run, &checkpoint, news())
        };
        self.insist(save).await?;
        permit.written(encoded + last_try.elapsed());
        self.instruments.meters.checkpoints.record(began.elapsed());
        self.hub.publish(events);
        Ok(())
    }

    /// A state as it is kept, and the event that says so; both have yet to be written, which ends the permit.
    pub(super) async fn checkpoint(
        &mut self,
        snapshot: Snapshot,
    ) -> Result<(NewCheckpoint, Event, CheckpointPermit), Lost> {
        let Snapshot { state, permit, epoch, trained_seconds } = snapshot;
        let step = state.position.step;
        let encoded = tokio::task::spawn_blocking(move || {
            let bytes = state.encode();
            (sha256_hex(&bytes), bytes)
        });
        let Ok((sha256, bytes)) = encoded.await else {
            tracing::error!("encoding a checkpoint panicked");
            return Err(Lost::Abandoned);
        };
        let event = self.event(EventBody::Checkpoint(Saved { step, epoch, bytes: bytes.len() as u64 }));
        Ok((NewCheckpoint { bytes, sha256, step, trained_seconds }, event, permit))
    }

    fn event(&mut self, body: EventBody) -> Event {
        self.last_event_id += 1;
        Event { id: self.last_event_id, job: self.run.job, at: self.instruments.wall.now(), body }
    }

    /// Tries a write until it is done. A full or busy disk is waited for; the training thread waits too.
    pub(super) async fn insist<T, F, W>(&self, mut write: W) -> Result<T, Lost>
    where
        W: FnMut() -> F,
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut wait = Duration::from_millis(100);
        let mut tries = 0;
        loop {
            let error = match write().await {
                Ok(value) => {
                    self.storage.run_goes_on(self.run.job);
                    return Ok(value);
                }
                Err(StoreError::Fenced) => return Err(Lost::Fenced),
                Err(error) => error,
            };
            self.storage.run_waits(self.run.job, &error);
            tries += u32::from(!matches!(error, StoreError::Full(_) | StoreError::Busy(_) | StoreError::Replaced));
            if tries >= TRIES || self.shutdown.is_cancelled() {
                tracing::error!(job = %self.run.job, %error, "gave up writing; the job goes on from its last checkpoint");
                return Err(Lost::Abandoned);
            }
            tracing::warn!(job = %self.run.job, %error, "failed to write; trying again");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.shutdown.cancelled() => {}
            }
            wait = (wait * 2).min(Duration::from_secs(5));
        }
    }
}
