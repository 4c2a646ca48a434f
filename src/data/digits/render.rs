//! From ink to 28×28 grey pixels, normalised as MNIST was.
//!
//! "The original black and white (bilevel) images from NIST were size normalized to fit in a 20x20 pixel box while
//! preserving their aspect ratio. \[…\] the images were centered in a 28x28 image by computing the center of mass of the
//! pixels, and translating the image so as to position this point at the center of the 28x28 field."
//! (Y. LeCun, C. Cortes, C. Burges, *The MNIST database of handwritten digits*)

use super::pen::Ink;

/// Side of an image.
pub(super) const SIDE: usize = 28;
/// Side of the box the ink is scaled to.
const BOX: usize = 20;
/// Least radius of the pen in pixels: NIST's scans hold no thinner line.
const RADIUS_MIN: f64 = 0.75;

/// Grey values 0–1 of the ink in its box, row by row.
type Coverage = [f32; BOX * BOX];

/// Draws `ink` into `pixels` (28×28, all zero). `blur` is the width of a line's edge in pixels.
pub(super) fn render(ink: &mut Ink, blur: f64, pixels: &mut [u8]) {
    fit(ink);
    let coverage = cover(ink, blur as f32);
    let [left, top] = offset(&coverage);
    for (row, line) in coverage.chunks_exact(BOX).enumerate() {
        let start = (top + row) * SIDE + left;
        for (pixel, &grey) in pixels[start..start + BOX].iter_mut().zip(line) {
            *pixel = (grey * 255.0 + 0.5) as u8;
        }
    }
}

/// Scales the ink, with its breadth, to fill the box in its longer direction, and puts it in the middle of the other.
fn fit(ink: &mut Ink) {
    let mut low = [f64::INFINITY; 2];
    let mut high = [f64::NEG_INFINITY; 2];
    for nib in &ink.nibs {
        for axis in 0..2 {
            low[axis] = low[axis].min(nib.at[axis] - nib.radius);
            high[axis] = high[axis].max(nib.at[axis] + nib.radius);
        }
    }
    let side = BOX as f64;
    let scale = side / (high[0] - low[0]).max(high[1] - low[1]);
    let margin = [0, 1].map(|axis| (side - (high[axis] - low[axis]) * scale) / 2.0);
    for nib in &mut ink.nibs {
        for axis in 0..2 {
            nib.at[axis] = (nib.at[axis] - low[axis]) * scale + margin[axis];
        }
        nib.radius = (nib.radius * scale).max(RADIUS_MIN);
    }
}

/// How much of each pixel is inked: a ramp of width `blur` over the line's edge, from the distance to the nearest
/// straight piece relative to the pen's radius there.
fn cover(ink: &Ink, blur: f32) -> Coverage {
    // Squared distance over squared radius: below 1 is inside the line.
    let mut nearest = [f32::INFINITY; BOX * BOX];
    let mut start = 0;
    for &end in &ink.ends {
        for piece in ink.nibs[start..end].windows(2) {
            let radius = ((piece[0].radius + piece[1].radius) / 2.0) as f32;
            let [from, to] = [0, 1].map(|i| piece[i].at.map(|value| value as f32 - 0.5));
            let along = [to[0] - from[0], to[1] - from[1]];
            let per_length = 1.0 / (along[0] * along[0] + along[1] * along[1]).max(1e-12);
            let per_radius = 1.0 / (radius * radius);
            // Farther away than this the ramp has ended, whatever the mean radius is.
            let reach = 1.5 * radius + blur;
            let window = |axis: usize| {
                let low = (from[axis].min(to[axis]) - reach).max(0.0) as usize;
                let high = (from[axis].max(to[axis]) + reach).max(0.0) as usize;
                low..(high + 1).min(BOX)
            };
            for row in window(1) {
                let y = row as f32 - from[1];
                for column in window(0) {
                    let x = column as f32 - from[0];
                    let t = ((x * along[0] + y * along[1]) * per_length).clamp(0.0, 1.0);
                    let (dx, dy) = (x - t * along[0], y - t * along[1]);
                    let distance = (dx * dx + dy * dy) * per_radius;
                    let pixel = &mut nearest[row * BOX + column];
                    *pixel = pixel.min(distance);
                }
            }
        }
        start = end;
    }
    let mean = ink.nibs.iter().map(|nib| nib.radius).sum::<f64>() / ink.nibs.len() as f64;
    let steepness = mean as f32 / blur;
    nearest.map(|distance| (0.5 + (1.0 - distance.sqrt()) * steepness).clamp(0.0, 1.0))
}

/// Where in the 28×28 field the box lies, `[left, top]`, so that the centre of mass is the centre of pixel 14 of 0–27, to
/// a pixel: there MNIST has it on average, half a pixel right of and below the middle of the field.
fn offset(coverage: &Coverage) -> [usize; 2] {
    let (mut mass, mut moment) = (0.0f32, [0.0f32; 2]);
    for (row, line) in coverage.chunks_exact(BOX).enumerate() {
        for (column, &grey) in line.iter().enumerate() {
            mass += grey;
            moment[0] += grey * column as f32;
            moment[1] += grey * row as f32;
        }
    }
    moment.map(|moment| ((SIDE / 2) as f32 - moment / mass + 0.5).clamp(0.0, (SIDE - BOX) as f32) as usize)
}
