use std::collections::VecDeque;

use super::*;

fn account(training: u64, serving: u64) -> MemoryAccount {
    MemoryAccount::new(MemoryShares { training, serving }, Duration::from_secs(10))
}

#[test]
fn shares_lend_each_other_nothing() {
    let account = account(100, 10);
    let run = account.try_reserve(MemoryUse::Training, 100).expect("it is free");
    assert!(account.try_reserve(MemoryUse::Training, 1).is_none());
    let model = account.try_reserve(MemoryUse::Models, 6).expect("the other share is free");
    assert!(account.try_reserve(MemoryUse::Requests, 5).is_none(), "models and requests share one");
    let request = account.try_reserve(MemoryUse::Requests, 4).expect("the rest is free");
    let reserved = MemoryUse::ALL.map(|of| account.reserved(of));
    assert_eq!(reserved, [100, 6, 4]);
    drop((run, model, request));
    assert_eq!(MemoryUse::ALL.map(|of| account.reserved(of)), [0; 3]);
    assert!(account.try_reserve(MemoryUse::Requests, u64::MAX).is_none());
}

#[test]
fn reservations_shrink_and_grow() {
    let account = account(0, 10);
    let mut one = account.try_reserve(MemoryUse::Requests, 8).expect("it is free");
    assert!(!one.try_resize(11) && one.bytes() == 8, "a refusal changes nothing");
    assert!(one.try_grow(3, 0) && one.bytes() == 8, "it is large enough");
    assert!(!one.try_grow(10, 9) && one.try_grow(9, 9));
    assert!(one.try_resize(3));
    let two = account.try_reserve(MemoryUse::Requests, 7).expect("it was given back");
    assert!(!one.try_resize(4));
    drop(two);
    assert!(one.try_resize(10));
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_what_is_given_back_or_is_told_in_time() {
    let account = account(0, 10);
    let held = account.try_reserve(MemoryUse::Requests, 8).expect("it is free");
    let too_large = account.reserve(MemoryUse::Requests, 11).await.expect_err("more than there is");
    assert_eq!(too_large, MemoryError::TooLarge { needed: 11, share: 10 });
    assert_eq!(account.reserve(MemoryUse::Requests, 3).await.expect_err("nobody gives back"), MemoryError::Busy);
    let waiting = {
        let account = account.clone();
        tokio::spawn(async move { account.reserve(MemoryUse::Requests, 10).await.expect("it comes") })
    };
    tokio::task::yield_now().await;
    let small = account.reserve(MemoryUse::Requests, 2).await.expect("a small one does not queue behind a large one");
    drop(small);
    assert!(!waiting.is_finished());
    drop(held);
    assert_eq!(waiting.await.expect("no panic").bytes(), 10);
    assert_eq!(account.reserved(MemoryUse::Requests), 0);
}

#[tokio::test(start_paused = true)]
async fn who_no_longer_waits_holds_nothing() {
    let account = account(0, 10);
    let held = account.try_reserve(MemoryUse::Requests, 8).expect("it is free");
    let gone = tokio::time::timeout(Duration::from_secs(1), account.reserve(MemoryUse::Requests, 5)).await;
    assert!(gone.is_err());
    drop(held);
    assert_eq!(account.reserved(MemoryUse::Requests), 0);
}

/// Entries, the first of which leaves first.
#[derive(Debug, Default)]
struct Entries(Mutex<VecDeque<Reservation>>);

impl Evict for Entries {
    fn evict(&self) -> bool {
        self.0.lock().expect("no panic").pop_front().is_some()
    }
}

#[test]
fn caches_give_way_to_requests() {
    let account = account(10, 10);
    let cache = Arc::new(Entries::default());
    let weak: Weak<dyn Evict> = Arc::downgrade(&(cache.clone() as Arc<dyn Evict>));
    account.add_cache(weak);
    for _ in 0..3 {
        let entry = account.try_reserve(MemoryUse::Models, 3).expect("it is free");
        cache.0.lock().expect("no panic").push_back(entry);
    }
    let request = account.try_reserve(MemoryUse::Requests, 5).expect("room is made");
    assert_eq!(account.reserved(MemoryUse::Models), 3, "no more went than had to");
    assert!(account.try_reserve(MemoryUse::Requests, 11).is_none());
    assert_eq!(account.reserved(MemoryUse::Models), 3, "nothing goes for what never fits");
    let run = account.try_reserve(MemoryUse::Training, 11);
    assert!(run.is_none() && account.reserved(MemoryUse::Models) == 3, "nor for the other share");
    drop((request, cache));
    assert_eq!(account.reserved(MemoryUse::Models), 0);
}

#[test]
fn no_two_take_the_same() {
    let account = account(0, 1000);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let account = account.clone();
            std::thread::spawn(move || {
                for size in 1..200 {
                    let held = account.try_reserve(MemoryUse::Requests, size * 3);
                    assert!(account.reserved(MemoryUse::Requests) <= 1000);
                    drop(held);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(account.reserved(MemoryUse::Requests), 0);
}
