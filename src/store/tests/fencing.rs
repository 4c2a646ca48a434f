//! A run that has lost its job writes nothing more.

use super::*;

/// Tries every write of a run.
async fn all_writes_are_refused(house: &House, run: RunKey) {
    let before = house.told(run.job).await;
    let next = house.next_id(run.job).await;
    let events = [metrics(run, next, 90)];
    let refused = [
        house.append(run, news(&events, &progress(90), &figures(90))).await.err(),
        house.append(run, news(&[], &progress(90), &figures(90))).await.err(),
        house.save_checkpoint(run, &new_checkpoint(90, 9), news(&events, &progress(90), &figures(90))).await.err(),
        house.finish(run, &success(events.to_vec(), vec![9]), at(8)).await.err(),
        house.finish(run, &end(Status::Failed, StopReason::Error, Some("x")), at(8)).await.err(),
        house.give_back(run, 90, at(8)).await.err(),
        house.stop_requested(run).await.err(),
        house.record_build(run, &build("avx2")).await.err(),
    ];
    for (i, error) in refused.iter().enumerate() {
        assert!(matches!(error, Some(StoreError::Fenced)), "write {i}: {error:?}");
    }
    assert_eq!(house.told(run.job).await, before);
}

#[tokio::test]
async fn by_a_new_claim() {
    let house = House::new().await;
    let old = house.running().await;
    house.checkpoint_at(old, 10).await;
    house.requeue_running(at(2)).await.unwrap();
    all_writes_are_refused(&house, old).await;
    let new = house.claimed().await.run;
    assert_eq!((new.job, new.attempt), (old.job, 2));
    all_writes_are_refused(&house, old).await;
    house.train_to(new, 20).await;
    assert!(!house.stop_requested(new).await.unwrap());
}

#[tokio::test]
async fn by_the_end() {
    let house = House::new().await;
    let finishes = [success(vec![], vec![1]), end(Status::Failed, StopReason::Error, Some("panic"))];
    for finish in finishes {
        let run = house.running().await;
        house.finish(run, &finish, at(3)).await.unwrap();
        all_writes_are_refused(&house, run).await;
    }
}

#[tokio::test]
async fn by_its_own_release() {
    let house = House::new().await;
    let run = house.running().await;
    house.give_back(run, 5, at(3)).await.unwrap();
    all_writes_are_refused(&house, run).await;
}

#[tokio::test]
async fn a_run_that_never_was_owns_nothing() {
    let house = House::new().await;
    let job = house.submit().await;
    all_writes_are_refused(&house, RunKey { job, attempt: 0 }).await;
    let run = house.claimed().await.run;
    all_writes_are_refused(&house, RunKey { attempt: 2, ..run }).await;
    let nobody = RunKey { job: Uuid::nil(), attempt: 1 };
    assert!(matches!(house.append(nobody, news(&[], &progress(1), &figures(1))).await, Err(StoreError::Fenced)));
}
