//! Pictures, and what is made of them.

use image::imageops::{self, FilterType};
use image::{GrayImage, Luma, Rgba, RgbaImage};

use super::*;
use crate::data::digits;

fn read(picture: &[u8]) -> Decoded {
    decode(picture, None, None, &mnist()).unwrap()
}

/// A "1" with a flag, drawn with a square pen somewhere on a page of `side`² pixels.
fn one(side: u32, ink: u8, paper: u8) -> GrayImage {
    let unit = side as i64 / 28;
    GrayImage::from_fn(side, side, |x, y| {
        let (x, y) = (i64::from(x), i64::from(y));
        let stem = (15 * unit..17 * unit).contains(&x) && (3 * unit..18 * unit).contains(&y);
        let flag = (3 * unit..8 * unit).contains(&y) && (x + y - 18 * unit).abs() < unit && x < 17 * unit;
        Luma([if stem || flag { ink } else { paper }])
    })
}

fn bounds(image: &[f32]) -> [usize; 4] {
    let inked = |i: &usize| image[*i] > 0.0;
    let rows: Vec<_> = (0..784).filter(inked).map(|i| i / 28).collect();
    let columns: Vec<_> = (0..784).filter(inked).map(|i| i % 28).collect();
    [rows.iter().min(), rows.iter().max(), columns.iter().min(), columns.iter().max()].map(|end| *end.unwrap())
}

fn centre(image: &[f32]) -> [f32; 2] {
    let mass: f32 = image.iter().sum();
    let moment = |of: fn(usize) -> usize| image.iter().enumerate().map(|(i, x)| x * of(i) as f32).sum::<f32>();
    [moment(|i| i / 28), moment(|i| i % 28)].map(|moment| moment / mass)
}

#[test]
fn the_page_does_not_matter() {
    let black_on_white = read(&png(one(280, 0, 255)));
    assert_eq!(black_on_white.preprocessing, Preprocessing::Mnist);
    assert_eq!((black_on_white.format, black_on_white.count), (Format::Png, 1));
    let image = black_on_white.inputs;
    assert_eq!(read(&png(one(280, 255, 0))).inputs, image, "white on black");
    assert_eq!(read(&png(one(280, 40, 190))).inputs, image, "grey on grey");
    let mut moved = GrayImage::from_pixel(500, 300, Luma([255]));
    imageops::replace(&mut moved, &one(280, 0, 255), 190, 11);
    assert_eq!(read(&png(moved)).inputs, image, "somewhere else");
    let drawn = one(280, 255, 0);
    let transparent = RgbaImage::from_fn(280, 280, |x, y| Rgba([0, 0, 0, drawn.get_pixel(x, y).0[0]]));
    assert_eq!(read(&png(transparent)).inputs, image, "on nothing");
}

#[test]
fn ink_fills_20_pixels_about_the_middle() {
    for side in [280, 560, 56] {
        let image = read(&png(one(side, 0, 255))).inputs;
        let [top, bottom, ..] = bounds(&image);
        assert_eq!(bottom - top + 1, 20);
        assert!(centre(&image).iter().all(|middle| (middle - 14.0).abs() <= 0.5), "{:?}", centre(&image));
        assert_eq!(image.iter().copied().fold(0.0, f32::max), 1.0);
    }
}

#[test]
fn a_flat_stroke_keeps_its_shape() {
    let mut dash = GrayImage::from_pixel(300, 100, Luma([255]));
    (0..200 * 20).for_each(|i| dash.put_pixel(50 + i % 200, 40 + i / 200, Luma([0])));
    let [top, bottom, left, right] = bounds(&read(&png(dash)).inputs);
    assert_eq!((bottom - top + 1, right - left + 1), (2, 20));
}

#[test]
fn a_hairline_is_not_lost() {
    let mut line = GrayImage::from_pixel(1000, 1000, Luma([255]));
    (100..900).for_each(|y| line.put_pixel(500, y, Luma([0])));
    let image = read(&png(line)).inputs;
    assert_eq!(image.iter().filter(|x| **x == 1.0).count(), 20);
}

#[test]
fn a_jpegs_noise_is_not_ink() {
    let decoded = read(&encode(one(280, 0, 255), ImageFormat::Jpeg));
    assert_eq!((decoded.format, decoded.preprocessing), (Format::Jpeg, Preprocessing::Mnist));
    let sharp = read(&png(one(280, 0, 255))).inputs;
    let difference =
        decoded.inputs.iter().zip(&sharp).map(|(a, b)| (a - b).abs()).sum::<f32>() / sharp.iter().sum::<f32>();
    assert!(difference < 0.1, "{difference}");
}

#[test]
fn a_picture_of_the_models_size_is_taken_as_it_is() {
    let mut image = GrayImage::new(28, 28);
    image.put_pixel(2, 1, Luma([51]));
    image.put_pixel(3, 1, Luma([102]));
    let decoded = read(&png(image.clone()));
    assert_eq!(decoded.preprocessing, Preprocessing::None);
    assert_eq!((decoded.inputs[30], decoded.inputs[31]), (pixel(51), pixel(102)));
    imageops::invert(&mut image);
    assert_eq!(read(&png(image)).inputs, decoded.inputs, "dark on light");
}

#[test]
fn an_empty_page_is_empty() {
    for (side, paper) in [(28, 255), (28, 0), (100, 255), (100, 90), (1, 255)] {
        let image = read(&png(GrayImage::from_pixel(side, side, Luma([paper])))).inputs;
        assert!(image.iter().all(|x| *x == 0.0), "{side} {paper}");
    }
}

/// How much of the ink lies elsewhere, where `made` is moved back by so many pixels.
fn difference(made: &[f32], image: &[u8], [down, right]: [usize; 2]) -> f32 {
    let pixel = |i: usize| f32::from(image[i]) / 255.0;
    let apart: f32 = (0..27 * 28 - 1).map(|i| (made[i + 28 * down + right] - pixel(i)).abs()).sum();
    apart / (0..784).map(pixel).sum::<f32>()
}

#[test]
fn a_drawing_becomes_what_the_dataset_has() {
    // Blown up and turned to black on white, the dataset's own images must come back about as they were, but for a
    // pixel's place: what was in the middle to half a pixel may be rounded the other way.
    let images = digits::generate(100, digits::Split::Test, 0).pixels;
    let mut total = 0.0;
    for image in images.chunks_exact(784) {
        let original = GrayImage::from_raw(28, 28, image.to_vec()).unwrap();
        let mut page = imageops::resize(&original, 224, 224, FilterType::Nearest);
        imageops::invert(&mut page);
        let made = read(&png(page)).inputs;
        let shifts = [[0, 0], [0, 1], [1, 0], [1, 1]];
        total += shifts.map(|shift| difference(&made, image, shift)).into_iter().fold(f32::MAX, f32::min);
    }
    assert!(total / 100.0 < 0.25, "{}", total / 100.0);
}
