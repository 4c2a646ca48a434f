//! A job's whole life, and every legal end of it.

use super::*;

#[tokio::test]
async fn many_events_at_once_are_kept_whole_or_not_at_all() {
    let house = House::new().await;
    house.insert_job(&new_job(&json!({}))).await.unwrap();
    let run = house.claimed().await.run;
    // More than one statement takes.
    let events: Vec<Event> = (0..600).map(|i| metrics(run, 3 + i, i + 1)).collect();
    let mut torn = events.clone();
    torn[500].id += 1;
    let refused = house.append(run, news(&torn, &progress(100), &figures(100))).await;
    assert!(matches!(refused, Err(StoreError::Internal(_))), "{refused:?}");
    assert_eq!((house.log(run.job).await.len(), house.metrics(run.job).await.unwrap().steps.len()), (2, 0));

    house.append(run, news(&events, &progress(100), &figures(100))).await.unwrap();
    assert_eq!(house.log(run.job).await[2..], events);
    let steps: Vec<u64> = house.metrics(run.job).await.unwrap().steps.iter().map(|point| point.step).collect();
    assert_eq!(steps, (1..=600).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_job_waits_runs_and_becomes_a_model() {
    let house = House::new().await;
    let new = new_job(&json!({"name": "two layers", "model": "mine"}));
    let job = house.insert_job(&new).await.unwrap();
    assert_eq!(
        (job.status, job.attempt, job.queue_position, job.name.as_str()),
        (Status::Queued, 0, Some(1), "two layers")
    );
    assert_eq!((&job.spec, job.created_at, job.progress.total_steps), (&new.spec, at(0), 100));
    assert_eq!((&job.network, job.parameters, job.train_samples), (&new.plan.network, 39_760, 1000));
    assert_eq!(house.get(job.id).await, job);

    let claim = house.claimed().await;
    let run = claim.run;
    assert_eq!((run.job, run.attempt, claim.last_event_id, claim.events.len()), (job.id, 1, 2, 1));
    assert_eq!(
        (claim.job.status, claim.job.started_at, claim.job.queue_position),
        (Status::Running, Some(at(1)), None)
    );
    assert_eq!(claim.checkpoint, Ok(None));

    let events = [metrics(run, 3, 5), metrics(run, 4, 10), epoch(run, 5, 1)];
    house.append(run, news(&events, &progress(10), &figures(10))).await.unwrap();
    house.append(run, news(&[], &progress(11), &figures(11))).await.unwrap();
    let job = house.get(job.id).await;
    assert_eq!((&job.progress, &job.metrics), (&progress(11), &figures(11)), "numbers come back to the last bit");

    house.checkpoint_at(run, 20).await;
    let weights = bytes(1, 5000);
    let all = house.finish(run, &success(vec![epoch(run, 8, 10)], weights.clone()), at(9)).await.unwrap();
    assert_eq!(
        all.iter().map(|e| (e.id, e.body.kind())).collect::<Vec<_>>(),
        [(8, "epoch"), (9, "state"), (10, "done")]
    );
    let EventBody::Done(done) = &all[2].body else { panic!("the last event is `done`") };
    assert_eq!(
        (done.status, done.stop_reason, done.test_loss),
        (Status::Succeeded, Some(StopReason::Completed), Some(0.5))
    );
    assert_eq!((done.model.as_deref(), done.model_version), (Some("mine"), Some(1)));

    let log = house.log(job.id).await;
    assert_eq!(log.iter().map(|event| event.id).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert_eq!((&log[2..5], &log[7..]), (&events[..], &all[..]), "what is read is what was sent");
    assert_eq!(states(&log), [Status::Queued, Status::Running, Status::Succeeded]);

    let job = house.get(job.id).await;
    let sha256 = sha256(&weights);
    assert_eq!(
        (job.status, job.stop_reason, job.finished_at),
        (Status::Succeeded, Some(StopReason::Completed), Some(at(9)))
    );
    assert_eq!((job.weights_sha256.as_ref(), job.model_version), (Some(&sha256), Some(1)));
    assert_eq!((job.progress.eta_seconds, job.progress.step), (None, 100));
    assert_eq!(house.weights(&sha256).await.unwrap(), Some(weights));
    assert_eq!(house.checkpoint(job.id).await.unwrap().unwrap().step, 20, "a fork may go on from it");
    assert_eq!(house.count("select count(*) from blobs").await, 2);
}

#[tokio::test]
async fn a_job_that_fails_or_is_cancelled_keeps_its_checkpoint() {
    let house = House::new().await;
    for finish in [
        end(Status::Failed, StopReason::Diverged, Some("the loss is not finite")),
        end(Status::Cancelled, StopReason::User, None),
    ] {
        let run = house.running().await;
        let checkpoint = house.checkpoint_at(run, 30).await;
        let next = house.next_id(run.job).await;
        let finish = Finish { events: vec![alert(run, next)], ..finish };
        let events = house.finish(run, &finish, at(9)).await.unwrap();
        assert_eq!(events.iter().map(|e| e.body.kind()).collect::<Vec<_>>(), ["alert", "state", "done"]);
        let job = house.get(run.job).await;
        assert_eq!((job.status, job.stop_reason, &job.error), (finish.status, Some(finish.stop_reason), &finish.error));
        assert_eq!((job.finished_at, job.weights_sha256, job.model_version), (Some(at(9)), None, None));
        assert!(same(&house.checkpoint(run.job).await.unwrap().unwrap(), &checkpoint));
    }
    assert!(house.models(None, 200).await.unwrap().data.is_empty());
}

#[tokio::test]
async fn only_legal_ends_are_taken() {
    let house = House::new().await;
    let run = house.running().await;
    let before = house.told(run.job).await;
    for status in [Status::Queued, Status::Running] {
        let error = house.finish(run, &end(status, StopReason::User, None), at(2)).await.unwrap_err();
        assert!(matches!(error, StoreError::IllegalMove { from: Status::Running, .. }), "{error}");
    }
    let without = Finish { weights: None, ..success(vec![], vec![]) };
    let with = Finish { status: Status::Failed, ..success(vec![], vec![1]) };
    for finish in [without, with] {
        assert!(matches!(house.finish(run, &finish, at(2)).await, Err(StoreError::Internal(_))));
    }
    assert_eq!(house.told(run.job).await, before);
}

#[tokio::test]
async fn the_next_event_is_the_only_one_that_is_taken() {
    let house = House::new().await;
    let run = house.running().await;
    let other = house.submit().await;
    let before = house.told(run.job).await;
    let foreign = Event { job: other, ..metrics(run, 3, 1) };
    let state = Event { id: 3, ..house.log(run.job).await[1].clone() };
    for events in [
        vec![metrics(run, 4, 1)],
        vec![metrics(run, 2, 1)],
        vec![metrics(run, 3, 1), metrics(run, 5, 2)],
        vec![metrics(run, 3, 1), metrics(run, 3, 2)],
        vec![foreign],
        vec![state],
    ] {
        let appended = house.append(run, news(&events, &progress(1), &figures(1))).await;
        assert!(matches!(appended, Err(StoreError::Internal(_))), "{events:?}");
        let saved = house.save_checkpoint(run, &new_checkpoint(1, 9), news(&events, &progress(1), &figures(1))).await;
        assert!(matches!(saved, Err(StoreError::Internal(_))), "{events:?}");
        let finished = house.finish(run, &success(events.clone(), vec![1]), at(2)).await;
        assert!(matches!(finished, Err(StoreError::Internal(_))), "{events:?}");
    }
    assert_eq!(house.told(run.job).await, before, "all or nothing");
}

#[tokio::test]
async fn a_large_seed_comes_back() {
    let house = House::new().await;
    let job = house.submit_with(&json!({"seed": u64::MAX})).await;
    assert_eq!((job.spec.seed, house.claimed().await.job.spec.seed), (u64::MAX, u64::MAX));
}

#[tokio::test]
async fn ids_and_lists_are_in_the_order_of_acceptance_whatever_the_clock_says() {
    let house = House::new().await;
    const YEARS: i64 = 10 * 366 * 24 * 3600;
    let mut ids = vec![];
    for second in [0, YEARS, YEARS + 1, -YEARS, 0, -3600, 3600] {
        let new = NewJob { at: at(second), ..new_job(&json!({})) };
        let job = house.insert_job(&new).await.unwrap();
        assert_eq!(job.created_at, at(second), "what is shown is what the clock says");
        ids.push(job.id);
    }
    assert!(ids.is_sorted(), "{ids:?}");
    let list = async |after: Option<Uuid>| {
        let query = JobQuery { limit: 3, after, order: Order::Oldest, ..JobQuery::default() };
        house.jobs(&query).await.unwrap().data.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!([list(None).await, list(Some(ids[2])).await, list(Some(ids[5])).await].concat(), ids);
    for id in ids {
        assert_eq!(house.claimed().await.run.job, id);
    }
}

#[tokio::test]
async fn what_belongs_to_a_job_goes_with_it() {
    let house = House::new().await;
    let run = house.running().await;
    house.checkpoint_at(run, 10).await;
    let events = [epoch(run, 5, 1)];
    house.append(run, news(&events, &progress(10), &figures(10))).await.unwrap();
    house.sql("delete from jobs").await;
    for table in [
        "select count(*) from events",
        "select count(*) from metrics",
        "select count(*) from epochs",
        "select count(*) from checkpoints",
        "select count(*) from blobs",
        "select count(*) from chunks",
    ] {
        assert_eq!(house.count(table).await, 0, "{table}");
    }
}
