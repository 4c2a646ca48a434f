//! What may differ between a job and one that goes on from its state.
//!
//! The state is parameters, what the optimizer remembers of each, and a number of mini-batches done. It means something
//! only for the network it belongs to, and the mini-batches that are done must be those that the new job would have seen.

use serde_json::Value;

use super::fault::{Fault, Faults, Pointer};
use super::overrides::replace_members;
use super::plan::Plan;
use super::spec::TrainSpec;

/// The spec of a job that goes on from another's state, with some members replaced.
///
/// # Errors
/// Every fault of the new spec, and every member that the state cannot bear.
pub fn forked_spec(source: &TrainSpec, overrides: &Value) -> Result<TrainSpec, Faults> {
    let Value::Object(members) = overrides else {
        return Err(Faults(vec![Pointer::root().fault("an object of the members to replace is needed")]));
    };
    let spec = match serde_json::to_value(source) {
        Ok(Value::Object(spec)) => replace_members(spec, members),
        _ => return Err(Faults(vec![Pointer::root().fault("the source's spec cannot be written as JSON")])),
    };
    let spec = TrainSpec::from_value(&Value::Object(spec))?;
    let faults = unbearable(source, &spec);
    if faults.is_empty() { Ok(spec) } else { Err(Faults(faults)) }
}

/// The members that differ although the state was made with the source's.
fn unbearable(source: &TrainSpec, fork: &TrainSpec) -> Vec<Fault> {
    let root = Pointer::root();
    let optimizer = |spec: &TrainSpec| std::mem::discriminant(&spec.optimizer);
    [
        ("dataset", source.dataset == fork.dataset),
        ("network", source.network == fork.network),
        ("init", source.init == fork.init),
        ("loss", source.loss == fork.loss),
        ("optimizer", optimizer(source) == optimizer(fork)),
        ("batch_size", source.batch_size == fork.batch_size),
        ("seed", source.seed == fork.seed),
    ]
    .into_iter()
    .filter(|(_, same)| !same)
    .map(|(member, _)| {
        let what = if member == "optimizer" { "another type of optimizer" } else { "another value" };
        root.at(member).fault(format!("the checkpoint cannot go on with {what}; submit a new job for that"))
    })
    .collect()
}

/// A training that would be over before it begins, of a state of so many mini-batches.
///
/// # Errors
/// The fault, at the member that says how long the training is.
pub fn check_length(plan: &Plan, step: u64) -> Result<(), Faults> {
    let total = plan.total_steps();
    if step < total {
        return Ok(());
    }
    let member = if plan.spec().steps.is_some() { "steps" } else { "epochs" };
    let detail = format!("the checkpoint has {step} of {total} mini-batches done already; give more {member}");
    Err(Faults(vec![Pointer::root().at(member).fault(detail)]))
}

/// Whether the best epoch so far still counts as such: what is monitored, and what is kept of it, must be the same.
pub fn keeps_best(source: &TrainSpec, fork: &TrainSpec) -> bool {
    match (&source.early_stopping, &fork.early_stopping) {
        (Some(before), Some(now)) => (before.monitor, before.restore_best) == (now.monitor, now.restore_best),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source() -> TrainSpec {
        let spec = json!({
            "dataset": {"name": "digits", "train_limit": 500, "validation_fraction": 0.1},
            "network": [{"type": "affine", "units": 10}],
            "epochs": 3, "seed": u64::MAX, "early_stopping": {},
        });
        TrainSpec::from_value(&spec).expect("a sound spec")
    }

    fn pointers(overrides: &Value) -> Vec<String> {
        forked_spec(&source(), overrides)
            .map_or_else(|Faults(f)| f.into_iter().map(|f| f.pointer).collect(), |_| vec![])
    }

    #[test]
    fn what_the_state_can_bear_is_replaced() {
        assert_eq!(forked_spec(&source(), &json!({})).expect("nothing differs"), source());
        let overrides = json!({
            "name": "longer", "model": "m", "steps": 70, "optimizer": {"type": "adam", "learning_rate": 0.5},
            "schedule": "cosine", "weight_decay": 0.1, "early_stopping": null, "max_seconds": 9, "priority": -3,
            "checkpoint_every_seconds": 1, "gradient_clip": null, "diagnostics": false, "dataset": {"train_limit": 500},
        });
        let fork = forked_spec(&source(), &overrides).expect("all of this may differ");
        assert_eq!((fork.steps, fork.epochs, fork.seed, fork.priority), (Some(70), None, u64::MAX, -3));
    }

    #[test]
    fn what_it_cannot_bear_is_named() {
        for (overrides, place) in [
            (json!({"dataset": {"train_limit": 400}}), "#/dataset"),
            (json!({"network": [{"type": "affine", "units": 10}, "relu"]}), "#/network"),
            (json!({"init": "xavier"}), "#/init"),
            (json!({"loss": "mean_squared_error"}), "#/loss"),
            (json!({"optimizer": "sgd"}), "#/optimizer"),
            (json!({"batch_size": 50}), "#/batch_size"),
            (json!({"seed": 1}), "#/seed"),
            (json!({"epohcs": 1}), "#/epohcs"),
            (json!({"recipe": "fast99"}), "#/recipe"),
            (json!([]), "#"),
        ] {
            assert_eq!(pointers(&overrides), [place], "{overrides}");
        }
    }

    #[test]
    fn the_best_epoch_counts_only_by_the_same_measure() {
        let with = |rule: Value| forked_spec(&source(), &json!({"early_stopping": rule})).expect("it may differ");
        assert!(keeps_best(&source(), &with(json!({"patience": 9}))));
        assert!(!keeps_best(&source(), &with(json!({"monitor": "validation_accuracy"}))));
        assert!(!keeps_best(&source(), &with(json!({"restore_best": false}))));
        assert!(!keeps_best(&source(), &with(Value::Null)));
    }
}
