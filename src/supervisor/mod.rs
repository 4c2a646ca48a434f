//! Floor 2½: tasks that live as long as the server, restarted when they die.
//!
//! A task that panics, or returns while it should still work, is made anew after a short delay. One that dies too often is
//! given up: [`Supervisor::dead`] then names it, `/readyz` fails, and the process stops in order with an error, so that
//! whoever started it can start it again. A server that accepts jobs and never trains them is worse than none.
//!
//! - [`Supervisor`]: runs tasks, counts restarts, remembers the task that was given up
//! - [`Failpoints`]: panics on purpose, for tests

mod failpoints;
mod meters;

pub use failpoints::{Failpoint, Failpoints};
pub use meters::Meters;

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Restarts of one task within [`WINDOW`] after which its next death is the last.
const MOST_RESTARTS: usize = 5;
/// Time over which restarts are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Delay before the first restart within [`WINDOW`]; each further one takes twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// A kind of task that lives as long as the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Claims jobs, and records what their training threads tell.
    Worker,
    /// Gives the space of deleted rows back to the disk.
    SpaceReclaimer,
    /// Removes checkpoints of ended jobs beyond their bounds.
    CheckpointRetention,
    /// Sends webhooks.
    WebhookDispatcher,
    /// Compacts the histograms of `/metrics`.
    MetricsUpkeep,
    /// Accepts connections.
    AcceptLoop,
}

impl Task {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Worker,
        Self::SpaceReclaimer,
        Self::CheckpointRetention,
        Self::WebhookDispatcher,
        Self::MetricsUpkeep,
        Self::AcceptLoop,
    ];

    /// Name in the log and in the label `task` of `/metrics`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::SpaceReclaimer => "space_reclaimer",
            Self::CheckpointRetention => "checkpoint_retention",
            Self::WebhookDispatcher => "webhook_dispatcher",
            Self::MetricsUpkeep => "metrics_upkeep",
            Self::AcceptLoop => "accept_loop",
        }
    }
}

/// A task that was given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the task `{}` died {} times within {} s, the last time because {cause}", task.name(), MOST_RESTARTS + 1, WINDOW.as_secs())]
pub struct DeadTask {
    /// Its kind.
    pub task: Task,
    /// Cause of its last death.
    pub cause: String,
}

/// Runs the server's tasks; a clone is another handle of the same.
#[derive(Debug, Clone, Default)]
pub struct Supervisor(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    dead: watch::Sender<Option<DeadTask>>,
    meters: Meters,
    failpoints: Failpoints,
}

impl Supervisor {
    /// A supervisor that counts with these meters; its tasks panic where `failpoints` say so.
    pub fn new(meters: Meters, failpoints: Failpoints) -> Self {
        Self(Arc::new(Inner { dead: watch::Sender::default(), meters, failpoints }))
    }

    /// Runs a task, made by `make`, until it returns after `stop` was cancelled. A death before that is followed by a
    /// restart, or makes the task [`dead`](Self::dead).
    pub async fn run<M, F>(&self, task: Task, stop: &CancellationToken, mut make: M)
    where
        M: FnMut() -> F,
        F: Future<Output = ()>,
    {
        let mut restarts = VecDeque::new();
        loop {
            let ended = AssertUnwindSafe(Box::pin(make())).catch_unwind().await;
            let cause = match ended {
                Ok(()) if stop.is_cancelled() => return,
                Ok(()) => "it ended by itself".into(),
                Err(panic) => panic_message(&*panic),
            };
            tracing::error!(task = task.name(), %cause, "a task of the server died");
            if stop.is_cancelled() {
                return;
            }
            let Some(delay) = next_restart(&mut restarts, Instant::now()) else {
                let dead = DeadTask { task, cause };
                tracing::error!("{dead}");
                self.0.dead.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(dead);
                    is_first
                });
                return;
            };
            self.0.meters.restarted(task);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// The first task that was given up, if one was.
    pub fn dead(&self) -> Option<DeadTask> {
        self.0.dead.borrow().clone()
    }

    /// Waits until a task is given up.
    pub async fn wait_for_death(&self) {
        // The sender is held here, so there is no error.
        let _ = self.0.dead.subscribe().wait_for(Option::is_some).await;
    }

    /// Panics if a test has armed this point.
    pub fn failpoint(&self, point: Failpoint) {
        self.0.failpoints.pass(point);
    }
}

/// Delay before the restart that is due now; `None` if there were too many.
fn next_restart(restarts: &mut VecDeque<Instant>, now: Instant) -> Option<Duration> {
    while restarts.front().is_some_and(|restart| now.duration_since(*restart) >= WINDOW) {
        restarts.pop_front();
    }
    if restarts.len() >= MOST_RESTARTS {
        return None;
    }
    let doublings = u32::try_from(restarts.len()).unwrap_or(u32::MAX);
    restarts.push_back(now);
    Some(FIRST_DELAY * 2_u32.saturating_pow(doublings))
}

/// Text of a panic.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.map_or_else(|| "of a panic".into(), |text| format!("it panicked: {text}"))
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_dies_is_restarted_and_one_that_dies_too_often_is_given_up() {
        for panics in [true, false] {
            let (supervisor, stop, lives) = (Supervisor::default(), CancellationToken::new(), AtomicUsize::new(0));
            let die = || async {
                lives.fetch_add(1, Ordering::Relaxed);
                assert!(!panics, "on purpose");
            };
            let began = Instant::now();
            supervisor.run(Task::Worker, &stop, die).await;
            assert_eq!(lives.load(Ordering::Relaxed), MOST_RESTARTS + 1);
            assert_eq!(began.elapsed().as_millis(), 50 + 100 + 200 + 400 + 800);
            supervisor.wait_for_death().await;
            let text = supervisor.dead().expect("it is dead").to_string();
            let cause = if panics { "it panicked: on purpose" } else { "it ended by itself" };
            assert_eq!(text, format!("the task `worker` died 6 times within 60 s, the last time because {cause}"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn deaths_that_come_rarely_are_survived() {
        let (supervisor, stop, lives) = (Supervisor::default(), CancellationToken::new(), AtomicUsize::new(0));
        let die = || async {
            tokio::time::sleep(Duration::from_secs(13)).await;
            if lives.fetch_add(1, Ordering::Relaxed) == 50 {
                stop.cancel();
                return;
            }
            panic!("on purpose");
        };
        supervisor.run(Task::Worker, &stop, die).await;
        assert_eq!((lives.load(Ordering::Relaxed), supervisor.dead()), (51, None));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_restarted_once_the_server_stops() {
        let (supervisor, stop, lives) = (Supervisor::default(), CancellationToken::new(), AtomicUsize::new(0));
        let die = || async {
            lives.fetch_add(1, Ordering::Relaxed);
            stop.cancel();
            panic!("on purpose");
        };
        supervisor.run(Task::Worker, &stop, die).await;
        assert_eq!((lives.load(Ordering::Relaxed), supervisor.dead()), (1, None));
    }
}
