//! What holds of a training as a whole: the same bits for any thread count and any interruption, and it learns.

use super::super::layer::{LayerSpec, affine::Affine, relu::Relu, sigmoid::Sigmoid, tanh::Tanh};
use super::super::loss::softmax_cross_entropy::SoftmaxCrossEntropy;
use super::super::optimizer::{adam::Adam, momentum::Momentum, sgd::Sgd};
use super::super::samples::Inputs;
use super::super::shape::Shape;
use super::*;
use crate::engine::init::He;

/// Two noisy clouds a class around distinct centres.
struct Clouds {
    inputs: Vec<u8>,
    labels: Vec<u16>,
}

impl Clouds {
    fn new(n: usize, stream: u64) -> Self {
        let mut rng = Rng::new(5, Purpose::GradientCheck, stream, 0);
        let labels: Vec<u16> = (0..n).map(|i| (i % 3) as u16).collect();
        let inputs = labels.iter().flat_map(|&label| {
            let mut row = [0u8; 12];
            for (j, value) in row.iter_mut().enumerate() {
                let centre = if j % 3 == usize::from(label) { 170.0 } else { 80.0 };
                *value = (centre + 40.0 * rng.normal()).clamp(0.0, 255.0) as u8;
            }
            row
        });
        Self { inputs: inputs.collect(), labels }
    }

    fn samples(&self) -> Samples<'_> {
        Samples::new(Inputs::Bytes(&self.inputs), &self.labels, 12)
    }
}

fn network() -> Network {
    let specs = [
        LayerSpec::Affine(Affine { units: 33 }),
        LayerSpec::Relu(Relu {}),
        LayerSpec::Affine(Affine { units: 17 }),
        LayerSpec::Tanh(Tanh {}),
        LayerSpec::Affine(Affine { units: 9 }),
        LayerSpec::Sigmoid(Sigmoid {}),
        LayerSpec::Affine(Affine { units: 3 }),
    ];
    Network::build(&Shape::new(&[12]), &specs).expect("a sound network")
}

fn settings(optimizer: OptimizerSpec) -> Settings {
    Settings {
        init: Init::He(He {}),
        loss: LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy::default()),
        optimizer,
        weight_decay: 1e-4,
        batch_size: 70,
        epochs: 12,
        seed: 3,
    }
}

fn optimizers() -> [OptimizerSpec; 3] {
    [
        OptimizerSpec::Sgd(Sgd { learning_rate: 0.5 }),
        OptimizerSpec::Momentum(Momentum { learning_rate: 0.1, momentum: 0.9 }),
        OptimizerSpec::Adam(Adam { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }),
    ]
}

/// Stops at chosen steps and keeps what it was told.
#[derive(Default)]
struct Script {
    stop_at: Vec<u64>,
    save_at: Vec<u64>,
    events: Vec<TrainEvent>,
    saved: Vec<Checkpoint>,
}

impl Observer for Script {
    fn next(&mut self, step: u64) -> Command {
        if self.stop_at.contains(&step) {
            Command::Stop
        } else if self.save_at.contains(&step) {
            Command::Save
        } else {
            Command::Continue
        }
    }

    fn event(&mut self, event: TrainEvent) {
        self.events.push(event);
    }

    fn checkpoint(&mut self, checkpoint: Checkpoint) {
        self.saved.push(checkpoint);
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn thread_count_never_changes_a_bit() {
    let (train, test, network) = (Clouds::new(301, 0), Clouds::new(50, 1), network());
    for optimizer in optimizers() {
        let settings = settings(optimizer);
        let results = [1, 2, 3, 7].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| {
                let data = Data { train: train.samples(), test: test.samples() };
                let mut trainer = Trainer::new(&network, &settings, data);
                let mut script = Script::default();
                assert_eq!(trainer.run(&mut script), Outcome::Completed);
                (bits(trainer.parameters()), script.events)
            })
        });
        for other in &results[1..] {
            assert!(results[0] == *other, "{:?}", settings.optimizer);
        }
    }
}

#[test]
fn resuming_is_exact_at_every_step() {
    let (train, test, network) = (Clouds::new(301, 0), Clouds::new(50, 1), network());
    for optimizer in optimizers() {
        let settings = settings(optimizer);
        let data = Data { train: train.samples(), test: test.samples() };
        let mut whole = Script::default();
        let mut control = Trainer::new(&network, &settings, data);
        control.run(&mut whole);
        assert_eq!(total_steps(&settings, 301), 60);
        let (mut events, mut state) = (Vec::new(), None::<Vec<u8>>);
        for stop in (1..60).chain([1000]) {
            let mut trainer = match state.take() {
                None => Trainer::new(&network, &settings, data),
                Some(bytes) => {
                    let checkpoint = Checkpoint::decode(&bytes).expect("our own bytes");
                    Trainer::resume(&network, &settings, data, checkpoint).expect("our own checkpoint")
                }
            };
            let mut script = Script { stop_at: vec![stop], ..Script::default() };
            let outcome = trainer.run(&mut script);
            events.extend(script.events);
            if stop == 1000 {
                assert_eq!(outcome, Outcome::Completed);
                assert_eq!(bits(trainer.parameters()), bits(control.parameters()));
            } else {
                assert_eq!(outcome, Outcome::Stopped);
            }
            state = Some(trainer.checkpoint().encode());
        }
        assert_eq!(events, whole.events);
    }
}

#[test]
fn saving_does_not_disturb() {
    let (train, test, network) = (Clouds::new(100, 0), Clouds::new(50, 1), network());
    let settings = settings(OptimizerSpec::Sgd(Sgd { learning_rate: 0.5 }));
    let data = Data { train: train.samples(), test: test.samples() };
    let mut plain = Trainer::new(&network, &settings, data);
    plain.run(&mut Script::default());
    let mut saving = Trainer::new(&network, &settings, data);
    let mut script = Script { save_at: vec![3, 4, 9], ..Script::default() };
    saving.run(&mut script);
    assert_eq!(script.saved.iter().map(|c| c.position.step).collect::<Vec<_>>(), [3, 4, 9]);
    assert_eq!(bits(plain.parameters()), bits(saving.parameters()));
}

#[test]
fn every_optimizer_learns() {
    let (train, test, network) = (Clouds::new(600, 0), Clouds::new(150, 1), network());
    for optimizer in optimizers() {
        let settings = Settings { epochs: 40, ..settings(optimizer) };
        let data = Data { train: train.samples(), test: test.samples() };
        let mut trainer = Trainer::new(&network, &settings, data);
        trainer.run(&mut Script::default());
        let accuracy = trainer.evaluate(test.samples()).accuracy().expect("samples");
        assert!(accuracy > 0.95, "{:?}: {accuracy}", settings.optimizer);
    }
}

#[test]
fn events_add_up() {
    let (train, test, network) = (Clouds::new(301, 0), Clouds::new(50, 1), network());
    let settings = Settings { epochs: 90, ..settings(OptimizerSpec::Sgd(Sgd { learning_rate: 0.1 })) };
    let mut script = Script::default();
    Trainer::new(&network, &settings, Data { train: train.samples(), test: test.samples() }).run(&mut script);
    let (mut windows, mut epochs) = (Score::default(), Score::default());
    for event in &script.events {
        match event {
            TrainEvent::Metrics { window, .. } => windows.add(*window),
            TrainEvent::Epoch { train, test, .. } => {
                epochs.add(*train);
                assert_eq!((train.samples, test.samples), (301, 50));
            }
        }
    }
    assert_eq!((windows.samples, windows.correct), (epochs.samples, epochs.correct));
    assert_eq!(windows.samples, 301 * 90);
}

#[test]
fn a_diverging_training_stops_before_its_weights_are_spoiled() {
    let (train, test, network) = (Clouds::new(100, 0), Clouds::new(50, 1), network());
    let settings = Settings { epochs: 200, ..settings(OptimizerSpec::Sgd(Sgd { learning_rate: 1000.0 })) };
    let settings = Settings { weight_decay: 1.0, ..settings };
    let mut trainer = Trainer::new(&network, &settings, Data { train: train.samples(), test: test.samples() });
    let outcome = trainer.run(&mut Script::default());
    assert!(matches!(outcome, Outcome::Diverged { step } if step > 0), "{outcome:?}");
}

#[test]
fn a_foreign_checkpoint_is_refused() {
    let (train, network) = (Clouds::new(100, 0), network());
    let data = Data { train: train.samples(), test: train.samples() };
    let [sgd, _, adam] = optimizers().map(settings);
    let checkpoint = Trainer::new(&network, &sgd, data).checkpoint();
    assert!(Trainer::resume(&network, &adam, data, checkpoint.clone()).is_err());
    let short = Checkpoint { parameters: vec![0.0; 5], ..checkpoint.clone() };
    assert!(Trainer::resume(&network, &sgd, data, short).is_err());
    let mut late = checkpoint;
    late.position.step = 1 << 40;
    assert!(Trainer::resume(&network, &sgd, data, late).is_err());
}
