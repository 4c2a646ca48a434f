//! Elastic displacements: a smooth random field over the image.
//!
//! Where Simard et al. blur a random displacement of every pixel with a Gaussian, the field here is a uniform cubic
//! B-spline over a coarse grid of random displacements: the spline's bump is close to a Gaussian, of the standard
//! deviation `spacing / √3`, costs a few numbers instead of a blur, and no displacement goes beyond those of the grid.

use super::{AugmentSpec, ImageShape};
use crate::rng::Rng;

/// Most grid nodes along an axis.
const MAX_NODES: usize = 40;

/// A displacement, down and right, in pixels.
type Displacement = [f32; 2];

/// The random displacements of a grid's nodes; node `i` lies at pixel `(i − 1) · spacing`.
#[derive(Debug)]
pub(super) struct Displacements {
    nodes: [[Displacement; MAX_NODES]; MAX_NODES],
    /// Nodes of a row that matter.
    columns: usize,
    spacing: f32,
}

/// Pixels between two nodes.
fn spacing(spec: &AugmentSpec) -> f32 {
    (spec.elastic_sigma * 3f64.sqrt()) as f32
}

/// Nodes that matter to `size` pixels.
fn nodes(size: usize, spacing: f32) -> usize {
    ((size - 1) as f32 / spacing) as usize + 4
}

impl Displacements {
    /// Whether the grid is large enough for images of this shape.
    pub(super) fn fit(spec: &AugmentSpec, shape: ImageShape) -> bool {
        nodes(shape.height.max(shape.width), spacing(spec)) <= MAX_NODES
    }

    /// The smallest standard deviation for images of this shape, in pixels.
    pub(super) fn smallest_sigma(shape: ImageShape) -> f64 {
        (shape.height.max(shape.width) - 1) as f64 / (MAX_NODES - 3) as f64 / 3f64.sqrt()
    }

    /// Draws the displacement of each node, uniform within `± elastic` pixels along each axis.
    pub(super) fn draw(spec: &AugmentSpec, shape: ImageShape, rng: &mut Rng) -> Self {
        assert!(Self::fit(spec, shape), "more bumps than the grid has nodes");
        let spacing = spacing(spec);
        let columns = nodes(shape.width, spacing);
        let mut grid = Self { nodes: [[[0.0; 2]; MAX_NODES]; MAX_NODES], columns, spacing };
        for row in &mut grid.nodes[..nodes(shape.height, spacing)] {
            for node in &mut row[..columns] {
                *node = std::array::from_fn(|_| rng.uniform_in(-spec.elastic, spec.elastic) as f32);
            }
        }
        grid
    }

    /// The field along one row of pixels.
    pub(super) fn row(&self, y: usize) -> Row {
        let (first, weights) = spline(y, self.spacing);
        let mut row = Row { nodes: [[0.0; 2]; MAX_NODES], spacing: self.spacing };
        for (nodes, weight) in self.nodes[first..].iter().zip(weights) {
            for (sum, node) in row.nodes.iter_mut().zip(&nodes[..self.columns]) {
                *sum = [sum[0] + weight * node[0], sum[1] + weight * node[1]];
            }
        }
        row
    }
}

/// The field along one row of pixels, given at the grid's columns.
#[derive(Debug)]
pub(super) struct Row {
    nodes: [Displacement; MAX_NODES],
    spacing: f32,
}

impl Row {
    /// The displacement at one pixel.
    pub(super) fn at(&self, x: usize) -> Displacement {
        let (first, weights) = spline(x, self.spacing);
        let mut sum = [0.0; 2];
        for (node, weight) in self.nodes[first..].iter().zip(weights) {
            sum = [sum[0] + weight * node[0], sum[1] + weight * node[1]];
        }
        sum
    }
}

/// The first of the four nodes that a pixel depends on, and their weights, which add up to 1: the uniform cubic B-spline
/// (C. de Boor, *A practical guide to splines*, 1978).
fn spline(pixel: usize, spacing: f32) -> (usize, [f32; 4]) {
    let place = pixel as f32 / spacing;
    let first = place as usize;
    let t = place - first as f32;
    let (t2, t3) = (t * t, t * t * t);
    let rest = 1.0 - t;
    let inner = (3.0 * t3 - 6.0 * t2 + 4.0) / 6.0;
    (first, [rest * rest * rest / 6.0, inner, (-3.0 * t3 + 3.0 * t2 + 3.0 * t + 1.0) / 6.0, t3 / 6.0])
}

#[cfg(test)]
mod tests {
    use super::super::ChannelOrder;
    use super::*;
    use crate::rng::Purpose;

    const SPEC: AugmentSpec = AugmentSpec { shift: 0, rotate: 0.0, scale: 0.0, elastic: 3.0, elastic_sigma: 4.0 };
    const SHAPE: ImageShape = ImageShape { channels: 1, height: 28, width: 40, order: ChannelOrder::First };

    #[test]
    fn weights_add_up_to_one_and_spread_by_sigma() {
        let spacing = spacing(&SPEC);
        for pixel in 0..40 {
            let (first, weights) = spline(pixel, spacing);
            assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6 && weights.iter().all(|w| *w >= 0.0));
            let distance = |i: usize| (first + i) as f32 * spacing - spacing - pixel as f32;
            let mean: f32 = weights.iter().enumerate().map(|(i, w)| w * distance(i)).sum();
            let variance: f32 = weights.iter().enumerate().map(|(i, w)| w * distance(i).powi(2)).sum();
            assert!(mean.abs() < 1e-4 && (variance.sqrt() - 4.0).abs() < 1e-4, "{mean} {variance}");
        }
    }

    #[test]
    fn displacements_stay_within_elastic_and_are_smooth() {
        let mut largest = 0f32;
        for sample in 0..50 {
            let field = Displacements::draw(&SPEC, SHAPE, &mut Rng::new(1, Purpose::Augment, 0, sample));
            for y in 0..SHAPE.height {
                let row = field.row(y);
                for x in 1..SHAPE.width {
                    let (here, left) = (row.at(x), row.at(x - 1));
                    for axis in 0..2 {
                        assert!(here[axis].abs() <= 3.0);
                        // A spline's slope is at most the nodes' largest difference over their spacing.
                        assert!((here[axis] - left[axis]).abs() <= 6.0 / field.spacing + 1e-4);
                        largest = largest.max(here[axis].abs());
                    }
                }
            }
        }
        assert!(largest > 1.0, "nothing moves: {largest}");
    }

    #[test]
    fn the_smallest_sigma_is_enough() {
        for size in [1, 28, 64, 65, 224, 1000] {
            let shape = ImageShape { height: size, ..SHAPE };
            let sigma = Displacements::smallest_sigma(shape);
            assert!(Displacements::fit(&AugmentSpec { elastic_sigma: sigma + 0.05, ..SPEC }, shape), "{size}");
            assert!(!Displacements::fit(&AugmentSpec { elastic_sigma: sigma * 0.9, ..SPEC }, shape) || sigma < 1.0);
        }
    }
}
