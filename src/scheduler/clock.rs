//! The wall clock, as events and jobs show it.

use jiff::{Timestamp, Unit};

/// Now, to the millisecond: finer digits would only be noise in what people read and programs compare.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}
