//! The threads of a pool as a team that stays awake from one piece of work to the next.
//!
//! A training step is a dozen phases of some ten to some hundred microseconds, and between two of them all threads wait for
//! the last one. A thread of rayon's that finds nothing to do for about twenty microseconds goes to sleep, and to wake it
//! takes fifty: so a step would wait for sleepers several times. Here they look out a little longer:
//!
//! - the thread that waits in a [`join`] watches the other half, and takes on other work meanwhile;
//! - while a training [leads](lead) a pool, its other threads look for work without a pause. If they find none for a
//!   while, they do go to sleep, until the next [`join`].
//!
//! None of it changes who may work on what, so none changes a result.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rayon::Yield;
use rayon::iter::plumbing::{Producer, ProducerCallback};
use rayon::prelude::*;

/// Looks for work in vain, one after the other, before a thread lets others have the core between two looks.
const KEEN: u32 = 64;
/// Looks for work in vain before a thread goes to sleep: a few hundred microseconds.
const PATIENCE: u32 = 512;

/// Works on both halves, the second on another thread if there is one at leisure, as [`rayon::join`].
pub(super) fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    const LEFT: u8 = 0;
    const TAKEN: u8 = 1;
    const DONE: u8 = 2;
    let second = AtomicU8::new(LEFT);
    rayon::join(
        || {
            wake();
            let a = a();
            // What is left is worked on here, after this.
            look_out(|| second.load(Ordering::Acquire) != TAKEN);
            a
        },
        || {
            second.store(TAKEN, Ordering::Release);
            let b = b();
            second.store(DONE, Ordering::Release);
            b
        },
    )
}

/// Does `task` with every item, in halves down to as few items as the iterator asks for.
pub(super) fn for_each<I: IndexedParallelIterator>(items: I, task: impl Fn(I::Item) + Sync) {
    let len = items.len();
    items.with_producer(Items { len, task: &task });
}

struct Items<'a, F> {
    len: usize,
    task: &'a F,
}

impl<T: Send, F: Fn(T) + Sync> ProducerCallback<T> for Items<'_, F> {
    type Output = ();

    fn callback<P: Producer<Item = T>>(self, items: P) {
        if self.len < 2 * items.min_len().max(1) {
            items.into_iter().for_each(self.task);
            return;
        }
        let middle = self.len / 2;
        let (left, right) = items.split_at(middle);
        let [of_left, of_right] = [middle, self.len - middle].map(|len| Items { len, ..self });
        join(|| of_left.callback(left), || of_right.callback(right));
    }
}

/// Takes on work until `done`; gives up after a while without any.
fn look_out(done: impl Fn() -> bool) {
    let mut in_vain = 0;
    while !done() && in_vain < PATIENCE {
        match rayon::yield_now() {
            Some(Yield::Executed) => in_vain = 0,
            _ if in_vain < KEEN => {
                std::hint::spin_loop();
                in_vain += 1;
            }
            _ => {
                std::thread::yield_now();
                in_vain += 1;
            }
        }
    }
}

/// The threads of a pool while a training leads it.
#[derive(Debug, Default)]
struct Team {
    dismissed: AtomicBool,
    sleepers: AtomicUsize,
    /// How often it was rung for the sleepers.
    rings: Mutex<u64>,
    bell: Condvar,
}

thread_local! {
    /// The team that this thread belongs to.
    static TEAM: RefCell<Option<Arc<Team>>> = const { RefCell::new(None) };
}

impl Team {
    /// Looks for work until the team is dismissed.
    fn follow(&self) {
        let dismissed = || self.dismissed.load(Ordering::Acquire);
        while !dismissed() {
            look_out(dismissed);
            let rings = self.rings();
            if !dismissed() {
                let heard = *rings;
                self.sleepers.fetch_add(1, Ordering::Relaxed);
                drop(self.bell.wait_while(rings, |rings| *rings == heard).unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    /// Wakes those that sleep. One that is about to fall asleep may miss it: it hears the next.
    fn wake(&self) {
        if self.sleepers.load(Ordering::Relaxed) > 0 {
            self.ring();
        }
    }

    fn ring(&self) {
        let mut rings = self.rings();
        *rings += 1;
        self.sleepers.store(0, Ordering::Relaxed);
        self.bell.notify_all();
    }

    fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Release);
        self.ring();
    }

    fn rings(&self) -> MutexGuard<'_, u64> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the team of this thread, for work that is not handed out by [`join`] or [`for_each`].
pub(super) fn wake() {
    TEAM.with_borrow(|team| {
        if let Some(team) = team {
            team.wake();
        }
    });
}

/// Does `work`, with the pool's other threads awake for what it hands out. Elsewhere than in a pool of several threads
/// it is simply done.
pub(super) fn lead<R>(work: impl FnOnce() -> R) -> R {
    let Some(leader) = rayon::current_thread_index().filter(|_| rayon::current_num_threads() > 1) else {
        return work();
    };
    let team = Arc::new(Team::default());
    let member = Membership::of(&team);
    rayon::in_place_scope(|scope| {
        let team = &team;
        scope.spawn_broadcast(move |_, at| {
            if at.index() != leader {
                let _member = Membership::of(team);
                team.follow();
            }
        });
        // Dropped when the work is done, or has panicked.
        let _dismissal = Dismissal(team);
        let result = work();
        drop(member);
        result
    })
}

struct Dismissal<'a>(&'a Team);

impl Drop for Dismissal<'_> {
    fn drop(&mut self) {
        self.0.dismiss();
    }
}

/// While it lives, the thread belongs to a team.
struct Membership {
    before: Option<Arc<Team>>,
}

impl Membership {
    fn of(team: &Arc<Team>) -> Self {
        Self { before: TEAM.replace(Some(Arc::clone(team))) }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        TEAM.set(self.before.take());
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
    }

    /// Looks, not time: a test that waits in vain ends.
    fn wait_until(done: impl Fn() -> bool) {
        assert!(
            (0..100_000_000u32).any(|_| done() || {
                std::thread::yield_now();
                false
            }),
            "waited in vain"
        );
    }

    #[test]
    fn both_halves_are_done_wherever_they_are_called_for() {
        fn sum(range: std::ops::Range<u64>) -> u64 {
            if range.end - range.start < 3 {
                return range.sum();
            }
            let middle = range.start + (range.end - range.start) / 2;
            let (left, right) = join(|| sum(range.start..middle), || sum(middle..range.end));
            left + right
        }
        assert_eq!(sum(0..1000), 499_500);
        for threads in [1, 2, 3, 7] {
            assert_eq!(pool(threads).install(|| sum(0..1000)), 499_500);
            assert_eq!(pool(threads).install(|| lead(|| sum(0..1000))), 499_500);
        }
    }

    #[test]
    fn every_item_is_visited_once() {
        for (len, least) in [(0, 1), (1, 1), (2, 3), (17, 1), (100, 7)] {
            let mut items = vec![0; len];
            pool(3).install(|| lead(|| for_each(items.par_iter_mut().with_min_len(least), |item| *item += 1)));
            assert_eq!(items, vec![1; len]);
        }
    }

    /// The half that is handed out is done only if another thread takes it, awake or asleep.
    #[test]
    fn the_team_takes_part_and_is_woken() {
        pool(2).install(|| {
            lead(|| {
                for _ in 0..3 {
                    let team = TEAM.with_borrow(Clone::clone).expect("a team");
                    wait_until(|| team.sleepers.load(Ordering::Relaxed) == 1);
                    for _ in 0..10 {
                        let is_done = AtomicBool::new(false);
                        join(
                            || wait_until(|| is_done.load(Ordering::Acquire)),
                            || is_done.store(true, Ordering::Release),
                        );
                    }
                }
            });
            assert!(TEAM.with_borrow(Option::is_none));
        });
    }

    #[test]
    fn a_panic_goes_through_and_dismisses_the_team() {
        let pool = pool(2);
        let caught = |work: &(dyn Fn() + Sync)| {
            pool.install(|| catch_unwind(AssertUnwindSafe(|| lead(work))).is_err() && TEAM.with_borrow(Option::is_none))
        };
        assert!(caught(&|| panic!("as it should")));
        assert!(caught(&|| _ = join(|| panic!("as it should"), || ())));
        assert!(caught(&|| _ = join(|| (), || panic!("as it should"))));
        assert_eq!(pool.install(|| lead(|| join(|| 1, || 2))), (1, 2));
    }
}
