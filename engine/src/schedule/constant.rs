//! The learning rate as it is, throughout.

use serde::{Deserialize, Serialize};

use super::{Entry, Progress, Schedule, ScheduleKind};

/// Spec of a constant learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {}

impl ScheduleKind for Constant {
    const ENTRY: Entry =
        Entry { name: "constant", aliases: &["none"], doc: "The optimizer's learning rate throughout.", fields: &[] };
}

impl Schedule for Constant {
    fn rate(&self, _at: Progress) -> f64 {
        1.0
    }
}
