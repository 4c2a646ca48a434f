//! Writes that fail on purpose: for tests of what a busy, full or broken disk does to jobs.
//!
//! A store that a server opens has none of it: one look at an `Option` a transaction.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::SqliteConnection;
use tokio::sync::watch;

use super::error::StoreError;

/// How a write transaction fails. Whichever way, nothing of it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Before its first statement: another process holds the database.
    Busy,
    /// At the first page that it would add to the database: SQLite itself finds the disk full.
    Full,
    /// At its commit: the disk fails.
    Commit,
    /// At its commit, in a way that nobody has foreseen: trying again is not known to help.
    Unforeseen,
}

/// Says which of a store's write transactions fail, and how. A clone is another handle of the same.
///
/// The default fails none, ever; only [`Store::open_with_faults`](super::Store::open_with_faults) takes another.
#[derive(Debug, Clone, Default)]
pub struct Faults(Option<Arc<State>>);

#[derive(Debug)]
struct State {
    plan: Mutex<Plan>,
    struck: watch::Sender<u64>,
}

#[derive(Debug)]
struct Plan {
    fault: Fault,
    /// The transactions that fail, counted from 1 since this was planned.
    which: Range<u64>,
    count: u64,
}

impl Faults {
    /// Fails nothing until it is told to.
    pub fn on_call() -> Self {
        let plan = Plan { fault: Fault::Busy, which: 0..0, count: 0 };
        Self(Some(Arc::new(State { plan: Mutex::new(plan), struck: watch::Sender::new(0) })))
    }

    /// From now on, fails these transactions, counted from 1. Those that fail at their commit are counted there, so that
    /// one that finds nothing to write does not count.
    pub fn fail(&self, fault: Fault, which: Range<u64>) {
        if let Some(state) = &self.0 {
            *state.plan() = Plan { fault, which, count: 0 };
            state.struck.send_replace(0);
        }
    }

    /// How many transactions were made to fail since the last [`fail`](Self::fail).
    pub fn struck(&self) -> u64 {
        self.0.as_ref().map_or(0, |state| *state.struck.borrow())
    }

    /// Waits until one was made to fail; for ever with faults that fail none.
    pub async fn strike(&self) {
        let Some(state) = &self.0 else { return std::future::pending().await };
        // The sender is held here, so there is no error.
        let _ = state.struck.subscribe().wait_for(|struck| *struck > 0).await;
    }

    /// At the beginning of a transaction.
    pub(super) async fn at_begin(&self, db: &mut SqliteConnection) -> Result<(), StoreError> {
        let Some(state) = &self.0 else { return Ok(()) };
        let fault = state.next(&[Fault::Busy, Fault::Full]);
        if fault == Some(Fault::Busy) {
            return Err(StoreError::Busy(on_purpose()));
        }
        // What holds for the connection holds for the next transaction, too, unless it is taken back.
        let most_pages = if fault == Some(Fault::Full) { 1 } else { u32::MAX - 1 };
        sqlx::query(sqlx::AssertSqlSafe(format!("pragma max_page_count = {most_pages}"))).execute(db).await?;
        Ok(())
    }

    /// Before the commit of a transaction.
    pub(super) fn at_commit(&self) -> Result<(), StoreError> {
        let Some(state) = &self.0 else { return Ok(()) };
        match state.next(&[Fault::Commit, Fault::Unforeseen]) {
            Some(Fault::Commit) => Err(StoreError::Full(on_purpose())),
            Some(_) => Err(StoreError::Database(on_purpose())),
            None => Ok(()),
        }
    }
}

impl State {
    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault of the next transaction, if it is one of these and that transaction's turn.
    fn next(&self, here: &[Fault]) -> Option<Fault> {
        let mut plan = self.plan();
        if !here.contains(&plan.fault) {
            return None;
        }
        plan.count += 1;
        let fault = plan.which.contains(&plan.count).then_some(plan.fault)?;
        self.struck.send_modify(|struck| *struck += 1);
        Some(fault)
    }
}

fn on_purpose() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::other("on purpose"))
}
