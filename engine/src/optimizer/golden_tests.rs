//! Every optimizer against PyTorch's: `tests/golden/optimizers.py`.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    optimizer: OptimizerSpec,
    trace: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    step: u64,
    parameters: [f64; 3],
}

#[test]
fn every_optimizer_follows_pytorch() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../tests/golden/optimizers.json")).expect("the golden file");
    let mut seen = std::collections::BTreeSet::new();
    for Case { optimizer, trace } in cases {
        let rule = optimizer.rule();
        let (mut w, mut a, mut b) = ([0.5f32, -1.0, 2.0], [0.0f32; 3], [0.0f32; 3]);
        for update in 1..=60u64 {
            let g: [f32; 3] =
                std::array::from_fn(|k| w[k] * (1.0 + k as f32 / 2.0) + (0.7 * update as f32 + k as f32).sin());
            let moment = Moment { decays: true, ..Moment::of(rule, update, rule.learning_rate()) };
            rule.update(moment, &mut w, &g, [&mut a, &mut b]);
            if let Some(point) = trace.iter().find(|point| point.step == update) {
                for (found, expected) in w.iter().zip(point.parameters) {
                    let error = (f64::from(*found) - expected).abs() / expected.abs().max(0.1);
                    assert!(error < 1e-5, "{optimizer:?} at step {update}: {found} instead of {expected}");
                }
            }
        }
        seen.insert(serde_json::to_value(&optimizer).expect("plain data")["type"].to_string());
    }
    assert_eq!(seen.len(), entries().len(), "an optimizer has no golden values: only {seen:?}");
}

#[test]
fn biases_are_not_decayed_by_adamw() {
    let rule = adamw::Adamw { learning_rate: 0.1, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.5 };
    let mut w = [1.0f32];
    let moment = Moment::of(&rule, 1, 0.1);
    rule.update(moment, &mut w, &[0.0], [&mut [0.0], &mut [0.0]]);
    assert_eq!(w, [1.0]);
}
