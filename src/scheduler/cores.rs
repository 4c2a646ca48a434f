//! How runs share the training cores.
//!
//! Each run trains in a rayon pool of its own, of its share of the cores: two trainings in one pool would get into each
//! other's joins. The thread count never changes a result, so a share may change while a run goes on: the run notices
//! after a mini-batch and moves to a pool of the right size.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Training threads give way to the threads that serve.
#[cfg(unix)]
const NICENESS: i32 = 10;

/// The cores that all runs share.
#[derive(Debug, Clone)]
pub(super) struct Cores {
    total: usize,
    runs: Arc<AtomicUsize>,
}

/// One run's claim to its share; given back when dropped.
#[derive(Debug)]
pub(super) struct Share(Cores);

impl Cores {
    pub(super) fn new(total: usize) -> Self {
        Self { total: total.max(1), runs: Arc::default() }
    }

    /// Counts one more run.
    pub(super) fn join(&self) -> Share {
        self.runs.fetch_add(1, Ordering::Relaxed);
        Share(self.clone())
    }
}

impl Share {
    /// Threads that the run may use now.
    pub(super) fn threads(&self) -> usize {
        (self.0.total / self.0.runs.load(Ordering::Relaxed).max(1)).max(1)
    }

    /// A pool of that many threads.
    pub(super) fn pool(&self) -> Result<ThreadPool, ThreadPoolBuildError> {
        ThreadPoolBuilder::new()
            .num_threads(self.threads())
            .thread_name(|i| format!("train-{i}"))
            .start_handler(|_| give_way())
            .build()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.runs.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lowers the priority of the calling thread. Where that is refused it stays as it is: only latency is at stake.
fn give_way() {
    #[cfg(unix)]
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_the_number_of_runs() {
        let cores = Cores::new(4);
        let first = cores.join();
        assert_eq!(first.threads(), 4);
        let second = cores.join();
        assert_eq!((first.threads(), second.threads()), (2, 2));
        let rest: Vec<_> = (0..6).map(|_| cores.join()).collect();
        assert_eq!(first.threads(), 1);
        drop((second, rest));
        assert_eq!(first.threads(), 4);
        assert_eq!(first.pool().expect("a pool").current_num_threads(), 4);
    }
}
