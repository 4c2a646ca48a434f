//! What a client asks for.

use serde::{Deserialize, Serialize};

use super::check;
use super::fault::{Fault, Faults, Pointer};
use super::json;
use super::webhook;
use crate::engine::augment::{self, AugmentSpec};
use crate::engine::clip::{self, ClipSpec};
use crate::engine::describe::{Bound, Field, Kind};
use crate::engine::init::{self, Init};
use crate::engine::layer::{self, LayerSpec};
use crate::engine::loss::{self, LossSpec};
use crate::engine::optimizer::{self, OptimizerSpec};
use crate::engine::schedule::{self, ScheduleSpec};
use crate::engine::train::early_stopping::{self, EarlyStopping};
use crate::engine::train::{Length, Settings};

/// A training job as a client asks for it, with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// What people call it.
    pub name: Option<String>,
    /// The model that the trained weights become a version of; the dataset's name if none is given.
    pub model: Option<String>,
    /// What is learned from.
    pub dataset: DatasetSpec,
    /// The layers, from the input on.
    pub network: Vec<LayerSpec>,
    /// Initial weights.
    pub init: Init,
    /// What is made small.
    pub loss: LossSpec,
    /// How.
    pub optimizer: OptimizerSpec,
    /// How the learning rate changes.
    pub schedule: Option<ScheduleSpec>,
    /// How large gradients are kept in bounds.
    pub gradient_clip: Option<ClipSpec>,
    /// λ of the decay ½λW² on weights.
    pub weight_decay: f64,
    /// Samples of a mini-batch.
    pub batch_size: usize,
    /// Passes over the training samples; `None` where `steps` says how long.
    pub epochs: Option<u64>,
    /// Mini-batches, instead of epochs.
    pub steps: Option<u64>,
    /// Decides every random draw.
    pub seed: u64,
    /// Epochs between two evaluations.
    pub evaluate_every: u64,
    /// When to stop before the end.
    pub early_stopping: Option<EarlyStopping>,
    /// Training time after which the job ends as it is, in seconds.
    pub max_seconds: Option<f64>,
    /// Training time between two checkpoints, in seconds.
    pub checkpoint_every_seconds: f64,
    /// Whether a look inside the network is taken at the end of epochs.
    pub diagnostics: bool,
    /// Which waiting jobs go first: those of a higher priority, and of one priority the oldest.
    pub priority: i32,
    /// The URL that is told when the job ends or is paused.
    pub webhook: Option<String>,
}

/// Which samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// The dataset.
    pub name: String,
    /// Learn from this many samples only, the first ones.
    pub train_limit: Option<usize>,
    /// Measure on this many samples only, the first ones.
    pub test_limit: Option<usize>,
    /// Share of the training samples that is held out and measured on at each evaluation.
    pub validation_fraction: f64,
    /// How training images are varied.
    pub augment: Option<AugmentSpec>,
}

const NAME: Kind = Kind::Text { max_chars: 120, slug: false };
const SLUG: Kind = Kind::Text { max_chars: 64, slug: true };
const URL: Kind = Kind::Text { max_chars: webhook::MAX_CHARS, slug: false };
const LIMIT: Kind = Kind::Count { min: 1, max: u32::MAX as u64 };
const SECONDS: Kind = Kind::Number { min: Bound::Excluded(0.0), max: Bound::Included(1e7) };

/// The fields of `dataset`.
const DATASET: &[Field] = &[
    Field::required("name", SLUG, "a dataset's name, as `GET /v1/datasets` lists them"),
    Field::optional("train_limit", Kind::Nullable(&LIMIT), "null", "learn from the first so many samples only"),
    Field::optional("test_limit", Kind::Nullable(&LIMIT), "null", "measure on the first so many samples only"),
    Field::optional(
        "validation_fraction",
        Kind::Number { min: Bound::Included(0.0), max: Bound::Excluded(1.0) },
        "0.0",
        "share of the training samples, drawn by the seed, that is held out and measured on at each evaluation",
    ),
    Field::optional(
        "augment",
        Kind::Nullable(&Kind::Object(augment::FIELDS)),
        "null",
        "how training images are varied at random, anew in each epoch",
    ),
];

/// The fields of a spec.
pub const FIELDS: &[Field] = &[
    Field::optional("name", Kind::Nullable(&NAME), "null", "what people call the job"),
    Field::optional(
        "model",
        Kind::Nullable(&SLUG),
        "null",
        "the model that the weights become a version of; the dataset's name if null",
    ),
    Field::required("dataset", Kind::Object(DATASET), "what is learned from, such as {\"name\": \"digits\"}"),
    Field::required("network", Kind::ListOf { of: layer::entries, max_items: 1000 }, "the layers, from the input on"),
    Field::optional("init", Kind::OneOf(init::entries), "\"he\"", "initial weights"),
    Field::optional("loss", Kind::OneOf(loss::entries), "\"softmax_cross_entropy\"", "what is made small"),
    Field::optional("optimizer", Kind::OneOf(optimizer::entries), "\"adam\"", "how it is made small"),
    Field::optional(
        "schedule",
        Kind::Nullable(&Kind::OneOf(schedule::entries)),
        "null",
        "how the learning rate changes while training goes on",
    ),
    Field::optional(
        "gradient_clip",
        Kind::Nullable(&Kind::OneOf(clip::entries)),
        "null",
        "how large gradients are kept in bounds",
    ),
    Field::optional(
        "weight_decay",
        Kind::Number { min: Bound::Included(0.0), max: Bound::Included(1000.0) },
        "0.0",
        "λ of the decay ½λW² on weights",
    ),
    Field::optional("batch_size", Kind::Count { min: 1, max: 1 << 20 }, "100", "samples of a mini-batch"),
    Field::optional(
        "epochs",
        Kind::Nullable(&Kind::Count { min: 1, max: 1_000_000 }),
        "20",
        "passes over the training samples",
    ),
    Field::optional(
        "steps",
        Kind::Nullable(&Kind::Count { min: 1, max: 1_000_000_000 }),
        "null",
        "mini-batches of the whole training, instead of epochs",
    ),
    Field::optional("seed", Kind::Count { min: 0, max: u64::MAX }, "42", "decides every random draw"),
    Field::optional(
        "evaluate_every",
        Kind::Count { min: 1, max: 1_000_000 },
        "1",
        "epochs between two evaluations on the validation and test samples; the last epoch is always evaluated",
    ),
    Field::optional(
        "early_stopping",
        Kind::Nullable(&Kind::Object(early_stopping::FIELDS)),
        "null",
        "when to stop before the end; needs dataset.validation_fraction",
    ),
    Field::optional("max_seconds", Kind::Nullable(&SECONDS), "null", "training time after which the job ends as it is"),
    Field::optional("checkpoint_every_seconds", SECONDS, "5", "training time between two checkpoints"),
    Field::optional(
        "diagnostics",
        Kind::Flag,
        "true",
        "whether a look inside the network is taken at the end of epochs: histograms, dead units, norms, filters",
    ),
    Field::optional(
        "priority",
        Kind::Integer { min: -100, max: 100 },
        "0",
        "which waiting jobs go first: those of a higher priority; of one priority the oldest",
    ),
    Field::optional(
        "webhook",
        Kind::Nullable(&URL),
        "null",
        "an http or https URL that is told when the job ends or is paused; the server needs a secret to sign with",
    ),
];

impl TrainSpec {
    /// Reads a spec from a JSON text.
    ///
    /// # Errors
    /// Every fault that can be seen without knowing the dataset.
    pub fn parse(text: &[u8]) -> Result<Self, Faults> {
        Self::from_value(&json::parse(text)?)
    }

    /// Reads a spec from JSON.
    ///
    /// # Errors
    /// Every fault that can be seen without knowing the dataset.
    pub fn from_value(value: &serde_json::Value) -> Result<Self, Faults> {
        let mut faults: Vec<Fault> = Vec::new();
        let mut complete = check::object(FIELDS, value, &Pointer::root(), &mut faults);
        length(value, &mut complete, &mut faults);
        receiver(&complete, &mut faults);
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        serde_json::from_value(complete).map_err(|error| Faults(vec![Pointer::root().fault(error.to_string())]))
    }

    /// The model's name.
    pub fn model_name(&self) -> &str {
        self.model.as_deref().unwrap_or(&self.dataset.name)
    }

    /// What people call the job: its name, or its dataset and the network's shape.
    pub fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let layers: Vec<_> = self.network.iter().map(LayerSpec::name).collect();
            let shown = layers.iter().take(6).copied().collect::<Vec<_>>().join("-");
            format!("{} {shown}{}", self.dataset.name, if layers.len() > 6 { "…" } else { "" })
        })
    }

    /// How the engine trains it.
    pub fn settings(&self) -> Settings {
        Settings {
            init: self.init.clone(),
            loss: self.loss,
            optimizer: self.optimizer.clone(),
            schedule: self.schedule,
            gradient_clip: self.gradient_clip,
            weight_decay: self.weight_decay,
            batch_size: self.batch_size,
            length: match (self.steps, self.epochs) {
                (Some(steps), _) => Length::Steps(steps),
                // `length` has seen to it that one of them is there.
                (None, epochs) => Length::Epochs(epochs.unwrap_or(1)),
            },
            seed: self.seed,
            validation_fraction: self.dataset.validation_fraction,
            evaluate_every: self.evaluate_every,
            early_stopping: self.early_stopping.clone(),
            augment: self.dataset.augment,
            diagnostics: self.diagnostics,
        }
    }
}

/// A training is so many epochs or so many steps long: the default of the one gives way to the other.
fn length(given: &serde_json::Value, complete: &mut serde_json::Value, faults: &mut Vec<Fault>) {
    let says = |key: &str| given.get(key).is_some_and(|value| !value.is_null());
    match (says("epochs"), says("steps")) {
        (true, true) => faults.push(Pointer::root().at("steps").fault("give epochs or steps, not both")),
        (false, true) => complete["epochs"] = serde_json::Value::Null,
        (false, false) if given.get("epochs").is_some() => {
            faults.push(Pointer::root().at("epochs").fault("epochs may be null only where steps are given"));
        }
        _ => {}
    }
}

/// A webhook is a URL, which is more than a text.
fn receiver(complete: &serde_json::Value, faults: &mut Vec<Fault>) {
    let place = Pointer::root().at("webhook");
    let wrong =
        complete.get("webhook").and_then(serde_json::Value::as_str).and_then(|url| webhook::parse_url(url).err());
    // What is wrong with it as a text has been said already.
    if let Some(detail) = wrong
        && !faults.iter().any(|fault| fault.pointer == place.fault("").pointer)
    {
        faults.push(place.fault(detail));
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
