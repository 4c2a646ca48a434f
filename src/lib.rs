//! **dojang** is a training-as-a-service server: POST a job, and it trains a neural network on the CPU, streams loss and
//! accuracy while it does, keeps the run and its weights in SQLite, and serves the model at `/predict`.
//!
//! # The map of the house
//! Floors import only floors below; siblings never import each other (`tests/it/layering.rs` holds it).
//!
//! | floor | room | what |
//! | --- | --- | --- |
//! | 0 | [`engine`], a crate of its own | numbers only: layers, losses, optimizers, training, checkpoints |
//! | ½ | [`tls`] | whose cryptography encrypts connections |
//! | ½ | [`text`] | characters that have no place in names |
//! | 1 | [`data`] | datasets: `digits` and toys (drawn), `mnist` and its kin (downloaded), those that clients send |
//! | 2 | [`job`] | the vocabulary of jobs, without I/O: spec, plan, status, event |
//! | 2½ | [`clock`] | time: the wall's, the process's, and how long is waited |
//! | 2½ | [`supervisor`] | the server's own tasks: restarted when they die, and noticed when they cannot be |
//! | 2½ | [`memory`] | the one account of the memory that requests and jobs take |
//! | 3 | [`store`] | SQLite; the only place with sqlx |
//! | 3½ | [`interop`] | weights as safetensors |
//! | 4 | [`scheduler`] | the queue, the workers, a job's run, events persisted and then passed on |
//! | 4 | [`serving`] | models in memory, reading images |
//! | 4 | [`webhooks`] | news of jobs, sent to those who asked to be told |
//! | 5 | [`http`] | routes and the one map from errors to statuses; the only place with axum |
//! | 6 | [`app`] | builds all this and takes it down in the right order |
//! | 7 | [`cli`] | the command line |
//!
//! # The way of one job
//! `POST /v1/jobs` → [`job::spec`] → [`job::plan`] → [`store`] (then 202) → a worker of [`scheduler`] claims it → its own thread
//! trains ([`engine::train`]) → what happens is persisted, then passed on ([`scheduler::hub`]) → the final weights are a
//! model's version → [`serving`] answers `/predict`.
//!
//! # What always holds
//! - What was acknowledged is durable; a kill at any moment loses nothing of it.
//! - A job ends with the same weights, bit for bit, however often it was interrupted and on however many threads it ran.
//! - No weight that is not a finite number is ever saved or served.
//! - A spec is admitted or refused before memory is taken.

pub use dojang_engine as engine;

pub mod app;
pub mod cli;
pub mod clock;
pub mod data;
pub mod http;
pub mod interop;
pub mod job;
pub mod memory;
pub mod scheduler;
pub mod serving;
pub mod store;
pub mod supervisor;
pub mod text;
pub mod tls;
pub mod webhooks;
