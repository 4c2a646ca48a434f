//! Floor 4: the life of jobs, from the queue to their weights.
//!
//! - [`hub`]: events on their way to whoever listens; always persisted first
//! - [`Scheduler`] (`state`): keeps the workers, stops what is to be stopped
//! - `intake`: jobs and weights taken in; `derive`: jobs that go on from others, or do them again
//! - `dry_run`: what a spec would come to; `build`: the program and the kernels that train here
//! - `wishes`: jobs cancelled, paused and resumed; `eta`: when it will be a waiting job's turn
//! - [`worker`]: the loops that claim jobs, one a slot
//! - `run`, `watch`, `record`: one run of a job: the thread that trains, its observer, and the task that persists
//! - `meters`: what the runs have done, for `/metrics`
//! - `cores`: how the training cores are shared; `datasets`, `removal`: datasets and jobs that are removed

mod build;
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
mod removal;
mod run;
mod state;
mod watch;
mod wishes;
pub mod worker;

pub use build::this_build;
pub use datasets::RemoveDatasetError;
pub use dry_run::DryRun;
pub use intake::SubmitError;
pub use meters::Meters;
pub use state::{Capacity, Instruments, Scheduler};
pub use wishes::WishError;
