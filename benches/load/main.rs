//! What many readers, a large database and a signal do to a server: the program as it is shipped, as a process of its own.
//!
//! `cargo bench --bench load -- readers`, `-- stalled`, `-- start` and `-- stop`; each prints its figures as lines of JSON.
//! All load goes to 127.0.0.1, and ends by itself.

mod big;
mod readers;
mod start;
mod stop;

#[path = "../../tests/it/harness.rs"]
#[expect(dead_code, reason = "the integration tests use the rest")]
mod harness;
#[path = "../../tests/it/process.rs"]
#[expect(dead_code, reason = "the integration tests use the rest")]
mod process;

use std::path::Path;

use clap::{Parser, Subcommand};

/// What many readers, a large database and a signal do to a server.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    what: What,
    /// Given by `cargo bench`; of no effect.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The speed of a training with readers and without, in turns, and the server's memory
    Readers {
        /// Threads that train
        #[arg(long, default_value_t = 1)]
        threads: usize,
        /// Readers that read, and as many that do not
        #[arg(long, default_value_t = 100)]
        readers: usize,
        /// Trainings with, and as many without
        #[arg(long, default_value_t = 7)]
        pairs: usize,
    },
    /// Seconds until readers who take nothing are dropped
    Stalled {
        /// Such readers
        #[arg(long, default_value_t = 100)]
        readers: usize,
    },
    /// Seconds from the start of a process to its `/readyz`, on a large database
    Start {
        /// Size of the database, in MiB
        #[arg(long, default_value_t = 1024)]
        mebibytes: u64,
    },
    /// Seconds from a SIGTERM to the end of a process that has a running job and many readers
    Stop {
        /// Readers that read, and as many that do not
        #[arg(long, default_value_t = 100)]
        readers: usize,
    },
}

#[tokio::main]
async fn main() {
    match Cli::parse().what {
        What::Readers { threads, readers, pairs } => readers::speed(threads, readers, pairs).await,
        What::Stalled { readers } => readers::stalled(readers).await,
        What::Start { mebibytes } => start::measure(mebibytes).await,
        What::Stop { readers } => stop::measure(readers).await,
    }
}

/// The middle one of some figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// MiB of memory that the server on this folder has now.
fn memory(folder: &Path) -> f64 {
    let pid = std::fs::read_to_string(folder.join("data/dojang.lock")).expect("a server's lock");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.split_whitespace().next().expect("a number").parse::<f64>().expect("a number") / 1024.0
}
