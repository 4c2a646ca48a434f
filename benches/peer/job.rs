//! The way of a job: the same net in the real server, with its events, checkpoints and looks inside, beside the
//! engine's bare loop on the same data; and two jobs at once beside one alone.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use dojang::app::{App, Config};
use dojang::engine::checkpoint::Checkpoint;
use dojang::engine::network::Network;
use dojang::engine::train::{Command, Data, MiniBatch, Observer, Outcome, Settings, TrainEvent, Trainer};
use dojang::job::spec::TrainSpec;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::data::{dataset, mnist_dir};
use crate::nets::PEERS;
use crate::{Jobs, Measured, entry, pool};

/// What there is to train, and how long.
struct Course {
    spec: Value,
    dataset: &'static str,
    threads: usize,
}

impl Course {
    /// A job of so many seconds, about: at least two epochs, so that each has at least one look inside in its time.
    fn new(jobs: &Jobs, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let net = entry(PEERS, &jobs.net)?;
        let name = if mnist_dir().is_some() { "mnist" } else { "digits" };
        // As many to be measured on as there would be of MNIST.
        let test_limit = jobs.train_limit.map(|samples| samples.div_ceil(6));
        let dataset = json!({"name": name, "train_limit": jobs.train_limit, "test_limit": test_limit});
        let mut spec = json!({
            "dataset": dataset, "network": net["network"],
            "optimizer": net["optimizer"], "batch_size": net["batch_size"], "epochs": 1,
        });
        let mut course = Self { spec: spec.clone(), dataset: name, threads: jobs.effort.threads };
        let epoch = course.bare(folder)?.seconds;
        spec["epochs"] = ((jobs.effort.seconds / epoch).round() as u64).max(2).into();
        course.spec = spec;
        Ok(course)
    }

    /// The engine's loop on the job's data, as far as the end of the last epoch.
    fn bare(&self, folder: &Path) -> Result<Bare, Box<dyn Error>> {
        let spec = TrainSpec::from_value(&self.spec).map_err(|faults| faults.to_string())?;
        let dataset = dataset(self.dataset, folder)?;
        let network = Network::build(&dataset.info.input, &spec.network).map_err(|error| format!("{error:?}"))?;
        let settings = Settings { diagnostics: false, ..spec.settings() };
        let train = dataset.train.samples(spec.dataset.train_limit);
        let test = dataset.test.samples(spec.dataset.test_limit);
        let mut trainer = Trainer::new(&network, &settings, Data { train, test });
        let mut watch = EpochWatch { evaluating: 0.0, stepped: Instant::now() };
        let pool = pool(self.threads)?;
        let began = Instant::now();
        let outcome = pool.install(|| trainer.run(&mut watch));
        let seconds = began.elapsed().as_secs_f64();
        if outcome != Outcome::Completed {
            return Err(format!("the bare loop ended: {outcome:?}").into());
        }
        let samples = train.len() as u64 * spec.epochs.unwrap_or(1);
        Ok(Bare { samples, seconds, evaluating: watch.evaluating })
    }
}

/// How long the bare loop took.
struct Bare {
    /// Samples learned from.
    samples: u64,
    /// With the evaluation on the test samples after each epoch.
    seconds: f64,
    /// Of it, the evaluations.
    evaluating: f64,
}

/// Sums up how long the evaluations take: from an epoch's last step to the event of its end.
struct EpochWatch {
    evaluating: f64,
    stepped: Instant,
}

impl Observer for EpochWatch {
    fn mini_batch(&mut self, _batch: MiniBatch) {
        self.stepped = Instant::now();
    }

    fn next(&mut self, _step: u64) -> Command {
        Command::Continue
    }

    fn event(&mut self, event: TrainEvent) {
        match event {
            TrainEvent::Epoch { .. } => self.evaluating += self.stepped.elapsed().as_secs_f64(),
            TrainEvent::Diagnostics(_) => {}
        }
    }

    fn checkpoint(&mut self, _checkpoint: Checkpoint) {}
}

/// When a job trained, in seconds, and what.
struct Trained {
    began: f64,
    ended: f64,
    samples: u64,
    /// Entries of its log, among them checkpoints.
    events: usize,
    checkpoints: usize,
}

impl Trained {
    /// Reads it from a job and the frames of its log.
    ///
    /// An epoch's `seconds` begin where training does or the epoch before has ended: the data are loaded before.
    fn read(job: &Value, log: &str) -> Result<Self, Box<dyn Error>> {
        if job["status"] != "succeeded" {
            return Err(format!("the job has not succeeded: {job}").into());
        }
        let events: Vec<Value> =
            log.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
        let of = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);
        let at = |event: &Value| -> Result<f64, Box<dyn Error>> {
            let at: Timestamp = event["at"].as_str().ok_or("an event without a time")?.parse()?;
            Ok(at.as_millisecond() as f64 / 1e3)
        };
        let (Some(first), Some(last)) = (of("epoch").next(), of("epoch").next_back()) else {
            return Err("a job without an epoch".into());
        };
        let began = at(first)? - first["seconds"].as_f64().ok_or("an epoch without its seconds")?;
        let epochs = last["epoch"].as_u64().ok_or("an epoch without a number")?;
        let samples = epochs * job["train_samples"].as_u64().ok_or("a job without samples")?;
        let checkpoints = of("checkpoint").count();
        Ok(Self { began, ended: at(last)?, samples, events: events.len(), checkpoints })
    }

    fn rate(&self) -> f64 {
        self.samples as f64 / (self.ended - self.began)
    }
}

/// A server in this process, on a free port and a folder of its own.
struct Site {
    base: String,
    http: reqwest::Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Site {
    async fn start(folder: &Path, threads: usize, slots: usize) -> Result<Self, Box<dyn Error>> {
        let mut config = Config::new(folder.join("data"));
        config.listen = ([127, 0, 0, 1], 0).into();
        config.mnist_dir = mnist_dir();
        config.fetch = false;
        (config.threads, config.slots) = (threads, slots);
        let app = App::build(config).await?;
        let base = format!("http://{}/v1/jobs", app.addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            app.run_until_stopped(stopped).await.expect("a clean run");
        });
        dojang::tls::prepare();
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { base, http, stop, task })
    }

    async fn submit(&self, spec: &Value) -> Result<String, Box<dyn Error>> {
        let job: Value = self.http.post(&self.base).json(spec).send().await?.json().await?;
        Ok(job["id"].as_str().ok_or_else(|| format!("the job was not accepted: {job}"))?.to_owned())
    }

    /// Watches a job's stream of events to its end.
    async fn finished(&self, job: &str) -> Result<Trained, Box<dyn Error>> {
        let log = self.http.get(format!("{}/{job}/events", self.base)).send().await?.text().await?;
        let job = self.http.get(format!("{}/{job}", self.base)).send().await?.json().await?;
        Trained::read(&job, &log)
    }

    async fn run(&self, spec: &Value) -> Result<Trained, Box<dyn Error>> {
        let job = self.submit(spec).await?;
        self.finished(&job).await
    }

    async fn stop(self) -> Result<(), Box<dyn Error>> {
        // The server may have gone by itself; then its task says why.
        let _ = self.stop.send(());
        Ok(self.task.await?)
    }
}

/// A runtime as `main` has it, a folder, and what to train.
fn prepare(jobs: &Jobs) -> Result<(tokio::runtime::Runtime, TempDir, Course), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let course = Course::new(jobs, folder.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok((runtime, folder, course))
}

/// One job, beside the bare loop before it and after it: a machine's speed drifts.
pub(crate) fn measure_one(jobs: &Jobs) -> Measured {
    let (runtime, folder, course) = prepare(jobs)?;
    let before = course.bare(folder.path())?;
    let job = runtime.block_on(async {
        let site = Site::start(folder.path(), course.threads, 1).await?;
        let job = site.run(&course.spec).await?;
        site.stop().await?;
        Ok::<_, Box<dyn Error>>(job)
    })?;
    let after = course.bare(folder.path())?;
    let bare = Bare {
        samples: before.samples + after.samples,
        seconds: before.seconds + after.seconds,
        evaluating: before.evaluating + after.evaluating,
    };
    let evaluated = bare.samples as f64 / bare.seconds;
    Ok(json!({
        "data": course.dataset, "samples_per_second": job.rate(), "seconds": job.ended - job.began,
        "samples": job.samples, "events": job.events, "checkpoints": job.checkpoints,
        "bare_samples_per_second": bare.samples as f64 / (bare.seconds - bare.evaluating),
        "bare_with_evaluation_samples_per_second": evaluated, "share_of_bare": job.rate() / evaluated,
    }))
}

/// Two jobs at once, beside one alone on all threads.
pub(crate) fn measure_two(jobs: &Jobs) -> Measured {
    let (runtime, folder, course) = prepare(jobs)?;
    let (alone, first, second) = runtime.block_on(async {
        let site = Site::start(folder.path(), course.threads, 2).await?;
        // Loads the dataset, which then is the others'.
        let mut warm = course.spec.clone();
        (warm["epochs"], warm["dataset"]["train_limit"]) = (1.into(), 1000.into());
        site.run(&warm).await?;
        let alone = site.run(&course.spec).await?;
        let (first, second) = (site.submit(&course.spec).await?, site.submit(&course.spec).await?);
        let (first, second) = tokio::join!(site.finished(&first), site.finished(&second));
        site.stop().await?;
        Ok::<_, Box<dyn Error>>((alone, first?, second?))
    })?;
    let seconds = first.ended.max(second.ended) - first.began.min(second.began);
    let together = (first.samples + second.samples) as f64 / seconds;
    Ok(json!({
        "data": course.dataset, "samples_per_second": together, "alone_samples_per_second": alone.rate(),
        "share_of_alone": together / alone.rate(), "each_samples_per_second": [first.rate(), second.rate()],
    }))
}
