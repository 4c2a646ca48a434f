//! Jobs and models that are deleted, and the space that they took.

use super::*;

/// The bytes of a table of content that are there.
const BLOBS: &str = "select count(*) from blobs";
const CHUNKS: &str = "select count(*) from chunks";

#[tokio::test]
async fn a_job_goes_with_all_that_is_its_own_and_leaves_its_model() {
    let house = House::new().await;
    let run = house.running().await;
    house.checkpoint_at(run, 10).await;
    house.succeed(run, vec![1, 2, 3]).await;
    let version = house.model_version("digits", None).await.unwrap().expect("the version");
    assert_eq!(house.delete_job(run.job).await.unwrap(), Some(Ok(())));
    assert_eq!(house.delete_job(run.job).await.unwrap(), None);
    assert_eq!(house.job(run.job).await.unwrap(), None);
    assert!(!house.job_exists(run.job).await.unwrap());
    assert!(house.log(run.job).await.is_empty());
    for table in ["metrics", "epochs", "checkpoints", "diagnostics", "evaluations", "idempotency_keys"] {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&house.readers).await.unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    // The version tells who trained it, and its weights are there.
    assert_eq!(house.model_version("digits", None).await.unwrap(), Some(version.clone()));
    assert_eq!((version.source, version.job), (Source::Job, Some(run.job)));
    assert_eq!(house.weights(&version.weights_sha256).await.unwrap(), Some(vec![1, 2, 3]));
    assert_eq!(house.count(BLOBS).await, 1, "those of the weights");
}

#[tokio::test]
async fn a_job_that_has_not_ended_is_not_deleted() {
    let house = House::new().await;
    let waiting = house.submit().await;
    assert_eq!(house.delete_job(waiting).await.unwrap(), Some(Err(Refused::NotEnded(Status::Queued))));
    house.pause(waiting, at(2)).await.unwrap();
    assert_eq!(house.delete_job(waiting).await.unwrap(), Some(Err(Refused::NotEnded(Status::Paused))));
    let run = house.running().await;
    house.cancel(run.job, at(3)).await.unwrap();
    let refused = house.delete_job(run.job).await.unwrap().unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "the job is running: cancel it first, and delete it when it has ended");
    house.give_back(run, 10, at(4)).await.unwrap();
    assert_eq!(house.delete_job(run.job).await.unwrap(), Some(Ok(())));
    // What a run of it writes comes too late.
    let late = house.append(run, news(&[], &progress(10), &figures(10))).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert_eq!(house.count(CHUNKS).await, 0);
}

#[tokio::test]
async fn weights_go_with_the_last_that_has_them() {
    let house = House::new().await;
    let sha256 = sha256(&[7]);
    let first = house.running().await;
    house.succeed(first, vec![7]).await;
    let second = house.running().await;
    house.succeed(second, vec![7]).await;
    assert!(house.delete_versions("digits", None).await.unwrap());
    assert!(!house.delete_versions("digits", None).await.unwrap());
    assert_eq!(house.model("digits").await.unwrap(), None);
    assert!(house.weights(&sha256).await.unwrap().is_some(), "both jobs have them");
    house.delete_job(first.job).await.unwrap();
    assert!(house.weights(&sha256).await.unwrap().is_some(), "one job has them");
    house.delete_job(second.job).await.unwrap();
    assert_eq!(house.weights(&sha256).await.unwrap(), None);
    assert_eq!((house.count(BLOBS).await, house.count(CHUNKS).await), (0, 0));
    assert_eq!(house.dataset_use("digits").await.unwrap(), None);
}

#[tokio::test]
async fn a_version_is_never_given_twice() {
    let house = House::new().await;
    let mut jobs = vec![];
    for n in 1..=3 {
        let run = house.running().await;
        house.succeed(run, vec![n]).await;
        jobs.push(run.job);
    }
    assert!(house.delete_versions("digits", Some(3)).await.unwrap());
    assert!(!house.delete_versions("digits", Some(3)).await.unwrap());
    assert!(!house.delete_versions("letters", None).await.unwrap());
    let newest = house.model_version("digits", None).await.unwrap().expect("a version");
    assert_eq!((newest.version, newest.job), (2, Some(jobs[1])));
    assert!(house.delete_versions("digits", None).await.unwrap());
    let house = house.reopen().await;
    let run = house.running().await;
    house.succeed(run, vec![9]).await;
    assert_eq!(house.get(run.job).await.model_version, Some(4));
}

#[tokio::test]
async fn what_was_made_from_a_deleted_job_goes_on_naming_it() {
    let house = House::new().await;
    let source = house.running().await;
    let kept = house.checkpoint_at(source, 40).await;
    house.succeed(source, vec![1]).await;
    let fork = Fork { source: source.job, source_sha256: kept.sha256.clone(), checkpoint: kept.clone() };
    let fork = house.insert_job(&NewJob { fork: Some(fork), ..new_job(&json!({})) }).await.unwrap();
    let run = house.claimed().await.run;
    assert_eq!(run.job, fork.id);
    let again = NewJob { reproduces: Some(source.job), ..new_job(&json!({})) };
    let again = house.insert_job(&again).await.unwrap();
    house.delete_job(source.job).await.unwrap();
    // Also where the original went before the end.
    let late = house.claimed().await.run;
    assert_eq!((late.job, house.get(late.job).await.reproduced), (again.id, None));
    house.succeed(late, vec![1]).await;
    assert_eq!(house.get(again.id).await.reproduced, Some(true));
    assert_eq!(house.get(again.id).await.reproduces, Some(source.job));
    assert_eq!(house.get(fork.id).await.forked_from, Some(source.job));
    assert_eq!(house.fork_of(fork.id).await.unwrap(), Some((source.job, kept.sha256)));
    house.succeed(run, vec![2]).await;
}

#[tokio::test]
async fn the_end_can_take_the_checkpoint_along() {
    let house = House::new().await;
    let run = house.running().await;
    house.checkpoint_at(run, 10).await;
    let finish = Finish { last_state: LastState::Deleted, ..success(vec![], vec![1]) };
    house.finish(run, &finish, at(9)).await.unwrap();
    assert_eq!(house.checkpoint(run.job).await.unwrap(), None);
    assert_eq!(house.count(BLOBS).await, 1, "that of the weights");
    house.freed().await;
}

#[tokio::test]
async fn the_file_shrinks_by_steps() {
    let house = House::new().await;
    let run = house.running().await;
    house.succeed(run, bytes(1, 20 << 20)).await;
    house.cut_log().await.unwrap();
    let full = house.space().await.unwrap();
    assert!(full.database > 20 << 20 && full.weights == 20 << 20 && full.log == 0, "{full:?}");
    assert!(!house.reclaim().await.unwrap(), "nothing is free");
    house.delete_job(run.job).await.unwrap();
    assert!(house.delete_versions("digits", None).await.unwrap());
    house.freed().await;
    assert!(house.space().await.unwrap().free > 19 << 20);
    let mut steps = 1;
    while house.reclaim().await.unwrap() {
        steps += 1;
        // Others write in between.
        house.submit().await;
    }
    assert!(steps >= 5, "{steps} steps are too large");
    // A reader that needs the log keeps it from being cut, and nothing fails.
    let reader = house.read().await.unwrap();
    house.cut_log().await.unwrap();
    drop(reader);
    house.cut_log().await.unwrap();
    let space = house.space().await.unwrap();
    assert!(space.database < 1 << 20 && space.free == 0 && space.log == 0, "{space:?}");
    let house = house.reopen().await;
    assert_eq!(house.count("select count(*) from jobs").await, steps - 1);
}
