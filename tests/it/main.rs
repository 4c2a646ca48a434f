//! Integration tests: a real server, a real SQLite, a real browser; one binary.
//!
//! - `harness`: a server on a random port with a folder of its own, and a client
//! - `process`: the binary as a process that can be killed; `consistency`: what must hold of a database at any moment
//! - `allocation`: a training step allocates nothing
//! - `layering`: the floors of the house
//! - `main_job`: POST a job, watch it learn, predict
//! - `faults`: bad input gets a clear error and loses nothing
//! - `hosts`: requests for other names than the server's own
//! - `stream`: the log by SSE, without gap or duplicate
//! - `toys`: what the toy datasets show
//! - `uploads`: datasets that clients send and remove
//! - `wishes`: pause, resume and cancel, one by one and twenty at once
//! - `derived`: jobs that go on from others, or do them again
//! - `lists`: pages that follow what is deleted; `queries`: query fields, and dry runs
//! - `builds`: the build and kernels that trained a job
//! - `queue`: priorities, a full queue, requests that come twice
//! - `restart`: what was acknowledged survives a kill, and resumes exactly; `tests/torture.rs` kills at random
//! - `progress`: what a job says of itself while it trains
//! - `clock`: neither a clock that jumps nor a stopped process changes anything
//! - `memory`: what requests, models and runs take of it
//! - `metrics`: figures for Prometheus; `stalled`: readers who take nothing
//! - `tasks`: the death of each of the server's own tasks
//! - `logs`: a stderr that is closed, full, or never read; `startup`: what is found wrong before anything is made
//! - `shutdown`: a signal ends streams and runs in order
//! - `failing`: every write of a job fails once, or from then on
//! - `checkpoints`: how often a state is saved, and what that takes
//! - `disk_full`: a disk without room; `storage`: how a store that cannot be written shows, and a folder that is removed
//! - `recipes`: ready specs, and jobs made of them
//! - `gradient_check`: backpropagation against differences
//! - `imports`: weights that were trained elsewhere
//! - `deletion`: jobs and models that go for good
//! - `webhooks`: news of jobs, sent to other services
//! - `care`: backups, and data that is damaged
//! - `command_line`: the binary as a user runs it
//! - `readme`: its commands print what it says; `printed`: what a command printed, compared
//! - `dashboard`: the page in Chromium; `browser`: who drives it

mod allocation;
mod browser;
mod builds;
mod care;
mod checkpoints;
#[cfg(unix)]
mod clock;
mod command_line;
mod consistency;
mod dashboard;
mod deletion;
mod derived;
#[cfg(unix)]
mod disk_full;
mod failing;
mod faults;
mod gradient_check;
mod harness;
mod hosts;
mod imports;
mod layering;
mod lists;
#[cfg(unix)]
mod logs;
mod main_job;
mod memory;
mod metrics;
mod printed;
mod process;
mod progress;
mod queries;
mod queue;
#[cfg(unix)]
mod readme;
mod recipes;
mod restart;
#[cfg(unix)]
mod shutdown;
mod stalled;
#[cfg(unix)]
mod startup;
#[cfg(unix)]
mod storage;
mod stream;
mod tasks;
mod toys;
mod uploads;
mod webhooks;
mod wishes;
