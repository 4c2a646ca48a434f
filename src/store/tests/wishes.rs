//! Paused, resumed, forked, asked for twice, held back.

use super::*;

/// A key of this name for a request of this content.
fn key(name: &str, request: &str) -> RequestKey {
    RequestKey { key: name.into(), request_sha256: sha256(request.as_bytes()) }
}

#[tokio::test]
async fn a_cancelled_job_goes_on_with_its_log_and_its_checkpoint() {
    let house = House::new().await;
    let run = house.running().await;
    house.cancel(run.job, at(2)).await.unwrap();
    house.give_back(run, 30, at(3)).await.unwrap();
    let before = house.log(run.job).await.len();
    let resumed = house.resume(run.job, at(4)).await.unwrap().unwrap().unwrap();
    let job = &resumed.job;
    assert_eq!(
        (job.status, job.finished_at, job.stop_reason, job.cancel_requested),
        (Status::Queued, None, None, false)
    );
    assert_eq!((resumed.events[0].id, resumed.events.len()), (before as u64 + 1, 1));
    let claim = house.claimed().await;
    assert_eq!((claim.run.attempt, claim.checkpoint.unwrap().unwrap().step), (2, 30));
    assert_eq!(claim.job.progress.step, 30);
    assert_eq!(house.resume(Uuid::nil(), at(5)).await.unwrap(), None);
    assert_eq!(house.pause(Uuid::nil(), at(5)).await.unwrap(), None);
}

#[tokio::test]
async fn a_pause_survives_the_server() {
    let house = House::new().await;
    let run = house.running().await;
    house.checkpoint_at(run, 10).await;
    let asked = house.pause(run.job, at(2)).await.unwrap().unwrap().unwrap();
    assert_eq!((asked.job.status, asked.job.pause_requested), (Status::Running, true));
    assert!(house.stop_requested(run).await.unwrap());
    let house = house.reopen().await;
    assert!(house.requeue_running(at(5)).await.unwrap().is_empty());
    let job = house.get(run.job).await;
    assert_eq!((job.status, job.pause_requested, job.finished_at), (Status::Paused, false, None));
    assert!(house.claim(at(6), Duration::MAX).await.unwrap().is_none());
    assert_eq!(house.dataset_use("digits").await.unwrap(), Some(DatasetUse::Job(run.job)));
}

#[tokio::test]
async fn whoever_brings_servers_down_lets_others_go_first() {
    let house = House::new().await;
    let wild = house.submit().await;
    let up = Duration::from_secs;
    for _ in 0..2 {
        assert_eq!(house.claimed().await.run.job, wild, "twice may be chance");
        house.requeue_running(at(2)).await.unwrap();
    }
    let tame = house.submit().await;
    assert_eq!(house.claimed().await.run.job, tame);
    assert!(house.claim(at(3), up(1)).await.unwrap().is_none());
    assert_eq!(house.claim(at(3), up(2)).await.unwrap().unwrap().run.job, wild);
    assert_eq!(house.requeue_running(at(4)).await.unwrap(), [wild, tame]);
    assert_eq!(house.claim(at(5), up(3)).await.unwrap().unwrap().run.job, tame, "longer each time");
    let run = house.claim(at(5), up(4)).await.unwrap().unwrap().run;
    assert_eq!((run.job, house.get(wild).await.status), (wild, Status::Running));
    house.checkpoint_at(run, 10).await;
    house.requeue_running(at(6)).await.unwrap();
    assert_eq!(house.claimed().await.run.job, wild, "it has come further");
}

/// The server dies at this start of the job, before it saves a checkpoint.
async fn dies_at_the_start_of(house: &House, job: Uuid) {
    let claim = house.claim(at(1), Duration::MAX).await.unwrap().expect("the job waits");
    assert_eq!(claim.run.job, job);
    house.requeue_running(at(2)).await.unwrap();
}

#[tokio::test]
async fn a_job_at_whose_every_start_the_server_dies_is_paused_and_resumed_anew() {
    let house = House::new().await;
    let wild = house.submit().await;
    for start in 1..=8 {
        assert_eq!(house.get(wild).await.status, Status::Queued, "start {start}");
        dies_at_the_start_of(&house, wild).await;
    }
    let job = house.get(wild).await;
    let why = "paused: the server died at each of its last 8 starts before it saved a checkpoint; resume to try again";
    assert_eq!((job.status, job.stop_reason), (Status::Paused, Some(StopReason::CrashLoop)));
    assert_eq!((job.error.as_deref(), job.finished_at), (Some(why), None));
    let log = house.log(wild).await;
    let Some(EventBody::State(state)) = log.last().map(|event| &event.body) else { panic!("the last is a state") };
    assert_eq!((state.detail.as_deref(), state.stop_reason), (Some(why), Some(StopReason::CrashLoop)));
    assert!(house.claim(at(3), Duration::MAX).await.unwrap().is_none());
    let house = house.reopen().await;
    assert!(house.requeue_running(at(4)).await.unwrap().is_empty());

    let job = house.resume(wild, at(5)).await.unwrap().unwrap().unwrap().job;
    assert_eq!((job.status, job.stop_reason, job.error), (Status::Queued, None, None));
    // It has its two free starts, and its six delayed ones, again.
    assert_eq!(house.claimed().await.run.job, wild);
    house.requeue_running(at(6)).await.unwrap();
    for _ in 0..6 {
        dies_at_the_start_of(&house, wild).await;
    }
    assert_eq!(house.get(wild).await.status, Status::Queued);
    dies_at_the_start_of(&house, wild).await;
    assert_eq!(house.get(wild).await.status, Status::Paused);
}

#[tokio::test]
async fn a_job_that_saves_checkpoints_survives_any_number_of_kills() {
    let house = House::new().await;
    let job = house.submit().await;
    for round in 1..30 {
        // In vain, as often as may be.
        for _ in 0..7 {
            dies_at_the_start_of(&house, job).await;
        }
        let claim = house.claim(at(1), Duration::MAX).await.unwrap().expect("the job waits");
        assert_eq!(claim.failed_starts, 7);
        house.checkpoint_at(claim.run, round).await;
        assert_eq!(house.requeue_running(at(2)).await.unwrap(), [job]);
    }
}

#[tokio::test]
async fn a_kill_is_blamed_on_one_job_only() {
    let house = House::new().await;
    let (wild, healthy) = (house.submit().await, house.submit().await);
    for _ in 0..2 {
        assert_eq!([house.claimed().await.run.job, house.claimed().await.run.job], [wild, healthy]);
        house.requeue_running(at(2)).await.unwrap();
    }
    // From now on only one of them starts, until it has saved a checkpoint.
    assert_eq!(house.claim(at(3), Duration::MAX).await.unwrap().unwrap().run.job, wild);
    assert!(house.claim(at(3), Duration::MAX).await.unwrap().is_none());
    let fresh = house.submit().await;
    assert_eq!(house.claimed().await.run.job, fresh, "which delays no others");
    house.requeue_running(at(4)).await.unwrap();
    let claim = house.claim(at(5), Duration::from_secs(3)).await.unwrap().unwrap();
    assert_eq!(claim.run.job, healthy, "it has the shorter delay");
    assert_eq!(house.claimed().await.run.job, fresh);
    assert!(house.claim(at(5), Duration::MAX).await.unwrap().is_none());
    house.checkpoint_at(claim.run, 10).await;
    assert_eq!(house.claim(at(5), Duration::MAX).await.unwrap().unwrap().run.job, wild);
}

#[tokio::test]
async fn a_run_that_gives_up_in_a_living_server_is_no_failed_start() {
    let house = House::new().await;
    let job = house.submit().await;
    for _ in 0..20 {
        let run = house.claimed().await.run;
        house.abandon(run, at(2)).await.unwrap();
    }
    assert_eq!(house.get(job).await.status, Status::Queued);
}

#[tokio::test]
async fn a_wish_counts_for_more_than_a_crash() {
    let house = House::new().await;
    for (cancelled, status) in [(true, Status::Cancelled), (false, Status::Paused)] {
        let job = house.submit().await;
        for _ in 0..7 {
            dies_at_the_start_of(&house, job).await;
        }
        house.claim(at(1), Duration::MAX).await.unwrap().expect("the job waits");
        if cancelled {
            house.cancel(job, at(2)).await.unwrap();
        } else {
            house.pause(job, at(2)).await.unwrap().unwrap().unwrap();
        }
        house.requeue_running(at(3)).await.unwrap();
        let job = house.get(job).await;
        assert_eq!(job.status, status);
        assert_ne!(job.stop_reason, Some(StopReason::CrashLoop));
    }
}

#[tokio::test]
async fn a_higher_priority_goes_first() {
    let house = House::new().await;
    let mut ids = vec![];
    for priority in [0, 5, -100, 5, 0] {
        ids.push(house.submit_with(&json!({"priority": priority})).await.id);
    }
    let mut order = vec![];
    while let Some(claim) = house.claim(at(1), Duration::ZERO).await.unwrap() {
        order.push(claim.run.job);
    }
    assert_eq!(order, [ids[1], ids[3], ids[0], ids[4], ids[2]]);
}

#[tokio::test]
async fn a_fork_begins_at_its_sources_checkpoint() {
    let house = House::new().await;
    let source = house.running().await;
    let kept = house.checkpoint_at(source, 40).await;
    let fork = Fork { source: source.job, source_sha256: kept.sha256.clone(), checkpoint: kept.clone() };
    let new = NewJob { fork: Some(fork), reproduces: Some(source.job), ..new_job(&json!({})) };
    let job = house.insert_job(&new).await.unwrap();
    assert_eq!((job.forked_from, job.progress.step, job.progress.epoch), (Some(source.job), 40, 4));
    assert_eq!(house.fork_of(job.id).await.unwrap(), Some((source.job, kept.sha256.clone())));
    assert_eq!(house.fork_of(source.job).await.unwrap(), None);
    house.checkpoint_at(source, 50).await;
    let claim = house.claimed().await;
    assert!(same(&claim.checkpoint.unwrap().unwrap(), &kept), "it has its own");
    assert_eq!((claim.run.job, claim.job.progress.step, claim.job.reproduced), (job.id, 40, None));
    house.succeed(source, vec![1]).await;
    house.succeed(claim.run, vec![2]).await;
    assert_eq!(house.get(job.id).await.reproduced, Some(false));
    let again = NewJob { reproduces: Some(source.job), ..new_job(&json!({})) };
    let again = house.insert_job(&again).await.unwrap();
    house.succeed(house.claimed().await.run, vec![1]).await;
    assert_eq!(house.get(again.id).await.reproduced, Some(true));
}

#[tokio::test]
async fn what_is_left_is_told_in_the_order_of_the_queue() {
    let house = House::new().await;
    let (fresh, begun) = (house.submit().await, house.submit_with(&json!({"priority": 1})).await.id);
    let run = house.claimed().await.run;
    assert_eq!(run.job, begun);
    house.give_back(run, 50, at(2)).await.unwrap();
    let running = house.submit_with(&json!({"priority": 2})).await.id;
    let run = house.claimed().await.run;
    house.train_to(run, 5).await;
    let rests = house.rests().await.unwrap();
    assert_eq!(
        rests.iter().map(|rest| (rest.job, rest.waits)).collect::<Vec<_>>(),
        [(running, false), (begun, true), (fresh, true)]
    );
    // Half of ten epochs of a thousand samples, at ten thousand thirds of a sample a second.
    let seconds: Vec<_> = rests.iter().map(|rest| rest.seconds.map(|seconds| (seconds * 1e6).round())).collect();
    assert_eq!(seconds, [Some(300_000.0), Some(1_500_000.0), None]);
    // The checkpoint was saved after 50 sevenths of a second.
    sqlx::query("update jobs set spec = replace(spec, '\"max_seconds\":null', '\"max_seconds\":8')")
        .execute(&house.writer)
        .await
        .unwrap();
    let rests = house.rests().await.unwrap();
    assert!((rests[1].seconds.unwrap() - (8.0 - 50.0 / 7.0)).abs() < 1e-9, "{rests:?}");
}

#[tokio::test]
async fn a_full_queue_takes_nothing() {
    let house = House::new().await;
    let terms = |max| Terms { max_queued: Some(max), ..Terms::default() };
    let admit = async |max| house.admit(&new_job(&json!({})), terms(max)).await.unwrap();
    assert!(matches!(admit(1).await, Admitted::New(..)));
    assert_eq!(admit(1).await, Admitted::QueueFull(1));
    assert_eq!(house.count("select count(*) from jobs").await, 1);
    house.claimed().await;
    assert!(matches!(admit(1).await, Admitted::New(..)), "a job that runs does not wait");
}

#[tokio::test]
async fn a_key_makes_one_job_and_is_forgotten_after_a_day() {
    let house = House::new().await;
    let up = |hour: u64| Duration::from_hours(hour);
    let admit = async |house: &House, key: &RequestKey, hour: u64, max| {
        // The clock on the wall jumps by years between any two.
        let new = NewJob { at: at((hour as i64 % 3 - 1) * 315_000_000), ..new_job(&json!({})) };
        let terms = Terms { max_queued: Some(max), key: Some(key), up: up(hour) };
        house.admit(&new, terms).await.unwrap()
    };
    let (key, other) = (key("k", "a"), key("k", "b"));
    assert!(matches!(admit(&house, &key, 0, 0).await, Admitted::QueueFull(0)));
    let Admitted::New(job, _) = admit(&house, &other, 1, 1).await else { panic!("a refusal uses no key") };
    assert_eq!(admit(&house, &key, 1, 9).await, Admitted::KeyTaken);
    assert_eq!(house.keyed(&key, up(1)).await.unwrap(), Some(Keyed::Other));
    assert_eq!(admit(&house, &other, 20, 0).await, Admitted::Known(job.clone()), "however full the queue is now");
    // A next process goes on with the age that its last one has written down.
    house.keep_uptime(up(20)).await.unwrap();
    let house = house.reopen().await;
    assert_eq!(house.keyed(&other, up(5)).await.unwrap(), Some(Keyed::Job(job)));
    assert_eq!(house.keyed(&other, up(6)).await.unwrap(), None);
    let Admitted::New(second, _) = admit(&house, &key, 6, 9).await else { panic!("the key is free again") };
    assert_eq!(house.count("select count(*) from idempotency_keys").await, 1);
    assert_eq!(house.keyed(&key, up(30)).await.unwrap(), Some(Keyed::Job(second)));
    assert_eq!(house.keyed(&key, up(31)).await.unwrap(), None);
}
