//! What came of the attempts of this process, for `/metrics`.

use metrics::{Counter, counter, describe_counter};

use crate::store::Settled;

/// What came of attempts to bring a message.
#[derive(Debug, Clone)]
pub struct Meters {
    delivered: Counter,
    put_off: Counter,
    failed: Counter,
}

impl Default for Meters {
    /// Meters of the recorder that is in force here; without one they count nothing.
    fn default() -> Self {
        let attempts = "dojang_webhook_attempts_total";
        describe_counter!(
            attempts,
            "Attempts to bring a webhook, by what came of it: delivered, put off to a later one, or given up."
        );
        let of = |outcome: &'static str| counter!(attempts, "outcome" => outcome);
        Self { delivered: of("delivered"), put_off: of("put_off"), failed: of("failed") }
    }
}

impl Meters {
    /// An attempt came to this.
    pub(super) fn settled(&self, settled: Settled) {
        let counter = match settled {
            Settled::Delivered => &self.delivered,
            Settled::PutOff(_) => &self.put_off,
            Settled::Failed => &self.failed,
        };
        counter.increment(1);
    }
}
