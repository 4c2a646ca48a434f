//! Time to 99 % of MNIST's test images: the recipe `fast99`, its training steps only; the evaluation is timed apart.

use std::path::Path;
use std::time::Instant;

use dojang::engine::checkpoint::Checkpoint;
use dojang::engine::network::Network;
use dojang::engine::train::{Command, Data, Observer, Outcome, TrainEvent, Trainer};
use dojang::job::recipes::spec_from_value;
use serde_json::json;

use crate::data::{dataset, mnist_dir, none};
use crate::{Measured, median, pool};

/// Lets a training run to its end.
pub(crate) struct Unwatched;

impl Observer for Unwatched {
    fn next(&mut self, _step: u64) -> Command {
        Command::Continue
    }

    fn event(&mut self, _event: TrainEvent) {}

    fn checkpoint(&mut self, _checkpoint: Checkpoint) {}
}

pub(crate) fn measure(threads: usize, seeds: &[u64]) -> Measured {
    if mnist_dir().is_none() {
        return Err("DOJANG_MNIST_DIR must name a folder with MNIST's files".into());
    }
    let mnist = dataset("mnist", Path::new("."))?;
    let (train, test) = (mnist.train.samples(None), mnist.test.samples(None));
    let pool = pool(threads)?;
    let (mut seconds, mut evaluations, mut accuracies) = (Vec::new(), Vec::new(), Vec::new());
    for seed in seeds {
        let spec = spec_from_value(json!({"recipe": "fast99", "seed": seed, "diagnostics": false}))
            .map_err(|faults| faults.to_string())?;
        let network = Network::build(&mnist.info.input, &spec.network).map_err(|error| format!("{error:?}"))?;
        let settings = spec.settings();
        let mut trainer = Trainer::new(&network, &settings, Data { train, test: none(train.width()) });
        let began = Instant::now();
        let outcome = pool.install(|| trainer.run(&mut Unwatched));
        seconds.push(began.elapsed().as_secs_f64());
        if outcome != Outcome::Completed {
            return Err(format!("seed {seed} ended: {outcome:?}").into());
        }
        let began = Instant::now();
        let report = pool.install(|| trainer.report_on(test, mnist.info.classes));
        evaluations.push(began.elapsed().as_secs_f64());
        accuracies.push(report.accuracy);
    }
    Ok(json!({
        "seeds": seeds, "train_seconds": seconds, "evaluation_seconds": evaluations, "accuracies": accuracies,
        "median_train_seconds": median(&seconds),
    }))
}
