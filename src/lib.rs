//! dojang.

pub mod app;
pub mod data;
pub mod engine;
pub mod http;
pub mod interop;
pub mod job;
pub mod scheduler;
pub mod serving;
pub mod store;
