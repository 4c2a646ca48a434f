//! Events on their way to whoever listens.
//!
//! The hub carries only what the store already holds: a listener that subscribes, then replays from the store, and then
//! drops what it has seen by id, misses nothing. One that is too slow is told so and goes back to the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::meters::EndedJobs;
use crate::job::event::{Event, EventBody};

/// Events that a slow listener may lag behind before it has to go back to the store.
const BACKLOG: usize = 1024;

/// How long a listener rests when it has heard all there was. What happens meanwhile it hears together: a hundred
/// readers of a fast training would otherwise be woken, and write to their sockets, for each event alone.
const REST: Duration = Duration::from_millis(20);

/// The place where events are passed on.
#[derive(Debug, Clone)]
pub struct Hub {
    sender: broadcast::Sender<Notice>,
    ended: EndedJobs,
}

/// What is passed on.
#[derive(Debug, Clone)]
enum Notice {
    Event(Arc<Event>),
    Deleted(Uuid),
    Resync(Uuid),
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
    rests_until: Instant,
}

impl Hub {
    /// A hub that counts the ends of jobs it is told of.
    pub(super) fn new(ended: EndedJobs) -> Self {
        Self { sender: broadcast::channel(BACKLOG).0, ended }
    }

    /// Passes events on. They must be in the store already.
    pub fn publish(&self, events: Vec<Event>) {
        for event in events {
            if let EventBody::Done(done) = &event.body {
                self.ended.count(done.status);
            }
            // Nobody listening is no error.
            let _ = self.sender.send(Notice::Event(Arc::new(event)));
        }
    }

    /// Tells that a job was deleted. It must be gone from the store already.
    pub fn tell_deleted(&self, job: Uuid) {
        let _ = self.sender.send(Notice::Deleted(job));
    }

    /// Makes the listeners of a job read on from the store: some of its events may be there that were not passed on.
    pub fn resync(&self, job: Uuid) {
        let _ = self.sender.send(Notice::Resync(job));
    }

    /// Listens to one job from now on.
    pub fn subscribe(&self, job: Uuid) -> Subscription {
        self.listen(Some(job))
    }

    /// Listens to all jobs from now on.
    pub fn subscribe_all(&self) -> Subscription {
        self.listen(None)
    }

    fn listen(&self, job: Option<Uuid>) -> Subscription {
        Subscription { receiver: self.sender.subscribe(), job, rests_until: Instant::now() }
    }
}

impl Subscription {
    /// Waits for the next event; `None` when the hub is gone.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            match self.notice().await {
                Ok(Notice::Event(event)) if self.job.is_none_or(|job| job == event.job) => {
                    return Some(Received::Event(event));
                }
                Ok(Notice::Deleted(job)) if self.job == Some(job) => return Some(Received::Deleted),
                Ok(Notice::Resync(job)) if self.job == Some(job) => return Some(Received::Lagged),
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Some(Received::Lagged),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// What is there at once; then, after a rest since the last wait, what comes next.
    async fn notice(&mut self) -> Result<Notice, RecvError> {
        match self.receiver.try_recv() {
            Ok(notice) => Ok(notice),
            Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            Err(TryRecvError::Empty) => {
                sleep_until(self.rests_until).await;
                let notice = self.receiver.recv().await;
                self.rests_until = Instant::now() + REST;
                notice
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::meters::Meters;
    use super::*;
    use crate::job::event::{EventBody, Saved};

    fn event(job: Uuid, id: u64) -> Event {
        let body = EventBody::Checkpoint(Saved { step: id, epoch: 1, bytes: 0 });
        Event { id, job, at: Timestamp::UNIX_EPOCH, body }
    }

    #[tokio::test]
    async fn a_listener_hears_its_job_and_is_told_when_it_lags() {
        let (hub, mine, other) = (Hub::new(Meters::default().ended), Uuid::from_u128(1), Uuid::from_u128(2));
        let mut one = hub.subscribe(mine);
        let mut all = hub.subscribe_all();
        hub.publish(vec![event(other, 1), event(mine, 1)]);
        assert!(matches!(one.next().await, Some(Received::Event(e)) if e.job == mine));
        assert!(matches!(all.next().await, Some(Received::Event(e)) if e.job == other));
        hub.publish((2..2000).map(|id| event(mine, id)).collect());
        assert!(matches!(one.next().await, Some(Received::Lagged)));
        while tokio::time::timeout(REST, one.next()).await.is_ok() {}
        hub.resync(other);
        hub.resync(mine);
        assert!(matches!(one.next().await, Some(Received::Lagged)), "it is told to look into the store");
        hub.publish(vec![event(mine, 2000)]);
        drop(hub);
        while let Some(received) = one.next().await {
            assert!(matches!(received, Received::Event(_)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_event_comes_at_once_and_those_after_it_together() {
        let (hub, job) = (Hub::new(Meters::default().ended), Uuid::from_u128(1));
        let mut listener = hub.subscribe(job);
        let began = Instant::now();
        let told = tokio::spawn(async move {
            let mut told = vec![];
            while listener.next().await.is_some() {
                told.push(began.elapsed().as_millis());
            }
            told
        });
        for id in 1..=5 {
            tokio::time::sleep(Duration::from_millis(6)).await;
            hub.publish(vec![event(job, id)]);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(hub);
        let told = told.await.expect("no panic");
        // At 6, 12, 18, 24 and 30 ms; timers fire up to a millisecond late.
        assert_eq!(told.len(), 5);
        assert!(told[0] <= 7 && (26..=28).contains(&told[1]) && told[1..4].iter().all(|at| *at == told[1]), "{told:?}");
        assert!(told[4] >= 46, "{told:?}");
    }
}
