//! dojang's side of `benches/peers/run`: one measurement of the real engine, or of the real server, a process. Prints
//! one line of JSON.
//!
//! `cargo bench --bench peer -- train --net P1 --threads 2` and the like; `-- help` lists the measurements.

mod ceiling;
mod data;
mod infer;
mod job;
mod memory;
mod to99;
mod train;

#[path = "../nets/mod.rs"]
mod nets;

use std::error::Error;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

use nets::{Net, PEERS, entries};

/// What a measurement gives: the members of its line.
type Measured = Result<Value, Box<dyn Error>>;

/// One measurement of dojang, as one line of JSON.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
    /// Given by `cargo bench`; of no effect.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Training by the engine alone, from bytes to updated weights, and its peak of memory.
    Train(Case),
    /// Predictions: one image's time, or a batch's throughput.
    Infer {
        #[command(flatten)]
        case: Case,
        /// Images at once.
        #[arg(long, default_value_t = 1)]
        images: usize,
    },
    /// The highest rate of fused multiply-adds in 32 bits.
    Ceiling {
        #[command(flatten)]
        effort: Effort,
    },
    /// A job in the real server, beside the engine alone on the same data.
    Job(Jobs),
    /// Two jobs at once in the real server, beside one alone.
    TwoJobs(Jobs),
    /// Time and accuracy of the recipe `fast99` on MNIST.
    To99 {
        /// Threads.
        #[arg(long, default_value_t = 1)]
        threads: usize,
        /// Decide the random draws, one training each.
        #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,5,6")]
        seeds: Vec<u64>,
    },
}

/// How much is spent on a measurement.
#[derive(Debug, Clone, Copy, Args)]
struct Effort {
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seconds to measure, about.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

/// A net, and how much is spent on it.
#[derive(Debug, Args)]
struct Case {
    /// The net's name.
    #[arg(long)]
    net: String,
    /// The JSON file that has the net; without it, one of P1 to P4.
    #[arg(long)]
    file: Option<PathBuf>,
    #[command(flatten)]
    effort: Effort,
    /// With a one for every zero of the images: zeros spare dojang work.
    #[arg(long)]
    full: bool,
}

impl Case {
    fn net(&self) -> Result<Net, Box<dyn Error>> {
        let text = match &self.file {
            None => PEERS.to_owned(),
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| format!("failed to read the nets {}: {error}", file.display()))?,
        };
        Ok(Net::new(&entry(&text, &self.net)?))
    }
}

/// A job of P1 to P4.
#[derive(Debug, Args)]
struct Jobs {
    /// The net's name.
    #[arg(long)]
    net: String,
    #[command(flatten)]
    effort: Effort,
    /// Learn from the first so many samples only.
    #[arg(long)]
    train_limit: Option<usize>,
}

/// The entry of this name.
fn entry(text: &str, name: &str) -> Measured {
    let found = entries(text).into_iter().find(|entry| entry["name"] == name);
    found.ok_or_else(|| format!("no net is named {name}").into())
}

impl What {
    /// The line's name of what was measured, the threads, and how to measure it.
    fn measure(&self) -> Measured {
        match self {
            Self::Train(case) => train::measure(&case.net()?, case.effort, case.full),
            Self::Infer { case, images } => infer::measure(case.net()?, case.effort, case.full, *images),
            Self::Ceiling { effort } => ceiling::measure(*effort),
            Self::Job(jobs) => job::measure_one(jobs),
            Self::TwoJobs(jobs) => job::measure_two(jobs),
            Self::To99 { threads, seeds } => to99::measure(*threads, seeds),
        }
    }

    /// The net and the threads that were asked for.
    fn asked(&self) -> (Option<&str>, usize) {
        match self {
            Self::Train(case) | Self::Infer { case, .. } => (Some(&case.net), case.effort.threads),
            Self::Ceiling { effort } => (None, effort.threads),
            Self::Job(jobs) | Self::TwoJobs(jobs) => (Some(&jobs.net), jobs.effort.threads),
            Self::To99 { threads, .. } => (None, *threads),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(what) = Cli::parse().what else {
        eprintln!("peer: nothing to measure; benches/peers/run does, or see `--help`");
        return Ok(());
    };
    let (net, threads) = what.asked();
    let mut line = json!({"peer": "dojang", "version": env!("CARGO_PKG_VERSION"), "net": net, "threads": threads});
    let (Value::Object(line), Value::Object(measured)) = (&mut line, what.measure()?) else {
        unreachable!("lines are objects");
    };
    line.extend(measured);
    println!("{}", Value::Object(std::mem::take(line)));
    Ok(())
}

/// A pool of so many threads.
fn pool(threads: usize) -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build()
}

/// The value that half of the others do not exceed.
///
/// # Panics
/// If there is none.
fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which that share of them lies.
///
/// # Panics
/// If there is none.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() as f64 * share) as usize).min(sorted.len() - 1)]
}
