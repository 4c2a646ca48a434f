//! Who is next, who is cancelled, and who waits again.

use super::*;

#[tokio::test]
async fn the_first_is_served_first() {
    let house = House::new().await;
    let (a, b, c) = (house.submit().await, house.submit().await, house.submit().await);
    let places = async |ids: [Uuid; 3]| {
        [house.get(ids[0]).await, house.get(ids[1]).await, house.get(ids[2]).await].map(|job| job.queue_position)
    };
    assert_eq!(places([a, b, c]).await, [Some(1), Some(2), Some(3)]);
    assert_eq!(house.claimed().await.run.job, a);
    assert_eq!(places([a, b, c]).await, [None, Some(1), Some(2)]);
    house.cancel(b, at(1)).await.unwrap();
    assert_eq!(places([a, b, c]).await, [None, None, Some(1)]);
    assert_eq!(house.requeue_running(at(2)).await.unwrap(), [a], "it has its old place");
    assert_eq!(places([a, b, c]).await, [Some(1), None, Some(2)]);
    assert_eq!([house.claimed().await.run.job, house.claimed().await.run.job], [a, c]);
    assert!(house.claim(at(3), Duration::ZERO).await.unwrap().is_none());
}

#[tokio::test]
async fn no_two_workers_get_the_same_job() {
    let house = House::new().await;
    let mut submitted = Vec::new();
    for _ in 0..8 {
        submitted.push(house.submit().await);
    }
    let workers: Vec<_> = (0..12)
        .map(|_| {
            let store = house.store.clone();
            tokio::spawn(async move { store.claim(at(1), Duration::ZERO).await.unwrap().map(|claim| claim.run.job) })
        })
        .collect();
    let mut claimed = Vec::new();
    for worker in workers {
        claimed.extend(worker.await.unwrap());
    }
    claimed.sort();
    submitted.sort();
    assert_eq!(claimed, submitted);
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once_and_once() {
    let house = House::new().await;
    let id = house.submit().await;
    let cancelled = house.cancel(id, at(2)).await.unwrap().unwrap();
    assert_eq!((cancelled.job.status, cancelled.job.stop_reason), (Status::Cancelled, Some(StopReason::User)));
    assert_eq!(cancelled.events.iter().map(|e| (e.id, e.body.kind())).collect::<Vec<_>>(), [(2, "state"), (3, "done")]);
    assert_eq!(house.log(id).await[1..], cancelled.events);
    let again = house.cancel(id, at(3)).await.unwrap().unwrap();
    assert_eq!((again.job, again.events), (cancelled.job, vec![]));
    assert!(house.claim(at(4), Duration::ZERO).await.unwrap().is_none());
    assert!(house.cancel(Uuid::nil(), at(4)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_running_job_is_told_to_stop() {
    let house = House::new().await;
    let run = house.running().await;
    assert!(!house.stop_requested(run).await.unwrap());
    for _ in 0..2 {
        let told = house.cancel(run.job, at(2)).await.unwrap().unwrap();
        assert_eq!((told.job.status, told.job.cancel_requested, told.events), (Status::Running, true, vec![]));
    }
    assert!(house.stop_requested(run).await.unwrap());
    house.finish(run, &end(Status::Cancelled, StopReason::User, None), at(3)).await.unwrap();
    let before = house.told(run.job).await;
    assert_eq!(house.cancel(run.job, at(4)).await.unwrap().unwrap().events, []);
    assert_eq!(house.told(run.job).await, before);
}

#[tokio::test]
async fn a_cancel_races_with_a_claim_or_an_end() {
    let house = House::new().await;
    for _ in 0..10 {
        let id = house.submit().await;
        let (claim, cancelled) = tokio::join!(house.claim(at(1), Duration::ZERO), house.cancel(id, at(1)));
        let (claim, cancelled) = (claim.unwrap(), cancelled.unwrap().unwrap());
        let Some(claim) = claim else {
            assert_eq!(cancelled.job.status, Status::Cancelled, "whoever waits is claimed or cancelled");
            continue;
        };
        assert!(cancelled.job.cancel_requested && house.stop_requested(claim.run).await.unwrap());
        let finish = success(vec![], vec![1]);
        let (finished, cancelled) = tokio::join!(house.finish(claim.run, &finish, at(2)), house.cancel(id, at(2)));
        assert_eq!((finished.unwrap().len(), cancelled.unwrap().unwrap().events.len()), (2, 0));
        assert_eq!(house.get(id).await.status, Status::Succeeded, "it was done before it heard of it");
    }
}

#[tokio::test]
async fn a_server_that_starts_takes_up_what_was_running() {
    let house = House::new().await;
    let (going, unwanted, waiting) = (house.running().await, house.running().await, house.submit().await);
    let checkpoint = house.checkpoint_at(going, 10).await;
    house.checkpoint_at(unwanted, 10).await;
    house.cancel(unwanted.job, at(2)).await.unwrap();
    let house = house.reopen().await;
    assert_eq!(house.requeue_running(at(5)).await.unwrap(), [going.job]);
    assert!(house.requeue_running(at(6)).await.unwrap().is_empty());

    let job = house.get(going.job).await;
    assert_eq!((job.status, job.attempt, job.progress.eta_seconds), (Status::Queued, 1, None));
    assert_eq!((job.started_at, job.finished_at, job.stop_reason), (Some(at(1)), None, None));
    let log = house.log(going.job).await;
    assert_eq!(states(&log), [Status::Queued, Status::Running, Status::Queued]);
    let Some(EventBody::State(state)) = log.last().map(|event| &event.body) else { panic!("the last is a state") };
    assert_eq!((state.attempt, state.detail.is_some()), (1, true));

    let job = house.get(unwanted.job).await;
    assert_eq!(
        (job.status, job.stop_reason, job.finished_at),
        (Status::Cancelled, Some(StopReason::User), Some(at(5)))
    );
    assert_eq!(house.log(unwanted.job).await.last().unwrap().body.kind(), "done");
    assert!(house.checkpoint(unwanted.job).await.unwrap().is_some(), "a cancelled job keeps its checkpoint");

    let claim = house.claim(at(7), Duration::ZERO).await.unwrap().unwrap();
    assert_eq!((claim.run.job, claim.run.attempt, claim.job.started_at), (going.job, 2, Some(at(1))));
    assert!(same(&claim.checkpoint.unwrap().unwrap(), &checkpoint));
    assert_eq!(claim.last_event_id, house.log(going.job).await.len() as u64);
    assert_eq!(house.claimed().await.run.job, waiting);
}

#[tokio::test]
async fn a_run_gives_its_job_back() {
    let house = House::new().await;
    let (kept, unwanted) = (house.running().await, house.running().await);
    let events = house.give_back(kept, 7, at(2)).await.unwrap();
    assert_eq!((events[0].body.kind(), states(&events)), ("checkpoint", vec![Status::Queued]));
    assert_eq!(house.log(kept.job).await[2..], events);
    house.cancel(unwanted.job, at(3)).await.unwrap();
    let events = house.give_back(unwanted, 7, at(4)).await.unwrap();
    assert_eq!((states(&events), events[2].body.kind()), (vec![Status::Cancelled], "done"));
    assert_eq!(house.checkpoint(unwanted.job).await.unwrap().unwrap().step, 7, "what was learned is kept");
    assert_eq!(house.claimed().await.run, RunKey { attempt: 2, ..kept });
}

#[tokio::test]
async fn steps_past_the_checkpoint_count_no_more() {
    let house = House::new().await;
    let run = house.running().await;
    house.train_to(run, 5).await;
    let next = house.next_id(run.job).await;
    let first = epoch(run, next, 1);
    house.append(run, news(std::slice::from_ref(&first), &progress(10), &figures(10))).await.unwrap();
    house.checkpoint_at(run, 12).await;
    house.train_to(run, 20).await;
    let next = house.next_id(run.job).await;
    house.append(run, news(&[epoch(run, next, 2)], &progress(20), &figures(20))).await.unwrap();
    let steps = async || {
        let history = house.metrics(run.job).await.unwrap();
        let steps: Vec<_> = history.steps.iter().map(|point| point.step).collect();
        (steps, history.epochs.iter().map(|point| point.epoch).collect::<Vec<_>>())
    };
    assert_eq!(steps().await, (vec![5, 12, 20], vec![1, 2]));
    let written = house.log(run.job).await.len();

    house.requeue_running(at(2)).await.unwrap();
    let claim = house.claimed().await;
    assert_eq!(steps().await, (vec![5, 12], vec![1]));
    let job = &claim.job;
    assert_eq!((job.progress.step, job.progress.epoch, job.progress.fraction), (12, 2, 0.12));
    assert_eq!((job.metrics.loss, job.metrics.test_accuracy), (figures(12).loss, Some(1.0)), "as at the checkpoint");
    assert_eq!(house.log(run.job).await.len(), written + 2, "the log keeps all that happened");
    house.train_to(claim.run, 20).await;
    house.train_to(claim.run, 20).await;
    assert_eq!(steps().await, (vec![5, 12, 20], vec![1]));
}

#[tokio::test]
async fn without_a_checkpoint_all_begins_again() {
    let house = House::new().await;
    let run = house.running().await;
    house.train_to(run, 5).await;
    house.requeue_running(at(2)).await.unwrap();
    let claim = house.claimed().await;
    assert_eq!((claim.job.progress.step, claim.job.progress.epoch), (0, 0));
    assert_eq!(
        (claim.job.metrics, house.metrics(run.job).await.unwrap()),
        (LastMetrics::default(), History::default())
    );
}

#[tokio::test]
async fn a_job_that_cannot_be_read_does_not_stop_the_queue() {
    let house = House::new().await;
    let broken = house.submit().await;
    house.sql("update jobs set spec = '{}', progress = '', metrics = ''").await;
    let sound = house.submit().await;
    assert!(matches!(house.job(broken).await, Err(StoreError::Corrupt(_))));
    assert_eq!(house.claimed().await.run.job, sound);
    assert_eq!(states(&house.log(broken).await), [Status::Queued, Status::Failed]);
    let Some(EventBody::Done(done)) = house.log(broken).await.pop().map(|event| event.body) else { panic!("done") };
    assert!(done.error.unwrap().contains("spec of job"));
}

#[tokio::test]
async fn the_job_of_an_abandoned_run_goes_on_from_its_checkpoint() {
    let house = House::new().await;
    let run = house.running().await;
    let kept = house.checkpoint_at(run, 10).await;
    house.train_to(run, 20).await;
    assert_eq!(states(&house.abandon(run, at(5)).await.unwrap()), [Status::Queued]);
    assert!(matches!(house.abandon(run, at(6)).await, Err(StoreError::Fenced)));
    let claim = house.claimed().await;
    assert_eq!((claim.run.job, claim.run.attempt, claim.job.progress.step), (run.job, 2, 10));
    assert!(same(&claim.checkpoint.unwrap().expect("it is kept"), &kept));
}
