//! Floor 4: news of jobs, sent to those who asked to be told (Standard Webhooks).
//!
//! The store writes a message with the change that it tells of; from then on it is this room's to bring it there.
//!
//! - [`Secret`]: signs, and is never shown
//! - [`Courier`]: takes messages whose turn it is, a few at once, and puts off what did not arrive
//! - `post`: one attempt: no redirects, no proxies, nothing read; `guard`: only to addresses that are allowed

mod courier;
mod guard;
mod meters;
mod post;
mod secret;

pub use courier::{Courier, Instruments, RETRIES, Running};
pub use meters::Meters;
pub use post::PostError;
pub use secret::Secret;

use std::time::Duration;

use url::Url;

use crate::job::webhook::Reach;

/// How a server sends news of jobs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Signs every message.
    pub secret: Secret,
    /// Is told of every job, besides the job's own receiver.
    pub url: Option<Url>,
    /// Where messages may go.
    pub reach: Reach,
    /// How long after each attempt that failed comes the next; after the last one there is none.
    pub retries: Vec<Duration>,
}

impl Settings {
    /// Signed with this secret, on the schedule of [`RETRIES`], to public addresses that jobs name.
    pub fn new(secret: Secret) -> Self {
        Self { secret, url: None, reach: Reach::Public, retries: RETRIES.to_vec() }
    }
}
