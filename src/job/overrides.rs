//! A spec with some of its members replaced: what a spec says of a recipe, and a fork of its source.

use serde_json::{Map, Value};

/// Puts `members` in the place of the spec's own: those of `dataset` one by one, and `epochs` in that of `steps` and the
/// other way round, for a training has one length.
pub fn replace_members(mut spec: Map<String, Value>, members: &Map<String, Value>) -> Map<String, Value> {
    let says = |key: &str| members.get(key).is_some_and(|value| !value.is_null());
    for (given, other) in [("steps", "epochs"), ("epochs", "steps")] {
        if says(given) {
            spec.remove(other);
        }
    }
    for (key, value) in members {
        match (spec.get_mut(key), value) {
            (Some(Value::Object(dataset)), Value::Object(given)) if key == "dataset" => dataset.extend(given.clone()),
            _ => {
                spec.insert(key.clone(), value.clone());
            }
        }
    }
    spec
}
