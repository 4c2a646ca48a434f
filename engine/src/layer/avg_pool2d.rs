//! Average pooling (Y. LeCun et al., *Gradient-based learning applied to document recognition*, 1998):
//! `y[c, i, j]` is the mean of `x[c, i·SH + u, j·SW + v]` over the part of a window that lies within the image, with `x`
//! `[N, C, H, W]` and `y` `[N, C, OH, OW]`; padding is not counted (PyTorch's `count_include_pad=False`).
//!
//! Backward: each value of a window gets `dy` divided by their number.

use serde::{Deserialize, Serialize};

use super::averages::Averages;
use super::window::{PADDING, Padding, Pair, SIZES, Window};
use super::{Layer, LayerError, LayerKind};
use crate::describe::{Entry, Field, Kind};
use crate::form::Form;

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

#[cfg(test)]
mod tests {
    use super::super::LayerSpec;
    use super::super::window::Named;
    use super::*;
    use crate::gradient_check::{assert_forward_agrees, assert_gradients_agree};
    use crate::shape::Shape;
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
