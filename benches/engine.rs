//! Training throughput of the engine alone, on random bytes of MNIST's shape: `cargo bench --bench engine`.
//!
//! The nets are those of the notes, as the peers run them: a whole step counts, from bytes to updated weights.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dojang::engine::checkpoint::Checkpoint;
use dojang::engine::init::{He, Init};
use dojang::engine::layer::{LayerSpec, affine::Affine, relu::Relu};
use dojang::engine::loss::{LossSpec, softmax_cross_entropy::SoftmaxCrossEntropy};
use dojang::engine::network::Network;
use dojang::engine::optimizer::{OptimizerSpec, adam::Adam, sgd::Sgd};
use dojang::engine::rng::{Purpose, Rng};
use dojang::engine::samples::{Inputs, Samples};
use dojang::engine::shape::Shape;
use dojang::engine::train::{Command, Data, Observer, Settings, TrainEvent, Trainer};

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
    hidden: &'static [usize],
    optimizer: OptimizerSpec,
    batch: usize,
    steps: u64,
}

fn training(c: &mut Criterion) {
    let mut rng = Rng::new(1, Purpose::GradientCheck, 0, 0);
    let samples = 60_000;
    let inputs: Vec<u8> =
        (0..samples * 784).map(|_| if rng.bits().is_multiple_of(5) { rng.bits() as u8 } else { 0 }).collect();
    let labels: Vec<u16> = (0..samples).map(|_| rng.below(10) as u16).collect();
    let cases = [
        Case {
            name: "P1 784-50-10 sgd b100",
            hidden: &[50],
            optimizer: OptimizerSpec::Sgd(Sgd { learning_rate: 0.1 }),
            batch: 100,
            steps: 500,
        },
        Case {
            name: "P2 784-512-512-10 adam b128",
            hidden: &[512, 512],
            optimizer: OptimizerSpec::Adam(Adam { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }),
            batch: 128,
            steps: 50,
        },
    ];
    let mut group = c.benchmark_group("train");
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        for case in &cases {
            let hidden =
                case.hidden.iter().flat_map(|&units| [LayerSpec::Affine(Affine::of(units)), LayerSpec::Relu(Relu {})]);
            let layers: Vec<_> = hidden.chain([LayerSpec::Affine(Affine::of(10))]).collect();
            let network = Network::build(&Shape::new(&[1, 28, 28]), &layers).expect("a sound network");
            let settings = Settings {
                init: Init::He(He {}),
                loss: LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy::default()),
                optimizer: case.optimizer.clone(),
                weight_decay: 0.0,
                batch_size: case.batch,
                epochs: 1_000_000,
                seed: 1,
            };
            let train = Samples::new(Inputs::Bytes(&inputs), &labels, 784);
            let none = Samples::new(Inputs::Bytes(&[]), &[], 784);
            let mut trainer = Trainer::new(&network, &settings, Data { train, test: none });
            group.throughput(Throughput::Elements(case.steps * case.batch as u64)).sample_size(20);
            group.bench_function(format!("{} threads={threads}", case.name), |b| {
                b.iter(|| pool.install(|| black_box(trainer.run(&mut Steps(case.steps)))));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, training);
criterion_main!(benches);
