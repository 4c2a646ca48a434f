//! What holds of every schedule: its table, and a factor within 0 and 1 wherever training stands.

use proptest::prelude::*;

use super::*;
use crate::describe::example;

/// Every schedule with the defaults of its table.
fn defaults() -> Vec<ScheduleSpec> {
    entries().iter().map(example).collect()
}

proptest! {
    #[test]
    fn factors_are_between_zero_and_one(step: u64, total: u64, epochs in 1u64..1000, small in 0u64..40) {
        for schedule in defaults() {
            for total in [small, total] {
                for step in [0, small, step, total.saturating_sub(1), total] {
                    let steps_per_epoch = total / epochs;
                    let rate = schedule.rule().rate(Progress { step, total_steps: total, steps_per_epoch });
                    prop_assert!((0.0..=1.0).contains(&rate), "{schedule:?} at {step} of {total}: {rate}");
                }
            }
        }
    }
}

#[test]
fn a_training_of_one_step_learns() {
    for schedule in defaults() {
        let rate = schedule.rule().rate(Progress { step: 0, total_steps: 1, steps_per_epoch: 1 });
        assert!(rate >= 0.5, "{schedule:?}: {rate}");
    }
}

#[test]
fn warmup_meets_the_cosine_and_may_last_for_ever() {
    let cosine = cosine::Cosine { warmup_epochs: 2, final_factor: 0.1 };
    let rate = |step| cosine.rate(Progress { step, total_steps: 50, steps_per_epoch: 5 });
    assert_eq!((rate(0), rate(10)), (1.0 / 11.0, 1.0));
    assert!((rate(30) - 0.55).abs() < 1e-12 && (rate(50) - 0.1).abs() < 1e-12);
    let endless = cosine::Cosine { warmup_epochs: 1_000_000, final_factor: 0.0 };
    let rate = endless.rate(Progress { step: 49, total_steps: 50, steps_per_epoch: 5 });
    assert!(rate > 0.0 && rate < 1e-4);
}

#[test]
fn one_cycle_has_its_peak_and_ends() {
    let cycle = one_cycle::OneCycle { warmup_fraction: 0.25, start_factor: 0.04, final_factor: 1e-4 };
    let rate = |step| cycle.rate(Progress { step, total_steps: 100, steps_per_epoch: 10 });
    assert!((rate(0) - 0.04).abs() < 1e-12 && (rate(99) - 1e-4).abs() < 1e-12);
    assert_eq!(rate(24), 1.0);
    assert!(rate(23) < 1.0 && rate(25) < 1.0);
}
