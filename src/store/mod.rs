//! Floor 3: what is kept, in SQLite. The only place that knows SQL.
//!
//! What a method has returned from is on the disk; what failed was not written at all. Every write of a run names its
//! job and attempt ([`RunKey`]) and is refused ([`StoreError::Fenced`]) once the run no longer owns the job.
//!
//! - `open`: the database: opened, brought up to date, closed; `location`: whether its files are still in their place
//! - `error`: what can go wrong; [`Faults`]: what goes wrong on purpose
//! - `jobs`: jobs accepted and read; `ids`: their ids
//! - `counts`: how many jobs are in each state
//! - `keys`: requests that may come twice; `rests`: how much is left to train of jobs that have not ended
//! - `queue`: jobs claimed and given back; `wishes`: cancelled, paused and resumed
//! - `run`: what a run writes, from its first event to its end
//! - `events`, `history`, `diagnostics`: a job's log, its figures for charts, and looks inside its network; `thinning`: long
//!   histories with fewer points
//! - `builds`: the builds and kernels that train a job
//! - `checkpoints`, `weights`, `models`: what a run leaves behind; `datasets`: who needs which
//! - `removal`: jobs and models deleted; `retention`: which checkpoints of ended jobs are kept; `space`: the disk
//!   that they took, given back
//! - `inspect`: a database copied, looked over and made compact, for those who care for the data
//! - `outbox`: news of jobs, on their way to those who asked to be told
//! - `moves`: the one helper that changes a job's status
//! - `migrations`: the tables; `chunks`, `row`, `from_row`: how things lie in them and are read

mod builds;
mod checkpoints;
mod chunks;
mod counts;
mod datasets;
mod diagnostics;
mod error;
mod events;
mod faults;
mod from_row;
mod history;
mod ids;
mod inspect;
mod jobs;
mod keys;
mod location;
mod migrations;
mod models;
mod moves;
mod open;
mod outbox;
mod queue;
mod removal;
mod rests;
mod retention;
mod row;
mod run;
mod space;
mod thinning;
mod weights;
mod wishes;

pub use checkpoints::{CheckpointSize, NewCheckpoint, StoredCheckpoint};
pub use counts::Counts;
pub use datasets::DatasetUse;
pub use diagnostics::Looks;
pub use error::{Corrupt, StoreError, WriteFailure};
pub use faults::{Fault, Faults};
pub use history::{EpochPoint, Figures, History, Resolution, StepPoint};
pub use inspect::{Findings, Inspection, vacuum};
pub use jobs::{Admitted, Fork, JobQuery, NewJob, Order, Page, Terms};
pub use keys::{Keyed, RequestKey};
pub use models::{ModelEntry, ModelVersion, NewVersion, Source};
pub use open::Store;
pub use outbox::{Message, MessageView, Room, Settled};
pub use queue::Claim;
pub use rests::Rest;
pub use retention::{CheckpointRetention, RemovedCheckpoints};
pub use run::{Finish, LastState, News, RunKey};
pub use space::Space;
pub use weights::NewWeights;
pub use wishes::{Granted, Refused};

#[cfg(test)]
mod tests;
