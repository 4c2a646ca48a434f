//! Windows that slide over an image: what convolution and pooling share, *Deep Learning from Scratch* §7.2.
//!
//! `OH = (H + top + bottom − KH) / SH + 1` (rounded down), and `OW` likewise.

use serde::{Deserialize, Serialize};

use super::LayerError;
use crate::describe::Kind;
use crate::form::Form;

/// Largest size of a kernel, stride or padding.
const MAX: u64 = 1024;
/// A kernel's or stride's sizes.
pub(super) const SIZES: Kind = Kind::Pair { min: 1, max: MAX };
/// A padding: sizes, or `"same"`.
pub(super) const PADDING: Kind = Kind::WordOr { words: &["same"], other: &Kind::Pair { min: 0, max: MAX } };

/// A size along height and width: `5` or `[5, 3]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pair {
    /// The same for both.
    Square(usize),
    /// Height, then width.
    Rectangle([usize; 2]),
}

impl Pair {
    /// Height and width.
    pub fn sizes(self) -> [usize; 2] {
        match self {
            Self::Square(size) => [size; 2],
            Self::Rectangle(sizes) => sizes,
        }
    }
}

/// What stands around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Padding {
    /// So many rows above and below, so many columns left and right.
    Sizes(Pair),
    /// A word for it.
    Named(Named),
}

/// A padding that follows from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// As much as makes `OH = ⌈H / SH⌉`; an odd rest goes below and to the right (ONNX's `SAME_UPPER`, PyTorch's and
    /// TensorFlow's `same`).
    Same,
}

/// A window, its steps and its padding on an image of known size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Channels, height and width of the image.
    pub(super) image: [usize; 3],
    /// Height and width of the window.
    pub(super) kernel: [usize; 2],
    /// Steps down and to the right.
    pub(super) stride: [usize; 2],
    /// Rows above, columns to the left.
    pub(super) before: [usize; 2],
    /// Rows below, columns to the right.
    pub(super) after: [usize; 2],
    /// Height and width of the result: the number of windows.
    pub(super) output: [usize; 2],
}

impl Window {
    /// The window of a layer on inputs of this form.
    pub(super) fn new(input: &Form, kernel: Pair, stride: Pair, padding: Padding) -> Result<Self, LayerError> {
        let Some(image) = input.as_image() else {
            return Err(LayerError::new(format!(
                "an image [channels, height, width] is needed, not an input of shape {}",
                input.shape()
            )));
        };
        let (kernel, stride, sides) = (kernel.sizes(), stride.sizes(), [image[1], image[2]]);
        let mut window = Self { image, kernel, stride, before: [0; 2], after: [0; 2], output: [0; 2] };
        for axis in 0..2 {
            let (before, after) = match padding {
                Padding::Sizes(pair) => (pair.sizes()[axis], pair.sizes()[axis]),
                Padding::Named(Named::Same) => {
                    let reach = (sides[axis].div_ceil(stride[axis]) - 1) * stride[axis] + kernel[axis];
                    let total = reach.saturating_sub(sides[axis]);
                    (total / 2, total - total / 2)
                }
            };
            let padded = sides[axis] + before + after;
            if kernel[axis] > padded {
                return Err(LayerError::at(
                    "kernel",
                    format!(
                        "a kernel of {}×{} does not fit an input of {}×{}{}",
                        kernel[0],
                        kernel[1],
                        sides[0],
                        sides[1],
                        if before + after > 0 { " with its padding" } else { "" }
                    ),
                ));
            }
            (window.before[axis], window.after[axis]) = (before, after);
            window.output[axis] = (padded - kernel[axis]) / stride[axis] + 1;
        }
        Ok(window)
    }

    /// Height and width of the image with its padding.
    pub(super) fn padded(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.image[axis + 1] + self.before[axis] + self.after[axis])
    }

    /// Whether there is no padding.
    pub(super) fn is_unpadded(&self) -> bool {
        self.before == [0; 2] && self.after == [0; 2]
    }

    /// Writes an image `[H, W, C]` with its padding around it to the front of `padded`.
    pub(super) fn pad(&self, image: &[f32], padded: &mut [f32]) {
        let [channels, height, width] = self.image;
        let ([padded_height, padded_width], [top, left]) = (self.padded(), self.before);
        let (row, padded_row) = (width * channels, padded_width * channels);
        let padded = &mut padded[..padded_height * padded_row];
        padded[..top * padded_row].fill(0.0);
        padded[(top + height) * padded_row..].fill(0.0);
        for (from, to) in image.chunks_exact(row).zip(padded[top * padded_row..].chunks_exact_mut(padded_row)) {
            to[..left * channels].fill(0.0);
            to[left * channels..][..row].copy_from_slice(from);
            to[left * channels + row..].fill(0.0);
        }
    }

    /// Takes the image `[H, W, C]` out of its padding.
    pub(super) fn cut_out(&self, padded: &[f32], image: &mut [f32]) {
        let [channels, _, width] = self.image;
        let (row, padded_row, [top, left]) = (width * channels, self.padded()[1] * channels, self.before);
        for (to, from) in image.chunks_exact_mut(row).zip(padded[top * padded_row..].chunks_exact(padded_row)) {
            to.copy_from_slice(&from[left * channels..][..row]);
        }
    }

    /// The part of window `output` along `axis` that lies within the image: first and last + 1 row or column.
    pub(super) fn within(&self, axis: usize, output: usize) -> std::ops::Range<usize> {
        let first = output * self.stride[axis];
        let side = self.image[axis + 1];
        let end = (first + self.kernel[axis]).saturating_sub(self.before[axis]).min(side);
        first.saturating_sub(self.before[axis]).min(end)..end
    }

    /// Rejects a padding that would let a pool's window lie in the padding alone.
    pub(super) fn check_pool(self) -> Result<Self, LayerError> {
        let too_wide = |axis: usize| self.before[axis].max(self.after[axis]) * 2 > self.kernel[axis];
        if too_wide(0) || too_wide(1) {
            let detail = "a pool's padding may be half its kernel at most: a window of padding alone has no value";
            return Err(LayerError::at("padding", detail));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(image: [usize; 3], kernel: usize, stride: usize, padding: Padding) -> Result<Window, LayerError> {
        Window::new(&Form::image(image), Pair::Square(kernel), Pair::Square(stride), padding)
    }

    #[test]
    fn sizes_follow_the_book() {
        // §7.2.4: (4, 4) with padding 1 and stride 1 by a 3×3 kernel gives (4, 4); (7, 7) stride 2 gives (3, 3).
        let none = Padding::Sizes(Pair::Square(0));
        assert_eq!(window([1, 4, 4], 3, 1, Padding::Sizes(Pair::Square(1))).expect("fits").output, [4, 4]);
        assert_eq!(window([1, 7, 7], 3, 2, none).expect("fits").output, [3, 3]);
        let same = Padding::Named(Named::Same);
        for (kernel, stride, output) in [(5, 1, 28), (4, 1, 28), (3, 2, 14), (7, 3, 10)] {
            assert_eq!(window([1, 28, 28], kernel, stride, same).expect("fits").output, [output; 2]);
        }
        let even = window([1, 28, 28], 4, 1, same).expect("fits");
        assert_eq!((even.before, even.after), ([1, 1], [2, 2]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = window([1, 4, 4], 7, 1, Padding::Sizes(Pair::Square(1))).expect_err("7 > 6");
        assert_eq!(error.field, Some("kernel"));
        assert!(window([1, 4, 4], 2, 2, Padding::Sizes(Pair::Square(2))).expect("fits").check_pool().is_err());
    }
}
