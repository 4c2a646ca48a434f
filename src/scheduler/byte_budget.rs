//! Bytes that the messages of a run may take between its training thread and what is persisted of them.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A bound on bytes; a clone is another handle of the same.
#[derive(Debug, Clone)]
pub(super) struct ByteBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: Mutex<usize>,
    freed: Condvar,
}

impl ByteBudget {
    /// A budget of this many bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Shared { limit, used: Mutex::new(0), freed: Condvar::new() }))
    }

    /// Waits until there is room for this many bytes. What is larger than the whole budget has it to itself.
    pub(super) fn reserve(&self, bytes: usize) -> Reservation {
        let bytes = bytes.min(self.0.limit);
        let used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.0.freed.wait_while(used, |used| *used + bytes > self.0.limit);
        *room.unwrap_or_else(PoisonError::into_inner) += bytes;
        Reservation { budget: self.clone(), bytes }
    }
}

/// Bytes of a budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: ByteBudget,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        *self.budget.0.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.budget.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_budget_waits() {
        let budget = ByteBudget::new(100);
        let first = budget.reserve(60);
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let second = budget.reserve(60);
                sender.send("there is room").expect("it is received");
                drop(second);
            });
            assert!(receiver.try_recv().is_err());
            drop(first);
            assert_eq!(receiver.recv(), Ok("there is room"));
        });
        // It does not wait for ever.
        drop(budget.reserve(1 << 40));
        drop(budget.reserve(100));
    }
}
