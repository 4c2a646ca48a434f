//! What cannot be trained is refused before it costs anything, each fault with its place and a word that helps; and
//! what makes use of everything is not.

use serde_json::{Value, json};

use super::fault::Faults;
use super::plan::{Plan, Premises};
use super::spec::{FIELDS, TrainSpec};
use crate::data::{DatasetInfo, Dtype};
use crate::engine::shape::Shape;

fn info(name: &str, input: &[usize], classes: usize) -> DatasetInfo {
    DatasetInfo {
        name: name.into(),
        description: String::new(),
        input: Shape::new(input),
        dtype: Dtype::Uint8,
        classes,
        class_names: (0..classes).map(|i| i.to_string()).collect(),
        train_samples: 60_000,
        test_samples: 10_000,
    }
}

/// Images of digits and points in the plane, and a gibibyte of memory.
fn plan(spec: &Value) -> Result<Plan, Faults> {
    let datasets = [info("digits", &[1, 28, 28], 10), info("points", &[2], 2)];
    Plan::new(TrainSpec::from_value(spec)?, &Premises { datasets: &datasets, memory_budget: 1 << 30 })
}

/// A sound spec with some members replaced.
fn with(members: &Value) -> Value {
    let mut spec = json!({"dataset": {"name": "digits"}, "network": [{"type": "affine", "units": 10}]});
    for (key, value) in members.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    spec
}

/// Holds each case to exactly one fault, at its place, with its words.
fn assert_refused(cases: &[(Value, &str, &str)]) {
    for (members, pointer, words) in cases {
        let Faults(faults) = plan(&with(members)).map(|_| panic!("{members} is accepted")).unwrap_err();
        let found: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(found, [*pointer], "{members}: {faults:?}");
        assert!(faults[0].detail.contains(words), "{members}: {}", faults[0].detail);
    }
}

/// A network that begins with these layers and ends soundly.
fn layers(first: &Value) -> Value {
    let mut all = first.as_array().expect("a list").clone();
    all.push(json!({"type": "affine", "units": 10}));
    json!({"network": all})
}

#[test]
fn names_that_deceive() {
    assert_refused(&[
        (json!({"name": "exe.\u{202e}gpj"}), "#/name", "the character U+202E is not allowed"),
        (json!({"name": "a\u{2066}b"}), "#/name", "U+2066"),
        (json!({"name": "a\u{200b}"}), "#/name", "U+200B"),
        (json!({"name": "a\nb"}), "#/name", "U+000A"),
        (json!({"model": "a\u{202e}b"}), "#/model", "may hold only"),
        (json!({"dataset": {"name": "digits\u{200d}"}}), "#/dataset/name", "may hold only"),
        (json!({"webhook": "https://a.example/\u{202e}"}), "#/webhook", "U+202E"),
    ]);
    let spec = with(&json!({"name": "손글씨 — نمی\u{200c}خواهم 👩\u{200d}💻"}));
    assert!(plan(&spec).is_ok());
}

#[test]
fn fields_that_are_none() {
    assert_refused(&[
        (json!({"netwrok": []}), "#/netwrok", "did you mean `network`?"),
        (json!({"optimzer": "sgd"}), "#/optimzer", "did you mean `optimizer`?"),
        (json!({"learning_rate": 0.1}), "#/learning_rate", "unknown field"),
        (json!({"dataset": {"name": "digits", "augmnet": {}}}), "#/dataset/augmnet", "did you mean `augment`?"),
        (json!({"dataset": {"name": "digits", "augment": {"shfit": 2}}}), "#/dataset/augment/shfit", "`shift`"),
        (json!({"optimizer": {"type": "adam", "lr": 0.1}}), "#/optimizer/lr", "unknown field `lr`"),
        (
            json!({"loss": {"type": "softmax_cross_entropy", "label_smooth": 0.1}}),
            "#/loss/label_smooth",
            "`label_smoothing`",
        ),
        (json!({"schedule": {"type": "cosine", "warmup": 1}}), "#/schedule/warmup", "unknown field `warmup`"),
        (json!({"gradient_clip": {"type": "norm", "max_nrom": 1}}), "#/gradient_clip/max_nrom", "`max_norm`"),
        (
            json!({"dataset": {"name": "digits", "validation_fraction": 0.1}, "early_stopping": {"patince": 3}}),
            "#/early_stopping/patince",
            "`patience`",
        ),
        (layers(&json!([{"type": "dropout", "ratio": 0.5}])), "#/network/0/ratio", "`rate`"),
        (layers(&json!([{"type": "relu", "units": 5}])), "#/network/0/units", "unknown field"),
    ]);
}

#[test]
fn names_that_are_none() {
    assert_refused(&[
        (json!({"dataset": {"name": "mnist"}}), "#/dataset/name", "there are digits, points"),
        (json!({"dataset": {"name": "digit"}}), "#/dataset/name", "did you mean `digits`?"),
        (json!({"loss": "softmax_crossentropy"}), "#/loss", "did you mean `softmax_cross_entropy`?"),
        (json!({"init": "xaiver"}), "#/init", "did you mean `xavier`?"),
        (json!({"optimizer": "lion"}), "#/optimizer", "there are `sgd`"),
        (json!({"schedule": "cosin"}), "#/schedule", "did you mean `cosine`?"),
        (json!({"gradient_clip": "norms"}), "#/gradient_clip", "did you mean `norm`?"),
        (layers(&json!(["batchnorm"])), "#/network/0", "did you mean `batch_norm`?"),
        (layers(&json!([{"type": "conv2b", "filters": 3, "kernel": 3}])), "#/network/0/type", "did you mean `conv2d`?"),
        (
            json!({"network": [{"type": "affine", "units": 10, "init": "hee"}]}),
            "#/network/0/init",
            "did you mean `he`?",
        ),
        (
            layers(&json!([{"type": "conv2d", "filters": 3, "kernel": 3, "padding": "smae"}])),
            "#/network/0/padding",
            "\"same\"",
        ),
        (
            json!({"dataset": {"name": "digits", "validation_fraction": 0.1}, "early_stopping": {"monitor": "validation_los"}}),
            "#/early_stopping/monitor",
            "did you mean `validation_loss`?",
        ),
    ]);
}

#[test]
fn fields_that_are_missing() {
    assert_refused(&[
        (json!({"dataset": {}}), "#/dataset", "the field `name` is missing"),
        (json!({"network": [{"type": "affine"}]}), "#/network/0", "the field `units` is missing"),
        (json!({"network": [{"units": 10}]}), "#/network/0", "the field `type` is missing"),
        (layers(&json!([{"type": "conv2d", "kernel": 3}])), "#/network/0", "the field `filters` is missing"),
        (layers(&json!([{"type": "conv2d", "filters": 3}])), "#/network/0", "the field `kernel` is missing"),
        (json!({"schedule": "step"}), "#/schedule", "the field `every_epochs` is missing"),
        (json!({"init": "constant"}), "#/init", "the field `value` is missing"),
        (json!({"optimizer": {"learning_rate": 0.1}}), "#/optimizer", "the field `type` is missing"),
    ]);
}

#[test]
fn values_of_another_kind() {
    assert_refused(&[
        (json!({"dataset": "digits"}), "#/dataset", "an object is needed"),
        (json!({"dataset": {"name": 5}}), "#/dataset/name", "a text is needed"),
        (json!({"network": "relu"}), "#/network", "a list is needed"),
        (json!({"network": [null]}), "#/network/0", "an object with a `type`, or its name"),
        (json!({"network": [{"type": ["affine"]}]}), "#/network/0/type", "a text is needed"),
        (json!({"batch_size": "100"}), "#/batch_size", "a whole number is needed, not a text"),
        (json!({"batch_size": 1.5}), "#/batch_size", "a whole number"),
        (json!({"epochs": true}), "#/epochs", "not a boolean"),
        (json!({"seed": 1e30}), "#/seed", "a whole number"),
        (json!({"optimizer": null}), "#/optimizer", "not null"),
        (
            json!({"optimizer": {"type": "sgd", "learning_rate": "0.1"}}),
            "#/optimizer/learning_rate",
            "a number is needed",
        ),
        (json!({"diagnostics": "yes"}), "#/diagnostics", "true or false"),
        (json!({"schedule": []}), "#/schedule", "not a list"),
        (layers(&json!([{"type": "conv2d", "filters": 3, "kernel": [3]}])), "#/network/0/kernel", "[height, width]"),
        (
            layers(&json!([{"type": "conv2d", "filters": 3, "kernel": [3, 3, 3]}])),
            "#/network/0/kernel",
            "[height, width]",
        ),
    ]);
}

#[test]
fn values_out_of_range() {
    let pool = |padding: usize| layers(&json!([{"type": "max_pool2d", "kernel": 2, "padding": padding}]));
    assert_refused(&[
        (json!({"priority": 101}), "#/priority", "a whole number within -100 to 100 is needed, not 101"),
        (json!({"priority": 0.5}), "#/priority", "a whole number within -100 to 100 is needed"),
        (json!({"webhook": ""}), "#/webhook", "an empty text"),
        (json!({"webhook": "example.com/hook"}), "#/webhook", "write it like https://"),
        (json!({"webhook": "file:///etc/passwd"}), "#/webhook", "`file` is not http or https"),
        (json!({"priority": "high"}), "#/priority", "a whole number within -100 to 100 is needed"),
        (json!({"batch_size": 0}), "#/batch_size", "0 is not within 1 to"),
        (json!({"epochs": 0}), "#/epochs", "0 is not within 1 to"),
        (json!({"evaluate_every": 0}), "#/evaluate_every", "0 is not within 1 to"),
        (json!({"evaluate_every": null}), "#/evaluate_every", "a whole number"),
        (json!({"steps": 0}), "#/steps", "0 is not within 1 to"),
        (json!({"seed": -1}), "#/seed", "a whole number"),
        (json!({"weight_decay": -0.1}), "#/weight_decay", "at least 0"),
        (json!({"max_seconds": 0}), "#/max_seconds", "more than 0"),
        (json!({"checkpoint_every_seconds": -5}), "#/checkpoint_every_seconds", "more than 0"),
        (json!({"optimizer": {"type": "sgd", "learning_rate": 0}}), "#/optimizer/learning_rate", "more than 0"),
        (json!({"optimizer": {"type": "momentum", "momentum": 1}}), "#/optimizer/momentum", "less than 1"),
        (json!({"optimizer": {"type": "adam", "beta2": 1.0}}), "#/optimizer/beta2", "less than 1"),
        (json!({"optimizer": {"type": "adamw", "epsilon": 0}}), "#/optimizer/epsilon", "more than 0"),
        (
            json!({"loss": {"type": "softmax_cross_entropy", "label_smoothing": 1}}),
            "#/loss/label_smoothing",
            "less than 1",
        ),
        (json!({"init": {"type": "std", "std": -0.01}}), "#/init/std", "at least 0"),
        (json!({"schedule": {"type": "step", "every_epochs": 0}}), "#/schedule/every_epochs", "within 1 to"),
        (json!({"schedule": {"type": "exponential", "factor": 1.1}}), "#/schedule/factor", "at most 1"),
        (json!({"schedule": {"type": "one_cycle", "warmup_fraction": 1}}), "#/schedule/warmup_fraction", "less than 1"),
        (json!({"schedule": {"type": "triangular", "peak_fraction": 0}}), "#/schedule/peak_fraction", "more than 0"),
        (json!({"gradient_clip": {"type": "value", "max_value": 0}}), "#/gradient_clip/max_value", "more than 0"),
        (json!({"dataset": {"name": "digits", "train_limit": 0}}), "#/dataset/train_limit", "within 1 to"),
        (
            json!({"dataset": {"name": "digits", "validation_fraction": 1.0}}),
            "#/dataset/validation_fraction",
            "less than 1",
        ),
        (json!({"dataset": {"name": "digits", "augment": {"shift": -1}}}), "#/dataset/augment/shift", "a whole number"),
        (json!({"dataset": {"name": "digits", "augment": {"scale": 1}}}), "#/dataset/augment/scale", "at most 0.9"),
        (json!({"network": [{"type": "affine", "units": 0}]}), "#/network/0/units", "within 1 to"),
        (layers(&json!([{"type": "dropout", "rate": 1}])), "#/network/0/rate", "less than 1"),
        (layers(&json!([{"type": "batch_norm", "momentum": 1}])), "#/network/0/momentum", "less than 1"),
        (layers(&json!([{"type": "conv2d", "filters": 3, "kernel": [3, 0]}])), "#/network/0/kernel/1", "within 1 to"),
        (
            layers(&json!([{"type": "conv2d", "filters": 3, "kernel": 3, "stride": 0}])),
            "#/network/0/stride",
            "within 1 to",
        ),
        (pool(2), "#/network/0/padding", "half its kernel"),
        (json!({"name": "x".repeat(121)}), "#/name", "longer than 120"),
        (json!({"model": "../x"}), "#/model", "may hold only"),
    ]);
}

#[test]
fn networks_that_do_not_fit_together() {
    let conv = |kernel: Value| json!({"type": "conv2d", "filters": 3, "kernel": kernel});
    let end = |last: Value| json!({"network": [{"type": "affine", "units": 10}, last]});
    let points = |loss: &str, units: usize| json!({"dataset": {"name": "points"}, "network": [{"type": "affine", "units": units}], "loss": loss});
    assert_refused(&[
        (json!({"network": []}), "#/network", "the list is empty"),
        (json!({"network": vec!["relu"; 1001]}), "#/network", "at most 1000"),
        (layers(&json!([conv(json!(29))])), "#/network/0/kernel", "29×29 does not fit an input of 28×28"),
        (layers(&json!([conv(json!([5, 29]))])), "#/network/0/kernel", "5×29 does not fit"),
        (
            layers(&json!([{"type": "affine", "units": 50}, conv(json!(3))])),
            "#/network/1",
            "an image [channels, height, width]",
        ),
        (layers(&json!(["flatten", {"type": "max_pool2d"}])), "#/network/1", "an image"),
        (layers(&json!(["flatten", "global_avg_pool"])), "#/network/1", "an image"),
        (
            layers(&json!(vec![json!({"type": "max_pool2d"}); 5])),
            "#/network/4/kernel",
            "2×2 does not fit an input of 1×1",
        ),
        (json!({"network": [{"type": "affine", "units": 11}]}), "#/network/0", "{\"type\": \"affine\", \"units\": 10}"),
        (json!({"network": [conv(json!(3))]}), "#/network/0", "outputs of shape [3, 26, 26]"),
        (end(json!("softmax")), "#/network/1", "has its own softmax"),
        (
            json!({"network": [{"type": "affine", "units": 10}, "sigmoid"], "loss": "binary_cross_entropy"}),
            "#/network/1",
            "own sigmoid",
        ),
        (points("perceptron", 2), "#/network/0", "2 classes"),
        (json!({"loss": "perceptron"}), "#/loss", "10 classes"),
        (points("softmax_cross_entropy", 3), "#/network/0", "2 classes"),
        (
            json!({"network": [{"type": "affine", "units": 1 << 20}, {"type": "affine", "units": 10}]}),
            "#/network",
            "a job may take 1024 MiB",
        ),
        (
            json!({"network": [{"type": "affine", "units": 1 << 20}, {"type": "affine", "units": 1 << 20}]}),
            "#/network/1",
            "2^32",
        ),
        (
            layers(&json!([{"type": "conv2d", "filters": 65_536, "kernel": 1, "padding": 1024}, "global_avg_pool"])),
            "#/network",
            "a job may take",
        ),
        (
            layers(&json!([{"type": "affine", "units": 5}, "batch_norm"]))
                .as_object()
                .map(|network| json!({"network": network["network"], "batch_size": 1}))
                .expect("an object"),
            "#/batch_size",
            "at least 2",
        ),
        (json!({"dataset": {"name": "points"}, "network": ["relu"]}), "#/network", "nothing to learn"),
        (
            json!({"dataset": {"name": "points"}, "network": ["tanh", {"type": "dropout"}]}),
            "#/network",
            "nothing to learn",
        ),
    ]);
}

#[test]
fn trainings_that_contradict_themselves() {
    let early = |dataset: Value| json!({"dataset": dataset, "early_stopping": {}});
    assert_refused(&[
        (json!({"epochs": 2, "steps": 5}), "#/steps", "not both"),
        (json!({"epochs": null}), "#/epochs", "only where steps are given"),
        (json!({"epochs": null, "steps": null}), "#/epochs", "only where steps are given"),
        (early(json!({"name": "digits"})), "#/early_stopping", "nothing is held out"),
        (early(json!({"name": "digits", "validation_fraction": 0.0})), "#/early_stopping", "nothing is held out"),
        (
            json!({"dataset": {"name": "digits", "train_limit": 1, "validation_fraction": 0.5}}),
            "#/dataset/validation_fraction",
            "one sample",
        ),
        (json!({"dataset": {"name": "digits", "train_limit": 60_001}}), "#/dataset/train_limit", "60000 samples"),
        (json!({"dataset": {"name": "digits", "test_limit": 10_001}}), "#/dataset/test_limit", "10000 samples"),
        (
            json!({"dataset": {"name": "points", "augment": {"shift": 1}}, "network": [{"type": "affine", "units": 2}]}),
            "#/dataset/augment",
            "only images can be varied",
        ),
        (json!({"schedule": {"type": "cosine", "warmup_epochs": 20}}), "#/schedule/warmup_epochs", "20 epochs"),
        (
            json!({"schedule": {"type": "cosine", "warmup_epochs": 1}, "epochs": 1}),
            "#/schedule/warmup_epochs",
            "whole training",
        ),
        (
            json!({"schedule": {"type": "cosine", "warmup_epochs": 1}, "steps": 600}),
            "#/schedule/warmup_epochs",
            "whole training",
        ),
    ]);
    // A step more is enough.
    assert!(plan(&with(&json!({"schedule": {"type": "cosine", "warmup_epochs": 1}, "steps": 601}))).is_ok());
}

/// All faults of one stage come at once.
#[test]
fn many_faults_are_told_together() {
    let spec = with(&json!({
        "dataset": {"name": "digits", "train_limit": 70_000, "test_limit": 70_000},
        "network": [{"type": "affine", "units": 9}], "early_stopping": {},
        "schedule": {"type": "cosine", "warmup_epochs": 50},
    }));
    let Faults(faults) = plan(&spec).map(|_| ()).expect_err("five faults");
    let found: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    let expected = [
        "#/dataset/train_limit",
        "#/dataset/test_limit",
        "#/early_stopping",
        "#/schedule/warmup_epochs",
        "#/network/0",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_spec_that_uses_every_field_is_accepted() {
    let spec = json!({
        "name": "everything", "model": "all.of-it_1",
        "dataset": {
            "name": "digits", "train_limit": 5000, "test_limit": 500, "validation_fraction": 0.1,
            "augment": {"shift": 2, "rotate": 10, "scale": 0.1, "elastic": 3, "elastic_sigma": 4},
        },
        "network": [
            {"type": "conv2d", "filters": 8, "kernel": [5, 3], "stride": [2, 1], "padding": [2, 1], "init": {"type": "std", "std": 0.05}},
            {"type": "batch_norm", "momentum": 0.99, "epsilon": 1e-3}, {"type": "leaky_relu", "slope": 0.1},
            {"type": "conv2d", "filters": 8, "kernel": 3, "padding": "same", "init": null}, {"type": "elu", "alpha": 0.5},
            {"type": "max_pool2d", "kernel": 3, "stride": 2, "padding": 1}, "gelu",
            {"type": "avg_pool2d", "kernel": [2, 2], "stride": null, "padding": 0}, "silu", "flatten", "softplus",
            {"type": "affine", "units": 30, "init": "xavier_uniform"}, "batch_norm", "tanh", "identity",
            {"type": "dropout", "rate": 0.25}, {"type": "linear", "units": 20}, "sigmoid", {"type": "dense", "units": 10.0},
        ],
        "init": {"type": "constant", "value": 0.1},
        "loss": {"type": "softmax_cross_entropy", "label_smoothing": 0.1},
        "optimizer": {"type": "adamw", "learning_rate": 0.002, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-7, "weight_decay": 0.02},
        "schedule": {"type": "cosine", "warmup_epochs": 1, "final_factor": 0.01},
        "gradient_clip": {"type": "norm", "max_norm": 5},
        "weight_decay": 0.0001, "batch_size": 64, "epochs": 3, "steps": null, "seed": u64::MAX,
        "early_stopping": {"monitor": "validation_accuracy", "patience": 2, "min_delta": 0.001, "restore_best": false},
        "evaluate_every": 2, "max_seconds": 60, "checkpoint_every_seconds": 0.5, "diagnostics": false, "priority": -7.0,
        "webhook": "https://example.com/hook?from=dojang",
    });
    let missing: Vec<_> = FIELDS.iter().map(|field| field.name).filter(|name| spec.get(name).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let plan = plan(&spec).expect("a sound spec");
    let summary = plan.summary();
    assert_eq!((summary.train_samples, summary.validation_samples, summary.test_samples), (4500, 500, 500));
    assert_eq!((summary.epochs, summary.network.len()), (3, 19));
    // What is shown of it can be sent again and means the same.
    let shown = serde_json::to_value(plan.spec()).expect("plain data");
    assert_eq!(&TrainSpec::from_value(&shown).expect("what we print we read"), plan.spec());
}
