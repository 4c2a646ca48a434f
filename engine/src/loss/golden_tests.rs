//! Every loss and its gradient against PyTorch's: `tests/golden/losses.py`.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    loss: LossSpec,
    /// `[N][outputs]`.
    outputs: Vec<Vec<f32>>,
    labels: Vec<u16>,
    /// Of each row.
    losses: Vec<f64>,
    /// Of the mean over the rows.
    gradient: Vec<Vec<f64>>,
    /// `[N][classes]`; of the losses that have them.
    predictions: Option<Vec<Vec<f64>>>,
}

fn assert_close(case: &Case, what: &str, found: &[f32], expected: &[Vec<f64>]) {
    assert_eq!(found.len(), expected.concat().len(), "{what} of {:?}", case.loss);
    for (found, expected) in found.iter().zip(expected.iter().flatten()) {
        let error = (f64::from(*found) - expected).abs() / expected.abs().max(0.1);
        assert!(error < 1e-5, "{what} of {:?}: {found} instead of {expected}", case.loss);
    }
}

#[test]
fn every_loss_follows_pytorch() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../tests/golden/losses.json")).expect("the golden file");
    let mut seen = std::collections::BTreeSet::new();
    for case in &cases {
        let rule = case.loss.rule();
        let outputs = case.outputs.concat();
        let mut gradient = vec![0.0; outputs.len()];
        let scale = 1.0 / case.labels.len() as f32;
        let score = rule.score_and_gradient(&outputs, &case.labels, scale, &mut gradient);
        let total: f64 = case.losses.iter().sum();
        assert!((score.loss - total).abs() < 1e-5 * total, "{:?}: {} instead of {total}", case.loss, score.loss);
        for ((row, &label), expected) in case.outputs.iter().zip(&case.labels).zip(&case.losses) {
            let found = rule.row_loss(row, label);
            let error = (found - expected).abs() / expected.abs().max(0.1);
            assert!(error < 1e-5, "{:?} of {row:?}: {found} instead of {expected}", case.loss);
        }
        assert_close(case, "the gradient", &gradient, &case.gradient);
        if let Some(expected) = &case.predictions {
            let classes = expected[0].len();
            let mut predictions = vec![0.0; classes * case.labels.len()];
            rule.predictions(&outputs, classes, &mut predictions);
            assert_close(case, "the predictions", &predictions, expected);
        }
        seen.insert(serde_json::to_value(case.loss).expect("plain data")["type"].to_string());
    }
    assert_eq!(seen.len(), entries().len(), "a loss has no golden values: only {seen:?}");
}
