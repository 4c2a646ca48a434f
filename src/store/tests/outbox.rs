//! News of jobs: written with the change they tell of, sent when it is their turn, and not kept for ever.

use proptest::prelude::*;

use super::*;
use crate::store::open::Tx;

const HOOK: &str = "https://example.com/hook?token=1";
const ALL: Room = Room { most: 100, each: 100, server: true };
const YEAR: i64 = 365 * 24 * 3600;

impl House {
    /// A job that has a receiver of its own, claimed.
    async fn running_with_hook(&self) -> RunKey {
        self.submit_with(&json!({"webhook": HOOK})).await;
        self.claimed().await.run
    }

    /// What is to be sent now.
    async fn due(&self, at: Timestamp, room: Room) -> Vec<Message> {
        self.claim_messages(at, room).await.unwrap()
    }

    /// Types, receivers and states of a job's messages, the oldest first.
    async fn outbox(&self, job: Uuid) -> Vec<(String, &'static str, String)> {
        let page = self.messages(job).await.unwrap();
        page.data.into_iter().rev().map(|message| (message.r#type, message.to, message.status)).collect()
    }
}

fn pending(r#type: &str, to: &'static str) -> (String, &'static str, String) {
    (r#type.into(), to, "pending".into())
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

#[tokio::test]
async fn an_end_and_a_pause_are_told_and_nothing_else() {
    let house = House::new().await;
    let run = house.running_with_hook().await;
    house.checkpoint_at(run, 10).await;
    assert_eq!(house.outbox(run.job).await, [], "nobody waits for a start");
    house.pause(run.job, at(2)).await.unwrap();
    assert_eq!(house.outbox(run.job).await, [], "it still runs");
    let events = house.give_back(run, 20, at(3)).await.unwrap();
    assert_eq!(house.outbox(run.job).await, [pending("job.paused", "job")]);
    house.resume(run.job, at(4)).await.unwrap().unwrap().unwrap();
    house.cancel(run.job, at(5)).await.unwrap();
    house.resume(run.job, at(6)).await.unwrap().unwrap().unwrap();
    let run = house.claimed().await.run;
    house.succeed(run, vec![1]).await;
    let told = ["job.paused", "job.cancelled", "job.succeeded"].map(|r#type| pending(r#type, "job"));
    assert_eq!(house.outbox(run.job).await, told);

    let messages = house.due(at(10), ALL).await;
    assert!(messages.iter().all(|message| message.url.as_deref() == Some(HOOK) && message.attempt == 1));
    let paused = events.iter().find(|event| states(std::slice::from_ref(event)) == [Status::Paused]).unwrap();
    assert_eq!(messages[0].id, format!("msg_{}_{}", run.job.simple(), paused.id));
    let body: Value = serde_json::from_str(&messages[2].body).unwrap();
    let data = json!({"job": run.job, "status": "succeeded", "stop_reason": "completed"});
    assert_eq!(body, json!({"type": "job.succeeded", "timestamp": at(9).to_string(), "data": data}));
}

#[tokio::test]
async fn whichever_way_a_job_ends_it_is_told() {
    let house = House::new().await;
    // One that fails; one that was asked to stop when its server died; one that cannot even be claimed.
    let failed = house.running_with_hook().await;
    house.finish(failed, &end(Status::Failed, StopReason::Diverged, Some("x")), at(3)).await.unwrap();
    let asked = house.running_with_hook().await;
    house.cancel(asked.job, at(4)).await.unwrap();
    let interrupted = house.running_with_hook().await;
    house.requeue_running(at(5)).await.unwrap();
    house.sql("update jobs set spec = 'damaged' where status = 'queued'").await;
    assert!(house.claim(at(6), Duration::ZERO).await.unwrap().is_none());
    assert_eq!(house.outbox(failed.job).await, [pending("job.failed", "job")]);
    assert_eq!(house.outbox(asked.job).await, [pending("job.cancelled", "job")]);
    assert_eq!(house.outbox(interrupted.job).await, [pending("job.failed", "job")]);
}

#[tokio::test]
async fn the_server_is_told_of_every_job_and_a_job_tells_its_own() {
    let house = House::new().await;
    let quiet = house.running().await;
    house.succeed(quiet, vec![1]).await;
    assert_eq!(house.count("select count(*) from webhook_messages").await, 0);
    let House { dir, store } = house;
    let house = House { dir, store: store.telling_the_server() };
    let (plain, own) = (house.running().await, house.running_with_hook().await);
    for run in [plain, own] {
        house.finish(run, &end(Status::Failed, StopReason::Error, None), at(3)).await.unwrap();
    }
    assert_eq!(house.outbox(plain.job).await, [pending("job.failed", "server")]);
    assert_eq!(house.outbox(own.job).await, [pending("job.failed", "job"), pending("job.failed", "server")]);
    // A server that has no such URL now keeps them until it has one again.
    assert_eq!(house.due(at(4), Room { server: false, ..ALL }).await.len(), 1);
    let rest = house.due(at(4), ALL).await;
    assert_eq!(
        rest.iter().map(|message| (message.job, &message.url)).collect::<Vec<_>>(),
        [(plain.job, &None), (own.job, &None)]
    );
}

#[tokio::test]
async fn a_move_that_is_not_written_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::on_call();
    let store = Store::open_with_faults(&dir.path().join("dojang.db"), faults.clone()).await.unwrap();
    let house = House { dir, store: store.telling_the_server() };
    let run = house.running_with_hook().await;
    for fault in [Fault::Busy, Fault::Commit] {
        faults.fail(fault, 1..2);
        assert!(house.finish(run, &success(vec![], vec![1]), at(2)).await.is_err());
        assert_eq!((house.outbox(run.job).await, house.get(run.job).await.status), (vec![], Status::Running));
    }
    house.succeed(run, vec![1]).await;
    assert_eq!(house.outbox(run.job).await.len(), 2);
    // Told at once, and once only: no permit is left after the wait.
    house.message_written().await;
    assert!(tokio::time::timeout(Duration::ZERO, house.message_written()).await.is_err());
}

#[tokio::test]
async fn it_is_a_messages_turn_whatever_the_clock_does() {
    let house = House::new().await;
    let run = house.running_with_hook().await;
    house.succeed(run, vec![1]).await;
    let shown = async |house: &House| house.messages(run.job).await.unwrap().data.remove(0);
    let claim = async |at: Timestamp| house.due(at, ALL).await.pop();
    // Written at 9 s; the clock has been set back since.
    let first = claim(at(-YEAR)).await.expect("at once");
    assert_eq!(claim(at(-YEAR)).await, None, "it is being sent");
    house.settle_message(&first, Settled::PutOff(hours(5)), "500 Internal Server Error", at(100)).await.unwrap();
    let view = shown(&house).await;
    assert_eq!(
        (view.status.as_str(), view.attempts, view.answer.as_deref()),
        ("pending", 1, Some("500 Internal Server Error"))
    );
    assert_eq!(view.next_attempt_at.unwrap().as_millisecond(), at(100 + 5 * 3600).as_millisecond());
    for early in [100, 101, 100 + 5 * 3600 - 1] {
        assert_eq!(claim(at(early)).await, None, "{early}");
    }
    let second = claim(at(100 + 5 * 3600)).await.expect("its turn");
    assert_eq!((second.attempt, &second.id, &second.body), (2, &first.id, &first.body));
    // What is said too late of an attempt that was followed by another counts for nothing.
    house.settle_message(&first, Settled::Delivered, "200 OK", at(0)).await.unwrap();
    assert_eq!(shown(&house).await.status, "sending");
    house.settle_message(&second, Settled::PutOff(hours(24)), "x", at(10 * YEAR)).await.unwrap();
    // The clock that was ten years ahead is put right: nobody knows how long the message has waited.
    let third = claim(at(200)).await.expect("at once");
    // Never settled: taken again after a while, before that only where the clock is set back.
    assert_eq!(claim(at(319)).await, None);
    let fourth = claim(at(320)).await.expect("its attempt is over");
    let fifth = claim(at(319)).await.expect("the clock is set back");
    assert_eq!([third.attempt, fourth.attempt, fifth.attempt], [3, 4, 5]);
    // A server that starts knows that nothing is under way.
    house.release_messages(at(319)).await.unwrap();
    assert_eq!(shown(&house).await.attempts, 4, "a death of the process is not a failed attempt");
    let fifth = claim(at(319)).await.expect("at once");
    house.settle_message(&fifth, Settled::Delivered, "204 No Content", at(320)).await.unwrap();
    let view = shown(&house).await;
    assert_eq!((view.status.as_str(), view.attempts, view.next_attempt_at), ("delivered", 5, None));
    assert_eq!(claim(at(10 * YEAR)).await, None);
}

/// Writes so many messages to a receiver, due at this second, as if `job` had been moved that often.
async fn write(house: &House, job: Uuid, receiver: &str, count: i64, second: i64) {
    let mut tx: Tx = house.write().await.unwrap();
    sqlx::query(
        "with recursive numbers (n) as (select 1 union all select n + 1 from numbers limit ?5)
         insert into webhook_messages (job, event, url, receiver, type, body, due_ms)
         select ?1, n, ?2 || '/', ?3, 'job.paused', '{}', ?4 + n from numbers",
    )
    .bind(job)
    .bind(receiver)
    .bind(receiver)
    .bind(at(second).as_millisecond())
    .bind(count)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

fn receivers(messages: &[Message]) -> Vec<char> {
    let mut letters: Vec<_> = messages.iter().filter_map(|m| m.url.as_deref()?.chars().nth(7)).collect();
    letters.sort_unstable();
    letters
}

#[tokio::test]
async fn a_receiver_that_is_slow_keeps_no_other_waiting() {
    let house = House::new().await;
    let job = house.submit().await;
    write(&house, job, "http://a", 50, 0).await;
    let room = Room { most: 4, each: 2, server: true };
    let slow = house.due(at(10), room).await;
    assert_eq!(receivers(&slow), ['a', 'a']);
    write(&house, job, "http://b", 50, 5).await;
    write(&house, job, "http://c", 50, 5).await;
    // What came later goes first where nothing is under way.
    let others = house.due(at(10), Room { most: 2, ..room }).await;
    assert_eq!(receivers(&others), ['b', 'c']);
    assert_eq!(receivers(&house.due(at(10), room).await), ['b', 'c']);
    assert_eq!(house.due(at(10), room).await, []);
    house.settle_message(&slow[0], Settled::PutOff(hours(1)), "x", at(20)).await.unwrap();
    house.settle_message(&others[0], Settled::Delivered, "x", at(20)).await.unwrap();
    assert_eq!(receivers(&house.due(at(20), room).await), ['a', 'b']);
    // Attempts that were never settled do not count for ever.
    assert_eq!(receivers(&house.due(at(200), room).await), ['a', 'a', 'b', 'c']);
}

#[tokio::test]
async fn what_is_settled_does_not_pile_up_and_what_is_not_stays() {
    let house = House::new().await;
    let (job, other) = (house.submit().await, house.submit().await);
    write(&house, job, "http://a", 1500, 0).await;
    house.sql("update webhook_messages set status = 'failed' where event <= 1200").await;
    let [message]: [Message; 1] = house.due(at(10), Room { most: 1, ..ALL }).await.try_into().unwrap();
    house.settle_message(&message, Settled::Delivered, "x", at(10)).await.unwrap();
    let count = async |status: &str| -> i64 {
        let sql = "select count(*) from webhook_messages where status = ?";
        sqlx::query_scalar(sql).bind(status).fetch_one(&house.readers).await.unwrap()
    };
    assert_eq!([count("failed").await, count("delivered").await, count("pending").await], [999, 1, 299]);
    let page = house.messages(job).await.unwrap();
    assert_eq!((page.data.len(), page.has_more, &page.data[0].r#type), (100, true, &"job.paused".into()));
    assert_eq!(house.messages(other).await.unwrap(), Page { data: vec![], has_more: false });
}

#[tokio::test]
async fn messages_go_with_their_job() {
    let house = House::new().await;
    let run = house.running_with_hook().await;
    house.succeed(run, vec![1]).await;
    let [message]: [Message; 1] = house.due(at(10), ALL).await.try_into().unwrap();
    house.delete_job(run.job).await.unwrap().unwrap().unwrap();
    assert_eq!(house.count("select count(*) from webhook_messages").await, 0);
    house.settle_message(&message, Settled::PutOff(hours(1)), "x", at(11)).await.unwrap();
    assert_eq!(house.count("select count(*) from webhook_messages").await, 0);
}

/// What may happen to messages.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// The clock goes on, or jumps.
    Clock(i64),
    /// Those whose turn it is are taken.
    Claim,
    /// The oldest that is under way is settled.
    Settle(Settled),
    /// The process dies and another starts.
    Restart,
}

/// A message as the test thinks of it, in milliseconds.
#[derive(Debug, Clone, Default)]
struct Model {
    due: i64,
    waits: i64,
    under_way: bool,
    attempts: u32,
    settled: bool,
}

fn act() -> impl Strategy<Value = Act> {
    let settled = prop_oneof![
        1 => Just(Settled::Delivered),
        1 => Just(Settled::Failed),
        4 => (0_u64..100_000).prop_map(|seconds| Settled::PutOff(Duration::from_secs(seconds))),
    ];
    prop_oneof![
        3 => (-300_000_i64..300_000).prop_map(Act::Clock),
        1 => prop_oneof![Just(YEAR), Just(-YEAR), Just(-3600)].prop_map(Act::Clock),
        4 => Just(Act::Claim),
        4 => settled.prop_map(Act::Settle),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_message_is_lost_or_sent_before_its_turn(acts in prop::collection::vec(act(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(follow(&acts))?;
    }
}

async fn follow(acts: &[Act]) -> Result<(), TestCaseError> {
    let house = House::new().await;
    let job = house.submit().await;
    write(&house, job, "http://a", 3, 0).await;
    let mut models = [1, 2, 3].map(|n| Model { due: at(0).as_millisecond() + n, ..Model::default() });
    let mut under_way: Vec<Message> = vec![];
    let mut now = at(1);
    for act in acts {
        match act {
            Act::Clock(seconds) => now = now.checked_add(jiff::SignedDuration::from_secs(*seconds)).unwrap(),
            Act::Claim => {
                let ms = now.as_millisecond();
                let due = |model: &&mut Model| !model.settled && (model.due <= ms || model.due - model.waits > ms);
                let mut expected = vec![];
                for model in models.iter_mut().filter(due) {
                    *model = Model {
                        due: ms + 120_000,
                        waits: 120_000,
                        under_way: true,
                        attempts: model.attempts + 1,
                        ..*model
                    };
                    expected.push(model.attempts);
                }
                let claimed = house.due(now, ALL).await;
                prop_assert_eq!(claimed.iter().map(|message| message.attempt).collect::<Vec<_>>(), expected);
                under_way.extend(claimed);
            }
            Act::Settle(_) if under_way.is_empty() => {}
            Act::Settle(settled) => {
                let message = under_way.remove(0);
                house.settle_message(&message, *settled, "x", now).await.unwrap();
                let n: usize = message.id.rsplit('_').next().unwrap().parse().unwrap();
                let model = &mut models[n - 1];
                // Unless it was taken again meanwhile.
                if model.under_way && model.attempts == message.attempt {
                    let delay = if let Settled::PutOff(delay) = settled { delay.as_millis() as i64 } else { 0 };
                    *model = Model { due: now.as_millisecond() + delay, waits: delay, under_way: false, ..*model };
                    model.settled = !matches!(settled, Settled::PutOff(_));
                }
            }
            Act::Restart => {
                under_way.clear();
                house.release_messages(now).await.unwrap();
                for model in models.iter_mut().filter(|model| model.under_way) {
                    let attempts = model.attempts - 1;
                    *model = Model { due: now.as_millisecond(), attempts, ..Model::default() };
                }
            }
        }
    }
    let open = models.iter().filter(|model| !model.settled).count() as i64;
    let left = house.count("select count(*) from webhook_messages where status in ('pending', 'sending')").await;
    prop_assert_eq!((left, house.count("select count(*) from webhook_messages").await), (open, 3));
    Ok(())
}
