//! A picture of any size, made as MNIST's images were.
//!
//! "The original black and white (bilevel) images from NIST were size normalized to fit in a 20x20 pixel box while
//! preserving their aspect ratio. \[…\] the images were centered in a 28x28 image by computing the center of mass of the
//! pixels, and translating the image so as to position this point at the center of the 28x28 field."
//! (Y. LeCun, C. Cortes, C. Burges, *The MNIST database of handwritten digits*)

use image::imageops::{self, FilterType};
use image::{GrayImage, ImageBuffer};
use serde::Serialize;

use super::picture::Grey;

/// Contrast below which there is nothing but paper.
const BLANK: u8 = 8;
/// Of stretched ink, 0–255: what is fainter is the paper's grain or a JPEG's noise.
const NOISE: u8 = 32;

/// What was done to pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Preprocessing {
    /// Nothing, but for grey and light on dark.
    None,
    /// Cropped, scaled and centred as MNIST's images were.
    Mnist,
}

/// Light ink on dark paper of `[height, width]` pixels; a picture of that size already keeps its place and contrast.
/// A picture without ink is dark all over.
pub(super) fn prepare(mut picture: Grey, [height, width]: [usize; 2]) -> (Vec<u8>, Preprocessing) {
    let paper = light_on_dark(&mut picture);
    if [picture.height, picture.width] == [height, width] {
        return (picture.pixels, Preprocessing::None);
    }
    let mut made = vec![0; height * width];
    stretch(&mut picture.pixels, paper);
    if let Some(ink) = crop(&picture) {
        // 20 of 28, whatever the model's size.
        let [tall, wide] = [height, width].map(|side| (side * 5 / 7).max(1));
        place(&fit(&ink, tall, wide), &mut made, [height, width]);
    }
    (made, Preprocessing::Mnist)
}

/// Inverts dark ink on light paper, and returns the paper's brightness: paper is what the border mostly shows.
fn light_on_dark(picture: &mut Grey) -> u8 {
    let Grey { width, height, pixels } = picture;
    let (Some(&low), Some(&high)) = (pixels.iter().min(), pixels.iter().max()) else { return 0 };
    let mut border: Vec<u8> =
        [0, *height - 1].iter().flat_map(|y| &pixels[y * *width..(y + 1) * *width]).copied().collect();
    border.extend((0..*height).flat_map(|y| [pixels[y * *width], pixels[(y + 1) * *width - 1]]));
    let middle = border.len() / 2;
    let paper = *border.select_nth_unstable(middle).1;
    let dark_on_light = if low == high { paper > 127 } else { 2 * u16::from(paper) > u16::from(low) + u16::from(high) };
    if !dark_on_light {
        return paper;
    }
    pixels.iter_mut().for_each(|pixel| *pixel = 255 - *pixel);
    255 - paper
}

/// Stretches the contrast so that paper is 0 and the brightest ink 255.
fn stretch(pixels: &mut [u8], paper: u8) {
    let peak = pixels.iter().copied().max().unwrap_or(paper);
    let contrast = peak.saturating_sub(paper);
    for pixel in pixels {
        let ink = u32::from(pixel.saturating_sub(paper)) * 255;
        let stretched = if contrast < BLANK { 0 } else { (ink / u32::from(contrast)) as u8 };
        *pixel = if stretched < NOISE { 0 } else { stretched };
    }
}

/// The smallest rectangle with all the ink; `None` where there is none.
fn crop(picture: &Grey) -> Option<GrayImage> {
    let Grey { width, height, pixels } = picture;
    let (mut left, mut right, mut top, mut bottom) = (*width, 0, *height, 0);
    for (y, row) in pixels.chunks_exact(*width).enumerate() {
        if let (Some(first), Some(last)) = (row.iter().position(|p| *p > 0), row.iter().rposition(|p| *p > 0)) {
            (left, right) = (left.min(first), right.max(last + 1));
            (top, bottom) = (top.min(y), y + 1);
        }
    }
    let rows = pixels.chunks_exact(*width).skip(top).take(bottom.checked_sub(top)?);
    let ink = rows.flat_map(|row| &row[left..right]).copied().collect();
    ImageBuffer::from_raw((right - left) as u32, (bottom - top) as u32, ink)
}

/// Scales to fit a box, keeping the aspect ratio; thin lines that pale by it are brought back to full ink.
fn fit(ink: &GrayImage, tall: usize, wide: usize) -> GrayImage {
    let (width, height) = (ink.width() as usize, ink.height() as usize);
    // Rounded, at least a pixel, at most the box: whichever side is the tighter one fills it.
    let scaled = |side: usize, to: usize, from: usize| ((2 * side * to + from) / (2 * from)).max(1);
    let (to_width, to_height) = if width * tall > height * wide {
        (wide, scaled(height, wide, width).min(tall))
    } else {
        (scaled(width, tall, height).min(wide), tall)
    };
    let mut fitted = imageops::resize(ink, to_width as u32, to_height as u32, FilterType::Triangle);
    let peak = fitted.iter().copied().max().unwrap_or(0).max(1);
    fitted.iter_mut().for_each(|pixel| *pixel = (u32::from(*pixel) * 255 / u32::from(peak)) as u8);
    fitted
}

/// Puts the ink where its centre of mass is the middle, as far as it stays inside.
fn place(ink: &GrayImage, made: &mut [u8], [height, width]: [usize; 2]) {
    let (mut mass, mut x_mass, mut y_mass) = (0.0, 0.0, 0.0);
    for (x, y, pixel) in ink.enumerate_pixels() {
        let ink = f64::from(pixel.0[0]);
        mass += ink;
        x_mass += ink * f64::from(x);
        y_mass += ink * f64::from(y);
    }
    // Pixel 14 of 28 is MNIST's middle, not the edge between 13 and 14.
    let offset = |side: usize, inner: u32, moment: f64| {
        let room = side - inner as usize;
        ((side / 2) as f64 - moment / mass).round().clamp(0.0, room as f64) as usize
    };
    let (left, top) = (offset(width, ink.width(), x_mass), offset(height, ink.height(), y_mass));
    for (row, line) in ink.rows().enumerate() {
        let start = (top + row) * width + left;
        for (pixel, ink) in made[start..].iter_mut().zip(line) {
            *pixel = ink.0[0];
        }
    }
}
