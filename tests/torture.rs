//! Kills the server again and again, at random moments, and shows that nothing is lost.
//!
//! `cargo test --test torture -- --ignored --nocapture`; `DOJANG_KILLS` says how often it kills (default: 50), and
//! `DOJANG_SEED` repeats the random choices of a former run, as far as the machine lets it.

#[path = "it/consistency.rs"]
mod consistency;
#[path = "it/harness.rs"]
#[expect(dead_code, reason = "the integration tests use the rest")]
mod harness;
#[path = "it/process.rs"]
#[expect(dead_code, reason = "the integration tests use the rest")]
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use dojang::engine::rng::{Purpose, Rng};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use consistency::assert_consistent;
use harness::{Client, Frame, Stream, small_mnist};
use process::{Process, command};

/// Jobs that train at once.
const SLOTS: &str = "2";

/// The kinds of jobs: what each of them has to save is different.
fn specs() -> Vec<Value> {
    let mlp = json!({
        "dataset": {"name": "mnist"},
        "network": [{"type": "affine", "units": 50}, "relu", {"type": "affine", "units": 10}],
        "optimizer": {"type": "adam", "learning_rate": 0.001}, "batch_size": 50, "epochs": 60,
    });
    let convnet = json!({
        "dataset": {"name": "mnist"},
        "network": [
            {"type": "conv2d", "filters": 4, "kernel": 5}, "batch_norm", "relu",
            "max_pool2d", "flatten", {"type": "dropout", "rate": 0.3},
            {"type": "affine", "units": 10},
        ],
        "optimizer": {"type": "momentum", "learning_rate": 0.01}, "batch_size": 50, "epochs": 8,
    });
    let xor = json!({
        "dataset": {"name": "xor"}, "network": [{"type": "affine", "units": 16}, "tanh", {"type": "affine", "units": 2}],
        "optimizer": {"type": "adam", "learning_rate": 0.01}, "batch_size": 4, "epochs": 3000,
    });
    let seeded = |seed: u64| {
        [&mlp, &convnet, &xor].map(|spec| {
            let mut spec = spec.clone();
            spec["seed"] = json!(seed);
            spec["checkpoint_every_seconds"] = json!(0.05);
            spec
        })
    };
    [seeded(1), seeded(2)].concat()
}

/// What a client has asked of a job last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Go,
    Pause,
    Cancel,
}

impl Wish {
    fn path(self) -> &'static str {
        match self {
            Self::Go => "resume",
            Self::Pause => "pause",
            Self::Cancel => "cancel",
        }
    }
}

/// A job as its client knows it.
#[derive(Debug)]
struct Known {
    key: String,
    spec: usize,
    /// Since it was acknowledged.
    id: Option<String>,
    wish: Wish,
    /// Whether the wish was acknowledged.
    granted: bool,
    /// The events that readers have seen, whenever that was.
    seen: BTreeMap<u64, Frame>,
}

/// What one of the clients brings back from a server that was killed meanwhile.
enum Back {
    Accepted(usize, String),
    Granted(usize),
    Seen(usize, Vec<Frame>),
    Unanswered,
    Nothing,
}

struct Torture {
    folder: PathBuf,
    rng: Rng,
    specs: Vec<Value>,
    jobs: Vec<Known>,
    most_jobs: usize,
    /// Kills while the server started.
    starts: u32,
    /// Submissions that were never answered.
    unanswered: u32,
}

impl Torture {
    fn millis(&mut self, below: u32) -> Duration {
        Duration::from_millis(self.rng.below(below).into())
    }

    fn start(&mut self) -> Process {
        let threads = 1 + self.rng.below(3) as usize;
        let mut server = command(&self.folder, threads);
        server.args(["--slots", SLOTS]);
        Process::of(server)
    }

    /// Kills a server at a random moment of its start.
    async fn kill_while_it_starts(&mut self) {
        let mut server = command(&self.folder, 1).stderr(Stdio::null()).spawn().expect("the binary starts");
        tokio::time::sleep(self.millis(150)).await;
        self.starts += 1;
        server.kill().expect("it runs");
        server.wait().expect("it ends");
    }

    /// Lets clients work with a server, and kills it at a random moment.
    async fn kill_at_work(&mut self) {
        let process = self.start();
        self.check_promises(&process.client).await;
        let clients = self.clients(&process.client);
        // Often while the requests are on their way, else while jobs train.
        let life = if self.rng.below(3) == 0 { self.millis(25) } else { self.millis(900) };
        tokio::time::sleep(life).await;
        process.kill();
        for back in clients.join_all().await {
            match back {
                Back::Accepted(job, id) => self.jobs[job].id = Some(id),
                Back::Granted(job) => self.jobs[job].granted = true,
                Back::Seen(job, frames) => {
                    let seen = &mut self.jobs[job].seen;
                    for frame in frames {
                        let before = seen.insert(frame.id, frame.clone());
                        assert!(before.is_none_or(|before| before == frame), "an event was rewritten: {frame:?}");
                    }
                }
                Back::Unanswered => self.unanswered += 1,
                Back::Nothing => {}
            }
        }
    }

    /// Clients that submit jobs, ask things of them and read their logs, all at once.
    fn clients(&mut self, client: &Client) -> JoinSet<Back> {
        let mut clients = JoinSet::new();
        let acknowledged: Vec<usize> = (0..self.jobs.len()).filter(|&job| self.jobs[job].id.is_some()).collect();
        for _ in 0..self.rng.below(3) {
            if self.jobs.len() < self.most_jobs {
                let (key, spec) =
                    (format!("job-{}", self.jobs.len()), self.rng.below(self.specs.len() as u32) as usize);
                let (wish, granted) = (Wish::Go, true);
                self.jobs.push(Known { key, spec, id: None, wish, granted, seen: BTreeMap::new() });
            }
        }
        for (job, known) in self.jobs.iter().enumerate().filter(|(_, known)| known.id.is_none()) {
            clients.spawn(submit(client.clone(), job, self.specs[known.spec].clone(), known.key.clone()));
        }
        if acknowledged.is_empty() {
            return clients;
        }
        let one = |rng: &mut Rng| acknowledged[rng.below(acknowledged.len() as u32) as usize];
        let (read, asked) = (one(&mut self.rng), one(&mut self.rng));
        let known = &mut self.jobs[asked];
        let id = known.id.clone().unwrap_or_default();
        let wish = match (known.wish, self.rng.below(10)) {
            (Wish::Cancel, _) => None,
            (Wish::Go, 0) => Some(Wish::Cancel),
            (Wish::Go, 1..=4) => Some(Wish::Pause),
            (Wish::Pause, 0..=4) => Some(Wish::Go),
            _ => None,
        };
        if let Some(wish) = wish {
            (known.wish, known.granted) = (wish, false);
            clients.spawn(ask(client.clone(), asked, id, wish));
        }
        let known = &self.jobs[read];
        // It comes back with the last event that it has seen, as a browser does.
        let last = known.seen.keys().next_back().copied();
        clients.spawn(follow(client.clone(), read, known.id.clone().unwrap_or_default(), last));
        clients
    }

    /// What was acknowledged before the last kill is so after it.
    async fn check_promises(&self, client: &Client) {
        for known in &self.jobs {
            let Some(id) = &known.id else { continue };
            let (status, job) = client.get(&format!("/v1/jobs/{id}")).await;
            assert_eq!(status, StatusCode::OK, "lost: {known:?}");
            let status = job["status"].as_str().expect("a word");
            // A run may come to its end before it hears of the wish.
            match known.wish {
                Wish::Pause if known.granted => assert!(["paused", "succeeded"].contains(&status), "{status}"),
                Wish::Cancel if known.granted => assert!(["cancelled", "succeeded"].contains(&status), "{status}"),
                _ => {}
            }
        }
    }

    /// Lets a last server bring all jobs to their ends, and compares these with what they must be.
    async fn conclude(&mut self, control: &[Undisturbed]) -> Counts {
        let process = self.start();
        let client = process.client.clone();
        self.check_promises(&client).await;
        for known in &mut self.jobs {
            if known.id.is_none() {
                let answer = client.submit_keyed(&self.specs[known.spec], &known.key).await.expect("an answer");
                assert_eq!(answer.0, StatusCode::ACCEPTED, "{}", answer.1);
                known.id = Some(answer.1["id"].as_str().expect("an id").to_owned());
            }
        }
        let ids: BTreeSet<_> = self.jobs.iter().filter_map(|known| known.id.clone()).collect();
        assert_eq!(ids.len(), self.jobs.len(), "each request has made a job of its own");
        assert_eq!(stored(&client).await, ids, "there are these jobs, and no others");
        let mut counts = Counts::default();
        for known in &self.jobs {
            let id = known.id.as_deref().expect("it is acknowledged");
            if client.job(id).await["status"] == "paused" {
                assert_eq!(client.ask(id, "resume").await.0, StatusCode::OK);
            }
        }
        for known in &self.jobs {
            let id = known.id.as_deref().expect("it is acknowledged");
            let frames = client.follow(id).await;
            assert!(frames.iter().enumerate().all(|(i, frame)| frame.id == i as u64 + 1), "a gap in {frames:?}");
            for (event, seen) in &known.seen {
                assert_eq!(frames.get(*event as usize - 1), Some(seen), "an event was lost or rewritten");
            }
            let job = client.job(id).await;
            counts.add(known, &job, &control[known.spec].weights);
            if job["status"] == "succeeded" {
                control[known.spec].history.assert_like(&history(&client, id).await);
            }
            counts.events += frames.len();
        }
        process.kill();
        counts
    }
}

#[derive(Debug, Default)]
struct Counts {
    succeeded: u32,
    cancelled: u32,
    attempts: u64,
    events: usize,
}

impl Counts {
    fn add(&mut self, known: &Known, job: &Value, weights: &Value) {
        self.attempts += job["attempt"].as_u64().expect("a number");
        if job["status"] == "cancelled" {
            assert_eq!(known.wish, Wish::Cancel, "nobody asked for that: {job}");
            self.cancelled += 1;
        } else {
            assert_eq!((&job["status"], &job["weights_sha256"]), (&json!("succeeded"), weights), "{job}");
            self.succeeded += 1;
        }
    }
}

async fn submit(client: Client, job: usize, spec: Value, key: String) -> Back {
    // Without an answer it was not acknowledged: it is sent again to the next server.
    let Ok((status, answer)) = client.submit_keyed(&spec, &key).await else { return Back::Unanswered };
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    Back::Accepted(job, answer["id"].as_str().expect("an id").to_owned())
}

async fn ask(client: Client, job: usize, id: String, wish: Wish) -> Back {
    match client.request("POST", &format!("/v1/jobs/{id}/{}", wish.path())).send().await {
        Ok(response) if response.status().is_success() => Back::Granted(job),
        _ => Back::Nothing,
    }
}

async fn follow(client: Client, job: usize, id: String, last: Option<u64>) -> Back {
    match Stream::try_open(&client, &id, last).await {
        Ok(stream) => Back::Seen(job, stream.rest().await),
        Err(_) => Back::Nothing,
    }
}

/// The ids of all jobs that a server has.
async fn stored(client: &Client) -> BTreeSet<String> {
    let (_, page) = client.get("/v1/jobs?limit=200").await;
    assert_eq!(page["has_more"], false);
    page["data"].as_array().expect("a list").iter().map(|job| job["id"].as_str().expect("an id").to_owned()).collect()
}

/// What comes of a job that nothing disturbs.
struct Undisturbed {
    weights: Value,
    history: History,
}

/// What comes of each spec where nothing disturbs the job.
async fn control(specs: &[Value], folder: &Path) -> Vec<Undisturbed> {
    let process = Process::start(folder, 2);
    let mut control = Vec::new();
    for spec in specs {
        let id = process.client.submit(spec).await;
        let job = process.client.finished(&id).await;
        assert_eq!(job["status"], "succeeded", "{job}");
        let history = history(&process.client, &id).await;
        control.push(Undisturbed { weights: job["weights_sha256"].clone(), history });
    }
    process.kill();
    control
}

/// The figures of a job without what depends on the time.
struct History {
    /// Mini-batches done at the last report.
    last_step: u64,
    /// Those of each evaluation, by its epoch.
    epochs: BTreeMap<u64, String>,
}

impl History {
    /// Panics where the evaluations of a job that was disturbed are not those of one that was not. Which of very many are
    /// kept, and where reports of mini-batches fall, is for the clock to say.
    fn assert_like(&self, disturbed: &Self) {
        assert_eq!(self.last_step, disturbed.last_step);
        assert_eq!(self.epochs.last_key_value(), disturbed.epochs.last_key_value());
        let mut common = 0;
        for (epoch, figures) in &disturbed.epochs {
            if let Some(undisturbed) = self.epochs.get(epoch) {
                assert_eq!(figures, undisturbed, "epoch {epoch} as if nothing had happened");
                common += 1;
            }
        }
        assert!(common > 0);
    }
}

/// The history of a job: each step and epoch once, as CSV and, the same, as JSON.
async fn history(client: &Client, id: &str) -> History {
    let (_, json) = client.get(&format!("/v1/jobs/{id}/metrics")).await;
    let (_, csv) = client.get(&format!("/v1/jobs/{id}/metrics?format=csv")).await;
    let lines: Vec<_> =
        csv.as_str().expect("text").lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>()).collect();
    for (kind, list) in [("step", &json["steps"]), ("epoch", &json["epochs"])] {
        let steps = list.as_array().expect("a list").iter().map(|point| point["step"].to_string());
        let rows = lines.iter().filter(|cells| cells[0] == kind).map(|cells| cells[1].to_owned());
        assert!(steps.eq(rows), "JSON and CSV differ");
    }
    let place = |cells: &[&str], column: usize| cells[column].parse::<u64>().expect("a number");
    let steps: Vec<_> = lines.iter().filter(|cells| cells[0] == "step").map(|cells| place(cells, 1)).collect();
    assert!(steps.is_sorted_by(|a, b| a < b), "a step comes twice: {steps:?}");
    let evaluations: Vec<_> = lines.iter().filter(|cells| cells[0] == "epoch").collect();
    // All but seconds and time.
    let epochs: BTreeMap<_, _> = evaluations.iter().map(|cells| (place(cells, 2), cells[7..13].join(","))).collect();
    assert_eq!(epochs.len(), evaluations.len(), "an epoch comes twice");
    History { last_step: *steps.last().expect("reports"), epochs }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute; .ci/run runs it"]
async fn nothing_is_lost_however_often_the_server_is_killed() {
    let began = Instant::now();
    let kills = number("DOJANG_KILLS").unwrap_or(50);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_secs();
    let seed = number("DOJANG_SEED").unwrap_or(now);
    println!("DOJANG_SEED={seed} DOJANG_KILLS={kills}");
    let (folder, undisturbed) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let specs = specs();
    small_mnist(undisturbed.path());
    small_mnist(folder.path());
    let control = control(&specs, undisturbed.path()).await;
    println!("the control took {:.1} s", began.elapsed().as_secs_f64());
    let mut torture = Torture {
        folder: folder.path().to_owned(),
        rng: Rng::new(seed, Purpose::Shuffle, 0, 0),
        specs,
        jobs: vec![],
        // All of them are on one page of the list.
        most_jobs: usize::try_from(kills / 2).unwrap_or(usize::MAX).clamp(6, 200),
        starts: 0,
        unanswered: 0,
    };
    let database = folder.path().join("data/dojang.db");
    for kill in 1..=kills {
        if torture.rng.below(6) == 0 {
            torture.kill_while_it_starts().await;
        } else {
            torture.kill_at_work().await;
        }
        // Not always: who looks folds in the log, which is else for the next server to do.
        if kill % 8 == 0 {
            assert_consistent(&database).await;
        }
    }
    let counts = torture.conclude(&control).await;
    assert_consistent(&database).await;
    let Counts { succeeded, cancelled, attempts, events } = counts;
    println!(
        "kills={kills} jobs={} lost=0 succeeded={succeeded} cancelled={cancelled} attempts={attempts} events={events} \
         while_starting={} unanswered={} seed={seed} seconds={:.0}",
        torture.jobs.len(),
        torture.starts,
        torture.unanswered,
        began.elapsed().as_secs_f64(),
    );
}
