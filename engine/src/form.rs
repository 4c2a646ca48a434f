//! How the values of a sample lie in memory.
//!
//! A shape says what a sample means: `[C, H, W]` for images. Between the layers that work on images the channels of a
//! pixel lie together (`[H, W, C]`, "NHWC"), because then a row of a convolution's window is one contiguous run, and
//! the channels are the lanes of every loop. Nobody outside the engine sees it: parameters whose order depends on it
//! are [stored](super::layer::Storage) so, and read and written as the field writes them.

use super::shape::Shape;

/// A shape, and the order in which its values lie in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    shape: Shape,
    /// The image's channels, height and width where they lie as `[H, W, C]`.
    interleaved: Option<[usize; 3]>,
}

impl Form {
    /// Values in the order of the shape's axes.
    pub fn planar(shape: Shape) -> Self {
        Self { shape, interleaved: None }
    }

    /// An image `[C, H, W]` whose values lie as `[H, W, C]`.
    pub fn image([channels, height, width]: [usize; 3]) -> Self {
        // With one channel, or one pixel, both orders are the same.
        let differs = channels > 1 && height * width > 1;
        Self {
            shape: Shape::new(&[channels, height, width]),
            interleaved: differs.then_some([channels, height, width]),
        }
    }

    /// The same values under another shape, in the same order.
    pub fn reshaped(&self, shape: Shape) -> Self {
        Self { shape, interleaved: self.interleaved }
    }

    /// What the values mean.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The image `[C, H, W]` that lies as `[H, W, C]`, if one does.
    pub fn interleaved(&self) -> Option<[usize; 3]> {
        self.interleaved
    }

    /// Channels, height and width, if the shape is that of an image.
    pub fn as_image(&self) -> Option<[usize; 3]> {
        <[usize; 3]>::try_from(self.shape.axes()).ok()
    }

    /// Whether it is an image that a layer on images would have to reorder first.
    pub fn is_planar_image(&self) -> bool {
        self.interleaved.is_none() && self.as_image().is_some_and(|image| Self::image(image).interleaved.is_some())
    }
}
