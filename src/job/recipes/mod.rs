//! Recipes: ready specs that are shipped with dojang, the book's experiments among them. One file each, one line in the
//! registry below.
//!
//! A spec may name one, `{"recipe": "simple_convnet", "epochs": 2}`: its own members then replace the recipe's, those of
//! `dataset` one by one, and `epochs` takes the place of `steps` and the other way round.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::fault::{Faults, Pointer, suggestion};
use super::json;
use super::overrides::replace_members;
use super::spec::TrainSpec;

/// A recipe as its file has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What a spec calls it.
    pub name: String,
    /// What people call it, and a job that says nothing else.
    pub title: String,
    /// What it shows, in a sentence or two.
    pub description: String,
    /// Where it is from: a chapter of the book, a paper.
    pub source: String,
    /// The spec, without the defaults.
    spec: Map<String, Value>,
}

/// A recipe as a client sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecipeView {
    /// What a spec calls it.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it shows.
    pub description: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// The spec of its jobs, with every default filled in.
    pub spec: TrainSpec,
}

/// Makes the list of the recipes' names and files from one line a recipe.
macro_rules! registry {
    ($($name:literal),+ $(,)?) => {
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!($name, ".json")))),+];
    };
}

registry! {
    "two_layer_net",
    "multi_layer_net",
    "simple_convnet",
    "deep_convnet",
    "fast99",
    "perceptron_and",
    "perceptron_or",
    "perceptron_nand",
    "perceptron_xor",
    "xor_two_layer",
    "spiral_two_layer",
    "moons_two_layer",
}

/// All recipes, in the order in which they are listed.
pub fn recipes() -> &'static [Recipe] {
    static RECIPES: LazyLock<Vec<Recipe>> = LazyLock::new(|| {
        let read = |(_, text): &(&str, &str)| serde_json::from_str(text).expect("a test reads every recipe");
        FILES.iter().map(read).collect()
    });
    &RECIPES
}

/// The recipe of this name.
pub fn find(name: &str) -> Option<&'static Recipe> {
    recipes().iter().find(|recipe| recipe.name == name)
}

impl Recipe {
    /// What a client sees of it.
    pub fn view(&'static self) -> RecipeView {
        let spec = TrainSpec::from_value(&self.with(&Map::new())).expect("a test reads every recipe");
        let Self { name, title, description, source, .. } = self;
        RecipeView { name, title, description, source, spec }
    }

    /// The recipe's spec, with some of its members replaced.
    fn with(&self, members: &Map<String, Value>) -> Value {
        let mut spec = self.spec.clone();
        spec.insert("name".into(), self.title.clone().into());
        Value::Object(replace_members(spec, members))
    }
}

/// The spec that a document means: itself, or that of the recipe it names with its own members in place of the recipe's.
///
/// # Errors
/// If the recipe is not the name of one.
pub fn expand(document: Value) -> Result<Value, Faults> {
    let Value::Object(mut members) = document else { return Ok(document) };
    let Some(name) = members.remove("recipe") else { return Ok(Value::Object(members)) };
    let fault = |detail: String| Err(Faults(vec![Pointer::root().at("recipe").fault(detail)]));
    let names = || recipes().iter().map(|recipe| recipe.name.as_str());
    let Some(name) = name.as_str() else {
        return fault(format!("the name of a recipe is needed: one of {}", names().collect::<Vec<_>>().join(", ")));
    };
    match find(name) {
        Some(recipe) => Ok(recipe.with(&members)),
        None => {
            let hint = suggestion(name, names());
            let all = || format!("; there are {}", names().collect::<Vec<_>>().join(", "));
            let hint = if hint.is_empty() { all() } else { hint };
            fault(format!("no recipe is named `{}`{hint}", name.escape_debug()))
        }
    }
}

/// Reads a spec, or a recipe's with what is changed of it, from JSON.
///
/// # Errors
/// Every fault that can be seen without knowing the dataset.
pub fn spec_from_value(document: Value) -> Result<TrainSpec, Faults> {
    TrainSpec::from_value(&expand(document)?)
}

/// Reads a spec, or a recipe's with what is changed of it, from a JSON text.
///
/// # Errors
/// As of [`spec_from_value`].
pub fn parse_spec(text: &[u8]) -> Result<TrainSpec, Faults> {
    spec_from_value(json::parse(text)?)
}

#[cfg(test)]
mod tests;
