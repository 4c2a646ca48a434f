//! Every wrong spec is refused with the place of each fault; every right one comes back complete.

use serde_json::{Value, json};

use super::*;

fn minimal() -> Value {
    json!({"dataset": {"name": "digits"}, "network": [{"type": "affine", "units": 10}]})
}

/// `minimal()` with some members replaced.
fn with(members: &Value) -> Value {
    let mut spec = minimal();
    for (key, value) in members.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    spec
}

fn pointers(spec: &Value) -> Vec<String> {
    TrainSpec::from_value(spec).map_or_else(|Faults(f)| f.into_iter().map(|f| f.pointer).collect(), |_| vec![])
}

#[test]
fn defaults_are_filled_in() {
    let spec = TrainSpec::from_value(&minimal()).expect("a sound spec");
    assert_eq!((spec.batch_size, spec.epochs, spec.seed), (100, Some(20), 42));
    assert_eq!(spec.model_name(), "digits");
    let shown = serde_json::to_value(&spec).expect("plain data");
    assert_eq!(
        shown["optimizer"],
        json!({"type": "adam", "learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8})
    );
    assert_eq!(shown["init"], json!({"type": "he"}));
    assert_eq!(TrainSpec::from_value(&shown).expect("what we print we read"), spec);
}

#[test]
fn every_field_and_alias_is_read() {
    let spec = json!({
        "name": "all", "model": "m-1", "dataset": {"name": "mnist", "train_limit": 500, "test_limit": 100},
        "network": [{"type": "dense", "units": 50}, "relu", {"type": "linear", "units": 20.0}, {"type": "sigmoid"}, "tanh", {"type": "affine", "units": 10}],
        "init": {"type": "std", "std": 0.01}, "loss": "cross_entropy", "optimizer": {"type": "momentum", "learning_rate": 0.1, "momentum": 0.8},
        "weight_decay": 0.1, "batch_size": 7, "epochs": 3, "seed": u64::MAX, "max_seconds": 10, "checkpoint_every_seconds": 0.5,
    });
    let spec = TrainSpec::from_value(&spec).expect("a sound spec");
    let names: Vec<_> = spec.network.iter().map(LayerSpec::name).collect();
    assert_eq!(names, ["affine", "relu", "affine", "sigmoid", "tanh", "affine"]);
    assert_eq!((spec.seed, spec.max_seconds), (u64::MAX, Some(10.0)));
}

#[test]
fn each_fault_has_its_place() {
    let cases = [
        (json!([]), "#"),
        (json!({"network": ["relu"]}), "#"),
        (with(&json!({"dataset": "mnist"})), "#/dataset"),
        (with(&json!({"dataset": {}})), "#/dataset"),
        (with(&json!({"dataset": {"name": "a/b"}})), "#/dataset/name"),
        (with(&json!({"dataset": {"name": "mnist", "train_limit": 0}})), "#/dataset/train_limit"),
        (with(&json!({"dataset": {"name": "mnist", "limit": 5}})), "#/dataset/limit"),
        (with(&json!({"network": []})), "#/network"),
        (with(&json!({"network": {}})), "#/network"),
        (with(&json!({"network": [5]})), "#/network/0"),
        (with(&json!({"network": ["relu", "afine"]})), "#/network/1"),
        (with(&json!({"network": ["affine"]})), "#/network/0"),
        (with(&json!({"network": [{"units": 5}]})), "#/network/0"),
        (with(&json!({"network": [{"type": 5}]})), "#/network/0/type"),
        (with(&json!({"network": [{"type": "affin", "units": 3}]})), "#/network/0/type"),
        (with(&json!({"network": [{"type": "affine", "units": 0}]})), "#/network/0/units"),
        (with(&json!({"network": [{"type": "affine", "units": -1}]})), "#/network/0/units"),
        (with(&json!({"network": [{"type": "affine", "units": 2.5}]})), "#/network/0/units"),
        (with(&json!({"network": [{"type": "affine", "units": "5"}]})), "#/network/0/units"),
        (with(&json!({"network": [{"type": "relu", "units": 5}]})), "#/network/0/units"),
        (with(&json!({"init": "hee"})), "#/init"),
        (with(&json!({"init": {"type": "std", "std": -0.1}})), "#/init/std"),
        (with(&json!({"loss": null})), "#/loss"),
        (with(&json!({"optimizer": {"type": "adma"}})), "#/optimizer/type"),
        (with(&json!({"optimizer": {"type": "sgd", "learning_rate": 0}})), "#/optimizer/learning_rate"),
        (with(&json!({"optimizer": {"type": "sgd", "momentum": 0.9}})), "#/optimizer/momentum"),
        (with(&json!({"optimizer": {"type": "adam", "beta1": 1.0}})), "#/optimizer/beta1"),
        (with(&json!({"weight_decay": -1})), "#/weight_decay"),
        (with(&json!({"batch_size": 0})), "#/batch_size"),
        (with(&json!({"epochs": 1.5})), "#/epochs"),
        (with(&json!({"seed": -1})), "#/seed"),
        (with(&json!({"max_seconds": 0})), "#/max_seconds"),
        (with(&json!({"name": ""})), "#/name"),
        (with(&json!({"name": "a\u{7}b"})), "#/name"),
        (with(&json!({"model": "no spaces"})), "#/model"),
        (with(&json!({"epoch": 3})), "#/epoch"),
    ];
    for (spec, pointer) in cases {
        let found = pointers(&spec);
        assert!(found.iter().any(|p| p == pointer), "{spec}: {found:?} instead of {pointer}");
    }
}

#[test]
fn all_faults_come_at_once_with_suggestions() {
    let spec = with(&json!({"epochs": 0, "bath_size": 10, "network": [{"type": "affine", "untis": 3}]}));
    let Faults(faults) = TrainSpec::from_value(&spec).expect_err("four faults");
    let places: Vec<_> = faults.iter().map(|f| f.pointer.as_str()).collect();
    assert_eq!(places, ["#/bath_size", "#/network/0/untis", "#/network/0", "#/epochs"]);
    assert!(faults[0].detail.contains("did you mean `batch_size`?"), "{}", faults[0].detail);
    assert!(faults[1].detail.contains("did you mean `units`?"), "{}", faults[1].detail);
}

#[test]
fn every_default_in_the_tables_is_sound() {
    fn walk(fields: &[Field]) {
        for field in fields {
            let _ = field.default.value();
            match field.kind {
                Kind::Object(inner) => walk(inner),
                Kind::OneOf(registry) | Kind::ListOf { of: registry, .. } => {
                    for entry in registry() {
                        walk(entry.fields);
                    }
                }
                _ => {}
            }
        }
    }
    walk(FIELDS);
}
