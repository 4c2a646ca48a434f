//! The fully connected layer against the book, finite differences and its reference.

use super::*;
use crate::gradient_check::{
    assert_forward_agrees, assert_gradients_agree, assert_same_gradients, assert_some_gradients_agree,
};
use crate::layer::identity::Identity;
use crate::layer::relu::Relu;
use crate::layer::{LayerSpec, Pass};
use crate::network::Network;
use proptest::prelude::*;

#[test]
fn the_book_example() {
    // §5.6.2: X·W + B with two samples; the gradient of b is the column sum of dy.
    let layer = AffineLayer::new(3, 2, Storage::Plain, None);
    let parameters = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5, -0.5];
    let x = [1.0, 0.0, 2.0, 0.0, 1.0, 1.0];
    let mut y = [0.0; 4];
    let at = Context {
        parameters: &parameters,
        prepared: &[],
        transformed: &[],
        pass: Pass::Infer,
        layer: 0,
        first_row: 0,
        pieces: 1,
    };
    layer.forward(&at, &mut [], &x, &mut y);
    assert_eq!(y, [11.5, 13.5, 8.5, 9.5]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn agrees_with_finite_differences(inputs in 1usize..20, units in 1usize..20, n in 1usize..9, seed: u64) {
        let network = [LayerSpec::Affine(Affine::of(units))];
        assert_forward_agrees(&network, &Shape::new(&[inputs]), n, seed);
        assert_gradients_agree(&network, &Shape::new(&[inputs]), n, seed);
    }
}

/// Weights in several panels, both ways, with and without `Wᵀ` prepared.
#[test]
fn wide_layers_agree_with_finite_differences() {
    for (inputs, units, n) in [(2, 130, 2), (130, 3, 20), (129, 200, 17)] {
        let network = [LayerSpec::Affine(Affine::of(inputs)), LayerSpec::Affine(Affine::of(units))];
        assert_forward_agrees(&network, &Shape::new(&[2]), n, 1);
        assert_gradients_agree(&network, &Shape::new(&[2]), n, 1);
    }
}

/// A layer so large that its panels are worked on side by side, three and two of them.
#[test]
fn layers_whose_panels_are_abreast_agree_with_finite_differences() {
    for (inputs, units) in [(600, 130), (1000, 66)] {
        let network = [LayerSpec::Affine(Affine::of(units))];
        let layer = AffineLayer::new(inputs, units, Storage::Plain, None);
        assert_eq!(layer.tiles_abreast(), units.div_ceil(64));
        assert_some_gradients_agree(&network, &Shape::new(&[inputs]), 3, 1, 100);
    }
}

/// A layer so large that a step goes through it in halves, alone and with a ReLU taken in, against the plain layer.
#[test]
fn halves_add_up_to_the_whole() {
    let (inputs, n) = (1400, 5);
    let value = |i: usize| (i as f32 * 0.37).sin();
    let x: Vec<f32> = (0..n * inputs).map(value).collect();
    for (units, above) in [(100, false), (100, true), (130, true)] {
        let relus = Relus { above, below: false };
        let layer = AffineLayer { relus, ..AffineLayer::new(inputs, units, Storage::Plain, None) };
        assert!(layer.goes_in_halves());
        let parameters: Vec<f32> = (0..(inputs + 1) * units).map(|i| value(i + 7)).collect();
        let at = |pieces| Context {
            parameters: &parameters,
            prepared: &[],
            transformed: &[],
            pass: Pass::Train { seed: 0, step: 0 },
            layer: 0,
            first_row: 0,
            pieces,
        };
        let mut whole = vec![0.0; n * units];
        layer.forward(&at(1), &mut [], &x, &mut whole);
        assert!(above != whole.iter().any(|y| *y < 0.0));
        let halves = [1, 2, 3, 8].map(|pieces| {
            let (mut y, mut kept) = (vec![f32::NAN; n * units], vec![f32::NAN; n * units]);
            layer.forward_keeping(&at(pieces), &mut [], &x, &mut y, &mut kept);
            y
        });
        for (sum, whole) in halves[0].iter().zip(&whole) {
            assert!((sum - whole).abs() < 1e-4, "{sum} for {whole}");
        }
        assert!(halves.iter().all(|other| *other == halves[0]), "the number of pieces changes a bit");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Whether pieces are rows or panels, among them a last one that is narrow.
    #[test]
    fn no_bit_depends_on_the_number_of_pieces(
        units in 1usize..200, n in 1usize..40, pieces in 2usize..9, full in 1usize..4, seed in 0usize..1000,
    ) {
        // Large enough for the work to be cut.
        let inputs = (1usize << 19).div_ceil(n * units).clamp(1, 3000);
        let layer = AffineLayer::new(inputs, units, Storage::Plain, None);
        let value = |i: usize| ((i + seed) as f32 * 0.37).sin();
        let x: Vec<f32> = (0..n * inputs).map(|i| if i % 5 < full { value(i) } else { 0.0 }).collect();
        let parameters: Vec<f32> = (0..(inputs + 1) * units).map(value).collect();
        let [one, several] = [1, pieces].map(|pieces| {
            let at =
                Context { parameters: &parameters, prepared: &[], transformed: &[], pass: Pass::Infer, layer: 0, first_row: 0, pieces };
            let (mut y, mut dx) = (vec![0.0; n * units], vec![0.0; n * inputs]);
            layer.forward(&at, &mut [], &x, &mut y);
            layer.backward(&at, &mut [], Backward { x: &x, y: &y, kept: &[], dy: &y, dx: &mut dx });
            (y, dx)
        });
        prop_assert!(one == several, "other bits in {pieces} pieces");
    }

    /// ReLUs between affine layers are worked out with them, those before other layers are not.
    #[test]
    fn relus_that_are_taken_in_change_nothing(
        inputs in 1usize..20, units in (1usize..150, 1usize..20), n in 1usize..20, seed: u64,
    ) {
        let [relu, identity] = [LayerSpec::Relu(Relu {}), LayerSpec::Identity(Identity {})];
        let [first, second, third] = [units.0, units.1, 3].map(|units| LayerSpec::Affine(Affine::of(units)));
        let together = [first, relu.clone(), second, relu.clone(), third];
        let identity = [identity];
        let apart = [&together[..2], &identity, &together[2..4], &identity, &together[4..]].concat();
        let shape = Shape::new(&[inputs]);
        assert_eq!(Network::build(&shape, &together).expect("a network").depth(), 3);
        assert_same_gradients([&together, &apart], &shape, n, seed);
        assert_forward_agrees(&together, &shape, n, seed);
    }
}

#[test]
fn weights_beyond_counting_are_an_error() {
    let error = Affine::of(1 << 20).build(&Form::planar(Shape::new(&[1 << 40]))).expect_err("2^60 weights");
    assert_eq!(error.field, Some("units"));
}

#[test]
fn tiles_cover_every_parameter_once() {
    for (inputs, units) in [(784, 50), (1, 1), (3, 100_000), (7, 8193)] {
        let layer = AffineLayer::new(inputs, units, Storage::Plain, None);
        let mut next = 0;
        for tile in layer.gradient_tiles() {
            assert_eq!(tile.start, next);
            next = tile.end;
        }
        assert_eq!(next, inputs * units + units);
    }
}
