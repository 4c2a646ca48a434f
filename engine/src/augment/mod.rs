//! Augmentation: images shifted, turned, scaled and bent a little at random, so that a network sees each a bit otherwise
//! in every epoch (P. Y. Simard et al., *Best practices for convolutional neural networks applied to visual document
//! analysis*, 2003).
//!
//! Each pixel of the new image looks back to where it comes from (the inverse of the affine map about the centre, then
//! the elastic displacement) and is interpolated linearly between the four pixels there; outside there are zeros. What is
//! drawn is a pure function of the seed, the epoch and the sample, and nothing is allocated.

use serde::{Deserialize, Serialize};

use super::describe::{Bound, Field, Kind};
use super::rng::{Purpose, Rng};
use super::shape::Shape;
use elastic::Displacements;

mod elastic;

/// How much images are changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentSpec {
    /// Largest shift along each axis, in whole pixels.
    pub shift: u32,
    /// Largest turn either way, in degrees.
    pub rotate: f64,
    /// Largest change of size, as a fraction: the factor lies within `1 ± scale`.
    pub scale: f64,
    /// Largest elastic displacement along each axis, in pixels.
    pub elastic: f64,
    /// How far an elastic displacement reaches: standard deviation of its bumps, in pixels.
    pub elastic_sigma: f64,
}

/// A number from 0 up to and including `max`, 0 if none is given.
const fn amount(name: &'static str, max: f64, doc: &'static str) -> Field {
    Field::optional(name, Kind::Number { min: Bound::Included(0.0), max: Bound::Included(max) }, "0.0", doc)
}

/// The fields of [`AugmentSpec`].
pub const FIELDS: &[Field] = &[
    Field::optional("shift", Kind::Count { min: 0, max: 256 }, "0", "largest shift along each axis, in whole pixels"),
    amount("rotate", 180.0, "largest turn either way, in degrees"),
    amount("scale", 0.9, "largest change of size: the factor lies within 1 ± scale"),
    amount("elastic", 100.0, "largest elastic displacement along each axis, in pixels"),
    Field::optional(
        "elastic_sigma",
        Kind::Number { min: Bound::Included(1.0), max: Bound::Included(1000.0) },
        "4.0",
        "how far an elastic displacement reaches: standard deviation of its bumps, in pixels",
    ),
];

/// The sizes of an image and how its values lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageShape {
    /// Values of a pixel.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Which axis is the innermost.
    pub order: ChannelOrder,
}

/// Where the channel axis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    /// `[C, H, W]`: one plane a channel.
    First,
    /// `[H, W, C]`: the channels of a pixel side by side.
    Last,
}

impl ImageShape {
    /// Samples of shape `[H, W]` or `[C, H, W]` as images; `None` for other numbers of axes and for empty ones.
    pub fn of(shape: &Shape) -> Option<Self> {
        let (channels, height, width) = match *shape.axes() {
            [height, width] => (1, height, width),
            [channels, height, width] => (channels, height, width),
            _ => return None,
        };
        (!shape.is_empty()).then_some(Self { channels, height, width, order: ChannelOrder::First })
    }

    /// Number of values.
    fn len(self) -> usize {
        self.channels * self.height * self.width
    }

    /// Distance in memory between two rows, two columns and two channels.
    fn strides(self) -> (usize, usize, usize) {
        match self.order {
            ChannelOrder::First => (self.width, 1, self.height * self.width),
            ChannelOrder::Last => (self.width * self.channels, self.channels, 1),
        }
    }

    fn index(self, channel: usize, y: usize, x: usize) -> usize {
        let (row, column, plane) = self.strides();
        y * row + x * column + channel * plane
    }

    /// The value at a pixel, zero outside.
    fn value(self, image: &[f32], channel: usize, y: i32, x: i32) -> f32 {
        match (usize::try_from(y), usize::try_from(x)) {
            (Ok(y), Ok(x)) if y < self.height && x < self.width => image[self.index(channel, y, x)],
            _ => 0.0,
        }
    }

    /// The values of all channels between pixels, linearly interpolated, written to pixel `(y, x)` of `out`.
    fn sample(self, image: &[f32], from: (f32, f32), out: &mut [f32], (y, x): (usize, usize)) {
        let ((top, down), (left, right)) = (split(from.0), split(from.1));
        for channel in 0..self.channels {
            let corners = [(0, 0), (0, 1), (1, 0), (1, 1)];
            let [a, b, c, d] = corners.map(|(i, j)| self.value(image, channel, top + i, left + j));
            out[self.index(channel, y, x)] = lerp(lerp(a, b, right), lerp(c, d, right), down);
        }
    }
}

/// A coordinate as the pixel below it and the rest; unlike `floor`, no call into a library on every processor.
fn split(coordinate: f32) -> (i32, f32) {
    let whole = coordinate as i32;
    let whole = whole - i32::from(whole as f32 > coordinate);
    (whole, coordinate - whole as f32)
}

/// Between `a` and `b`; rounding does not lead beyond them.
fn lerp(a: f32, b: f32, share: f32) -> f32 {
    (a + (b - a) * share).max(a.min(b)).min(a.max(b))
}

/// What decides the random draws for one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The job's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
    /// The sample's index in the dataset.
    pub sample: u64,
}

/// Why images cannot be augmented like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct AugmentError {
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong.
    pub detail: String,
}

impl AugmentSpec {
    /// Whether every image stays as it is.
    pub fn is_identity(&self) -> bool {
        self.shift == 0 && self.rotate == 0.0 && self.scale == 0.0 && self.elastic == 0.0
    }

    /// Whether images of this shape can be augmented so.
    ///
    /// # Errors
    /// If the elastic bumps are too many for so large an image.
    pub fn check(&self, shape: ImageShape) -> Result<(), AugmentError> {
        if self.elastic == 0.0 || Displacements::fit(self, shape) {
            return Ok(());
        }
        let detail = format!(
            "{} pixels are too few for images of {} × {}; take at least {:.1}",
            self.elastic_sigma,
            shape.height,
            shape.width,
            // Rounded up, so that what is proposed is accepted.
            (Displacements::smallest_sigma(shape) * 10.0).floor() / 10.0 + 0.1,
        );
        Err(AugmentError { field: "elastic_sigma", detail })
    }

    /// Writes `image`, changed at random, to `out`.
    ///
    /// # Panics
    /// If a length is not that of the shape, or [`check`](Self::check) refuses the shape.
    pub fn apply(&self, shape: ImageShape, image: &[f32], out: &mut [f32], draw: Draw) {
        assert_eq!((image.len(), out.len()), (shape.len(), shape.len()), "images of another shape");
        if self.is_identity() {
            out.copy_from_slice(image);
            return;
        }
        let mut rng = Rng::new(draw.seed, Purpose::Augment, draw.epoch, draw.sample);
        // Always the same draws in the same order: what one field does, another does not change.
        let map = self.draw_map(shape, &mut rng);
        let bend = (self.elastic > 0.0).then(|| Displacements::draw(self, shape, &mut rng));
        for y in 0..shape.height {
            let bends = bend.as_ref().map(|bend| bend.row(y));
            for x in 0..shape.width {
                let (mut from_y, mut from_x) = map.source(y, x);
                if let Some(bends) = &bends {
                    let [dy, dx] = bends.at(x);
                    (from_y, from_x) = (from_y + dy, from_x + dx);
                }
                shape.sample(image, (from_y, from_x), out, (y, x));
            }
        }
    }

    fn draw_map(&self, shape: ImageShape, rng: &mut Rng) -> InverseMap {
        let mut shift = || f64::from(rng.below(2 * self.shift + 1)) - f64::from(self.shift);
        let shift = (shift() as f32, shift() as f32);
        let angle = (self.rotate * rng.uniform_in(-1.0, 1.0)).to_radians();
        let factor = rng.uniform_in(1.0 - self.scale, 1.0 + self.scale);
        InverseMap::new(shape, shift, angle, factor)
    }
}

/// The affine map from pixels of the new image back to the old: about the centre, turned and scaled, then shifted.
#[derive(Debug)]
struct InverseMap {
    centre: (f32, f32),
    shift: (f32, f32),
    /// Cosine and sine of the turn, over the factor of size.
    cos: f32,
    sin: f32,
}

impl InverseMap {
    fn new(shape: ImageShape, shift: (f32, f32), angle: f64, factor: f64) -> Self {
        let middle = |size: usize| (size as f32 - 1.0) / 2.0;
        Self {
            centre: (middle(shape.height), middle(shape.width)),
            shift,
            cos: (libm::cos(angle) / factor) as f32,
            sin: (libm::sin(angle) / factor) as f32,
        }
    }

    /// Row and column that a pixel comes from.
    fn source(&self, y: usize, x: usize) -> (f32, f32) {
        let dy = y as f32 - self.centre.0 - self.shift.0;
        let dx = x as f32 - self.centre.1 - self.shift.1;
        (self.cos * dy + self.sin * dx + self.centre.0, self.cos * dx - self.sin * dy + self.centre.1)
    }
}

#[cfg(test)]
mod tests;
