//! Throughput of the engine alone, on random bytes of MNIST's shape: `cargo bench --bench engine`.
//!
//! The nets are those of the notes, as the peers run them: of a training a whole step counts, from bytes to updated
//! weights; of predictions the way from inputs to probabilities.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dojang::engine::checkpoint::Checkpoint;
use dojang::engine::model::Model;
use dojang::engine::network::Network;
use dojang::engine::rng::{Purpose, Rng};
use dojang::engine::samples::{Inputs, Samples};
use dojang::engine::shape::Shape;
use dojang::engine::train::{Command, Data, Length, Observer, Settings, TrainEvent, Trainer};
use dojang::job::spec::TrainSpec;
use serde_json::{Value, json};

const SAMPLES: usize = 60_000;

/// Lets the training run for a number of steps.
struct Steps(u64);

impl Observer for Steps {
    fn next(&mut self, _step: u64) -> Command {
        self.0 -= 1;
        if self.0 == 0 { Command::Stop } else { Command::Continue }
    }

    fn event(&mut self, _event: TrainEvent) {}

    fn checkpoint(&mut self, _checkpoint: Checkpoint) {}
}

struct Case {
    name: &'static str,
    network: Network,
    settings: Settings,
    steps: u64,
}

impl Case {
    fn new(name: &'static str, steps: u64, network: &Value, optimizer: &Value, batch_size: usize) -> Self {
        let spec = json!({
            "dataset": {"name": "digits"}, "network": network, "optimizer": optimizer, "batch_size": batch_size,
            "diagnostics": false,
        });
        let spec = TrainSpec::from_value(&spec).expect("a sound spec");
        let network = Network::build(&Shape::new(&[1, 28, 28]), &spec.network).expect("a sound network");
        let settings = Settings { length: Length::Epochs(1_000_000), ..spec.settings() };
        Self { name, network, settings, steps }
    }
}

/// The peers' nets: see the README's table.
fn cases() -> Vec<Case> {
    let affine = |units: usize| json!({"type": "affine", "units": units});
    let conv = |filters: usize, kernel: usize, padding: usize| json!({"type": "conv2d", "filters": filters, "kernel": kernel, "padding": padding});
    let pool = || json!({"type": "max_pool2d", "kernel": 2});
    let relu = || json!("relu");
    let dropout = || json!({"type": "dropout", "rate": 0.5});
    let p3 = json!([conv(30, 5, 0), relu(), pool(), affine(100), relu(), affine(10)]);
    let p4 = json!([
        conv(16, 3, 1),
        relu(),
        conv(16, 3, 1),
        relu(),
        pool(),
        conv(32, 3, 1),
        relu(),
        conv(32, 3, 2),
        relu(),
        pool(),
        conv(64, 3, 1),
        relu(),
        conv(64, 3, 1),
        relu(),
        pool(),
        affine(50),
        relu(),
        dropout(),
        affine(10),
        dropout(),
    ]);
    let sgd = json!({"type": "sgd", "learning_rate": 0.1});
    vec![
        Case::new("P1 784-50-10 sgd b100", 500, &json!([affine(50), relu(), affine(10)]), &sgd, 100),
        Case::new(
            "P2 784-512-512-10 adam b128",
            50,
            &json!([affine(512), relu(), affine(512), relu(), affine(10)]),
            &json!("adam"),
            128,
        ),
        Case::new("P3 SimpleConvNet adam b100", 20, &p3, &json!("adam"), 100),
        Case::new("P4 DeepConvNet adam b100", 4, &p4, &json!("adam"), 100),
    ]
}

/// Mostly zeros, as handwriting is.
fn images() -> (Vec<u8>, Vec<u16>) {
    let mut rng = Rng::new(1, Purpose::GradientCheck, 0, 0);
    let inputs = (0..SAMPLES * 784).map(|_| if rng.bits().is_multiple_of(5) { rng.bits() as u8 } else { 0 });
    (inputs.collect(), (0..SAMPLES).map(|i| (i % 10) as u16).collect())
}

fn training(c: &mut Criterion) {
    let (inputs, labels) = images();
    let mut group = c.benchmark_group("train");
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        for Case { name, network, settings, steps } in &cases() {
            let train = Samples::new(Inputs::Bytes(&inputs), &labels, 784);
            let none = Samples::new(Inputs::Bytes(&[]), &[], 784);
            let mut trainer = Trainer::new(network, settings, Data { train, test: none });
            group.throughput(Throughput::Elements(steps * settings.batch_size as u64)).sample_size(10);
            group.bench_function(format!("{name} threads={threads}"), |b| {
                b.iter(|| pool.install(|| black_box(trainer.run(&mut Steps(*steps)))));
            });
        }
    }
    group.finish();
}

fn predicting(c: &mut Criterion) {
    let (inputs, _) = images();
    let inputs: Vec<f32> = inputs[..256 * 784].iter().map(|byte| f32::from(*byte) / 255.0).collect();
    let mut group = c.benchmark_group("predict");
    for (images, threads) in [(1, 1), (256, 2)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        for Case { name, network, settings, .. } in cases() {
            let parameters = network.init(&settings.init, 1);
            let model = Model::new(network, parameters, settings.loss, 10);
            group.throughput(Throughput::Elements(images as u64));
            group.bench_function(format!("{name} images={images} threads={threads}"), |b| {
                b.iter(|| pool.install(|| black_box(model.infer(&inputs[..images * 784]))));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, training, predicting);
criterion_main!(benches);
