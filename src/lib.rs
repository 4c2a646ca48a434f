//! dojang.

pub mod data;
pub mod engine;
pub mod interop;
pub mod serving;
