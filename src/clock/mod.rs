//! Floor 2½: time, of three kinds.
//!
//! - [`Wall`]: the date and time that events and jobs show. People and NTP put it forward and back, so nothing is ordered
//!   or counted by it
//! - [`Awake`]: how long this process has been at work. It stands still while the process does (`SIGSTOP`, a frozen
//!   container), so that nobody's time runs out meanwhile
//! - [`Patience`]: a wait of about so long, of which a stop of the process takes a small part at most

mod awake;
mod patience;
mod wall;

pub use awake::Awake;
#[cfg(test)]
pub(crate) use awake::Hands;
pub use patience::Patience;
pub use wall::Wall;
