//! The convolution against `im2col`, the book and finite differences.

use super::super::LayerSpec;
use super::super::max_pool2d::MaxPool2d;
use super::super::window::Named;
use super::*;
use crate::gradient_check::{
    assert_forward_agrees, assert_forward_within, assert_gradients_agree, assert_same_gradients,
};
use crate::layer::Pass;
use crate::layer::identity::Identity;
use crate::layer::relu::Relu;
use crate::network::Network;
use crate::rng::{Purpose, Rng};
use proptest::prelude::*;

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![
        (0usize..3, 0usize..3).prop_map(|(h, w)| Padding::Sizes(Pair::Rectangle([h, w]))),
        Just(Padding::Named(Named::Same)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn agrees_with_im2col_and_finite_differences(
        image in (1usize..4, 4usize..9, 4usize..9), filters in 1usize..20, kernel in (1usize..4, 1usize..4),
        stride in (1usize..3, 1usize..3), padding in padding(), n in 1usize..3, seed: u64,
    ) {
        let network = [LayerSpec::Conv2d(Conv2d {
            filters,
            kernel: Pair::Rectangle(kernel.into()),
            stride: Pair::Rectangle(stride.into()),
            padding,
            init: None,
        })];
        let shape = Shape::new(&[image.0, image.1, image.2]);
        assert_forward_agrees(&network, &shape, n, seed);
        assert_gradients_agree(&network, &shape, n, seed);
    }

    /// ReLUs between convolutions are worked out with them, those before other layers are not; whether the gradients of the
    /// upper one are scattered, as with a stride and wide rows, or a product with windows.
    #[test]
    fn relus_that_are_taken_in_change_nothing(
        channels in 1usize..18, side in 4usize..8, filters in (1usize..20, 1usize..20), kernel in 1usize..4,
        stride in 1usize..3, padding in padding(), n in 1usize..6, seed: u64,
    ) {
        let [relu, identity] = [LayerSpec::Relu(Relu {}), LayerSpec::Identity(Identity {})];
        let conv = |filters: usize, stride: usize| {
            let (kernel, stride) = (Pair::Square(kernel), Pair::Square(stride));
            LayerSpec::Conv2d(Conv2d { filters, kernel, stride, padding, init: None })
        };
        let padded = LayerSpec::Conv2d(Conv2d {
            filters: channels,
            kernel: Pair::Square(3),
            stride: Pair::Square(1),
            padding: Padding::Named(Named::Same),
            init: None,
        });
        let together = [padded, relu.clone(), conv(filters.0, stride), relu.clone(), conv(filters.1, 1)];
        let identity = [identity];
        let apart = [&together[..2], &identity, &together[2..4], &identity, &together[4..]].concat();
        let shape = Shape::new(&[2, side, side]);
        // An image may be too small for the last filters.
        if let Ok(network) = Network::build(&shape, &together) {
            let layers = |network: &Network| network.depth();
            prop_assert_eq!(layers(&Network::build(&shape, &apart).expect("the same")), layers(&network) + 4);
            assert_same_gradients([&together, &apart], &shape, n, seed);
            // Few values to a sum: the reference is exact, and these are rounded.
            let small = [conv(2, stride), relu, conv(filters.1, 1)];
            if Network::build(&shape, &small).is_ok() {
                assert_forward_agrees(&small, &shape, n, seed);
            }
        }
    }

    /// Of so many channels a 3×3 convolution takes Winograd's way: whatever the padding, odd sides, several images.
    #[test]
    fn winograds_way_agrees_with_im2col(
        channels in 20usize..36, filters in 20usize..52, height in 6usize..15, width in 6usize..15, padding in padding(),
        n in 1usize..4, seed: u64,
    ) {
        let conv = |filters: usize, padding: Padding| {
            let (kernel, stride) = (Pair::Square(3), Pair::Square(1));
            Conv2d { filters, kernel, stride, padding, init: None }
        };
        let (shape, first) = ([channels, height, width], conv(filters, padding));
        let layer = first.build(&Form::image(shape)).expect("a convolution");
        // Images of odd sides have too many tiles that reach beyond them, if they are small.
        prop_assume!(layer.memory().transformed > 0);
        let (first, shape) = (LayerSpec::Conv2d(first), Shape::new(&shape));
        // Its sums go over differences of neighbours, and its errors are some times those of the plain way.
        assert_forward_within(4e-5, std::slice::from_ref(&first), &shape, n, seed);
        let one_by_one = Conv2d { kernel: Pair::Square(1), ..conv(2, Padding::Sizes(Pair::Square(0))) };
        let [relu, last] = [LayerSpec::Relu(Relu {}), LayerSpec::Conv2d(one_by_one)];
        let apart = [first.clone(), relu.clone(), LayerSpec::Identity(Identity {}), last.clone()];
        assert_same_gradients([&[first, relu, last], &apart], &shape, n, seed);
    }

    /// The gradient of the inputs by Winograd's way is that of the product with windows.
    #[test]
    fn winograds_way_back_is_the_plain_one(
        channels in 16usize..24, filters in 16usize..40, height in 6usize..13, width in 6usize..13, padding in padding(),
        below: bool, n in 1usize..3, seed: u64,
    ) {
        let (form, [kernel, stride]) = (Form::image([channels, height, width]), [3, 1].map(Pair::Square));
        let window = Window::new(&form, kernel, stride, padding).expect("a window");
        let around = Around { relus: Relus { below, above: false }, ..Around::default() };
        let layer = || Conv2dLayer::new(window, filters, None, around).expect("a layer");
        let (fast, plain) = (layer(), Conv2dLayer { winograd_back: None, ..layer() });
        // A small image has too many tiles that reach beyond it.
        prop_assume!(fast.winograd_back.is_some());
        let mut rng = Rng::new(seed, Purpose::GradientCheck, 0, 0);
        let mut random = |len: usize| (0..len).map(|_| rng.normal() as f32).collect::<Vec<f32>>();
        let (inputs, outputs) = fast.widths();
        let (parameters, x, dy) = (random(fast.weights + filters), random(n * inputs), random(n * outputs));
        let dx = [&fast, &plain].map(|layer| {
            let (mut prepared, mut dx) = (vec![0.0; layer.memory().prepared], vec![0.0; n * inputs]);
            layer.prepare(&parameters, &mut prepared);
            let (parameters, prepared, pass) = (&parameters[..], &prepared[..], Pass::Infer);
            let at = Context { parameters, prepared, transformed: &[], pass, layer: 0, first_row: 0, pieces: 1 };
            let mut scratch = vec![f32::NAN; layer.memory().scratch];
            layer.backward(&at, &mut scratch, Backward { x: &x, y: &[], kept: &[], dy: &dy, dx: &mut dx });
            dx
        });
        for (fast, plain) in dx[0].iter().zip(&dx[1]) {
            prop_assert!((fast - plain).abs() < 4e-5 * plain.abs().max(1.0) * (filters as f32).sqrt(), "{fast} {plain}");
        }
    }

    /// Below a layer that hands down zeros the gradients are gathered from what is left.
    #[test]
    fn gradients_below_zeros_agree_with_finite_differences(
        channels in 5usize..18, side in 4usize..7, filters in 1usize..20, kernel in 1usize..4, stride in 1usize..3,
        padding in padding(), n in 1usize..3, seed: u64,
    ) {
        let conv = Conv2d {
            filters,
            kernel: Pair::Square(kernel),
            stride: Pair::Square(stride),
            padding,
            init: None,
        };
        let pool = MaxPool2d { kernel: Pair::Square(1), stride: None, padding: Padding::Sizes(Pair::Square(0)) };
        let network = [LayerSpec::Conv2d(conv), LayerSpec::MaxPool2d(pool)];
        assert_gradients_agree(&network, &Shape::new(&[channels, side, side]), n, seed);
    }
}

#[test]
fn a_layer_of_the_book_has_its_weights() {
    let conv = Conv2d {
        filters: 30,
        kernel: Pair::Square(5),
        stride: Pair::Square(1),
        padding: Padding::Sizes(Pair::Square(0)),
        init: None,
    };
    let layer = conv.build(&Form::image([1, 28, 28])).expect("SimpleConvNet's first layer");
    assert_eq!(layer.output().shape(), &Shape::new(&[30, 24, 24]));
    assert_eq!(layer.parameters()[0].shape, Shape::new(&[30, 1, 5, 5]));
}

#[test]
fn winograds_way_is_taken_where_it_pays() {
    let transformed = |kernel: usize, stride: usize, channels: usize, filters: usize, side: usize| {
        let (kernel, stride) = (Pair::Square(kernel), Pair::Square(stride));
        let conv = Conv2d { filters, kernel, stride, padding: Padding::Named(Named::Same), init: None };
        conv.build(&Form::image([channels, side, side])).expect("a convolution").memory().transformed
    };
    assert_eq!(transformed(3, 1, 32, 64, 14), 16 * 32 * 64);
    // Another kernel or stride, too few channels, a side of which half a tile is left over.
    let others = [(5, 1, 32, 64, 14), (3, 2, 32, 64, 14), (3, 1, 4, 64, 14), (3, 1, 32, 64, 5)];
    assert_eq!(others.map(|(kernel, stride, c, f, side)| transformed(kernel, stride, c, f, side)), [0; 4]);
}
