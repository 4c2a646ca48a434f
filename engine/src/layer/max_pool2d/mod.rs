//! Maximum pooling, *Deep Learning from Scratch* §7.3: `y[c, i, j] = max x[c, i·SH + u, j·SW + v]` over a window, with `x`
//! `[N, C, H, W]` and `y` `[N, C, OH, OW]`; padding never wins.
//!
//! Backward: `dy` goes to the window's first largest value, the others get nothing.
//!
//! The maximum of rectified values is the rectified maximum. So a network works a pool and the ReLU before it out as one
//! layer, bit for bit the same.

mod pairs;

use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use self::pairs::Row;
use super::window::{PADDING, Padding, Pair, SIZES, Window};
use super::{Backward, Context, Layer, LayerError, LayerKind, Reference};
use crate::describe::{Entry, Field, Kind};
use crate::form::Form;
use crate::processor::{Task, block, block_mut, blocks, wide};

/// Spec of a maximum pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool2d {
    /// Height and width of a window.
    pub kernel: Pair,
    /// Steps down and to the right; the kernel's sizes if none are given.
    pub stride: Option<Pair>,
    /// What stands around the input, and never wins.
    pub padding: Padding,
}

impl LayerKind for MaxPool2d {
    const ENTRY: Entry = Entry {
        name: "max_pool2d",
        aliases: &["max_pool", "maxpool"],
        doc: "The largest value of each window, channel by channel.",
        fields: &[
            Field::optional("kernel", SIZES, "2", "height and width of a window: 2 or [2, 1]"),
            Field::optional(
                "stride",
                Kind::Nullable(&SIZES),
                "null",
                "steps down and to the right; the kernel's if null",
            ),
            Field::optional("padding", PADDING, "0", "rows and columns around the input that never win, or \"same\""),
        ],
    };

    const INTERLEAVED: bool = true;

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        self.plain(input)
    }
}

impl MaxPool2d {
    /// The layer by itself.
    pub(crate) fn plain(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        self.layer(input, false)
    }

    /// The layer together with a ReLU before it, which is never worked out by itself: `y = max(0, max x)`.
    pub(crate) fn rectified(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        self.layer(input, true)
    }

    /// Whether every window is 2×2 and the next one begins where it ends.
    pub(crate) fn is_in_pairs(&self) -> bool {
        let unpadded = matches!(self.padding, Padding::Sizes(pair) if pair.sizes() == [0, 0]);
        unpadded && self.kernel.sizes() == [2, 2] && self.stride.is_none_or(|stride| stride.sizes() == [2, 2])
    }

    fn layer(&self, input: &Form, rectified: bool) -> Result<Box<dyn Layer>, LayerError> {
        let window = Window::new(input, self.kernel, self.stride.unwrap_or(self.kernel), self.padding)?.check_pool()?;
        let [channels, ..] = window.image;
        let [height, width] = window.output;
        Ok(Box::new(MaxPool2dLayer { window, rectified, output: Form::image([channels, height, width]) }))
    }
}

#[derive(Debug)]
struct MaxPool2dLayer {
    window: Window,
    /// Whether a ReLU comes before it.
    rectified: bool,
    output: Form,
}

impl MaxPool2dLayer {
    /// The window of output pixel `(i, j)`.
    #[inline(always)]
    fn pixels(&self, i: usize, j: usize) -> Pixels {
        let [channels, _, width] = self.window.image;
        let (rows, columns) = (self.window.within(0, i), self.window.within(1, j));
        let first = (rows.start * width + columns.start) * channels;
        Pixels { first, rows: rows.len(), columns: columns.len(), row: width * channels, channels }
    }

    /// Where the channels of output pixel `(i, j)` lie.
    #[inline(always)]
    fn place(&self, i: usize, j: usize) -> Range<usize> {
        let channels = self.window.image[0];
        let first = (i * self.window.output[1] + j) * channels;
        first..first + channels
    }

    fn widths(&self) -> (usize, usize) {
        let ([c, h, w], [oh, ow]) = (self.window.image, self.window.output);
        (c * h * w, c * oh * ow)
    }

    /// The gradients that the ReLU lets pass, if there is one.
    #[inline(always)]
    fn passed<const W: usize>(&self, y: &[f32; W], dy: &[f32; W]) -> [f32; W] {
        let mut passed = *dy;
        if self.rectified {
            for (passed, y) in passed.iter_mut().zip(y) {
                *passed = if *y > 0.0 { *passed } else { 0.0 };
            }
        }
        passed
    }

    /// How the windows lie.
    fn tiling(&self) -> Tiling {
        let Window { image: [channels, height, width], kernel, stride, output: [oh, ow], .. } = self.window;
        let tiles =
            kernel == stride && self.window.is_unpadded() && [oh * kernel[0], ow * kernel[1]] == [height, width];
        match kernel {
            [2, 2] if tiles => Tiling::Pairs(Row { width: ow, channels }),
            _ if tiles => Tiling::Tiles,
            _ => Tiling::Loose,
        }
    }
}

/// How the windows of a pool lie.
#[derive(Debug, Clone, Copy)]
enum Tiling {
    /// Every pixel is in one window of 2×2.
    Pairs(Row),
    /// Every pixel is in one window.
    Tiles,
    /// Windows overlap, or leave pixels out.
    Loose,
}

/// The part of a window that lies within the image.
#[derive(Debug, Clone, Copy)]
struct Pixels {
    /// Where the channels of its first pixel begin.
    first: usize,
    rows: usize,
    columns: usize,
    /// Distance of two rows.
    row: usize,
    channels: usize,
}

impl Pixels {
    /// The same pixels from their channel `c` on.
    fn skip(self, c: usize) -> Self {
        Self { first: self.first + c, ..self }
    }

    /// Where the channels of a pixel begin.
    #[inline(always)]
    fn at(self, row: usize, column: usize) -> usize {
        self.first + row * self.row + column * self.channels
    }

    /// The largest values of `W` channels.
    #[inline(always)]
    fn largest<const W: usize>(self, rectified: bool, x: &[f32], y: &mut [f32; W]) {
        let mut largest = if rectified { [0.0; W] } else { *block(x, self.first) };
        for row in 0..self.rows {
            for column in 0..self.columns {
                for (y, &x) in largest.iter_mut().zip(block::<W>(x, self.at(row, column))) {
                    // What is not a number must reach the loss.
                    *y = if x > *y || x.is_nan() { x } else { *y };
                }
            }
        }
        *y = largest;
    }

    /// Hands the gradients of `W` channels to the first pixels that have the largest values.
    #[inline(always)]
    fn hand_out<const W: usize, const ADD: bool>(self, x: &[f32], y: [f32; W], mut rest: [f32; W], dx: &mut [f32]) {
        for row in 0..self.rows {
            for column in 0..self.columns {
                // Copies, for the compiler to see that nothing overlaps.
                let at = self.at(row, column);
                let (x, to) = (*block::<W>(x, at), block_mut::<W>(dx, at));
                let mut part = if ADD { *to } else { [0.0; W] };
                for lane in 0..W {
                    let given = if x[lane] == y[lane] { rest[lane] } else { 0.0 };
                    part[lane] += given;
                    rest[lane] -= given;
                }
                *to = part;
            }
        }
    }
}

/// The way of a sample forward.
struct Forward<'a> {
    pool: &'a MaxPool2dLayer,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Task for Forward<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { pool, x, y } = self;
        let [oh, ow] = pool.window.output;
        for i in 0..oh {
            for j in 0..ow {
                let (pixels, y) = (pool.pixels(i, j), &mut y[pool.place(i, j)]);
                blocks!(overlapping pixels.channels, |c, W| {
                    pixels.skip(c).largest::<W>(pool.rectified, x, block_mut(y, c));
                });
            }
        }
    }
}

/// And back: where windows may overlap by adding.
struct Backprop<'a, const ADD: bool> {
    pool: &'a MaxPool2dLayer,
    x: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl<const ADD: bool> Task for Backprop<'_, ADD> {
    #[inline(always)]
    fn run(self) {
        let Self { pool, x, dx, .. } = self;
        let [oh, ow] = pool.window.output;
        for i in 0..oh {
            for j in 0..ow {
                let (pixels, place) = (pool.pixels(i, j), pool.place(i, j));
                let (y, dy) = (&self.y[place.clone()], &self.dy[place]);
                blocks!(pixels.channels, |c, W| {
                    let (y, dy) = (*block(y, c), pool.passed::<W>(block(y, c), block(dy, c)));
                    pixels.skip(c).hand_out::<W, ADD>(x, y, dy, dx);
                });
            }
        }
    }
}

impl Layer for MaxPool2dLayer {
    fn output(&self) -> &Form {
        &self.output
    }

    fn flops(&self) -> usize {
        self.widths().1.saturating_mul(self.window.kernel.iter().product())
    }

    fn forward(&self, _at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        let (inputs, outputs) = self.widths();
        match (self.tiling(), self.rectified) {
            (Tiling::Pairs(row), false) => wide(pairs::Forward::<false> { row, x, y }),
            (Tiling::Pairs(row), true) => wide(pairs::Forward::<true> { row, x, y }),
            _ => {
                for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
                    wide(Forward { pool: self, x, y });
                }
            }
        }
    }

    fn backward(&self, _at: &Context<'_>, _scratch: &mut [f32], Backward { x, y, dy, dx, .. }: Backward<'_>) {
        let (tiling, (inputs, outputs)) = (self.tiling(), self.widths());
        match (tiling, self.rectified) {
            (Tiling::Pairs(row), false) => return wide(pairs::Backprop::<false> { row, x, y, dy, dx }),
            (Tiling::Pairs(row), true) => return wide(pairs::Backprop::<true> { row, x, y, dy, dx }),
            (Tiling::Loose, _) => dx.fill(0.0),
            (Tiling::Tiles, _) => {}
        }
        let samples = x.chunks_exact(inputs).zip(dx.chunks_exact_mut(inputs));
        for ((x, dx), (y, dy)) in samples.zip(y.chunks_exact(outputs).zip(dy.chunks_exact(outputs))) {
            match tiling {
                Tiling::Loose => wide(Backprop::<true> { pool: self, x, y, dy, dx }),
                _ => wide(Backprop::<false> { pool: self, x, y, dy, dx }),
            }
        }
    }

    fn reference(&self, _at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let ([channels, _, width], [oh, ow]) = (self.window.image, self.window.output);
        Array2::from_shape_fn((x.nrows(), oh * ow * channels), |(n, output)| {
            let (pixel, c) = (output / channels, output % channels);
            let (rows, columns) = (self.window.within(0, pixel / ow), self.window.within(1, pixel % ow));
            let window = rows.flat_map(|row| columns.clone().map(move |column| (row * width + column) * channels + c));
            window.map(|at| x[[n, at]]).fold(if self.rectified { 0.0 } else { f64::NEG_INFINITY }, f64::max)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::LayerSpec;
    use super::super::identity::Identity;
    use super::super::relu::Relu;
    use super::super::window::Named;
    use super::*;
    use crate::gradient_check::{assert_forward_agrees, assert_gradients_agree, assert_same_gradients};
    use crate::shape::Shape;
    use proptest::prelude::*;

    const PAIRS: MaxPool2d =
        MaxPool2d { kernel: Pair::Square(2), stride: None, padding: Padding::Sizes(Pair::Square(0)) };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn agrees_with_finite_differences(
            image in (1usize..6, 4usize..9, 4usize..9), kernel in (1usize..4, 1usize..4), stride in 1usize..4,
            same: bool, n in 1usize..4, seed: u64,
        ) {
            let padding =
                if same { Padding::Named(Named::Same) } else { Padding::Sizes(Pair::Rectangle([kernel.0 / 2, kernel.1 / 2])) };
            let kernel = Pair::Rectangle(kernel.into());
            let pool = MaxPool2d { kernel, stride: Some(Pair::Square(stride)), padding };
            let shape = Shape::new(&[image.0, image.1, image.2]);
            assert_forward_agrees(&[LayerSpec::MaxPool2d(pool)], &shape, n, seed);
            assert_gradients_agree(&[LayerSpec::MaxPool2d(pool)], &shape, n, seed);
        }

        #[test]
        fn pairs_agree_with_finite_differences(
            channels in 1usize..40, (oh, ow) in (1usize..3, 1usize..4), n in 1usize..4, seed: u64,
        ) {
            let (relu, pool) = (LayerSpec::Relu(Relu {}), LayerSpec::MaxPool2d(PAIRS));
            let apart = [relu.clone(), LayerSpec::Identity(Identity {}), pool.clone()];
            let shape = Shape::new(&[channels, 2 * oh, 2 * ow]);
            assert_forward_agrees(&apart[2..], &shape, n, seed);
            assert_gradients_agree(&apart[2..], &shape, n, seed);
            let together = [relu, pool];
            assert_forward_agrees(&together, &shape, n, seed);
            assert_same_gradients([&together, &apart], &shape, n, seed);
        }
    }

    #[test]
    fn pairs_pass_what_is_not_a_number_on_and_give_to_the_first() {
        let row = Row { width: 1, channels: 17 };
        for place in 0..4 {
            let mut x = vec![1.0; 4 * 17];
            x[place * 17..][..17].fill(f32::NAN);
            let mut y = vec![0.0; 17];
            wide(pairs::Forward::<true> { row, x: &x, y: &mut y });
            assert!(y.iter().all(|y| y.is_nan()), "at {place}");
        }
        let (x, y, dy, mut dx) = (vec![1.0; 4 * 17], vec![1.0; 17], vec![2.0; 17], vec![9.0; 4 * 17]);
        wide(pairs::Backprop::<true> { row, x: &x, y: &y, dy: &dy, dx: &mut dx });
        assert_eq!((&dx[..17], &dx[17..]), (&[2.0; 17][..], &[0.0; 51][..]));
    }
}
