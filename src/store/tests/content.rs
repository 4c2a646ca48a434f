//! Bytes come back as they were, or not at all.

use super::*;

#[tokio::test]
async fn large_weights_are_kept_in_chunks() {
    let house = House::new().await;
    let weights = bytes(1, 5_000_000);
    let run = house.running().await;
    house.succeed(run, weights.clone()).await;
    assert_eq!(house.count("select count(*) from chunks").await, 5);
    assert_eq!(house.count("select max(length(data)) from chunks").await, 1 << 20);
    assert_eq!(house.weights(&sha256(&weights)).await.unwrap(), Some(weights));
    assert_eq!(house.weights("no such").await.unwrap(), None);
}

#[tokio::test]
async fn sizes_at_the_edge_of_a_chunk_come_back() {
    let house = House::new().await;
    for len in [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1] {
        let weights = bytes(7, len);
        let run = house.running().await;
        house.succeed(run, weights.clone()).await;
        assert_eq!(house.weights(&sha256(&weights)).await.unwrap(), Some(weights), "{len} bytes");
    }
}

#[tokio::test]
async fn the_same_weights_are_kept_once() {
    let house = House::new().await;
    for version in 1..=3 {
        let run = house.running().await;
        house.succeed(run, vec![1, 2, 3]).await;
        assert_eq!(house.get(run.job).await.model_version, Some(version));
    }
    assert_eq!(house.count("select count(*) from blobs").await, 1);
}

#[tokio::test]
async fn a_checkpoint_takes_the_place_of_the_former() {
    let house = House::new().await;
    let run = house.running().await;
    for (step, len, chunks) in [(10, 3_000_000, 3), (20, 2_000_000, 2), (30, 5, 1)] {
        let checkpoint = new_checkpoint(step, len);
        let event = saved(run, house.next_id(run.job).await, step);
        house.save_checkpoint(run, &checkpoint, news(&[event], &progress(step), &figures(step))).await.unwrap();
        assert!(same(&house.checkpoint(run.job).await.unwrap().unwrap(), &checkpoint));
        let size = house.checkpoint_size(run.job).await.unwrap().unwrap();
        assert_eq!((size.sha256, size.bytes), (checkpoint.sha256.clone(), len as u64));
        assert_eq!(house.count("select count(*) from chunks").await, chunks, "no more than those of the newest");
        assert_eq!(house.count("select count(*) from blobs").await, 1);
        assert_eq!(house.get(run.job).await.progress.step, step);
    }
    assert_eq!(house.checkpoint(Uuid::nil()).await.unwrap(), None);
    assert_eq!(house.checkpoint_size(Uuid::nil()).await.unwrap(), None);
}

#[tokio::test]
async fn a_full_disk_takes_nothing_away() {
    let house = House::new().await;
    let run = house.running().await;
    house.checkpoint_at(run, 10).await;
    let before = house.told(run.job).await;
    // As many pages as there are, and a few more; the writer's connection forgets it when it is replaced.
    let fill = async || {
        let pages = house.count("select page_count + 100 from pragma_page_count").await;
        let sql = sqlx::AssertSqlSafe(format!("pragma max_page_count = {pages}"));
        sqlx::query(sql).execute(&house.writer).await.unwrap();
    };
    let event = saved(run, house.next_id(run.job).await, 20);
    for _ in 0..2 {
        fill().await;
        let checkpoint = new_checkpoint(20, 3 << 20);
        let events = std::slice::from_ref(&event);
        let saved = house.save_checkpoint(run, &checkpoint, news(events, &progress(20), &figures(20))).await;
        assert!(matches!(saved, Err(StoreError::Full(_))), "{saved:?}");
        assert_eq!(house.told(run.job).await, before);
        fill().await;
        let finished = house.finish(run, &success(vec![], bytes(2, 3 << 20)), at(9)).await;
        assert!(matches!(finished, Err(StoreError::Full(_))), "{finished:?}");
        assert_eq!(house.told(run.job).await, before);
    }
    house.succeed(run, bytes(2, 3 << 20)).await;
}

#[tokio::test]
async fn a_disk_that_is_only_read_from_takes_nothing_away() {
    let house = House::new().await;
    house.sql("pragma query_only = on").await;
    let refused = house.insert_job(&new_job(&json!({}))).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    house.sql("pragma query_only = off").await;
    assert_eq!(house.count("select count(*) from jobs").await, 0);
    house.submit().await;
}

#[tokio::test]
async fn false_bytes_are_not_given_out() {
    let house = House::new().await;
    let weights = bytes(1, 3_000_000);
    let trained = house.running().await;
    house.succeed(trained, weights.clone()).await;
    let run = house.running().await;
    let checkpoint = new_checkpoint(10, 3_000_000);
    let event = saved(run, 3, 10);
    house.save_checkpoint(run, &checkpoint, news(&[event], &progress(10), &figures(10))).await.unwrap();

    for damage in [
        "update chunks set data = zeroblob(length(data)) where n = 1",
        "update chunks set data = substr(data, 2) where n = 2",
        "update blobs set bytes = 9000000000000000000",
        "delete from chunks where n = 2",
    ] {
        house.sql(damage).await;
        let error = house.weights(&sha256(&weights)).await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt(corrupt) if corrupt.what.starts_with("weights")), "{error}");
        let error = house.checkpoint(run.job).await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt(corrupt) if corrupt.what.contains("checkpoint")), "{error}");
    }

    house.requeue_running(at(2)).await.unwrap();
    let claim = house.claimed().await;
    let corrupt = claim.checkpoint.unwrap_err();
    assert!(corrupt.what.contains("checkpoint"), "{corrupt}");
    let failed = end(Status::Failed, StopReason::Error, Some(&corrupt.to_string()));
    house.finish(claim.run, &failed, at(3)).await.unwrap();
    assert!(house.claim(at(4), Duration::ZERO).await.unwrap().is_none(), "it does not come again");
}
