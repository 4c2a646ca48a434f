//! The nets that the benches measure, read from the same JSON as the scripts of the peers read, and random images.

use dojang::engine::network::Network;
use dojang::engine::rng::{Purpose, Rng};
use dojang::engine::shape::Shape;
use dojang::engine::train::{Length, Settings};
use dojang::job::spec::TrainSpec;
use serde_json::{Value, json};

/// P1 to P4, the nets that all peers train.
pub(crate) const PEERS: &str = include_str!("nets.json");

/// Samples of a training, as many as MNIST has.
pub(crate) const SAMPLES: usize = 60_000;

/// A net with the way it is trained: without an end, without looks inside.
#[derive(Debug)]
pub(crate) struct Net {
    /// What tables call it.
    pub(crate) name: String,
    /// Its layers with the shapes of its inputs.
    pub(crate) network: Network,
    /// How it is trained.
    pub(crate) settings: Settings,
}

impl Net {
    /// The net of an entry `{"name", "input": [C, H, W], "network", "optimizer", "batch_size"}`.
    ///
    /// # Panics
    /// If it is not sound.
    pub(crate) fn new(entry: &Value) -> Self {
        let name = entry["name"].as_str().expect("a name").to_owned();
        let input: Vec<usize> = serde_json::from_value(entry["input"].clone()).expect("a shape");
        let spec = json!({
            "dataset": {"name": "digits"}, "network": entry["network"], "optimizer": entry["optimizer"],
            "batch_size": entry["batch_size"], "diagnostics": false,
        });
        let spec = TrainSpec::from_value(&spec).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        let network = Network::build(&Shape::new(&input), &spec.network)
            .unwrap_or_else(|error| panic!("{name} cannot be built: {error:?}"));
        Self { name, network, settings: Settings { length: Length::Epochs(1_000_000), ..spec.settings() } }
    }
}

/// The entries of a JSON list of nets.
///
/// # Panics
/// If it is no list: the lists are part of the benches.
pub(crate) fn entries(text: &str) -> Vec<Value> {
    serde_json::from_str(text).expect("a list of nets")
}

/// Random images of so many values, `[SAMPLES, width]`, four fifths of them zeros, as of handwriting, and labels 0–9.
pub(crate) fn random_images(width: usize) -> (Vec<u8>, Vec<u16>) {
    let mut rng = Rng::new(1, Purpose::GradientCheck, 0, 0);
    let inputs = (0..SAMPLES * width).map(|_| if rng.bits().is_multiple_of(5) { rng.bits() as u8 } else { 0 });
    (inputs.collect(), (0..SAMPLES).map(|i| (i % 10) as u16).collect())
}
