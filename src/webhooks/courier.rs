//! Takes messages from the store when it is their turn, and tells it what came of them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::meters::Meters;
use super::post::{Answer, Outcome, Post, PostError, missed};
use crate::clock::Wall;
use crate::store::{Message, Room, Settled, Store};
use crate::supervisor::{Failpoint, Supervisor, Task, panic_message};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long after each attempt that failed comes the next: the schedule that Standard Webhooks gives, three days in all.
///
/// It has no jitter: what that is for, that receivers are not overrun, [`EACH`] sees to.
pub const RETRIES: [Duration; 9] = [
    seconds(5),
    seconds(5 * 60),
    seconds(30 * 60),
    seconds(2 * 3600),
    seconds(5 * 3600),
    seconds(10 * 3600),
    seconds(14 * 3600),
    seconds(20 * 3600),
    seconds(24 * 3600),
];

/// Attempts at the same time.
const MOST: u32 = 16;
/// Attempts at the same time to one receiver: one that does not answer takes no more from the others.
const EACH: u32 = 2;
/// How often the store is asked whether it is a message's turn.
const POLL: Duration = Duration::from_secs(1);
/// How long attempts under way are waited for at shutdown.
const GRACE: Duration = Duration::from_secs(1);

/// Brings messages to their receivers.
#[derive(Debug, Clone)]
pub struct Courier {
    store: Store,
    post: Arc<Post>,
    retries: Arc<[Duration]>,
    instruments: Instruments,
}

/// What a courier tells the time by, what it counts with, and what keeps it alive.
#[derive(Debug, Clone, Default)]
pub struct Instruments {
    /// The clock on the wall.
    pub wall: Wall,
    /// What came of its attempts.
    pub meters: Meters,
    /// What restarts it when it dies.
    pub supervisor: Supervisor,
}

/// A courier at work.
#[derive(Debug)]
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Courier {
    /// A courier of this store's messages.
    ///
    /// # Errors
    /// If no requests can be made.
    pub fn new(store: Store, settings: &Settings, instruments: Instruments) -> Result<Self, PostError> {
        let post = Arc::new(Post::new(settings)?);
        Ok(Self { store, post, retries: settings.retries.as_slice().into(), instruments })
    }

    /// Begins to work. What the last process, or a courier that died, was sending is sent again.
    pub fn start(self) -> Running {
        let (supervisor, stop) = (self.instruments.supervisor.clone(), CancellationToken::new());
        let asked = stop.clone();
        let task = tokio::spawn(async move {
            supervisor.run(Task::WebhookDispatcher, &asked, || self.clone().work(asked.clone())).await;
        });
        Running { stop, task }
    }

    async fn work(self, stop: CancellationToken) {
        if let Err(error) = self.store.release_messages(self.instruments.wall.now()).await {
            tracing::warn!(%error, "failed to take up webhooks again; they are sent a little later");
        }
        let mut under_way = JoinSet::new();
        while !stop.is_cancelled() {
            self.instruments.supervisor.failpoint(Failpoint::WebhookDispatcher);
            let busy = u32::try_from(under_way.len()).unwrap_or(MOST);
            let room = Room { most: MOST.saturating_sub(busy), each: EACH, server: self.post.has_url() };
            match self.store.claim_messages(self.instruments.wall.now(), room).await {
                Ok(messages) => {
                    for message in messages {
                        under_way.spawn(self.clone().bring(message));
                    }
                }
                Err(error) => tracing::warn!(%error, "failed to look for webhooks to send"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.store.message_written() => {}
                Some(_) = under_way.join_next() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Sends a message once and settles what becomes of it.
    async fn bring(self, message: Message) {
        let Self { store, post, retries, instruments: Instruments { wall, meters, supervisor } } = self;
        let attempt = async {
            supervisor.failpoint(Failpoint::WebhookAttempt);
            post.send(&message, wall.now()).await
        };
        let Answer { outcome, said } = AssertUnwindSafe(attempt).catch_unwind().await.unwrap_or_else(|panic| {
            tracing::error!(job = %message.job, id = message.id, cause = panic_message(&*panic), "an attempt to send a webhook panicked");
            missed("an internal error; the server's log has more")
        });
        let settled = settled(outcome, message.attempt, &retries);
        meters.settled(settled);
        let Message { job, id, attempt, .. } = &message;
        match settled {
            Settled::Delivered => tracing::debug!(%job, id, attempt, said, "a webhook was delivered"),
            Settled::PutOff(delay) => {
                tracing::info!(%job, id, attempt, said, again_after = ?delay, "a webhook did not arrive");
            }
            Settled::Failed => tracing::warn!(%job, id, attempt, said, "a webhook was given up"),
        }
        if let Err(error) = store.settle_message(&message, settled, &said, wall.now()).await {
            tracing::warn!(%job, id, %error, "failed to write what came of a webhook; it is sent again");
        }
    }
}

impl Running {
    /// Sends no more, and ends within a second.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(GRACE, &mut self.task).await.is_err() {
            // What is cut off here is sent again by the next process.
            self.task.abort();
        }
    }
}

/// What becomes of a message after this attempt, counted from 1.
fn settled(outcome: Outcome, attempt: u32, retries: &[Duration]) -> Settled {
    let Outcome::Missed(asked) = outcome else {
        return if outcome == Outcome::Taken { Settled::Delivered } else { Settled::Failed };
    };
    let delay = usize::try_from(attempt).ok().and_then(|attempt| retries.get(attempt.checked_sub(1)?));
    delay.map_or(Settled::Failed, |delay| Settled::PutOff((*delay).max(asked.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_ever_more_rarely_and_end() {
        let after: Vec<_> = (1..=11).map(|attempt| settled(Outcome::Missed(None), attempt, &RETRIES)).collect();
        let delays = RETRIES.map(Settled::PutOff);
        assert_eq!(after[..9], delays);
        assert_eq!(after[9..], [Settled::Failed; 2]);
        assert!(RETRIES.is_sorted());
        assert_eq!(RETRIES.iter().sum::<Duration>(), seconds(75 * 3600 + 35 * 60 + 5));
    }

    #[test]
    fn a_receiver_has_its_say() {
        assert_eq!(settled(Outcome::Taken, 99, &RETRIES), Settled::Delivered);
        assert_eq!(settled(Outcome::Gone, 1, &RETRIES), Settled::Failed);
        let asked = |after| Outcome::Missed(Some(seconds(after)));
        assert_eq!(settled(asked(60), 1, &RETRIES), Settled::PutOff(seconds(60)));
        assert_eq!(settled(asked(60), 2, &RETRIES), Settled::PutOff(seconds(300)));
        assert_eq!(settled(asked(60), 10, &RETRIES), Settled::Failed);
    }
}
