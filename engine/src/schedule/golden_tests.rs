//! Every schedule against PyTorch's: `tests/golden/schedules.py`.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Case {
    schedule: ScheduleSpec,
    steps_per_epoch: u64,
    /// The factor at each step of the training.
    factors: Vec<f64>,
}

#[test]
fn every_schedule_follows_pytorch() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../tests/golden/schedules.json")).expect("the golden file");
    let mut seen = std::collections::BTreeSet::new();
    for Case { schedule, steps_per_epoch, factors } in cases {
        let total_steps = factors.len() as u64;
        for (step, expected) in (0..).zip(&factors) {
            let found = schedule.rule().rate(Progress { step, total_steps, steps_per_epoch });
            let error = (found - expected).abs() / expected.abs().max(1e-6);
            assert!(error < 1e-5, "{schedule:?} at step {step} of {total_steps}: {found} instead of {expected}");
        }
        seen.insert(serde_json::to_value(schedule).expect("plain data")["type"].to_string());
    }
    assert_eq!(seen.len(), entries().len(), "a schedule has no golden values: only {seen:?}");
}
