//! Lists, logs, histories and models, as readers see them.

use super::*;

async fn ids(house: &House, query: JobQuery) -> (Vec<Uuid>, bool) {
    let page = house.jobs(&query).await.unwrap();
    (page.data.iter().map(|job| job.id).collect(), page.has_more)
}

#[tokio::test]
async fn jobs_are_listed_page_by_page_in_both_orders() {
    let house = House::new().await;
    let mut oldest = Vec::new();
    for _ in 0..7 {
        oldest.push(house.submit().await);
    }
    let newest: Vec<_> = oldest.iter().rev().copied().collect();
    for (order, all) in [(Order::Newest, newest), (Order::Oldest, oldest)] {
        let mut after = None;
        let mut found = Vec::new();
        loop {
            let (page, has_more) = ids(&house, JobQuery { limit: 3, after, order, status: None }).await;
            after = page.last().copied();
            found.extend(page);
            if !has_more {
                break;
            }
        }
        assert_eq!(found, all);
        let whole = JobQuery { limit: 7, order, ..JobQuery::default() };
        assert_eq!(ids(&house, whole).await, (all, false), "a full page need not be followed by more");
        assert_eq!(ids(&house, JobQuery { after, ..whole }).await, (vec![], false));
        assert_eq!(ids(&house, JobQuery { after: Some(Uuid::nil()), ..whole }).await, (vec![], false));
        assert_eq!(ids(&house, JobQuery { limit: 0, ..whole }).await, (vec![], true));
    }
}

#[tokio::test]
async fn a_deleted_job_keeps_its_place_in_the_list() {
    let house = House::new().await;
    let mut oldest = Vec::new();
    for _ in 0..6 {
        let run = house.running().await;
        house.succeed(run, vec![1]).await;
        oldest.push(run.job);
    }
    for gone in [5, 2, 3] {
        house.delete_job(oldest[gone]).await.unwrap();
    }
    let newest = JobQuery { limit: 10, ..JobQuery::default() };
    for (after, rest) in [(5, vec![4, 1, 0]), (3, vec![1, 0]), (2, vec![1, 0]), (4, vec![1, 0])] {
        let expected: Vec<_> = rest.into_iter().map(|job: usize| oldest[job]).collect();
        assert_eq!(ids(&house, JobQuery { after: Some(oldest[after]), ..newest }).await, (expected, false), "{after}");
    }
    let from_oldest = JobQuery { order: Order::Oldest, after: Some(oldest[2]), limit: 1, ..newest };
    assert_eq!(ids(&house, from_oldest).await, (vec![oldest[4]], false));
    for (job, accepted) in [(oldest[2], true), (oldest[4], true), (Uuid::nil(), false)] {
        assert_eq!(house.job_was_accepted(job).await.unwrap(), accepted);
    }
}

#[tokio::test]
async fn a_job_names_each_build_that_trained_it_once() {
    let house = House::new().await;
    let run = house.running().await;
    for kernels in ["avx512", "avx2", "avx512"] {
        house.record_build(run, &build(kernels)).await.unwrap();
    }
    assert_eq!(house.get(run.job).await.trained_with, [build("avx512"), build("avx2")]);
    house.succeed(run, vec![1]).await;
    let again = NewJob { reproduces: Some(run.job), ..new_job(&json!({})) };
    house.insert_job(&again).await.unwrap();
    let again = house.claimed().await.run;
    house.record_build(again, &build("avx2")).await.unwrap();
    let events = house.succeed(again, vec![2]).await;
    let kinds: Vec<_> = events.iter().map(|event| event.body.kind()).collect();
    assert_eq!(kinds, ["alert", "state", "done"], "in the log's order");
    assert_eq!(events[0].id + 2, events[2].id);
    let job = house.get(again.job).await;
    let texts: Vec<_> = job.differs_in.iter().map(ToString::to_string).collect();
    assert_eq!(
        (job.reproduced, texts),
        (Some(false), vec!["kernels: avx2, avx512 (original), avx2 (reproduction)".into()])
    );
    // What the original was trained with stays known.
    house.delete_job(run.job).await.unwrap();
    assert_eq!(house.get(again.job).await.differs_in, job.differs_in);
}

#[tokio::test]
async fn jobs_are_listed_by_state() {
    let house = House::new().await;
    let succeeded = house.running().await;
    house.succeed(succeeded, vec![1]).await;
    let failed = house.running().await;
    house.finish(failed, &end(Status::Failed, StopReason::Error, Some("x")), at(2)).await.unwrap();
    let running = house.running().await;
    let (first, cancelled, second) = (house.submit().await, house.submit().await, house.submit().await);
    house.cancel(cancelled, at(3)).await.unwrap();
    for (status, expected) in [
        (Status::Queued, vec![second, first]),
        (Status::Running, vec![running.job]),
        (Status::Succeeded, vec![succeeded.job]),
        (Status::Failed, vec![failed.job]),
        (Status::Cancelled, vec![cancelled]),
    ] {
        let query = JobQuery { status: Some(status), limit: 10, ..JobQuery::default() };
        assert_eq!(ids(&house, query).await, (expected, false), "{status}");
        let after = JobQuery { after: Some(second), ..query };
        assert!(!ids(&house, after).await.0.contains(&second));
    }
    for order in [Order::Newest, Order::Oldest] {
        for job in house.jobs(&JobQuery { limit: 10, order, ..JobQuery::default() }).await.unwrap().data {
            assert_eq!(job, house.get(job.id).await, "an element of the list is the job, with its place in the queue");
        }
    }
}

#[tokio::test]
async fn a_log_is_read_from_any_event_on() {
    let house = House::new().await;
    let run = house.running().await;
    let events: Vec<_> = (3..=40).map(|id| metrics(run, id, id)).collect();
    house.append(run, news(&events, &progress(40), &figures(40))).await.unwrap();
    let all = house.log(run.job).await;
    assert_eq!(all.len(), 40);
    for (after, limit, expected) in [(0, 2, &all[..2]), (2, 5, &all[2..7]), (38, 10, &all[38..]), (40, 10, &[][..])] {
        assert_eq!(house.events(run.job, after, limit).await.unwrap(), expected);
    }
    assert!(house.events(run.job, u64::MAX, 10).await.unwrap().is_empty());
    assert!(house.events(Uuid::nil(), 0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_history_says_what_its_points_said() {
    let house = House::new().await;
    let run = house.running().await;
    let mut unknown = metrics(run, 4, 20);
    if let EventBody::Metrics(metrics) = &mut unknown.body {
        (metrics.loss, metrics.accuracy, metrics.samples_per_second) = (Some(f64::INFINITY), Some(f64::NAN), None);
    }
    let events = [metrics(run, 3, 10), unknown, epoch(run, 5, 1)];
    house.append(run, news(&events, &progress(20), &figures(20))).await.unwrap();
    let History { steps, epochs, resolution } = house.metrics(run.job).await.unwrap();
    let (EventBody::Metrics(first), EventBody::Epoch(end)) = (&events[0].body, &events[2].body) else { panic!() };
    let point = StepPoint {
        step: 10,
        epoch: 1,
        loss: first.loss,
        accuracy: first.accuracy,
        learning_rate: Some(first.learning_rate),
        samples_per_second: first.samples_per_second,
        at: at(3),
    };
    assert_eq!(steps[0], point);
    assert_eq!((steps[1].loss, steps[1].accuracy, steps[1].samples_per_second), (None, None, None));
    let point = EpochPoint {
        epoch: 1,
        step: 10,
        train_loss: end.train_loss,
        train_accuracy: end.train_accuracy,
        validation_loss: None,
        validation_accuracy: None,
        test_loss: end.test_loss,
        test_accuracy: end.test_accuracy,
        seconds: Some(end.seconds),
        at: at(5),
    };
    assert_eq!((epochs, resolution), (vec![point], Resolution::default()));
    assert_eq!(house.metrics(Uuid::nil()).await.unwrap(), History::default());
}

#[tokio::test]
async fn versions_count_up_for_each_model() {
    let house = House::new().await;
    assert_eq!(house.newest_model().await.unwrap(), None);
    let mut jobs = Vec::new();
    for (i, model) in ["a", "b", "a", "a"].into_iter().enumerate() {
        let job = house.submit_with(&json!({"model": model, "seed": i})).await;
        let run = house.claimed().await.run;
        house.succeed(run, vec![i as u8]).await;
        jobs.push(job.id);
    }
    let models = house.models(None, 200).await.unwrap().data;
    let shape: Vec<_> = models
        .iter()
        .map(|m| {
            (
                m.name.as_str(),
                m.latest_version,
                m.versions.iter().map(|v| (v.version, v.job.unwrap())).collect::<Vec<_>>(),
            )
        })
        .collect();
    let a = vec![(3, jobs[3]), (2, jobs[2]), (1, jobs[0])];
    assert_eq!(shape, [("a", 3, a), ("b", 1, vec![(1, jobs[1])])], "by their names, the newest version of each first");

    let version = async |name, version| house.model_version(name, version).await.unwrap();
    let newest = house.newest_model().await.unwrap().unwrap();
    assert_eq!(version("a", None).await.as_ref(), Some(&newest));
    assert_eq!(version("a", Some(3)).await.as_ref(), Some(&newest));
    assert_eq!(version("a", Some(1)).await.map(|v| v.job), Some(Some(jobs[0])));
    for (name, number) in [("a", Some(4)), ("a", Some(0)), ("c", None)] {
        assert_eq!(version(name, number).await, None);
    }
    assert_eq!((newest.spec.seed, newest.dataset.as_str(), newest.parameters), (3, "digits", 39_760));
    assert_eq!((newest.test_accuracy, newest.created_at), (Some(0.75), at(9)));
    assert_eq!(house.weights(&newest.weights_sha256).await.unwrap(), Some(vec![3]));
    let shown = serde_json::to_value(&newest).unwrap();
    assert_eq!((shown.get("spec"), shown["version"].as_u64()), (None, Some(3)));

    house.sql("delete from model_versions where version = 3").await;
    house.submit_with(&json!({"model": "a"})).await;
    let run = house.claimed().await.run;
    house.succeed(run, vec![9]).await;
    assert_eq!(house.get(run.job).await.model_version, Some(4), "a version's number is not given again");
}

#[tokio::test]
async fn a_dataset_is_needed_by_jobs_that_wait_or_run_and_by_models() {
    let house = House::new().await;
    assert_eq!(house.dataset_use("digits").await.unwrap(), None);
    let job = house.submit().await;
    assert_eq!(house.dataset_use("digits").await.unwrap(), Some(DatasetUse::Job(job)));
    assert_eq!(house.dataset_use("digit").await.unwrap(), None);
    house.cancel(job, at(1)).await.unwrap();
    assert_eq!(house.dataset_use("digits").await.unwrap(), None, "a job that was cancelled needs nothing");
    let run = house.running().await;
    assert_eq!(house.dataset_use("digits").await.unwrap(), Some(DatasetUse::Job(run.job)));
    house.succeed(run, bytes(1, 10)).await;
    let model = DatasetUse::Model { name: "digits".into(), version: 1 };
    assert_eq!(house.dataset_use("digits").await.unwrap(), Some(model));
    house.sql("update model_versions set spec = '{'").await;
    assert_eq!(house.dataset_use("digits").await.unwrap(), None, "and a damaged spec is no reason to fail");
}

#[tokio::test]
async fn weights_that_no_job_has_trained_are_versions_too() {
    let house = House::new().await;
    let run = house.running().await;
    house.succeed(run, vec![1]).await;
    let spec = new_job(&json!({"model": "digits"})).spec;
    let weights = NewWeights { sha256: sha256(&[2]), bytes: vec![2] };
    let new = NewVersion { spec, parameters: 39_760, test_accuracy: Some(0.1 + 0.2), weights };
    let version = house.import_version(&new, at(20)).await.unwrap();
    assert_eq!((version.version, version.source, version.job), (2, Source::Import, None));
    // The same weights once more, of which nothing is known.
    let again = house.import_version(&NewVersion { test_accuracy: None, ..new.clone() }, at(20)).await.unwrap();
    assert_eq!((again.version, again.test_accuracy), (3, None));
    assert_eq!(house.count("select count(*) from weights").await, 2);

    let house = house.reopen().await;
    let model = house.model("digits").await.unwrap().unwrap();
    assert_eq!((model.latest_version, &model.versions[..2]), (3, &[again, version.clone()][..]));
    assert_eq!((model.versions[2].source, model.versions[2].job), (Source::Job, Some(run.job)));
    assert_eq!(house.models(None, 200).await.unwrap().data, [model]);
    assert_eq!(house.model_version("digits", Some(2)).await.unwrap(), Some(version));
    assert_eq!(house.weights(&sha256(&[2])).await.unwrap(), Some(vec![2]));
    assert_eq!(house.model("none").await.unwrap(), None);
    house.sql("delete from model_versions where job is not null").await;
    let needed = DatasetUse::Model { name: "digits".into(), version: 2 };
    assert_eq!(house.dataset_use("digits").await.unwrap(), Some(needed), "its input's shape is the dataset's");
}
