//! Requests are read strictly, and bounded; gradients agree, and a check that does not says so.

use serde_json::{Value, json};

use super::*;
use crate::data::{DatasetInfo, Dtype, Split, Values};
use crate::engine::shape::Shape;
use crate::job::plan::Premises;

/// Random images of 8 × 8, three classes.
fn dataset() -> Dataset {
    let split = |n: usize| Split {
        inputs: Values::Bytes((0..n * 64).map(|i| (i * 7919 % 251) as u8).collect()),
        labels: (0..n).map(|i| (i % 3) as u16).collect(),
    };
    let info = DatasetInfo {
        name: "patterns".into(),
        description: String::new(),
        input: Shape::new(&[1, 8, 8]),
        dtype: Dtype::Uint8,
        classes: 3,
        class_names: vec!["a".into(), "b".into(), "c".into()],
        train_samples: 20,
        test_samples: 5,
    };
    Dataset { info, train: split(20), test: split(5) }
}

fn admit(request: &Value) -> Result<GradientCheck, Faults> {
    let dataset = dataset();
    let premises = Premises { datasets: std::slice::from_ref(&dataset.info), memory_budget: 1 << 30 };
    CheckRequest::parse(request.to_string().as_bytes())?.admit(|spec| Plan::new(spec, &premises))
}

fn spec(network: &Value) -> Value {
    json!({"dataset": {"name": "patterns"}, "network": network})
}

fn net() -> Value {
    json!([
        {"type": "conv2d", "filters": 4, "kernel": 3, "padding": 1}, "batch_norm", "tanh", {"type": "max_pool2d"},
        {"type": "dropout", "rate": 0.3}, {"type": "affine", "units": 3},
    ])
}

#[test]
fn backpropagation_agrees_with_differences() {
    let report = admit(&spec(&net())).expect("a sound request").run(&dataset());
    assert!(report.agrees, "{report:?}");
    assert_eq!((report.samples, report.tolerance), (4, 1e-4));
    let mut zeros = spec(&net());
    zeros["init"] = json!("zeros");
    let report_of_zeros = admit(&zeros).expect("a sound request").run(&dataset());
    assert!((report_of_zeros.loss - 3.0_f64.ln()).abs() < 1e-12, "without weights all classes are alike");
    let tensors: Vec<_> = report
        .tensors
        .iter()
        .map(|tensor| (tensor.error.layer, tensor.layer_type, tensor.error.name.as_str(), tensor.error.checked))
        .collect();
    let expected = [
        (Some(0), Some("conv2d"), "W1", 16),
        (Some(0), Some("conv2d"), "b1", 4),
        (Some(1), Some("batch_norm"), "gamma2", 4),
        (Some(1), Some("batch_norm"), "beta2", 4),
        (Some(5), Some("affine"), "W3", 16),
        (Some(5), Some("affine"), "b3", 3),
        (None, None, "x", 16),
    ];
    assert_eq!(tensors, expected);
}

#[test]
fn networks_whose_every_unit_starts_at_a_kink_agree_too() {
    // Weights of zero, and a background that is all the same, as images have it.
    let mut dataset = dataset();
    dataset.train.inputs = Values::Bytes(vec![0; 20 * 64].into());
    let mut spec = spec(&json!([
        {"type": "conv2d", "filters": 4, "kernel": 3}, "relu", {"type": "max_pool2d"}, {"type": "affine", "units": 3},
    ]));
    for init in ["zeros", "he"] {
        spec["init"] = json!(init);
        let report = admit(&spec).expect("a sound request").run(&dataset);
        assert!(report.agrees, "{init}: {report:?}");
    }
}

#[test]
fn what_does_not_agree_is_told() {
    let layers = json!([{"type": "affine", "units": 3}]);
    let report = admit(&spec(&layers)).expect("a sound request").run(&dataset());
    let mut error = report.tensors[0].error.clone();
    for (relative_error, largest_gradient, expected) in
        [(9e-5, 1.0, true), (2e-4, 1.0, false), (2e-4, 1e-4, true), (2e-3, 1e-4, false), (f64::NAN, 1.0, false)]
    {
        (error.relative_error, error.largest_gradient) = (relative_error, largest_gradient);
        assert_eq!(agrees(&error, 1.0), expected, "{relative_error} of {largest_gradient}");
    }
}

#[test]
fn what_is_chosen_depends_on_the_seed() {
    let run = |seed: u64| {
        let request = json!({"spec": spec(&net()), "seed": seed, "values_per_tensor": 2, "samples": 2});
        admit(&request).expect("a sound request").run(&dataset())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn faults_have_their_places() {
    let wide = |units: usize| spec(&json!([{"type": "affine", "units": units}, {"type": "affine", "units": 3}]));
    let rows = spec(&json!([{"type": "affine", "units": 4}, "batch_norm", {"type": "affine", "units": 3}]));
    let sound = spec(&net());
    for (request, pointer) in [
        (json!({}), "#"),
        (json!([]), "#"),
        (json!({"samples": 2}), "#"),
        (json!({"spce": {}}), "#/spce"),
        (json!({"spec": 5}), "#/spec"),
        (json!({"spec": {"recipe": "fast98"}}), "#/spec/recipe"),
        (json!({"recipe": "fast98"}), "#/recipe"),
        (json!({"spec": spec(&json!(["rleu"]))}), "#/spec/network/0"),
        (spec(&json!(["rleu"])), "#/network/0"),
        (json!({"spec": spec(&json!(["relu"]))}), "#/spec/network/0"),
        (json!({"spec": sound, "samples": 0}), "#/samples"),
        (json!({"spec": sound, "samples": 17}), "#/samples"),
        (json!({"spec": sound, "values_per_tensor": 257}), "#/values_per_tensor"),
        (json!({"spec": sound, "seed": -1}), "#/seed"),
        (json!({"spec": sound, "sample": 1}), "#/sample"),
        (json!({"spec": rows, "samples": 1}), "#/samples"),
        (json!({"spec": wide(400_000), "samples": 16}), "#/spec/network"),
        (json!({"spec": wide(100_000), "values_per_tensor": 256}), "#/values_per_tensor"),
        (wide(1_000_000), "#/network"),
    ] {
        let Faults(faults) = admit(&request).expect_err("a fault");
        assert_eq!(faults[0].pointer, pointer, "{request}: {faults:?}");
    }
    let mut few = spec(&net());
    few["dataset"]["train_limit"] = json!(3);
    assert_eq!(admit(&json!({"spec": few})).expect_err("3 samples").0[0].pointer, "#/samples");
}

#[test]
fn the_number_that_is_proposed_is_accepted() {
    let spec = spec(&json!([{"type": "affine", "units": 100_000}, {"type": "affine", "units": 3}]));
    let request = |values: u64| json!({"spec": spec, "values_per_tensor": values});
    let Faults(faults) = admit(&request(256)).expect_err("too much");
    let proposed = faults[0].detail.rsplit("`samples`, ").next().and_then(|rest| rest.split(' ').next());
    let proposed = proposed.and_then(|number| number.parse().ok()).expect("a number");
    assert!(admit(&request(proposed)).is_ok(), "{proposed}");
    assert!(admit(&request(proposed + 1)).is_err(), "{proposed}");
}
