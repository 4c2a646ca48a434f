//! Checkpoints of ended jobs, of which only so many are kept.

use super::*;

const ALL: CheckpointRetention = CheckpointRetention { max_count: u64::MAX, max_bytes: u64::MAX, max_age: None };

/// A job that was cancelled at this second with a checkpoint of so many bytes.
async fn ended(house: &House, second: i64, bytes: usize) -> Uuid {
    let run = house.running().await;
    let events = [saved(run, house.next_id(run.job).await, 10)];
    let (progress, figures) = (progress(10), figures(10));
    house.save_checkpoint(run, &new_checkpoint(10, bytes), news(&events, &progress, &figures)).await.unwrap();
    house.finish(run, &end(Status::Cancelled, StopReason::User, None), at(second)).await.unwrap();
    run.job
}

/// The jobs that still have a checkpoint, of these.
async fn with_checkpoint(house: &House, jobs: &[Uuid]) -> Vec<usize> {
    let mut found = vec![];
    for (index, job) in jobs.iter().enumerate() {
        let has = house.checkpoint(*job).await.unwrap().is_some();
        let removed_at = house.get(*job).await.checkpoint_removed_at;
        assert_eq!(removed_at.is_none(), has, "a job says since when it is gone");
        found.extend(has.then_some(index));
    }
    found
}

#[tokio::test]
async fn the_newest_checkpoints_are_kept_within_each_bound() {
    for (bounds, kept) in [
        (ALL, vec![0, 1, 2, 3]),
        (CheckpointRetention::default(), vec![0, 1, 2, 3]),
        (CheckpointRetention { max_count: 2, ..ALL }, vec![2, 3]),
        (CheckpointRetention { max_count: 0, ..ALL }, vec![]),
        (CheckpointRetention { max_bytes: 600, ..ALL }, vec![2, 3]),
        // The second is too large by itself, and costs the first nothing.
        (CheckpointRetention { max_bytes: 900, ..ALL }, vec![0, 2, 3]),
        (CheckpointRetention { max_age: Some(Duration::from_secs(15)), ..ALL }, vec![2, 3]),
        (CheckpointRetention { max_age: Some(Duration::from_secs(15)), max_count: 1, ..ALL }, vec![3]),
    ] {
        let house = House::new().await;
        let mut jobs = vec![];
        for (second, bytes) in [(10, 200), (20, 1000), (30, 300), (40, 300)] {
            jobs.push(ended(&house, second, bytes).await);
        }
        let blobs = house.count("select count(*) from blobs").await;
        let removed = house.remove_old_checkpoints(bounds, at(40)).await.unwrap();
        assert_eq!(with_checkpoint(&house, &jobs).await, kept, "{bounds:?}");
        assert_eq!(removed.count as usize, jobs.len() - kept.len());
        assert_eq!(
            house.count("select count(*) from blobs").await,
            blobs - removed.count as i64,
            "their bytes go, too"
        );
        if removed.count > 0 {
            house.freed().await;
        }
        assert_eq!(house.remove_old_checkpoints(bounds, at(40)).await.unwrap(), RemovedCheckpoints::default());
    }
}

#[tokio::test]
async fn the_order_is_that_of_the_ends_whatever_the_clock_says() {
    const YEARS: i64 = 315_000_000;
    let house = House::new().await;
    let jobs = [ended(&house, YEARS, 10).await, ended(&house, -YEARS, 10).await, ended(&house, 0, 10).await];
    house.remove_old_checkpoints(CheckpointRetention { max_count: 2, ..ALL }, at(0)).await.unwrap();
    assert_eq!(with_checkpoint(&house, &jobs).await, [1, 2]);
    // An end that is yet to come, by the clock, is not long ago.
    let age = Some(Duration::from_secs(60));
    let jobs = [ended(&house, YEARS, 10).await];
    house.remove_old_checkpoints(CheckpointRetention { max_age: age, ..ALL }, at(0)).await.unwrap();
    assert_eq!(with_checkpoint(&house, &jobs).await, [0]);
}

#[tokio::test]
async fn what_is_needed_is_never_removed() {
    let house = House::new().await;
    let none = CheckpointRetention { max_count: 0, max_bytes: 0, max_age: Some(Duration::ZERO) };
    // Paused, waiting, running, each with a checkpoint.
    let paused = house.running().await;
    house.pause(paused.job, at(2)).await.unwrap().unwrap().unwrap();
    house.give_back(paused, 10, at(3)).await.unwrap();
    let source = ended(&house, 4, 10).await;
    let kept = house.checkpoint(source).await.unwrap().expect("a checkpoint");
    let checkpoint = new_checkpoint(10, 10);
    let fork = Fork { source, source_sha256: kept.sha256.clone(), checkpoint };
    let fork = house.insert_job(&NewJob { fork: Some(fork), ..new_job(&json!({})) }).await.unwrap().id;
    let jobs = [paused.job, source, fork];
    assert_eq!(house.remove_old_checkpoints(none, at(9)).await.unwrap().count, 0);
    assert_eq!(with_checkpoint(&house, &jobs).await, [0, 1, 2]);
    let run = house.claimed().await.run;
    house.remove_old_checkpoints(none, at(9)).await.unwrap();
    assert_eq!((run.job, with_checkpoint(&house, &jobs).await), (fork, vec![0, 1, 2]));
    // It goes with the end of the fork, and so does the fork's.
    house.finish(run, &end(Status::Failed, StopReason::Error, Some("x")), at(9)).await.unwrap();
    assert_eq!(house.remove_old_checkpoints(none, at(10)).await.unwrap().count, 2);
    assert_eq!(with_checkpoint(&house, &jobs).await, [0]);
}

#[tokio::test]
async fn a_cancelled_job_without_its_checkpoint_does_not_begin_again() {
    let house = House::new().await;
    let job = ended(&house, 2, 10).await;
    let untouched = house.submit().await;
    house.cancel(untouched, at(3)).await.unwrap();
    house.remove_old_checkpoints(CheckpointRetention { max_count: 0, ..ALL }, at(4)).await.unwrap();
    let refused = house.resume(job, at(5)).await.unwrap().unwrap().unwrap_err();
    assert_eq!(refused, Refused::CheckpointRemoved(at(4)));
    assert_eq!(house.get(job).await.status, Status::Cancelled);
    // One that had not begun has lost nothing.
    assert_eq!(house.resume(untouched, at(5)).await.unwrap().unwrap().unwrap().job.status, Status::Queued);
}
