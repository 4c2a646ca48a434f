//! Throughput of the engine alone: a whole step counts, from bytes to updated weights.

use std::time::Instant;

use dojang::engine::checkpoint::Checkpoint;
use dojang::engine::train::{Command, Data, Observer, Outcome, TrainEvent, Trainer};
use serde_json::json;

use crate::data::{Images, none};
use crate::memory::{peak_bytes, resident_bytes};
use crate::nets::Net;
use crate::{Effort, Measured, median, pool};

/// Windows that the measured time is cut into, and fewest of them.
const WINDOWS: f64 = 10.0;
const FEWEST: usize = 3;

/// An observer that warms up for a quarter of the seconds, then measures window by window until they are over.
struct Windows {
    seconds: f64,
    samples: u64,
    batch: u64,
    began: Instant,
    /// Steps of a window; `None` while warming up.
    stride: Option<u64>,
    /// When the measurement and the window began, and the window's first step.
    measuring: Instant,
    window: Instant,
    first: u64,
    rates: Vec<f64>,
}

impl Windows {
    fn new(seconds: f64, samples: u64, batch: u64) -> Self {
        let now = Instant::now();
        let (stride, first, rates) = (None, 0, Vec::new());
        Self { seconds, samples, batch, began: now, stride, measuring: now, window: now, first, rates }
    }

    /// Samples of the first so many steps: an epoch's last batch may be smaller.
    fn seen(&self, steps: u64) -> u64 {
        let per_epoch = self.samples.div_ceil(self.batch);
        steps / per_epoch * self.samples + steps % per_epoch * self.batch
    }
}

impl Observer for Windows {
    fn next(&mut self, step: u64) -> Command {
        let now = Instant::now();
        let Some(stride) = self.stride else {
            let warm = (now - self.began).as_secs_f64();
            if warm >= self.seconds / 4.0 && step >= 3 {
                self.stride = Some(((step as f64 / warm * self.seconds / WINDOWS) as u64).max(1));
                (self.measuring, self.window, self.first) = (now, now, step);
            }
            return Command::Continue;
        };
        if step - self.first == stride {
            let samples = self.seen(step) - self.seen(self.first);
            self.rates.push(samples as f64 / (now - self.window).as_secs_f64());
            (self.window, self.first) = (now, step);
        }
        let over = (now - self.measuring).as_secs_f64() >= self.seconds && self.rates.len() >= FEWEST;
        if over { Command::Stop } else { Command::Continue }
    }

    fn event(&mut self, _event: TrainEvent) {}

    fn checkpoint(&mut self, _checkpoint: Checkpoint) {}
}

pub(crate) fn measure(net: &Net, effort: Effort, full: bool) -> Measured {
    let width = net.network.input().len();
    let images = Images::load(width, full)?;
    let resident = resident_bytes();
    let train = images.samples();
    let mut trainer = Trainer::new(&net.network, &net.settings, Data { train, test: none(width) });
    let mut windows = Windows::new(effort.seconds, train.len() as u64, net.settings.batch_size as u64);
    let outcome = pool(effort.threads)?.install(|| trainer.run(&mut windows));
    if outcome != Outcome::Stopped {
        return Err(format!("{} ended: {outcome:?}", net.name).into());
    }
    Ok(json!({
        "samples_per_second": median(&windows.rates), "windows": windows.rates, "data": images.name(),
        "peak_memory_bytes": peak_bytes(), "memory_bytes_before_training": resident,
    }))
}
