//! Throughput of the engine alone, on random bytes of MNIST's shape: `cargo bench --bench engine`.
//!
//! The nets are those of the notes, as the peers run them: of a training a whole step counts, from bytes to updated
//! weights; of predictions the way from inputs to probabilities.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dojang::engine::checkpoint::Checkpoint;
use dojang::engine::model::Model;
use dojang::engine::samples::{Inputs, Samples};
use dojang::engine::train::{Command, Data, Observer, TrainEvent, Trainer};

mod nets;

use nets::{Net, PEERS, entries, random_images};

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

/// Mini-batches of one measurement: some tenths of a second.
fn steps(net: &str) -> u64 {
    match net {
        "P1" => 500,
        "P2" => 50,
        "P3" => 20,
        _ => 4,
    }
}

fn training(c: &mut Criterion) {
    let (inputs, labels) = random_images(784);
    let mut group = c.benchmark_group("train");
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        for entry in entries(PEERS) {
            let net = Net::new(&entry);
            let (steps, Net { name, network, settings }) = (steps(&net.name), &net);
            let train = Samples::new(Inputs::Bytes(&inputs), &labels, 784);
            let none = Samples::new(Inputs::Bytes(&[]), &[], 784);
            let mut trainer = Trainer::new(network, settings, Data { train, test: none });
            group.throughput(Throughput::Elements(steps * settings.batch_size as u64)).sample_size(10);
            group.bench_function(format!("{name} threads={threads}"), |b| {
                b.iter(|| pool.install(|| black_box(trainer.run(&mut Steps(steps)))));
            });
        }
    }
    group.finish();
}

fn predicting(c: &mut Criterion) {
    let (inputs, _) = random_images(784);
    let inputs: Vec<f32> = inputs[..256 * 784].iter().map(|byte| f32::from(*byte) / 255.0).collect();
    let mut group = c.benchmark_group("predict");
    for (images, threads) in [(1, 1), (256, 2)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        for entry in entries(PEERS) {
            let Net { name, network, settings } = Net::new(&entry);
            let parameters = network.init(&settings.init, 1);
            let model = Model::new(network, &parameters, settings.loss, 10);
            group.throughput(Throughput::Elements(images as u64));
            group.bench_function(format!("{name} images={images} threads={threads}"), |b| {
                // A single image is worked out where it comes in, as in serving.
                let predict = || black_box(model.infer(&inputs[..images * 784]));
                b.iter(|| if images == 1 { predict() } else { pool.install(predict) });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, training, predicting);
criterion_main!(benches);
