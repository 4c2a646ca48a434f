//! Clipping against PyTorch's (`tests/golden/clip.py`), and what it leaves alone.

use super::*;
use crate::describe::example;

#[derive(Deserialize)]
struct Case {
    clip: ClipSpec,
    gradient: Vec<f32>,
    clipped: Vec<f64>,
}

fn clipped(clip: ClipSpec, gradient: &[f32]) -> Vec<f32> {
    let mut gradient = gradient.to_vec();
    clip.limit(sum_of_squares(&gradient)).apply(&mut gradient);
    gradient
}

#[test]
fn every_way_follows_pytorch() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../tests/golden/clip.json")).expect("the golden file");
    let mut seen = std::collections::BTreeSet::new();
    for case in cases {
        for (found, expected) in clipped(case.clip, &case.gradient).iter().zip(&case.clipped) {
            let error = (f64::from(*found) - expected).abs() / expected.abs().max(1e-6);
            assert!(error < 1e-5, "{:?}: {found} instead of {expected}", case.clip);
        }
        seen.insert(serde_json::to_value(case.clip).expect("plain data")["type"].to_string());
    }
    assert_eq!(seen.len(), entries().len(), "a way has no golden values: only {seen:?}");
}

#[test]
fn what_is_small_enough_keeps_its_bits() {
    let gradient = [0.3f32, -0.4, 1e-20];
    for clip in [ClipSpec::Norm(Norm { max_norm: 0.6 }), ClipSpec::Value(Value { max_value: 0.4 })] {
        assert_eq!(clipped(clip, &gradient), gradient);
    }
}

#[test]
fn the_largest_gradients_have_a_norm_and_what_is_none_shows() {
    let norm = ClipSpec::Norm(Norm { max_norm: 1.0 });
    let huge = clipped(norm, &[f32::MAX, -f32::MAX]);
    assert!((sum_of_squares(&huge) - 1.0).abs() < 1e-5);
    for clip in [norm, ClipSpec::Value(Value { max_value: 1.0 })] {
        assert!(clipped(clip, &[f32::NAN, 1.0])[0].is_nan());
    }
    assert!(clipped(norm, &[f32::INFINITY, 1.0])[0].is_nan());
}

#[test]
fn the_tables_are_what_is_read() {
    for entry in entries() {
        let read: ClipSpec = example(entry);
        assert_eq!(read.needs_norm(), entry.name == "norm");
    }
}
