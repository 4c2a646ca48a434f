//! The memory that reading a body may take.
//!
//! A body says nothing of what it takes once it is decoded: a JPEG of 2 KB may take a hundred megabytes. So its size is
//! estimated from its header, and reserved, before anything is decoded.

use crate::memory::Reservation;

/// Most bytes that a request takes without being asked to wait for them first.
pub const AT_ONCE: u64 = 8 << 20;

/// The memory of one request. Once it does not suffice, the rest of the body is only measured, for a second reading.
#[derive(Debug)]
pub(super) struct Room<'a> {
    memory: &'a mut Reservation,
    /// Bytes that the body takes as long as it is read.
    body: u64,
    needed: Option<u64>,
}

impl<'a> Room<'a> {
    pub(super) fn new(memory: &'a mut Reservation, body: usize) -> Self {
        Self { memory, body: body as u64, needed: None }
    }

    /// Whether there is memory for so many bytes besides the body.
    pub(super) fn has(&mut self, bytes: u64) -> bool {
        let all = self.body.saturating_add(bytes);
        if self.needed.is_none() && self.memory.try_grow(all, AT_ONCE) {
            return true;
        }
        self.needed = self.needed.max(Some(all));
        false
    }

    /// Bytes that a second reading needs, if this one had too few.
    pub(super) fn needed(&self) -> Option<u64> {
        self.needed
    }
}
