//! Every recipe is sound, and shows what it says.

use serde_json::json;

use super::*;
use crate::data::source::Source;
use crate::data::toy::TOYS;
use crate::data::{Dataset, DatasetInfo, Dtype, Values};
use crate::engine::checkpoint::Checkpoint;
use crate::engine::shape::Shape;
use crate::engine::train::{Command, Data, Observer, Outcome, TrainEvent, Trainer};
use crate::job::plan::{Plan, Premises};

/// What MNIST announces, and the toys.
fn datasets() -> Vec<DatasetInfo> {
    let mnist = DatasetInfo {
        name: "mnist".into(),
        description: String::new(),
        input: Shape::new(&[1, 28, 28]),
        dtype: Dtype::Uint8,
        classes: 10,
        class_names: (0..10).map(|i| i.to_string()).collect(),
        train_samples: 60_000,
        test_samples: 10_000,
    };
    TOYS.iter().map(Source::info).chain([mnist]).collect()
}

fn plan(spec: TrainSpec) -> Result<Plan, Faults> {
    Plan::new(spec, &Premises { datasets: &datasets(), memory_budget: 4 << 30 })
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
        ("spiral_two_layer", 387),
        ("moons_two_layer", 65),
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

/// A toy dataset.
fn toy(name: &str) -> Dataset {
    TOYS.iter().find(|toy| toy.info().name == name).expect("a toy").load().expect("it is drawn")
}

/// Share of the test samples of its own dataset that a recipe has learned to read right.
fn accuracy(recipe: &str) -> f64 {
    let plan = plan(find(recipe).expect("a recipe").view().spec).expect("a sound spec");
    let dataset = toy(&plan.spec().dataset.name);
    let data = Data { train: dataset.train.samples(None), test: dataset.test.samples(None) };
    let mut trainer = Trainer::new(plan.network(), plan.settings(), data);
    assert_eq!(trainer.run(&mut Nobody), Outcome::Completed);
    trainer.evaluate(data.test).correct as f64 / dataset.test.len() as f64
}

#[test]
fn a_perceptron_solves_the_gates_but_xor() {
    for gate in ["and", "or", "nand"] {
        assert_eq!(accuracy(&format!("perceptron_{gate}")), 1.0, "{gate}");
    }
    assert!(accuracy("perceptron_xor") < 1.0, "no line separates it");
    assert_eq!(accuracy("xor_two_layer"), 1.0);
}

/// Share of a toy's test points that its own distribution says are of their class: more than that is chance.
fn best_possible(dataset: &str, class_of: fn([f64; 2]) -> u16) -> f64 {
    let test = toy(dataset).test;
    let Values::Floats(points) = &test.inputs else { panic!("points are numbers") };
    let classes = points.chunks_exact(2).map(|point| class_of([f64::from(point[0]), f64::from(point[1])]));
    let hits = classes.zip(&test.labels).filter(|(class, label)| class == *label).count();
    hits as f64 / test.len() as f64
}

/// The arm whose angle at this radius, 4·arm + 4·radius, is nearest: the noise is that of the angle alone.
fn nearest_arm([x, y]: [f64; 2]) -> u16 {
    let (radius, angle) = (x.hypot(y), libm::atan2(x, y));
    let apart = |arm: u16| {
        let turned = (angle - 4.0 * f64::from(arm) - 4.0 * radius).rem_euclid(std::f64::consts::TAU);
        turned.min(std::f64::consts::TAU - turned)
    };
    (0..3).min_by(|a, b| apart(*a).total_cmp(&apart(*b))).expect("three arms")
}

/// The moon with more of its density here: that of points on its half circle with normal noise of deviation 0.15.
fn denser_moon([x, y]: [f64; 2]) -> u16 {
    let density = |[x, y]: [f64; 2]| -> f64 {
        let at = |step: u32| {
            let angle = std::f64::consts::PI * (f64::from(step) + 0.5) / 200.0;
            let distance = (x - libm::cos(angle)).powi(2) + (y - libm::sin(angle)).powi(2);
            libm::exp(-distance / (2.0 * 0.15 * 0.15))
        };
        (0..200).map(at).sum()
    };
    u16::from(density([1.0 - x, 0.5 - y]) > density([x, y]))
}

#[test]
fn a_hidden_layer_reads_curved_boundaries_as_well_as_the_data_allow() {
    for (recipe, best) in [
        ("spiral_two_layer", best_possible("spiral", nearest_arm)),
        ("moons_two_layer", best_possible("moons", denser_moon)),
    ] {
        assert!((0.98..1.0).contains(&best), "{recipe}: {best}");
        let reached = accuracy(recipe);
        assert!(reached >= best - 0.011, "{recipe} reads {reached} of the test points right; {best} are possible");
    }
}
