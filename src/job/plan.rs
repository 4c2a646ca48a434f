//! A checked spec: every shape, range and memory need known. Only a plan reaches the engine.

use super::fault::{Fault, Faults, Pointer, suggestion};
use super::spec::TrainSpec;
use crate::data::DatasetInfo;
use crate::engine::augment::ImageShape;
use crate::engine::layer::LayerSpec;
use crate::engine::network::{LayerSummary, Network};
use crate::engine::schedule::ScheduleSpec;
use crate::engine::shape::Shape;
use crate::engine::train::pace::{split, steps_per_epoch, total_epochs, total_steps};
use crate::engine::train::{Settings, peak_bytes};

/// What a plan is made against.
#[derive(Debug, Clone, Copy)]
pub struct Premises<'a> {
    /// The datasets there are.
    pub datasets: &'a [DatasetInfo],
    /// Bytes that one job may take at its peak.
    pub memory_budget: u64,
}

/// A spec that can be trained.
#[derive(Debug)]
pub struct Plan {
    spec: TrainSpec,
    network: Network,
    settings: Settings,
    train_samples: usize,
    test_samples: usize,
    classes: usize,
    peak_memory: u64,
}

/// What a reader of a job sees of its plan.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PlanSummary {
    /// The layers with their shapes.
    pub network: Vec<LayerSummary>,
    /// Number of parameters.
    pub parameters: usize,
    /// Samples that are learned from.
    pub train_samples: usize,
    /// Samples that are held out and measured on at each evaluation.
    #[serde(default)]
    pub validation_samples: usize,
    /// Samples that are measured on.
    pub test_samples: usize,
    /// Bytes at the peak, about.
    pub peak_memory_bytes: u64,
    /// Mini-batches of the whole training.
    pub total_steps: u64,
    /// Passes over the training samples.
    pub epochs: u64,
}

impl Plan {
    /// Checks a spec against the datasets and the memory there is.
    ///
    /// # Errors
    /// Every fault found, with its place.
    pub fn new(spec: TrainSpec, premises: &Premises<'_>) -> Result<Self, Faults> {
        let root = Pointer::root();
        let Some(dataset) = premises.datasets.iter().find(|info| info.name == spec.dataset.name) else {
            let names: Vec<_> = premises.datasets.iter().map(|info| info.name.as_str()).collect();
            let hint = suggestion(&spec.dataset.name, names.iter().copied());
            let hint = if hint.is_empty() { format!("; there are {}", names.join(", ")) } else { hint };
            let detail = format!("no dataset is named `{}`{hint}", spec.dataset.name);
            return Err(Faults(vec![root.at("dataset").at("name").fault(detail)]));
        };
        let mut faults: Vec<Fault> = Vec::new();
        for (field, limit, samples) in [
            ("train_limit", spec.dataset.train_limit, dataset.train_samples),
            ("test_limit", spec.dataset.test_limit, dataset.test_samples),
        ] {
            if let Some(limit) = limit.filter(|limit| *limit > samples) {
                let detail = format!("{limit} is more than the {samples} samples of `{}`", dataset.name);
                faults.push(root.at("dataset").at(field).fault(detail));
            }
        }
        let network = match Network::build(&dataset.input, &spec.network) {
            Ok(network) => Some(network),
            Err(error) => {
                let place = root.at("network").at(error.index);
                let place = error.error.field.map_or_else(|| place.clone(), |field| place.at(field));
                faults.push(place.fault(error.error.detail));
                None
            }
        };
        let settings = spec.settings();
        let train_samples = spec.dataset.train_limit.unwrap_or(dataset.train_samples).min(dataset.train_samples);
        let test_samples = spec.dataset.test_limit.unwrap_or(dataset.test_samples).min(dataset.test_samples);
        let (mut peak_memory, classes) = (0, dataset.classes);
        faults.extend(training_faults(&spec, &dataset.input, train_samples));
        if let Some(network) = &network {
            faults.extend(batch_fault(network, &spec));
            faults.extend(output_fault(network, dataset, &spec).or_else(|| nothing_to_learn(network)));
            let training = peak_bytes(network, &settings, train_samples);
            let peak = training
                .zip(dataset.memory_bytes())
                .map(|(training, data)| (training as u64).saturating_add(data as u64));
            peak_memory = peak.unwrap_or(u64::MAX);
            if peak_memory > premises.memory_budget {
                let needed = peak
                    .map_or_else(|| "more memory than can be counted".into(), |b| format!("about {}", mebibytes(b)));
                let detail =
                    format!("training would take {needed}; a job may take {}", mebibytes(premises.memory_budget));
                faults.push(root.at("network").fault(detail));
            }
        }
        match network {
            Some(network) if faults.is_empty() => {
                Ok(Self { spec, network, settings, train_samples, test_samples, classes, peak_memory })
            }
            _ => Err(Faults(faults)),
        }
    }

    /// The spec it was made from.
    pub fn spec(&self) -> &TrainSpec {
        &self.spec
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The network, for whoever goes on without the plan.
    pub fn into_network(self) -> Network {
        self.network
    }

    /// How the engine trains it.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Samples that are learned from, with those that are held out.
    pub fn train_samples(&self) -> usize {
        self.train_samples
    }

    /// Samples of the test part that are measured on.
    pub fn test_samples(&self) -> usize {
        self.test_samples
    }

    /// Classes that are told apart.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Fewest samples that a mini-batch can be of.
    pub fn least_batch(&self) -> usize {
        least_batch(&self.network)
    }

    /// Mini-batches of the whole training.
    pub fn total_steps(&self) -> u64 {
        total_steps(&self.settings, self.train_samples)
    }

    /// What a reader of the job sees of it.
    pub fn summary(&self) -> PlanSummary {
        PlanSummary {
            network: self.network.summary(),
            parameters: self.network.parameter_count(),
            train_samples: split(&self.settings, self.train_samples).0,
            validation_samples: split(&self.settings, self.train_samples).1,
            test_samples: self.test_samples,
            peak_memory_bytes: self.peak_memory,
            total_steps: self.total_steps(),
            epochs: total_epochs(&self.settings, self.train_samples),
        }
    }
}

/// What of the training does not fit the rest of the spec.
fn training_faults(spec: &TrainSpec, input: &Shape, samples: usize) -> Vec<Fault> {
    let (mut faults, root) = (vec![], Pointer::root());
    if spec.dataset.validation_fraction > 0.0 && samples < 2 {
        let detail = "of one sample none can be held out; take 0, or more samples";
        faults.push(root.at("dataset").at("validation_fraction").fault(detail));
    }
    if spec.early_stopping.is_some() && spec.dataset.validation_fraction == 0.0 {
        let detail = "nothing is held out to stop by; give dataset.validation_fraction, such as 0.1";
        faults.push(root.at("early_stopping").fault(detail));
    }
    if let Some(augment) = &spec.dataset.augment {
        let place = root.at("dataset").at("augment");
        match ImageShape::of(input) {
            None => faults.push(place.fault(format!("only images can be varied; the samples have shape {input}"))),
            Some(image) => {
                let fault = augment.check(image).err();
                faults.extend(fault.map(|error| place.at(error.field).fault(error.detail)));
            }
        }
    }
    faults.extend(warmup_fault(spec, samples));
    faults
}

/// A warm-up as long as the training would never let it begin.
fn warmup_fault(spec: &TrainSpec, samples: usize) -> Option<Fault> {
    let Some(ScheduleSpec::Cosine(cosine)) = &spec.schedule else { return None };
    let settings = spec.settings();
    let warmup = cosine.warmup_epochs.saturating_mul(steps_per_epoch(&settings, samples));
    (warmup >= total_steps(&settings, samples)).then(|| {
        let detail = format!(
            "a warm-up of {} epochs takes the whole training, which has {}",
            cosine.warmup_epochs,
            total_epochs(&settings, samples),
        );
        Pointer::root().at("schedule").at("warmup_epochs").fault(detail)
    })
}

/// Without parameters there is nothing that a training could change.
fn nothing_to_learn(network: &Network) -> Option<Fault> {
    (network.parameter_count() == 0).then(|| {
        Pointer::root()
            .at("network")
            .fault("no layer has parameters, so there is nothing to learn; add an affine layer")
    })
}

/// A batch of one has no variance to normalise a row of values by.
fn least_batch(network: &Network) -> usize {
    let is_row = |layer: &LayerSummary| layer.name == "batch_norm" && layer.output.axes().len() == 1;
    if network.summary().iter().any(is_row) { 2 } else { 1 }
}

fn batch_fault(network: &Network, spec: &TrainSpec) -> Option<Fault> {
    (spec.batch_size < least_batch(network)).then(|| {
        Pointer::root().at("batch_size").fault("batch_norm on rows of values needs at least 2 samples in a batch")
    })
}

/// The last layer must have as many outputs as the loss takes for the dataset's classes.
fn output_fault(network: &Network, dataset: &DatasetInfo, spec: &TrainSpec) -> Option<Fault> {
    let last = || Pointer::root().at("network").at(spec.network.len() - 1);
    if let Some(built_in) =
        spec.loss.rule().built_in().filter(|name| spec.network.last().map(LayerSpec::name) == Some(name))
    {
        let detail = format!("the loss has its own {built_in}: leave this layer out");
        return Some(last().fault(detail));
    }
    let needed = spec.loss.rule().outputs(dataset.classes);
    if network.output().checked_len().is_some_and(|count| needed.accepts(count)) {
        return None;
    }
    let Some(units) = needed.example() else {
        let detail = format!("`{}` has {} classes, but the loss needs {needed}", dataset.name, dataset.classes);
        return Some(Pointer::root().at("loss").fault(detail));
    };
    let detail = format!(
        "the last layer gives outputs of shape {}, but `{}` has {} classes and the loss needs {needed}; \
         end with {{\"type\": \"affine\", \"units\": {units}}}",
        network.output(),
        dataset.name,
        dataset.classes,
    );
    Some(last().fault(detail))
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::data::Dtype;
    use crate::engine::shape::Shape;

    fn plan(spec: &serde_json::Value, memory_budget: u64) -> Result<Plan, Faults> {
        let datasets = [DatasetInfo {
            name: "digits".into(),
            description: String::new(),
            input: Shape::new(&[1, 28, 28]),
            dtype: Dtype::Uint8,
            classes: 10,
            class_names: (0..10).map(|i| i.to_string()).collect(),
            train_samples: 60_000,
            test_samples: 10_000,
        }];
        Plan::new(TrainSpec::from_value(spec).expect("a sound spec"), &Premises { datasets: &datasets, memory_budget })
    }

    fn pointer(spec: &serde_json::Value, memory_budget: u64) -> String {
        plan(spec, memory_budget).map(|_| String::new()).unwrap_or_else(|Faults(f)| f[0].pointer.clone())
    }

    fn affine(units: &[usize]) -> serde_json::Value {
        json!(units.iter().map(|n| json!({"type": "affine", "units": n})).collect::<Vec<_>>())
    }

    #[test]
    fn a_sound_spec_is_planned() {
        let spec =
            json!({"dataset": {"name": "digits", "train_limit": 1050}, "network": affine(&[50, 10]), "epochs": 3});
        let plan = plan(&spec, 1 << 30).expect("a sound spec");
        let summary = plan.summary();
        assert_eq!((summary.parameters, summary.total_steps, summary.train_samples), (39_760, 33, 1050));
        assert_eq!(summary.network[0].output, Shape::new(&[50]));
    }

    #[test]
    fn what_cannot_be_trained_is_refused_with_its_place() {
        let sound = affine(&[10]);
        for (dataset, network, place) in [
            (json!({"name": "mnits"}), sound.clone(), "#/dataset/name"),
            (json!({"name": "digits", "train_limit": 60_001}), sound.clone(), "#/dataset/train_limit"),
            (json!({"name": "digits"}), affine(&[50, 11]), "#/network/1"),
            (json!({"name": "digits"}), json!(["relu"]), "#/network/0"),
            (json!({"name": "digits"}), affine(&[1 << 20, 10]), "#/network"),
            (json!({"name": "digits"}), affine(&[1 << 20, 1 << 20, 10]), "#/network/1"),
        ] {
            assert_eq!(pointer(&json!({"dataset": dataset, "network": network}), 1 << 30), place);
        }
    }

    #[test]
    fn the_loss_says_how_many_outputs_there_must_be() {
        let spec =
            |loss: &str, units| json!({"dataset": {"name": "digits"}, "network": affine(&[units]), "loss": loss});
        assert_eq!(pointer(&spec("bce", 10), 1 << 30), "");
        assert_eq!(pointer(&spec("bce", 1), 1 << 30), "#/network/0");
        assert_eq!(pointer(&spec("perceptron", 1), 1 << 30), "#/loss");
    }

    #[test]
    fn memory_is_checked_before_it_is_taken() {
        let spec = json!({"dataset": {"name": "digits"}, "network": affine(&[2000, 10])});
        assert_eq!(pointer(&spec, 100 << 20), "#/network");
        assert_eq!(pointer(&spec, 1 << 30), "");
        let huge = json!({"dataset": {"name": "digits"}, "network": affine(&[2000, 10]), "batch_size": 1 << 20});
        assert_eq!(pointer(&huge, 1 << 30), "#/network");
    }
}
