//! Average pooling (Y. LeCun et al., *Gradient-based learning applied to document recognition*, 1998):
//! `y[c, i, j]` is the mean of `x[c, i·SH + u, j·SW + v]` over the part of a window that lies within the image, with `x`
//! `[N, C, H, W]` and `y` `[N, C, OH, OW]`; padding is not counted (PyTorch's `count_include_pad=False`).
//!
//! Backward: each value of a window gets `dy` divided by their number.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::window::{PADDING, Padding, Pair, SIZES, Window};
use super::{Backward, Context, Layer, LayerError, LayerKind, Reference};
use crate::engine::describe::{Entry, Field, Kind};
use crate::engine::form::Form;
use crate::engine::processor::wide;

/// Spec of an average pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvgPool2d {
    /// Height and width of a window.
    pub kernel: Pair,
    /// Steps down and to the right; the kernel's sizes if none are given.
    pub stride: Option<Pair>,
    /// What stands around the input, and is not counted.
    pub padding: Padding,
}

impl LayerKind for AvgPool2d {
    const ENTRY: Entry = Entry {
        name: "avg_pool2d",
        aliases: &["avg_pool", "average_pool2d"],
        doc: "The mean of each window, channel by channel; padding is not counted.",
        fields: &[
            Field::optional("kernel", SIZES, "2", "height and width of a window: 2 or [2, 1]"),
            Field::optional(
                "stride",
                Kind::Nullable(&SIZES),
                "null",
                "steps down and to the right; the kernel's if null",
            ),
            Field::optional(
                "padding",
                PADDING,
                "0",
                "rows and columns around the input that do not count, or \"same\"",
            ),
        ],
    };

    const INTERLEAVED: bool = true;

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        let window = Window::new(input, self.kernel, self.stride.unwrap_or(self.kernel), self.padding)?.check_pool()?;
        Ok(Box::new(Averages::new(window)))
    }
}

/// The means of windows; the global average pooling is one of them.
#[derive(Debug)]
pub(super) struct Averages {
    window: Window,
    output: Form,
}

impl Averages {
    pub(super) fn new(window: Window) -> Self {
        let ([channels, ..], [height, width]) = (window.image, window.output);
        Self { window, output: Form::image([channels, height, width]) }
    }

    /// The same means under another shape.
    pub(super) fn with_output(self, output: Form) -> Self {
        Self { output, ..self }
    }

    /// Calls `visit` with the places of every output pixel of a sample, of every pixel in its window, and 1 / their number.
    #[inline(always)]
    fn visit(&self, mut visit: impl FnMut(usize, usize, f64)) {
        let ([channels, _, width], [oh, ow]) = (self.window.image, self.window.output);
        for i in 0..oh {
            let rows = self.window.within(0, i);
            for j in 0..ow {
                let columns = self.window.within(1, j);
                let share = 1.0 / (rows.len() * columns.len()) as f64;
                for row in rows.clone() {
                    for column in columns.clone() {
                        visit((i * ow + j) * channels, (row * width + column) * channels, share);
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

impl Layer for Averages {
    fn output(&self) -> &Form {
        &self.output
    }

    fn flops(&self) -> usize {
        self.widths().1.saturating_mul(self.window.kernel.iter().product())
    }

    fn forward(&self, _at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        let (channels, (inputs, outputs)) = (self.window.image[0], self.widths());
        y.fill(0.0);
        for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
            wide(|| {
                self.visit(|output, input, share| {
                    for (y, x) in y[output..][..channels].iter_mut().zip(&x[input..][..channels]) {
                        *y += share as f32 * x;
                    }
                });
            });
        }
    }

    fn backward(&self, _at: &Context<'_>, _scratch: &mut [f32], Backward { dy, dx, .. }: Backward<'_>) {
        let (channels, (inputs, outputs)) = (self.window.image[0], self.widths());
        dx.fill(0.0);
        for (dx, dy) in dx.chunks_exact_mut(inputs).zip(dy.chunks_exact(outputs)) {
            wide(|| {
                self.visit(|output, input, share| {
                    for (dx, dy) in dx[input..][..channels].iter_mut().zip(&dy[output..][..channels]) {
                        *dx += share as f32 * dy;
                    }
                });
            });
        }
    }

    fn reference(&self, _at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let channels = self.window.image[0];
        let mut y = Array2::zeros((x.nrows(), self.widths().1));
        for (x, mut y) in x.rows().into_iter().zip(y.rows_mut()) {
            self.visit(|output, input, share| {
                for c in 0..channels {
                    y[output + c] += share * x[input + c];
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
            let pool = AvgPool2d { kernel, stride: Some(Pair::Square(stride)), padding };
            let shape = Shape::new(&[image.0, image.1, image.2]);
            assert_forward_agrees(&[LayerSpec::AvgPool2d(pool)], &shape, n, seed);
            assert_gradients_agree(&[LayerSpec::AvgPool2d(pool)], &shape, n, seed);
        }
    }
}
