//! Global average pooling (M. Lin et al., *Network in network*, 2013): the mean of each channel, `[N, C, H, W]` to
//! `[N, C]`.

use serde::{Deserialize, Serialize};

use super::averages::Averages;
use super::window::{Padding, Pair, Window};
use super::{Layer, LayerError, LayerKind};
use crate::describe::Entry;
use crate::form::Form;
use crate::shape::Shape;

/// Spec of a global average pooling; it has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalAvgPool {}

impl LayerKind for GlobalAvgPool {
    const ENTRY: Entry = Entry {
        name: "global_avg_pool",
        aliases: &["global_average_pool"],
        doc: "The mean of each channel: one value a channel remains.",
        fields: &[],
    };

    const INTERLEAVED: bool = true;

    fn build(&self, input: &Form) -> Result<Box<dyn Layer>, LayerError> {
        let [_, height, width] = input.as_image().unwrap_or([0; 3]);
        let whole = Pair::Rectangle([height, width]);
        let window = Window::new(input, whole, Pair::Square(1), Padding::Sizes(Pair::Square(0)))?;
        let channels = Form::planar(Shape::new(&[window.image[0]]));
        Ok(Box::new(Averages::new(window).with_output(channels)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::LayerSpec;
    use super::*;
    use crate::gradient_check::{assert_forward_agrees, assert_gradients_agree};

    #[test]
    fn agrees_with_finite_differences() {
        for image in [[3, 4, 5], [1, 1, 1], [17, 2, 2]] {
            assert_forward_agrees(&[LayerSpec::GlobalAvgPool(GlobalAvgPool {})], &Shape::new(&image), 3, 1);
            assert_gradients_agree(&[LayerSpec::GlobalAvgPool(GlobalAvgPool {})], &Shape::new(&image), 3, 1);
        }
    }

    #[test]
    fn only_images_have_channels() {
        let error = GlobalAvgPool {}.build(&Form::planar(Shape::new(&[7]))).expect_err("no image");
        assert!(error.detail.contains("an image"), "{error}");
    }
}
