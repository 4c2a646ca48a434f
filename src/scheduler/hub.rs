//! Events on their way to whoever listens.
//!
//! The hub carries only what the store already holds: a listener that subscribes, then replays from the store, and then
//! drops what it has seen by id, misses nothing. One that is too slow is told so and goes back to the store.

use std::sync::Arc;

use tokio::sync::broadcast;
use uuid::Uuid;

use crate::job::event::Event;

/// Events that a slow listener may lag behind before it has to go back to the store.
const BACKLOG: usize = 1024;

/// The place where events are passed on.
#[derive(Debug, Clone)]
pub struct Hub {
    sender: broadcast::Sender<Notice>,
}

/// What is passed on.
#[derive(Debug, Clone)]
enum Notice {
    Event(Arc<Event>),
    Deleted(Uuid),
}

/// What a listener gets.
#[derive(Debug, Clone)]
pub enum Received {
    /// The next event.
    Event(Arc<Event>),
    /// Some were missed: read on from the store.
    Lagged,
    /// The job that is listened to was deleted: nothing more will come.
    Deleted,
}

/// A listener to one job, or to all.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Notice>,
    job: Option<Uuid>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { sender: broadcast::channel(BACKLOG).0 }
    }
}

impl Hub {
    /// Passes events on. They must be in the store already.
    pub fn publish(&self, events: Vec<Event>) {
        for event in events {
            // Nobody listening is no error.
            let _ = self.sender.send(Notice::Event(Arc::new(event)));
        }
    }

    /// Tells that a job was deleted. It must be gone from the store already.
    pub fn tell_deleted(&self, job: Uuid) {
        let _ = self.sender.send(Notice::Deleted(job));
    }

    /// Listens to one job from now on.
    pub fn subscribe(&self, job: Uuid) -> Subscription {
        Subscription { receiver: self.sender.subscribe(), job: Some(job) }
    }

    /// Listens to all jobs from now on.
    pub fn subscribe_all(&self) -> Subscription {
        Subscription { receiver: self.sender.subscribe(), job: None }
    }
}

impl Subscription {
    /// Waits for the next event; `None` when the hub is gone.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            match self.receiver.recv().await {
                Ok(Notice::Event(event)) if self.job.is_none_or(|job| job == event.job) => {
                    return Some(Received::Event(event));
                }
                Ok(Notice::Deleted(job)) if self.job == Some(job) => return Some(Received::Deleted),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return Some(Received::Lagged),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::job::event::{EventBody, Saved};

    fn event(job: Uuid, id: u64) -> Event {
        let body = EventBody::Checkpoint(Saved { step: id, epoch: 1, bytes: 0 });
        Event { id, job, at: Timestamp::UNIX_EPOCH, body }
    }

    #[tokio::test]
    async fn a_listener_hears_its_job_and_is_told_when_it_lags() {
        let (hub, mine, other) = (Hub::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        let mut one = hub.subscribe(mine);
        let mut all = hub.subscribe_all();
        hub.publish(vec![event(other, 1), event(mine, 1)]);
        assert!(matches!(one.next().await, Some(Received::Event(e)) if e.job == mine));
        assert!(matches!(all.next().await, Some(Received::Event(e)) if e.job == other));
        hub.publish((2..2000).map(|id| event(mine, id)).collect());
        assert!(matches!(one.next().await, Some(Received::Lagged)));
        drop(hub);
        while let Some(received) = one.next().await {
            assert!(matches!(received, Received::Event(_)));
        }
    }
}
