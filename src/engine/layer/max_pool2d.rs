//! Maximum pooling, *Deep Learning from Scratch* §7.3: `y[c, i, j] = max x[c, i·SH + u, j·SW + v]` over a window, with `x`
//! `[N, C, H, W]` and `y` `[N, C, OH, OW]`; padding never wins.
//!
//! Backward: `dy` goes to the window's first largest value, the others get nothing.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::window::{PADDING, Padding, Pair, SIZES, Window};
use super::{Backward, Context, Layer, LayerError, LayerKind, Memory, Reference};
use crate::engine::describe::{Entry, Field, Kind};
use crate::engine::form::Form;
use crate::engine::processor::wide;

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
        let window = Window::new(input, self.kernel, self.stride.unwrap_or(self.kernel), self.padding)?.check_pool()?;
        let [channels, ..] = window.image;
        let [height, width] = window.output;
        Ok(Box::new(MaxPool2dLayer { window, output: Form::image([channels, height, width]) }))
    }
}

#[derive(Debug)]
struct MaxPool2dLayer {
    window: Window,
    output: Form,
}

impl MaxPool2dLayer {
    /// Calls `visit` with the place of every output pixel of a sample, and of every pixel in its window, in that order.
    #[inline(always)]
    fn visit(&self, mut visit: impl FnMut(usize, Place)) {
        let ([channels, _, width], [oh, ow]) = (self.window.image, self.window.output);
        for i in 0..oh {
            for j in 0..ow {
                let output = (i * ow + j) * channels;
                let mut first = true;
                for row in self.window.within(0, i) {
                    for column in self.window.within(1, j) {
                        visit(output, Place { input: (row * width + column) * channels, first });
                        first = false;
                    }
                }
            }
        }
    }

    fn widths(&self) -> (usize, usize) {
        let ([c, h, w], [oh, ow]) = (self.window.image, self.window.output);
        (c * h * w, c * oh * ow)
    }
}

/// A pixel of a window.
struct Place {
    /// Where its channels begin.
    input: usize,
    /// Whether it is the window's first.
    first: bool,
}

impl Layer for MaxPool2dLayer {
    fn output(&self) -> &Form {
        &self.output
    }

    fn flops(&self) -> usize {
        self.widths().1.saturating_mul(self.window.kernel.iter().product())
    }

    /// For a pixel's gradient that has not found its place yet.
    fn memory(&self) -> Memory {
        Memory { scratch: self.window.image[0], ..Memory::default() }
    }

    fn forward(&self, _at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        let (channels, (inputs, outputs)) = (self.window.image[0], self.widths());
        for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
            wide(|| {
                self.visit(|output, place| {
                    let (y, x) = (&mut y[output..][..channels], &x[place.input..][..channels]);
                    if place.first {
                        y.copy_from_slice(x);
                        return;
                    }
                    for (y, &x) in y.iter_mut().zip(x) {
                        // What is not a number must reach the loss.
                        *y = if x > *y || x.is_nan() { x } else { *y };
                    }
                });
            });
        }
    }

    fn backward(&self, _at: &Context<'_>, scratch: &mut [f32], Backward { x, y, dy, dx }: Backward<'_>) {
        let (channels, (inputs, outputs)) = (self.window.image[0], self.widths());
        let rest = &mut scratch[..channels];
        dx.fill(0.0);
        let samples = x.chunks_exact(inputs).zip(dx.chunks_exact_mut(inputs));
        for ((x, dx), (y, dy)) in samples.zip(y.chunks_exact(outputs).zip(dy.chunks_exact(outputs))) {
            wide(|| {
                self.visit(|output, place| {
                    if place.first {
                        rest.copy_from_slice(&dy[output..][..channels]);
                    }
                    let (y, x) = (&y[output..][..channels], &x[place.input..][..channels]);
                    let dx = &mut dx[place.input..][..channels];
                    for ((dx, rest), (x, y)) in dx.iter_mut().zip(&mut *rest).zip(x.iter().zip(y)) {
                        let here = x == y;
                        *dx += if here { *rest } else { 0.0 };
                        *rest = if here { 0.0 } else { *rest };
                    }
                });
            });
        }
    }

    fn reference(&self, _at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let channels = self.window.image[0];
        let mut y = Array2::from_elem((x.nrows(), self.widths().1), f64::NEG_INFINITY);
        for (x, mut y) in x.rows().into_iter().zip(y.rows_mut()) {
            self.visit(|output, place| {
                for c in 0..channels {
                    y[output + c] = y[output + c].max(x[place.input + c]);
                }
            });
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::super::LayerSpec;
    use super::super::window::Named;
    use super::*;
    use crate::engine::gradient_check::{assert_forward_agrees, assert_gradients_agree};
    use crate::engine::shape::Shape;
    use proptest::prelude::*;

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
    }
}
