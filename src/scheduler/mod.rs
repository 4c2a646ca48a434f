//! Floor 4: the life of jobs, from the queue to their weights.
//!
//! - [`hub`]: events on their way to whoever listens; always persisted first
//! - [`Scheduler`] (`state`): keeps the workers, stops what is to be stopped
//! - `intake`: jobs and weights taken in; `derive`: jobs that go on from others, or do them again
//! - `dry_run`: what a spec would come to; `build`: the program and the kernels that train here
//! - `wishes`: jobs cancelled, paused and resumed; `eta`: when it will be a waiting job's turn
//! - `worker`: the loops that claim jobs, one a slot
//! - `run`, `watch`, `record`: one run of a job: the thread that trains, its observer, and the task that persists;
//!   `reporting`: how often the observer reports
//! - `checkpointing`, `byte_budget`: bounds on what is between the two: one checkpoint, and so many bytes
//! - `storage`: whether the store can be written, and who waits for that
//! - `recovery`: runs whose worker panicked
//! - `meters`: what the runs have done, for `/metrics`
//! - `admission`: the memory of runs; `cores`: how the training cores are shared
//! - `datasets`, `removal`: datasets and jobs that are removed; `retention`: old checkpoints

mod admission;
mod build;
mod byte_budget;
mod checkpointing;
mod control;
mod cores;
mod datasets;
mod derive;
mod dry_run;
mod eta;
pub mod hub;
mod intake;
mod meters;
mod record;
mod recovery;
mod removal;
#[cfg(test)]
pub(crate) mod replay;
mod reporting;
mod retention;
mod run;
mod state;
mod storage;
mod watch;
mod wishes;
mod worker;

pub use build::this_build;
pub use datasets::RemoveDatasetError;
pub use dry_run::DryRun;
pub use intake::SubmitError;
pub use meters::Meters;
pub use state::{Capacity, Instruments, Scheduler};
pub use wishes::WishError;
