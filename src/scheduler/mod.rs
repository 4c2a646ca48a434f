//! Floor 4: the life of jobs, from the queue to their weights.
//!
//! - [`hub`]: events on their way to whoever listens; always persisted first
//! - [`Scheduler`] (`state`): takes jobs in, keeps the workers, stops what is to be stopped
//! - [`worker`]: the loops that claim jobs, one a slot
//! - `run`, `watch`, `record`: one run of a job: the thread that trains, its observer, and the task that persists
//! - `cores`: how the training cores are shared; `datasets`: datasets that are removed

mod clock;
mod control;
mod cores;
mod datasets;
pub mod hub;
mod record;
mod run;
mod state;
mod watch;
pub mod worker;

pub use datasets::RemoveDatasetError;
pub use state::{Scheduler, SubmitError};
