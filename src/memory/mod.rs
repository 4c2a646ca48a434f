//! Floor 2½: the one account of the memory that requests and jobs take.
//!
//! Whoever is about to take much memory reserves it here first, in bytes and by what it is for. Rust ends the process where an
//! allocation fails, and a container where its limit is passed: so what does not fit waits, or is refused.
//!
//! | share | who draws on it | size |
//! | --- | --- | --- |
//! | training | runs of jobs, with their datasets and checkpoints in flight ([`MemoryUse::Training`]) | `--memory-budget` |
//! | serving | models in memory, and requests with their bodies, pictures and answers | `--serving-memory` |
//!
//! The shares lend each other nothing. So no client can delay a job by asking for predictions, and no job takes what a
//! prediction needs. There is no deadlock: a run takes all that it will need at once and before it starts; a request may wait
//! while it holds some, but only for a bounded time, and then gives back what it holds.
//!
//! Within the serving share, whoever fits next goes first: a request for a few kilobytes does not queue behind one for a
//! hundred megabytes. Caches give way to requests: what nobody is using is evicted before anyone waits.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

/// What memory is reserved for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryUse {
    /// Runs of jobs.
    Training,
    /// Models that predict, while they are loaded and as long as they are kept.
    Models,
    /// Requests: their bodies, what is decoded and computed from them, and their answers.
    Requests,
}

/// Sizes of the shares, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShares {
    /// For all runs of jobs together.
    pub training: u64,
    /// For models and requests together.
    pub serving: u64,
}

/// Why memory is not reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The whole share would not do.
    #[error("it takes about {}, and the server has {} for it", Mebibytes(*needed), Mebibytes(*share))]
    TooLarge {
        /// Bytes asked for.
        needed: u64,
        /// Bytes of the share.
        share: u64,
    },
    /// Others hold too much of it, and did not give enough back in time.
    #[error("others have taken the memory for it; try again")]
    Busy,
}

/// Bytes as people read them, rounded up.
struct Mebibytes(u64);

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0.div_ceil(1 << 20))
    }
}

/// A cache whose entries are reserved memory.
pub trait Evict: fmt::Debug + Send + Sync {
    /// Drops the entry that nobody uses and that was not asked for the longest; `false` where there is none.
    fn evict(&self) -> bool;
}

/// The account of a server; a clone is another handle of the same.
#[derive(Debug, Clone)]
pub struct MemoryAccount(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shares: MemoryShares,
    /// Longest wait for memory that others hold.
    wait: Duration,
    /// Bytes reserved, by [`MemoryUse`].
    reserved: Mutex<[u64; MemoryUse::ALL.len()]>,
    freed: Notify,
    caches: Mutex<Vec<Weak<dyn Evict>>>,
}

impl MemoryUse {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Training, Self::Models, Self::Requests];

    /// Its name as a label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Models => "models",
            Self::Requests => "requests",
        }
    }

    fn is_training(self) -> bool {
        self == Self::Training
    }
}

impl MemoryAccount {
    /// An account of these shares, in which nothing is reserved. Whoever waits does so for `wait` at most.
    pub fn new(shares: MemoryShares, wait: Duration) -> Self {
        let (reserved, freed, caches) = (Mutex::default(), Notify::new(), Mutex::default());
        Self(Arc::new(Inner { shares, wait, reserved, freed, caches }))
    }

    /// The sizes of the shares.
    pub fn shares(&self) -> MemoryShares {
        self.0.shares
    }

    /// Longest wait for memory that others hold.
    pub fn wait(&self) -> Duration {
        self.0.wait
    }

    /// Bytes reserved for a use.
    pub fn reserved(&self, of: MemoryUse) -> u64 {
        self.lock()[of as usize]
    }

    /// Adds a cache that gives way to requests.
    pub fn add_cache(&self, cache: Weak<dyn Evict>) {
        self.0.caches.lock().unwrap_or_else(PoisonError::into_inner).push(cache);
    }

    /// An empty reservation, to be resized.
    pub fn open(&self, of: MemoryUse) -> Reservation {
        Reservation { account: self.clone(), of, bytes: 0 }
    }

    /// Reserves memory that is free now, or taken by what can be evicted.
    pub fn try_reserve(&self, of: MemoryUse, bytes: u64) -> Option<Reservation> {
        let mut reservation = self.open(of);
        reservation.try_resize(bytes).then_some(reservation)
    }

    /// Reserves memory, and waits for it.
    ///
    /// # Errors
    /// If it is more than the share, or not free in time.
    pub async fn reserve(&self, of: MemoryUse, bytes: u64) -> Result<Reservation, MemoryError> {
        let mut reservation = self.open(of);
        reservation.resize(bytes).await?;
        Ok(reservation)
    }

    fn lock(&self) -> MutexGuard<'_, [u64; MemoryUse::ALL.len()]> {
        self.0.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn share(&self, of: MemoryUse) -> u64 {
        if of.is_training() { self.0.shares.training } else { self.0.shares.serving }
    }

    /// Takes `more` bytes if they are free.
    fn take(&self, of: MemoryUse, more: u64) -> bool {
        let mut reserved = self.lock();
        let same_share = MemoryUse::ALL.into_iter().filter(|other| other.is_training() == of.is_training());
        let taken: u64 = same_share.map(|other| reserved[other as usize]).sum();
        let fits = taken.checked_add(more).is_some_and(|all| all <= self.share(of));
        if fits {
            reserved[of as usize] += more;
        }
        fits
    }

    fn give_back(&self, of: MemoryUse, bytes: u64) {
        if bytes > 0 {
            self.lock()[of as usize] -= bytes;
            self.0.freed.notify_waiters();
        }
    }

    /// Drops an entry of a cache; `false` where none can go.
    fn evict(&self) -> bool {
        let caches: Vec<_> = {
            let mut caches = self.0.caches.lock().unwrap_or_else(PoisonError::into_inner);
            caches.retain(|cache| cache.strong_count() > 0);
            caches.iter().filter_map(Weak::upgrade).collect()
        };
        caches.iter().any(|cache| cache.evict())
    }
}

/// Reserved memory; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    account: MemoryAccount,
    of: MemoryUse,
    bytes: u64,
}

impl Reservation {
    /// Bytes that are reserved.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it this large, if the memory is free now or taken by what can be evicted. To make it smaller always works.
    pub fn try_resize(&mut self, bytes: u64) -> bool {
        if bytes > self.bytes {
            if bytes > self.account.share(self.of) {
                return false;
            }
            while !self.account.take(self.of, bytes - self.bytes) {
                if self.of.is_training() || !self.account.evict() {
                    return false;
                }
            }
        } else {
            self.account.give_back(self.of, self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }

    /// Whether it is this large, or is so now: it grows by itself up to `limit` bytes, if they are free.
    pub fn try_grow(&mut self, bytes: u64, limit: u64) -> bool {
        bytes <= self.bytes || (bytes <= limit && self.try_resize(bytes))
    }

    /// Makes it this large, and waits for the memory.
    ///
    /// # Errors
    /// If it is more than the share, or not free in time. The reservation is then as large as before.
    pub async fn resize(&mut self, bytes: u64) -> Result<(), MemoryError> {
        let share = self.account.share(self.of);
        if bytes > share {
            return Err(MemoryError::TooLarge { needed: bytes, share });
        }
        let account = self.account.clone();
        let granted = async {
            loop {
                let mut freed = std::pin::pin!(account.0.freed.notified());
                // Listened for before the look: what is given back in between is not missed.
                freed.as_mut().enable();
                if self.try_resize(bytes) {
                    return;
                }
                freed.await;
            }
        };
        tokio::time::timeout(account.0.wait, granted).await.map_err(|_| MemoryError::Busy)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.give_back(self.of, self.bytes);
    }
}

#[cfg(test)]
mod tests;
