//! Restarts of tasks, for `/metrics`.

use metrics::{Counter, counter, describe_counter};

use super::Task;

/// Counters of restarts, one a kind of task.
#[derive(Debug, Clone)]
pub struct Meters([Counter; Task::ALL.len()]);

impl Default for Meters {
    /// Meters of the recorder that is in force here; without one they count nothing.
    fn default() -> Self {
        let restarts = "dojang_task_restarts_total";
        describe_counter!(restarts, "Restarts of the server's own tasks after they had died, by task.");
        Self(Task::ALL.map(|task| counter!(restarts, "task" => task.name())))
    }
}

impl Meters {
    pub(super) fn restarted(&self, task: Task) {
        let index = Task::ALL.iter().position(|other| *other == task);
        if let Some(counter) = index.and_then(|index| self.0.get(index)) {
            counter.increment(1);
        }
    }
}
