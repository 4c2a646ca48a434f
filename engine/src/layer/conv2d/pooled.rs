//! A convolution of one-channel images and the 2×2 maximum pool above it, with or without a ReLU in between, as one layer:
//! what the convolution gives is never in memory, and on the way back only the largest value of each window costs
//! anything. See [`gemm::Pooled`](Pooled).
//!
//! It is the first layer of *Deep Learning from Scratch* §7.5's SimpleConvNet, where most of its time went into writing,
//! reading and clearing values of which three in four come to nothing.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};

use super::{Around, Conv2d, Conv2dLayer};
use crate::aligned::LINE;
use crate::batch::Batch;
use crate::form::Form;
use crate::gemm::Pooled;
use crate::layer::max_pool2d::MaxPool2d;
use crate::layer::window::Window;
use crate::layer::{Backward, Context, Layer, LayerError, Memory, Parameter, Reference, Seen};

#[derive(Debug)]
struct PooledConv2d {
    conv: Conv2dLayer,
    /// The pool, with the ReLU if there is one.
    pool: Box<dyn Layer>,
    sizes: Pooled,
    memory: Memory,
}

impl Conv2d {
    /// The layer together with the pool above it, and a ReLU in between if it is `rectified`; `None` where there is no
    /// such layer, or one of them cannot stand where it is.
    ///
    /// It serves where nothing below learns: the gradient of its inputs is slow.
    pub(crate) fn pooled(&self, input: &Form, pool: &MaxPool2d, rectified: bool) -> Option<Box<dyn Layer>> {
        let window = Window::new(input, self.kernel, self.stride, self.padding).ok()?;
        let ([channels, ..], [kh, kw], output) = (window.image, window.kernel, window.output);
        let fits = channels == 1 && kh == kw && window.stride == [1, 1] && output[0] % 2 == 0 && output[1] % 2 == 0;
        if !(fits && Pooled::is_possible(kh) && pool.is_in_pairs()) {
            return None;
        }
        let conv = Conv2dLayer::new(window, self.filters, self.init.clone(), Around::default())?;
        let build: Result<Box<dyn Layer>, LayerError> = match rectified {
            true => pool.rectified(conv.output()),
            false => pool.plain(conv.output()),
        };
        let output = output.map(|side| side / 2);
        let sizes = Pooled { kernel: kh, filters: self.filters, output, pitch: window.padded()[1], rectified };
        PooledConv2d::new(conv, build.ok()?, sizes).map(|layer| Box::new(layer) as _)
    }
}

impl PooledConv2d {
    /// `None` where a size overflows.
    fn new(conv: Conv2dLayer, pool: Box<dyn Layer>, sizes: Pooled) -> Option<Self> {
        let of_conv = conv.memory();
        let padded = Self::padded_len(&conv);
        let filters = sizes.lanes().checked_mul(sizes.kernel * sizes.kernel + 1)?;
        let going_back = conv.output().shape().checked_len()?.checked_next_multiple_of(LINE)?;
        let scratch = [filters, sizes.squares(), going_back].into_iter().max()?;
        Some(Self {
            memory: Memory {
                scratch: scratch.checked_add(padded)?.checked_add(of_conv.scratch)?,
                kept: sizes.words().div_ceil(2),
                ..of_conv
            },
            conv,
            pool,
            sizes,
        })
    }

    /// Room for a padded image.
    fn padded_len(conv: &Conv2dLayer) -> usize {
        let padded = if conv.window.is_unpadded() { 0 } else { conv.window.padded().iter().product() };
        usize::next_multiple_of(padded, LINE)
    }

    /// Values of an input sample, and of an output sample.
    fn widths(&self) -> (usize, usize) {
        (self.conv.widths().0, self.sizes.pixels() * self.sizes.filters)
    }

    /// The filters and biases in whole vectors, zeros beyond: `[K·K, lanes]` and `[lanes]`.
    fn in_lanes<'a>(&self, parameters: &[f32], room: &'a mut [f32]) -> (&'a [f32], &'a [f32]) {
        let (lanes, filters) = (self.sizes.lanes(), self.sizes.filters);
        let room = &mut room[..parameters.len() / filters * lanes];
        for (to, from) in room.chunks_exact_mut(lanes).zip(parameters.chunks_exact(filters)) {
            let (values, beyond) = to.split_at_mut(filters);
            values.copy_from_slice(from);
            beyond.fill(0.0);
        }
        room.split_at(room.len() - lanes)
    }

    fn run(&self, at: &Context<'_>, scratch: &mut [f32], x: &[f32], y: &mut [f32], mut kept: Option<&mut [f32]>) {
        let (padded, room) = scratch.split_at_mut(Self::padded_len(&self.conv));
        let filters = self.in_lanes(at.parameters, room);
        let (inputs, outputs) = self.widths();
        for (i, (x, y)) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)).enumerate() {
            let bits = kept.as_mut().map(|kept| {
                let bits: &mut [u16] = bytemuck::cast_slice_mut(&mut kept[i * self.memory.kept..][..self.memory.kept]);
                &mut bits[..self.sizes.words()]
            });
            self.sizes.forward(self.conv.padded(x, padded), filters, y, bits);
        }
    }

    /// The bits of each sample.
    fn bits<'a>(&self, kept: &'a [f32]) -> impl Iterator<Item = &'a [u16]> + use<'a> {
        let words = self.sizes.words();
        kept.chunks_exact(self.memory.kept).map(move |kept| &bytemuck::cast_slice(kept)[..words])
    }
}

impl Layer for PooledConv2d {
    fn output(&self) -> &Form {
        self.pool.output()
    }

    fn parameters(&self) -> &[Parameter] {
        self.conv.parameters()
    }

    fn flops(&self) -> usize {
        self.conv.flops().saturating_add(self.pool.flops())
    }

    fn memory(&self) -> Memory {
        self.memory
    }

    fn prepare(&self, parameters: &[f32], prepared: &mut [f32]) {
        self.conv.prepare(parameters, prepared);
    }

    fn forward(&self, at: &Context<'_>, scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        self.run(at, scratch, x, y, None);
    }

    fn forward_keeping(&self, at: &Context<'_>, scratch: &mut [f32], x: &[f32], y: &mut [f32], kept: &mut [f32]) {
        self.run(at, scratch, x, y, Some(kept));
    }

    fn backward(&self, at: &Context<'_>, scratch: &mut [f32], Backward { x, kept, dy, dx, .. }: Backward<'_>) {
        let (inputs, outputs) = self.widths();
        let len = self.conv.widths().1;
        let (spread, scratch) = scratch.split_at_mut(len.next_multiple_of(LINE));
        let spread = &mut spread[..len];
        let samples = x.chunks_exact(inputs).zip(dy.chunks_exact(outputs)).zip(dx.chunks_exact_mut(inputs));
        for (((x, dy), dx), bits) in samples.zip(self.bits(kept)) {
            self.sizes.spread(dy, bits, spread);
            self.conv.backward(at, scratch, Backward { x, y: &[], kept: &[], dy: spread, dx });
        }
    }

    fn accumulate(&self, scratch: &mut [f32], Seen { x, kept, dy }: Seen<'_>, partial: &mut [f32]) {
        let (inputs, outputs) = self.widths();
        let (padded, room) = scratch.split_at_mut(Self::padded_len(&self.conv));
        let squares = &mut room[..self.sizes.squares()];
        for ((x, dy), bits) in x.chunks_exact(inputs).zip(dy.chunks_exact(outputs)).zip(self.bits(kept)) {
            let gradients = partial.split_at_mut(self.conv.weights);
            self.sizes.gradient(self.conv.padded(x, padded), (dy, bits), squares, gradients);
        }
    }

    fn gradient(&self, range: Range<usize>, batch: Batch<'_>, gradient: &mut [f32]) {
        self.conv.gradient(range, batch, gradient);
    }

    fn gradient_tiles(&self) -> Vec<Range<usize>> {
        self.conv.gradient_tiles()
    }

    fn first(&self) -> Option<&dyn Layer> {
        Some(&self.conv)
    }

    fn reference(&self, at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        self.pool.reference(at, self.conv.reference(at, x).view())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::window::{Padding, Pair};
    use super::super::super::{LayerSpec, identity::Identity, relu::Relu};
    use super::*;
    use crate::gradient_check::{assert_forward_agrees, assert_gradients_agree, assert_near_gradients};
    use crate::network::Network;
    use crate::shape::Shape;
    use proptest::prelude::*;

    /// A convolution and its pool: together where this processor can, and kept apart by a layer that does nothing.
    fn chains(kernel: usize, padding: usize, filters: usize, relu: bool) -> [Vec<LayerSpec>; 2] {
        let padding = Padding::Sizes(Pair::Square(padding));
        let conv = Conv2d { filters, kernel: Pair::Square(kernel), stride: Pair::Square(1), padding, init: None };
        let none = Padding::Sizes(Pair::Square(0));
        let pool = LayerSpec::MaxPool2d(MaxPool2d { kernel: Pair::Square(2), stride: None, padding: none });
        let relu = relu.then_some(LayerSpec::Relu(Relu {}));
        let chain = |between: Option<LayerSpec>| {
            let layers = [Some(LayerSpec::Conv2d(conv.clone())), between, relu.clone(), Some(pool.clone())];
            layers.into_iter().flatten().collect()
        };
        [chain(None), chain(Some(LayerSpec::Identity(Identity {})))]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn agrees_with_its_parts_and_with_finite_differences(
            kernel in prop_oneof![Just(3usize), Just(5)], padding in 0usize..3, filters in 1usize..50, relu: bool,
            (oh, ow) in (1usize..5, 1usize..6), n in 1usize..3, seed: u64,
        ) {
            let [together, apart] = chains(kernel, padding, filters, relu);
            let side = |output: usize| (2 * output + kernel - 1).saturating_sub(2 * padding);
            let (height, width) = (side(oh), side(ow));
            prop_assume!(height > 0 && width > 0);
            let shape = Shape::new(&[1, height, width]);
            let network = Network::build(&shape, &together).expect("a sound network");
            prop_assert_eq!(network.layer(0).first().is_some(), Pooled::is_possible(kernel));
            assert_forward_agrees(&together, &shape, n, seed);
            assert_near_gradients([&together, &apart], &shape, n, seed);
        }
    }

    #[test]
    fn its_gradients_agree_with_finite_differences() {
        for (relu, filters) in [(true, 3), (false, 17)] {
            let [together, _] = chains(3, 1, filters, relu);
            assert_gradients_agree(&together, &Shape::new(&[1, 4, 6]), 2, 1);
        }
    }
}
