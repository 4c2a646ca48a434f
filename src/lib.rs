//! dojang.

pub mod data;
pub mod engine;
pub mod job;
pub mod store;
