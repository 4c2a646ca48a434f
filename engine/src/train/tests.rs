//! What holds of a training as a whole: the same bits for any thread count and any interruption, and it learns.

use super::super::layer::{LayerSpec, affine::Affine, relu::Relu, sigmoid::Sigmoid, tanh::Tanh};
use super::super::loss::softmax_cross_entropy::SoftmaxCrossEntropy;
use super::super::optimizer::{adam::Adam, momentum::Momentum, sgd::Sgd};
use super::super::samples::Inputs;
use super::super::shape::Shape;
use super::early_stopping::{Best, Monitor};
use super::pace::total_steps;
use super::*;
use crate::checkpoint::{Arrangement, Checkpoint};
use crate::init::He;
use crate::network::Network;
use crate::rng::{Purpose, Rng};

mod looks;

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
        LayerSpec::Affine(Affine::of(33)),
        LayerSpec::Relu(Relu {}),
        LayerSpec::Affine(Affine::of(17)),
        LayerSpec::Tanh(Tanh {}),
        LayerSpec::Affine(Affine::of(9)),
        LayerSpec::Sigmoid(Sigmoid {}),
        LayerSpec::Affine(Affine::of(3)),
    ];
    Network::build(&Shape::new(&[12]), &specs).expect("a sound network")
}

/// Every kind of layer that works otherwise than value by value, with segments between them.
fn convolutional() -> Network {
    let specs = serde_json::json!([
        {"type": "conv2d", "filters": 5, "kernel": 3, "stride": 1, "padding": 1},
        {"type": "batch_norm", "momentum": 0.9, "epsilon": 1e-5}, {"type": "relu"},
        {"type": "max_pool2d", "kernel": 2, "stride": null, "padding": 0},
        {"type": "conv2d", "filters": 17, "kernel": [1, 2], "stride": 1, "padding": "same"}, {"type": "gelu"},
        {"type": "avg_pool2d", "kernel": 2, "stride": 1, "padding": 1},
        {"type": "dropout", "rate": 0.2}, {"type": "flatten"},
        {"type": "batch_norm", "momentum": 0.5, "epsilon": 1e-5},
        {"type": "affine", "units": 20}, {"type": "tanh"}, {"type": "batch_norm", "momentum": 0.9, "epsilon": 1e-3},
        {"type": "batch_norm", "momentum": 0.9, "epsilon": 1e-3}, {"type": "relu"}, {"type": "dropout", "rate": 0.1},
        {"type": "affine", "units": 3},
    ]);
    let specs: Vec<LayerSpec> = serde_json::from_value(with_init(specs)).expect("layers");
    Network::build(&Shape::new(&[1, 3, 4]), &specs).expect("a sound network")
}

/// A convolution of one-channel images with its ReLU and its pool: one layer, where the processor can, unless they are kept
/// `apart` by one that does nothing.
fn pooled(apart: bool) -> Network {
    let mut specs = serde_json::json!([
        {"type": "conv2d", "filters": 5, "kernel": 3, "stride": 1, "padding": 1}, {"type": "relu"},
        {"type": "max_pool2d", "kernel": 2, "stride": null, "padding": 0}, {"type": "affine", "units": 3},
    ]);
    if apart {
        specs.as_array_mut().expect("a list").insert(1, serde_json::json!({"type": "identity"}));
    }
    let specs: Vec<LayerSpec> = serde_json::from_value(with_init(specs)).expect("layers");
    Network::build(&Shape::new(&[1, 2, 6]), &specs).expect("a sound network")
}

/// Weights so many that a batch stays whole, and threads share their columns.
fn wide() -> Network {
    let specs = [
        LayerSpec::Affine(Affine::of(320)),
        LayerSpec::Relu(Relu {}),
        LayerSpec::Affine(Affine::of(330)),
        LayerSpec::Tanh(Tanh {}),
        LayerSpec::Affine(Affine::of(3)),
    ];
    Network::build(&Shape::new(&[12]), &specs).expect("a sound network")
}

/// What the checks of a job spec fill in.
fn with_init(mut specs: serde_json::Value) -> serde_json::Value {
    for spec in specs.as_array_mut().expect("a list") {
        if spec["type"] == "conv2d" || spec["type"] == "affine" {
            spec["init"] = serde_json::Value::Null;
        }
    }
    specs
}

/// All that a job may ask for at once.
fn everything(optimizer: OptimizerSpec) -> Settings {
    Settings {
        schedule: Some(
            serde_json::from_value(serde_json::json!({"type": "cosine", "warmup_epochs": 1, "final_factor": 0.1}))
                .expect("a schedule"),
        ),
        gradient_clip: Some(
            serde_json::from_value(serde_json::json!({"type": "norm", "max_norm": 1.0})).expect("a clip"),
        ),
        validation_fraction: 0.1,
        early_stopping: Some(EarlyStopping {
            monitor: Monitor::ValidationLoss,
            patience: 50,
            min_delta: 0.0,
            restore_best: true,
        }),
        augment: Some(
            serde_json::from_value(
                serde_json::json!({"shift": 1, "rotate": 10.0, "scale": 0.1, "elastic": 0.5, "elastic_sigma": 4.0}),
            )
            .expect("an augmentation"),
        ),
        ..settings(optimizer)
    }
}

/// What is trained in the tests of what holds of every training.
fn trainings() -> Vec<(Network, Settings)> {
    let plain = optimizers().into_iter().map(|optimizer| (network(), settings(optimizer)));
    let [_, momentum, adam] = optimizers();
    let [_, _, plain_adam] = optimizers();
    let others = [(convolutional(), settings(momentum)), (convolutional(), everything(adam))];
    plain.chain(others).chain([(pooled(false), settings(plain_adam))]).collect()
}

fn settings(optimizer: OptimizerSpec) -> Settings {
    Settings {
        init: Init::He(He {}),
        loss: LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy::default()),
        optimizer,
        schedule: None,
        gradient_clip: None,
        weight_decay: 1e-4,
        batch_size: 70,
        length: Length::Epochs(12),
        seed: 3,
        validation_fraction: 0.0,
        evaluate_every: 1,
        early_stopping: None,
        augment: None,
        diagnostics: true,
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
    mini_batches: Vec<MiniBatch>,
    events: Vec<TrainEvent>,
    saved: Vec<Checkpoint>,
}

impl Observer for Script {
    fn mini_batch(&mut self, batch: MiniBatch) {
        self.mini_batches.push(batch);
    }

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
    let (train, test) = (Clouds::new(301, 0), Clouds::new(50, 1));
    for (network, settings) in trainings() {
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
            assert!(results[0] == *other, "{:?}", settings);
        }
    }
}

#[test]
fn every_layer_is_the_same_for_any_number_of_threads() {
    let (train, test) = (Clouds::new(150, 0), Clouds::new(30, 1));
    let [_, _, adam] = optimizers();
    let settings = Settings { length: Length::Epochs(2), ..settings(adam) };
    for entry in crate::layer::entries() {
        let layers =
            [LayerSpec::Affine(Affine::of(12)), crate::describe::example(entry), LayerSpec::Affine(Affine::of(3))];
        // On an image where a layer wants one.
        let network = Network::build(&Shape::new(&[12]), &layers)
            .or_else(|_| Network::build(&Shape::new(&[1, 3, 4]), &layers[1..]))
            .unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        let results = [1, 2, 3, 7].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let data = Data { train: train.samples(), test: test.samples() };
            let mut trainer = Trainer::new(&network, &settings, data);
            assert_eq!(pool.install(|| trainer.run(&mut Script::default())), Outcome::Completed, "{}", entry.name);
            bits(trainer.parameters())
        });
        assert!(results[1..].iter().all(|other| *other == results[0]), "{}", entry.name);
    }
}

#[test]
fn wide_layers_are_the_same_for_any_number_of_threads() {
    let (train, test) = (Clouds::new(150, 0), Clouds::new(30, 1));
    // The last one's large layer has few panels.
    let few = [600, 130, 3].map(|units| LayerSpec::Affine(Affine::of(units)));
    let few = Network::build(&Shape::new(&[12]), &few).expect("a sound network");
    // A convolution writes its output where the affine layers, one shard, read it.
    let above = serde_json::json!([
        {"type": "conv2d", "filters": 4, "kernel": 3, "stride": 1, "padding": 1}, {"type": "relu"},
        {"type": "affine", "units": 100}, {"type": "relu"}, {"type": "affine", "units": 3},
    ]);
    let above: Vec<LayerSpec> = serde_json::from_value(with_init(above)).expect("layers");
    let above = Network::build(&Shape::new(&[1, 3, 4]), &above).expect("a sound network");
    for (network, batch_size) in [(&wide(), 70), (&wide(), 7), (&few, 70), (&above, 40)] {
        let [_, _, adam] = optimizers();
        let settings = Settings { length: Length::Epochs(1), batch_size, ..settings(adam) };
        let data = Data { train: train.samples(), test: test.samples() };
        let results = [1, 2, 3, 7].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let mut trainer = Trainer::new(network, &settings, data);
            assert_eq!(pool.install(|| trainer.run(&mut Script::default())), Outcome::Completed);
            bits(trainer.parameters())
        });
        assert!(results[1..].iter().all(|other| *other == results[0]), "{batch_size}");
    }
}

#[test]
fn a_checkpoint_of_an_early_version_goes_on() {
    let layers = [320, 100, 3].map(|units| LayerSpec::Affine(Affine::of(units)));
    let (train, network) = (Clouds::new(150, 0), Network::build(&Shape::new(&[12]), &layers).expect("a sound network"));
    let [_, _, adam] = optimizers();
    let settings = Settings { length: Length::Epochs(1), ..settings(adam) };
    let data = Data { train: train.samples(), test: train.samples() };
    let mut trainer = Trainer::new(&network, &settings, data);
    assert_eq!(trainer.run(&mut Script { stop_at: vec![1], ..Script::default() }), Outcome::Stopped);
    let mut panelled = trainer.checkpoint();
    panelled.best = Some(Best { value: 0.5, epoch: 1, parameters: panelled.parameters.clone() });
    trainer.run(&mut Script::default());
    // As they were written then: every matrix row by row, then those of up to 128 columns alone.
    let mut seen = vec![panelled.parameters.clone()];
    for (arrangement, in_rows) in [(Arrangement::Rows, usize::MAX), (Arrangement::WidePanels, 128)] {
        let mut early = panelled.clone();
        let best = early.best.as_mut().map(|best| &mut best.parameters);
        for values in [&mut early.parameters].into_iter().chain(&mut early.slots).chain(best) {
            for tensor in
                network.tensors().iter().filter(|tensor| tensor.shape.axes()[1..].iter().all(|n| *n <= in_rows))
            {
                let rows = tensor.storage.to_file(&values[tensor.range.clone()]);
                values[tensor.range.clone()].copy_from_slice(&rows);
            }
        }
        early.arrangement = arrangement;
        assert!(!seen.contains(&early.parameters));
        seen.push(early.parameters.clone());
        assert_eq!(early.clone().arranged_for(&network), panelled);
        let read = Checkpoint::decode(&early.encode()).expect("our own bytes");
        let mut resumed = Trainer::resume(&network, &settings, data, read).expect("ours");
        assert_eq!(resumed.run(&mut Script::default()), Outcome::Completed);
        assert_eq!(bits(resumed.parameters()), bits(trainer.parameters()));
    }
}

#[test]
fn resuming_is_exact_at_every_step() {
    let (train, test) = (Clouds::new(301, 0), Clouds::new(50, 1));
    for (network, settings) in trainings() {
        let data = Data { train: train.samples(), test: test.samples() };
        let mut whole = Script::default();
        let mut control = Trainer::new(&network, &settings, data);
        control.run(&mut whole);
        let total = total_steps(&settings, 301);
        assert!([48, 60].contains(&total), "{total}");
        let (mut events, mut mini_batches, mut state) = (Vec::new(), Vec::new(), None::<Vec<u8>>);
        for stop in (1..total).chain([1000]) {
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
            mini_batches.extend(script.mini_batches);
            if stop == 1000 {
                assert_eq!(outcome, Outcome::Completed);
                assert_eq!(bits(trainer.parameters()), bits(control.parameters()));
            } else {
                assert_eq!(outcome, Outcome::Stopped);
            }
            state = Some(trainer.checkpoint().encode());
        }
        assert_eq!(events, whole.events);
        assert_eq!(mini_batches, whole.mini_batches);
    }
}

#[test]
fn early_stopping_ends_with_the_best_weights() {
    let (train, test, network) = (Clouds::new(301, 0), Clouds::new(50, 1), network());
    let [_, _, adam] = optimizers();
    let rule = EarlyStopping { monitor: Monitor::ValidationLoss, patience: 3, min_delta: 0.0, restore_best: true };
    let settings = Settings {
        validation_fraction: 0.3,
        early_stopping: Some(rule),
        length: Length::Epochs(500),
        ..settings(adam)
    };
    let mut trainer = Trainer::new(&network, &settings, Data { train: train.samples(), test: test.samples() });
    let mut script = Script::default();
    assert_eq!(trainer.run(&mut script), Outcome::EarlyStopped);
    let losses: Vec<_> = script
        .events
        .iter()
        .filter_map(|event| match event {
            TrainEvent::Epoch { validation, test, .. } => {
                Some((validation.expect("held out").mean_loss(), test.mean_loss()))
            }
            _ => None,
        })
        .collect();
    let best = losses.iter().min_by(|a, b| a.0.partial_cmp(&b.0).expect("finite")).expect("epochs");
    assert_eq!(losses.iter().position(|l| l == best), Some(losses.len() - 4), "three epochs after the best one");
    let test_loss = |trainer: &Trainer<'_>| trainer.evaluate(test.samples()).mean_loss();
    assert_eq!(test_loss(&trainer), losses.last().expect("epochs").1, "a checkpoint is of the last mini-batch");
    trainer.restore_best();
    assert_eq!(test_loss(&trainer), best.1);
}

/// The epochs that were evaluated, with the samples that each covers.
fn evaluated(settings: &Settings) -> (Outcome, Vec<(u64, u64)>) {
    let (train, test, network) = (Clouds::new(301, 0), Clouds::new(50, 1), network());
    let mut script = Script::default();
    let outcome =
        Trainer::new(&network, settings, Data { train: train.samples(), test: test.samples() }).run(&mut script);
    let evaluated = script.events.iter().filter_map(|event| match event {
        TrainEvent::Epoch { epoch, train, .. } => Some((*epoch, train.samples)),
        TrainEvent::Diagnostics(_) => None,
    });
    (outcome, evaluated.collect())
}

#[test]
fn early_stopping_does_not_depend_on_the_planned_length() {
    let [_, _, adam] = optimizers();
    let rule = EarlyStopping { monitor: Monitor::ValidationLoss, patience: 3, min_delta: 0.0, restore_best: true };
    let stopped = [200, 1_000, 5_000, 20_000, 100_000, 1_000_000].map(|epochs| {
        let settings = Settings {
            validation_fraction: 0.3,
            early_stopping: Some(rule.clone()),
            length: Length::Epochs(epochs),
            ..settings(adam.clone())
        };
        let (outcome, evaluated) = evaluated(&settings);
        assert_eq!(outcome, Outcome::EarlyStopped);
        evaluated
    });
    assert!(stopped[1..].iter().all(|other| *other == stopped[0]), "{stopped:?}");
    assert!(stopped[0].iter().map(|(epoch, _)| *epoch).eq(1..=stopped[0].len() as u64));
}

#[test]
fn epochs_are_evaluated_as_often_as_asked_and_the_last_one_always() {
    let [sgd, ..] = optimizers();
    let settings = Settings { evaluate_every: 4, length: Length::Epochs(10), ..settings(sgd) };
    let (outcome, all) = evaluated(&settings);
    // No training sample is left out of the sums.
    assert_eq!((outcome, all), (Outcome::Completed, vec![(4, 4 * 301), (8, 4 * 301), (10, 2 * 301)]));
    let cut_short = Settings { length: Length::Steps(7), ..settings };
    assert_eq!(evaluated(&cut_short).1, [(2, 301 + 2 * 70)]);
}

#[test]
fn evaluations_are_without_label_smoothing() {
    let (train, test, network) = (Clouds::new(301, 0), Clouds::new(50, 1), network());
    let [sgd, ..] = optimizers();
    let smoothed = LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy { label_smoothing: 0.2 });
    let settings = Settings { loss: smoothed, validation_fraction: 0.2, length: Length::Epochs(3), ..settings(sgd) };
    let data = Data { train: train.samples(), test: test.samples() };
    let mut script = Script::default();
    let mut trainer = Trainer::new(&network, &settings, data);
    trainer.run(&mut script);
    let last = script.events.iter().rev().find_map(|event| match event {
        TrainEvent::Epoch { test, .. } => Some(*test),
        TrainEvent::Diagnostics(_) => None,
    });
    let plain = Settings { loss: LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy::default()), ..settings.clone() };
    let other = Trainer::resume(&network, &plain, data, trainer.checkpoint()).expect("the same buffers");
    assert_eq!(last, Some(other.evaluate(data.test)));
    assert_eq!(trainer.report_on(data.test, 3), other.report_on(data.test, 3));
    // What is trained on is smoothed: it cannot come near zero.
    let first = |settings: &Settings| {
        let mut script = Script { stop_at: vec![1], ..Script::default() };
        Trainer::new(&network, settings, data).run(&mut script);
        script.mini_batches[0].score.loss
    };
    assert_ne!(first(&settings), first(&plain));
}

#[test]
fn weight_decay_is_part_of_the_gradient_that_is_clipped() {
    let (train, network) = (Clouds::new(70, 0), network());
    let data = Data { train: train.samples(), test: train.samples() };
    let clip = serde_json::from_value(serde_json::json!({"type": "norm", "max_norm": 0.5})).expect("a clip");
    let settings = Settings {
        weight_decay: 100.0,
        gradient_clip: Some(clip),
        length: Length::Steps(1),
        ..settings(OptimizerSpec::Sgd(Sgd { learning_rate: 1.0 }))
    };
    let mut trainer = Trainer::new(&network, &settings, data);
    let before = trainer.parameters().to_vec();
    trainer.run(&mut Script::default());
    let change = before.iter().zip(trainer.parameters()).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    assert!((change - 0.5).abs() < 1e-3, "the whole update has the largest norm: {change}");
}

#[test]
fn training_may_be_cut_short_in_the_middle_of_an_epoch() {
    let (train, test, network) = (Clouds::new(301, 0), Clouds::new(50, 1), network());
    let [sgd, ..] = optimizers();
    let settings = Settings { length: Length::Steps(7), ..settings(sgd) };
    let mut script = Script::default();
    let mut trainer = Trainer::new(&network, &settings, Data { train: train.samples(), test: test.samples() });
    assert_eq!(trainer.run(&mut script), Outcome::Completed);
    let epochs = script.events.iter().filter(|event| matches!(event, TrainEvent::Epoch { .. })).count();
    assert_eq!((trainer.step(), epochs), (7, 2));
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
        let settings = Settings { length: Length::Epochs(40), ..settings(optimizer) };
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
    let settings = Settings { length: Length::Epochs(90), ..settings(OptimizerSpec::Sgd(Sgd { learning_rate: 0.1 })) };
    let mut script = Script::default();
    Trainer::new(&network, &settings, Data { train: train.samples(), test: test.samples() }).run(&mut script);
    let (mut windows, mut epochs) = (Score::default(), Score::default());
    script.mini_batches.iter().for_each(|batch| windows.add(batch.score));
    assert!(script.mini_batches.iter().zip(1..).all(|(batch, step)| batch.step == step));
    for event in &script.events {
        if let TrainEvent::Epoch { train, test, .. } = event {
            epochs.add(*train);
            assert_eq!((train.samples, test.samples), (301, 50));
        }
    }
    assert_eq!((windows.samples, windows.correct), (epochs.samples, epochs.correct));
    assert_eq!(windows.samples, 301 * 90);
}

#[test]
fn a_diverging_training_stops_before_its_weights_are_spoiled() {
    let (train, test, network) = (Clouds::new(100, 0), Clouds::new(50, 1), network());
    let settings =
        Settings { length: Length::Epochs(200), ..settings(OptimizerSpec::Sgd(Sgd { learning_rate: 1000.0 })) };
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
