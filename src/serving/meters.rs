//! Counts of what serving does, for `/metrics`.

use metrics::{Counter, counter, describe_counter};

/// Counts of what serving does.
#[derive(Debug, Clone)]
pub struct Meters {
    /// Models loaded from the store.
    pub(super) loads: Counter,
}

impl Default for Meters {
    /// Meters of the recorder that is in force here; without one they count nothing.
    fn default() -> Self {
        let loads = "dojang_model_loads_total";
        describe_counter!(loads, "Models loaded from the store into memory, or attempts to.");
        Self { loads: counter!(loads) }
    }
}
