//! Every recipe is sound, and shows what it says.

use serde_json::json;

use super::*;
use crate::data::{DatasetInfo, Dtype};
use crate::engine::checkpoint::Checkpoint;
use crate::engine::samples::{Inputs, Samples};
use crate::engine::shape::Shape;
use crate::engine::train::{Command, Data, Observer, Outcome, TrainEvent, Trainer};
use crate::job::plan::{Plan, Premises};

fn info(name: &str, input: &[usize], classes: usize, samples: usize) -> DatasetInfo {
    DatasetInfo {
        name: name.into(),
        description: String::new(),
        input: Shape::new(input),
        dtype: Dtype::Float32,
        classes,
        class_names: (0..classes).map(|i| i.to_string()).collect(),
        train_samples: samples,
        test_samples: samples,
    }
}

fn plan(spec: TrainSpec) -> Result<Plan, Faults> {
    let gate = |name| info(name, &[2], 2, 4);
    let datasets = [
        info("mnist", &[1, 28, 28], 10, 60_000),
        gate("and"),
        gate("or"),
        gate("nand"),
        gate("xor"),
        info("spiral", &[2], 3, 300),
        info("moons", &[2], 2, 500),
    ];
    Plan::new(spec, &Premises { datasets: &datasets, memory_budget: 4 << 30 })
}

fn fault(document: Value) -> (String, String) {
    let Faults(faults) = spec_from_value(document).expect_err("a fault");
    assert_eq!(faults.len(), 1, "{faults:?}");
    (faults[0].pointer.clone(), faults[0].detail.clone())
}

#[test]
fn every_recipe_can_be_trained() {
    let parameters = [
        ("two_layer_net", 39_760),
        ("multi_layer_net", 109_810),
        ("simple_convnet", 433_890),
        ("deep_convnet", 123_552),
        ("fast99", 34_250),
        ("perceptron_and", 3),
        ("perceptron_or", 3),
        ("perceptron_nand", 3),
        ("perceptron_xor", 3),
        ("xor_two_layer", 17),
        ("spiral_two_layer", 195),
        ("moons_two_layer", 82),
    ];
    assert_eq!(recipes().iter().map(|recipe| recipe.name.as_str()).collect::<Vec<_>>(), parameters.map(|p| p.0));
    for (name, parameters) in parameters {
        let view = find(name).expect("a recipe").view();
        assert_eq!(view.spec.name.as_deref(), Some(view.title));
        assert!(!view.description.is_empty() && !view.source.is_empty());
        let plan = plan(view.spec).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        assert_eq!(plan.summary().parameters, parameters, "{name}");
    }
}

#[test]
fn a_file_is_named_as_its_recipe() {
    for ((file, _), recipe) in FILES.iter().zip(recipes()) {
        assert_eq!(*file, recipe.name);
    }
}

#[test]
fn own_members_replace_the_recipes() {
    let spec = |document| spec_from_value(document).expect("a sound spec");
    let plain = spec(json!({"recipe": "simple_convnet"}));
    assert_eq!(plain, find("simple_convnet").expect("a recipe").view().spec);
    let changed = spec(json!({"recipe": "simple_convnet", "dataset": {"name": "digits"}, "epochs": 2, "name": "mine"}));
    assert_eq!((changed.dataset.name.as_str(), changed.epochs, changed.title()), ("digits", Some(2), "mine".into()));
    assert_eq!((&changed.network, &changed.optimizer), (&plain.network, &plain.optimizer));
    let limited = spec(json!({"recipe": "simple_convnet", "dataset": {"train_limit": 1000}, "optimizer": "sgd"}));
    assert_eq!((limited.dataset.name.as_str(), limited.dataset.train_limit), ("mnist", Some(1000)));
    // Not the learning rate of the recipe's Adam.
    assert_eq!(limited.optimizer.rule().learning_rate(), 0.01);
}

#[test]
fn a_training_has_one_length() {
    let length = |document| {
        let spec = spec_from_value(document).expect("a sound spec");
        (spec.epochs, spec.steps)
    };
    assert_eq!(length(json!({"recipe": "fast99"})), (None, Some(330)));
    assert_eq!(length(json!({"recipe": "fast99", "epochs": 3})), (Some(3), None));
    assert_eq!(length(json!({"recipe": "fast99", "epochs": 3, "steps": null})), (Some(3), None));
    assert_eq!(length(json!({"recipe": "two_layer_net", "steps": 5})), (None, Some(5)));
    assert_eq!(fault(json!({"recipe": "fast99", "steps": 5, "epochs": 3})).0, "#/steps");
}

#[test]
fn faults_are_told_where_the_client_made_them() {
    let (pointer, detail) = fault(json!({"recipe": "simple_convnt"}));
    assert_eq!(pointer, "#/recipe");
    assert!(detail.contains("did you mean `simple_convnet`?"), "{detail}");
    assert!(fault(json!({"recipe": "resnet"})).1.contains("there are two_layer_net, "));
    assert_eq!(fault(json!({"recipe": 5})).0, "#/recipe");
    assert_eq!(fault(json!({"recipe": "fast99", "dataset": {"limit": 5}})).0, "#/dataset/limit");
    assert_eq!(fault(json!({"recipe": "fast99", "dataset": "digits"})).0, "#/dataset");
    assert_eq!(fault(json!({"recipe": "fast99", "network": ["rleu"]})).0, "#/network/0");
    // Without a recipe nothing stands in for what is missing.
    assert_eq!(spec_from_value(json!({})).expect_err("two faults").0.len(), 2);
    assert_eq!(parse_spec(b"[]").expect_err("no object").0[0].pointer, "#");
}

struct Nobody;

impl Observer for Nobody {
    fn next(&mut self, _step: u64) -> Command {
        Command::Continue
    }

    fn event(&mut self, _event: TrainEvent) {}

    fn checkpoint(&mut self, _checkpoint: Checkpoint) {}
}

/// How many corners of the unit square a recipe has learned to read as XOR does.
fn xor_hits(name: &str) -> u64 {
    let plan = plan(find(name).expect("a recipe").view().spec).expect("a sound spec");
    let samples = Samples::new(Inputs::Floats(&[0., 0., 0., 1., 1., 0., 1., 1.]), &[0, 1, 1, 0], 2);
    let mut trainer = Trainer::new(plan.network(), plan.settings(), Data { train: samples, test: samples });
    assert_eq!(trainer.run(&mut Nobody), Outcome::Completed);
    trainer.evaluate(samples).correct
}

#[test]
fn xor_needs_a_hidden_layer() {
    assert!(xor_hits("perceptron_xor") < 4);
    assert_eq!(xor_hits("xor_two_layer"), 4);
}
