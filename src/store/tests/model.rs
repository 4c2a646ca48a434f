//! The life of jobs, held against a model small enough to be seen through: whatever clients wish, whatever runs do and
//! whenever the process dies, and whatever the clock on the wall says, each job is where the model says.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::job::hold::{FREE_STARTS, MAX_FAILED_STARTS, hold_back};

/// Something that happens. An index picks one of the jobs there are, in whatever state it is.
#[derive(Debug, Clone)]
enum Act {
    Submit { priority: i32 },
    Claim { up: u64 },
    Checkpoint(Index),
    Finish(Index, bool),
    GiveBack(Index),
    Cancel(Index),
    Pause(Index),
    Resume(Index),
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    let job = any::<Index>;
    prop_oneof![
        2 => (-1..=1).prop_map(|priority| Act::Submit { priority }),
        4 => prop_oneof![Just(0), Just(3), Just(600)].prop_map(|up| Act::Claim { up }),
        2 => job().prop_map(Act::Checkpoint),
        1 => (job(), any::<bool>()).prop_map(|(job, well)| Act::Finish(job, well)),
        2 => job().prop_map(Act::GiveBack),
        2 => job().prop_map(Act::Cancel),
        3 => job().prop_map(Act::Pause),
        3 => job().prop_map(Act::Resume),
        3 => Just(Act::Crash),
    ]
}

/// What the clock on the wall may say: people put it forward and back.
fn clock() -> impl Strategy<Value = Timestamp> {
    prop_oneof![Just(0), Just(3600), Just(-3600), Just(315_000_000), Just(-315_000_000)].prop_map(at)
}

/// A job as the model sees it.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    id: Uuid,
    priority: i32,
    status: Status,
    cancel: bool,
    pause: bool,
    attempt: u32,
    checkpoint: u64,
    vain: u32,
    /// Whether it is paused since the server died at each of its last starts.
    crash_loop: bool,
}

impl Model {
    /// The server dies while it runs.
    fn crash(&mut self) {
        self.crash_loop = self.vain >= MAX_FAILED_STARTS && !self.cancel && !self.pause;
        self.let_go();
        if self.crash_loop {
            self.status = Status::Paused;
        }
    }

    /// A run lets go of it.
    fn let_go(&mut self) {
        self.status = match (self.cancel, self.pause) {
            (true, _) => Status::Cancelled,
            (false, true) => Status::Paused,
            (false, false) => Status::Queued,
        };
        self.pause = false;
    }

    fn save(&mut self) {
        self.checkpoint += 1;
        self.vain = 0;
    }

    fn run(&self) -> RunKey {
        RunKey { job: self.id, attempt: self.attempt }
    }
}

/// The waiting jobs in their order: of a higher priority first, then as they came.
fn queue(models: &[Model]) -> Vec<Uuid> {
    let mut waiting: Vec<_> = models.iter().filter(|model| model.status == Status::Queued).collect();
    waiting.sort_by_key(|model| -model.priority);
    waiting.into_iter().map(|model| model.id).collect()
}

/// Lets one thing happen to the store and to the model, and holds what comes of it against each other.
async fn happen(house: &House, models: &mut Vec<Model>, act: &Act, at: Timestamp) {
    match act {
        Act::Submit { priority } => {
            let job = house.insert_job(&NewJob { at, ..new_job(&json!({"priority": priority})) }).await.unwrap();
            let (status, attempt, checkpoint) = (Status::Queued, 0, 0);
            let new = Model {
                id: job.id,
                priority: *priority,
                status,
                cancel: false,
                pause: false,
                attempt,
                checkpoint,
                vain: 0,
                crash_loop: false,
            };
            return models.push(new);
        }
        Act::Claim { up } => {
            let up = Duration::from_secs(*up);
            let suspected = models.iter().any(|model| model.status == Status::Running && model.vain > FREE_STARTS);
            let may_begin = |model: &Model| hold_back(model.vain) <= up && (model.vain < FREE_STARTS || !suspected);
            let free = |id: &Uuid| models.iter().any(|model| model.id == *id && may_begin(model));
            let next = queue(models).into_iter().find(free);
            let claim = house.claim(at, up).await.unwrap();
            assert_eq!(claim.as_ref().map(|claim| claim.run.job), next);
            let Some(claim) = claim else { return };
            let model = models.iter_mut().find(|model| model.id == claim.run.job).unwrap();
            (model.status, model.attempt, model.vain) = (Status::Running, model.attempt + 1, model.vain + 1);
            assert_eq!(claim.run, model.run());
            assert_eq!(claim.checkpoint.unwrap().map_or(0, |checkpoint| checkpoint.step), model.checkpoint);
            return;
        }
        Act::Crash => {
            let waiting = house.requeue_running(at).await.unwrap();
            let running: Vec<_> = models.iter_mut().filter(|model| model.status == Status::Running).collect();
            let mut again = vec![];
            for model in running {
                model.crash();
                again.extend((model.status == Status::Queued).then_some(model.id));
            }
            return assert_eq!(waiting, again);
        }
        _ => {}
    }
    if models.is_empty() {
        return;
    }
    match act {
        Act::Submit { .. } | Act::Claim { .. } | Act::Crash => {}
        Act::Checkpoint(job) | Act::Finish(job, _) | Act::GiveBack(job) => {
            run(house, job.get_mut(models), act, at).await;
        }
        Act::Cancel(job) | Act::Pause(job) | Act::Resume(job) => wish(house, job.get_mut(models), act, at).await,
    }
}

/// What a run does; that of a job that is not trained is refused.
async fn run(house: &House, model: &mut Model, act: &Act, at: Timestamp) {
    let key = model.run();
    let step = model.checkpoint + 1;
    let done = match act {
        Act::Checkpoint(_) => {
            let events = [saved(key, house.next_id(key.job).await, step)];
            let (progress, figures) = (progress(step), figures(step));
            house.save_checkpoint(key, &new_checkpoint(step, 10), news(&events, &progress, &figures)).await
        }
        Act::Finish(_, true) => house.finish(key, &success(vec![], vec![1]), at).await.map(drop),
        Act::Finish(_, false) => {
            house.finish(key, &end(Status::Failed, StopReason::Diverged, Some("x")), at).await.map(drop)
        }
        _ => house.give_back(key, step, at).await.map(drop),
    };
    if model.status != Status::Running {
        return assert!(matches!(done, Err(StoreError::Fenced)), "{done:?}");
    }
    done.unwrap();
    match act {
        Act::Checkpoint(_) => model.save(),
        Act::Finish(_, well) => {
            (model.status, model.pause) = (if *well { Status::Succeeded } else { Status::Failed }, false);
        }
        _ => {
            model.save();
            model.let_go();
        }
    }
}

/// What a client wishes.
async fn wish(house: &House, model: &mut Model, act: &Act, at: Timestamp) {
    use Status::{Cancelled, Failed, Paused, Queued, Running, Succeeded};
    let granted = match act {
        Act::Cancel(_) => house.cancel(model.id, at).await.unwrap().map(Ok),
        Act::Pause(_) => house.pause(model.id, at).await.unwrap(),
        _ => house.resume(model.id, at).await.unwrap(),
    };
    let granted = granted.expect("the job is there");
    let before = model.status;
    model.crash_loop &= !matches!(act, Act::Cancel(_) | Act::Resume(_));
    let refusal = match (act, before) {
        (Act::Pause(_), Succeeded | Failed | Cancelled) => Some(Refused::Ended(before)),
        (Act::Pause(_), Running) if model.cancel => Some(Refused::Cancelling),
        (Act::Resume(_), Succeeded | Failed) => Some(Refused::Over(before)),
        _ => None,
    };
    if let Some(refusal) = refusal {
        return assert_eq!(granted, Err(refusal));
    }
    match (act, before) {
        (Act::Cancel(_), Queued | Paused) => (model.status, model.cancel) = (Cancelled, true),
        (Act::Cancel(_), Running) => model.cancel = true,
        (Act::Pause(_), Queued) => model.status = Paused,
        (Act::Pause(_), Running) => model.pause = true,
        (Act::Resume(_), Running) => (model.cancel, model.pause) = (false, false),
        (Act::Resume(_), Paused | Cancelled) => (model.status, model.cancel, model.vain) = (Queued, false, 0),
        _ => {}
    }
    let granted = granted.expect("nothing is against it");
    assert_eq!((granted.job.status, granted.events.is_empty()), (model.status, model.status == before));
}

/// Each job is where the model says, and its log tells how it came there.
async fn agree(house: &House, models: &[Model]) {
    let waiting = queue(models);
    for model in models {
        let job = house.get(model.id).await;
        assert_eq!(
            (job.status, job.cancel_requested, job.pause_requested, job.attempt),
            (model.status, model.cancel, model.pause, model.attempt)
        );
        assert_eq!(job.finished_at.is_some(), model.status.is_final());
        assert_eq!(job.stop_reason.is_some(), model.status.is_final() || model.crash_loop);
        assert_eq!(job.stop_reason == Some(StopReason::CrashLoop), model.crash_loop);
        let place = waiting.iter().position(|id| *id == model.id).map(|place| place as u64 + 1);
        assert_eq!(job.queue_position, place);
        let step = house.checkpoint(model.id).await.unwrap().map_or(0, |checkpoint| checkpoint.step);
        assert_eq!(step, model.checkpoint);
        let log = house.log(model.id).await;
        assert!(log.iter().zip(1..).all(|(event, id)| event.id == id), "{log:?}");
        let states = states(&log);
        assert_eq!((states[0], states.last()), (Status::Queued, Some(&model.status)));
        assert!(states.is_sorted_by(|from, to| from.may_become(*to)), "{states:?}");
        let ends = log.iter().filter(|event| event.body.kind() == "done").count();
        assert_eq!(ends, states.iter().filter(|status| status.is_final()).count(), "each end is told once");
    }
    let listed = house.jobs(&JobQuery { limit: 100, order: Order::Oldest, ..JobQuery::default() }).await.unwrap();
    assert!(models.iter().map(|model| model.id).is_sorted(), "ids rise");
    assert_eq!(listed.data.len(), models.len());
    for (listed, model) in listed.data.iter().zip(models) {
        assert_eq!(*listed, house.get(model.id).await, "a list says the same");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn jobs_live_as_the_model_says(acts in prop::collection::vec((act(), clock()), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let house = House::new().await;
            let mut models = Vec::new();
            for (act, at) in &acts {
                happen(&house, &mut models, act, *at).await;
            }
            agree(&house, &models).await;
        });
    }
}
