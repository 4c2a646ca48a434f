//! Floor 2: the vocabulary of jobs, without I/O.
//!
//! - [`json`], [`fault`], [`check`]: strict JSON; every fault of a document with its pointer
//! - [`spec`]: what a client asks for; [`recipes`]: ready ones
//! - [`plan`]: a checked spec; only a plan reaches the engine
//! - [`gradient_check`]: a check of backpropagation, as a client asks for it
//! - [`overrides`]: a spec with some members replaced; [`fork`]: what may differ where a job goes on from another's state
//! - [`status`]: the states of a job and the legal moves between them; [`hold`]: how long one waits that brings servers down
//! - [`event`]: the entries of a job's log
//! - [`webhook`]: what other services are told, and where; [`address`]: what of the internet is public
//! - [`view`]: a job as its readers see it; [`build`]: the program and the kernels that trained it; [`thin`]: long curves
//!   with fewer points

pub mod address;
pub mod build;
pub mod check;
pub mod event;
pub mod fault;
pub mod fork;
pub mod gradient_check;
pub mod hold;
pub mod json;
pub mod overrides;
pub mod plan;
pub mod recipes;
pub mod spec;
pub mod status;
pub mod thin;
pub mod view;
pub mod webhook;

#[cfg(test)]
mod wrong_spec_tests;
