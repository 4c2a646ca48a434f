//! Every activation and its derivative against PyTorch's: `tests/golden/activations.py`.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    layer: LayerSpec,
    x: Vec<f32>,
    y: Vec<f64>,
    slope: Vec<f64>,
}

fn assert_close(what: &str, layer: &LayerSpec, found: &[f32], expected: &[f64]) {
    for (found, expected) in found.iter().zip(expected) {
        // Where a slope is the small difference of numbers near 1, f32 has no more than 1e-7 of it.
        let error = (f64::from(*found) - expected).abs() / expected.abs().max(0.1);
        assert!(error < 1e-5, "{what} of {layer:?}: {found} instead of {expected}");
    }
}

#[test]
fn every_activation_follows_pytorch() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../tests/golden/activations.json")).expect("the golden file");
    let mut seen = std::collections::BTreeSet::new();
    for case in cases {
        let layer = case.layer.build(&Shape::new(&[case.x.len()])).expect("an activation");
        let mut y = vec![0.0; case.x.len()];
        layer.forward(&[], &case.x, &mut y);
        assert_close("the value", &case.layer, &y, &case.y);
        let mut dx = vec![0.0; case.x.len()];
        layer.backward(&[], &case.x, &y, &vec![1.0; y.len()], &mut dx);
        assert_close("the slope", &case.layer, &dx, &case.slope);
        seen.insert(case.layer.name());
    }
    let missing: Vec<_> =
        entries().iter().filter(|entry| entry.name != "affine" && !seen.contains(entry.name)).collect();
    assert!(missing.is_empty(), "without golden values: {missing:?}");
}
