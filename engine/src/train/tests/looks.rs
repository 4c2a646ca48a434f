//! What the looks inside say.

use super::*;
use crate::layer::identity::Identity;
use crate::layer::relu::Relu;

#[test]
fn looks_inside_say_what_is_there() {
    let (train, test, network) = (Clouds::new(301, 0), Clouds::new(50, 1), convolutional());
    let [_, _, adam] = optimizers();
    let settings = Settings { length: Length::Epochs(2), ..settings(adam) };
    let mut script = Script::default();
    Trainer::new(&network, &settings, Data { train: train.samples(), test: test.samples() }).run(&mut script);
    let looks: Vec<_> = script
        .events
        .iter()
        .filter_map(|event| if let TrainEvent::Diagnostics(look) = event { Some(look) } else { None })
        .collect();
    assert_eq!(looks.len(), 2);
    let look = looks[1];
    let layers: Vec<_> = look.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(layers[..3], ["conv2d", "batch_norm", "relu"]);
    // What a batch normalisation gives has mean β and deviation γ, which start at 0 and 1.
    // The first one's ReLU is worked out by the pool after it, the last one's with it.
    for (norm, relu) in [(1, 2), (13, 14)] {
        let [normalised, rectified] = [norm, relu].map(|layer| &look.layers[layer].activations);
        assert!(normalised.mean.abs() < 0.2 && (normalised.std - 1.0).abs() < 0.2, "{normalised:?}");
        assert_eq!((rectified.min, rectified.max), (0.0, normalised.max));
    }
    let weights = &look.layers[0].parameters[0];
    assert!(weights.gradient_norm > 0.0 && weights.update_norm > 0.0 && weights.update_norm < weights.norm);
    assert_eq!(look.filters.as_ref().expect("a convolution").shape, Shape::new(&[5, 1, 3, 3]));
}

#[test]
fn looks_inside_see_layers_that_others_have_taken_in() {
    looks_agree([pooled(false), pooled(true)], 4);
    let affine = |units| LayerSpec::Affine(Affine::of(units));
    let conv =
        serde_json::json!({"type": "conv2d", "filters": 4, "kernel": 3, "stride": 1, "padding": 1, "init": null});
    let conv: LayerSpec = serde_json::from_value(conv).expect("a convolution");
    for (lower, upper) in [(affine(20), vec![affine(3)]), (conv.clone(), vec![conv, affine(3)])] {
        looks_agree([false, true].map(|apart| rectified(&lower, &upper, apart)), 2 + upper.len());
    }
}

/// A layer, a ReLU and the layers above, unless they are kept `apart` by one that does nothing.
fn rectified(lower: &LayerSpec, upper: &[LayerSpec], apart: bool) -> Network {
    let identity = if apart { vec![LayerSpec::Identity(Identity {})] } else { vec![] };
    let layers = [&[lower.clone(), LayerSpec::Relu(Relu {})], &identity[..], upper].concat();
    Network::build(&Shape::new(&[1, 2, 6]), &layers).expect("a sound network")
}

/// Two networks that do the same, of so many layers but for those that do nothing.
fn looks_agree(networks: [Network; 2], count: usize) {
    let (train, test) = (Clouds::new(40, 0), Clouds::new(20, 1));
    let [together, apart] = networks.map(|network| {
        let settings = settings(OptimizerSpec::Sgd(Sgd { learning_rate: 0.1 }));
        let mut script = Script::default();
        Trainer::new(&network, &settings, Data { train: train.samples(), test: test.samples() }).run(&mut script);
        let look = script.events.into_iter().find_map(|event| match event {
            TrainEvent::Diagnostics(look) => Some(look.layers),
            _ => None,
        });
        let mut layers = look.expect("a look inside");
        layers.retain(|layer| layer.name != "identity");
        layers
    });
    assert_eq!((together.len(), apart.len()), (count, count));
    for (one, other) in together.iter().zip(&apart) {
        assert_eq!((&one.name, one.dead_share), (&other.name, other.dead_share));
        let near = |a: f64, b: f64| (a - b).abs() < 1e-4;
        assert!(near(one.activations.mean, other.activations.mean), "{one:?} and {other:?}");
        assert!(near(one.activations.std, other.activations.std), "{one:?} and {other:?}");
        assert_eq!(one.parameters.len(), other.parameters.len());
        for (one, other) in one.parameters.iter().zip(&other.parameters) {
            assert!(one.name == other.name && near(one.gradient_norm, other.gradient_norm), "{one:?} and {other:?}");
        }
    }
}
