//! What bodies are read as.

mod json;
mod limits;
mod pictures;

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};

use super::*;
use crate::memory::{MemoryAccount, MemoryShares, MemoryUse};

/// Reads a body with as much memory as it takes.
fn decode(
    bytes: &[u8],
    content_type: Option<&str>,
    pixel_range: Option<PixelRange>,
    input: &Input,
) -> Result<Decoded, InputError> {
    let mut memory = reserved(1 << 40);
    super::decode(Encoded { bytes, content_type, pixel_range }, input, &mut memory).map_err(|error| match error {
        DecodeError::Input(error) => error,
        DecodeError::Memory(bytes) => panic!("{bytes} bytes are more than a terabyte"),
    })
}

/// A reservation of so many bytes, of an account that has no more.
fn reserved(bytes: u64) -> Reservation {
    let account = MemoryAccount::new(MemoryShares { training: 0, serving: bytes }, std::time::Duration::ZERO);
    account.try_reserve(MemoryUse::Requests, bytes).expect("all there is")
}

/// A model's input like MNIST's.
fn mnist() -> Input {
    Input::new(&Shape::new(&[1, 28, 28]), Dtype::Uint8)
}

/// An input of numbers.
fn numbers(axes: &[usize]) -> Input {
    Input::new(&Shape::new(axes), Dtype::Float32)
}

fn json(body: &str) -> Result<Decoded, InputError> {
    decode(body.as_bytes(), Some("application/json"), None, &mnist())
}

/// Kind, pointer and detail of what is wrong.
fn fault(outcome: Result<Decoded, InputError>) -> (InputErrorKind, String, String) {
    let error = outcome.unwrap_err();
    (error.kind, error.pointer.unwrap_or_default(), error.detail)
}

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    encode(image, ImageFormat::Png)
}

/// What a byte is to a model.
fn pixel(byte: u8) -> f32 {
    f32::from(byte) * (1.0 / 255.0)
}

#[test]
fn a_raw_body_is_bytes() {
    let body: Vec<_> = (0..2 * 784).map(|i| (i % 256) as u8).collect();
    let decoded = decode(&body, Some("application/octet-stream"), None, &mnist()).unwrap();
    assert_eq!((decoded.count, decoded.format, decoded.assumed), (2, Format::OctetStream, false));
    assert_eq!(decoded.pixel_range, Some(PixelRange::Byte));
    assert_eq!((decoded.inputs[0], decoded.inputs[255]), (0.0, pixel(255)));
    let (kind, _, detail) = fault(decode(&body[1..], Some("application/octet-stream"), None, &mnist()));
    assert_eq!(kind, InputErrorKind::Unprocessable);
    assert_eq!(detail, "1567 bytes are not a whole number of images of 784 bytes");
    assert!(decode(b"", Some("application/octet-stream"), None, &mnist()).is_err());
}

#[test]
fn a_raw_body_may_be_of_ones_and_zeros() {
    let mut body = vec![1; 784];
    let said = Some(PixelRange::Unit);
    let decoded = decode(&body, Some("application/octet-stream"), said, &mnist()).unwrap();
    assert_eq!((decoded.inputs[0], decoded.pixel_range), (1.0, said));
    body[5] = 2;
    let (_, _, detail) = fault(decode(&body, Some("application/octet-stream"), said, &mnist()));
    assert_eq!(detail, "byte 5: 2 is not a pixel: pixels lie within 0–1, as `pixel_range` says");
}

#[test]
fn the_media_type_decides_and_without_one_the_first_bytes() {
    let picture = png(image::GrayImage::new(28, 28));
    let text = format!(" [{}0]", "0,".repeat(783)).into_bytes();
    let raw = vec![b'['; 784];
    let format = |body: &[u8], media| decode(body, media, None, &mnist()).map(|decoded| decoded.format);
    for media in [None, Some("text/plain; charset=utf-8"), Some("application/x-www-form-urlencoded")] {
        assert_eq!(format(&picture, media), Ok(Format::Png));
        assert_eq!(format(&text, media), Ok(Format::Json));
    }
    assert_eq!(format(&text, Some("Application/JSON; charset=utf-8")), Ok(Format::Json));
    assert_eq!(format(&text, Some("application/vnd.api+json")), Ok(Format::Json));
    assert_eq!(format(&raw, Some("application/octet-stream")), Ok(Format::OctetStream));
    assert_eq!(format(&picture, Some("application/octet-stream")), Ok(Format::Png));
    assert_eq!(format(&picture, Some("image/jpeg")), Ok(Format::Png), "the bytes know better");
    let kind = |body: &[u8], media| format(body, media).unwrap_err().kind;
    assert_eq!(kind(b"hello", None), InputErrorKind::UnsupportedMedia);
    assert_eq!(kind(&raw, Some("image/webp")), InputErrorKind::UnsupportedMedia);
    assert_eq!(kind(&text, Some("image/png")), InputErrorKind::Malformed);
    assert_eq!(kind(&picture, Some("application/json")), InputErrorKind::Malformed);
}

#[test]
fn a_model_of_points_takes_plain_numbers_alone() {
    let points = numbers(&[2]);
    let read = |body: &str| decode(body.as_bytes(), Some("application/json"), None, &points);
    let decoded = read("{\"instances\": [[-1.5, 300], [0, 1e3]]}").unwrap();
    assert_eq!((decoded.inputs, decoded.count), (vec![-1.5, 300.0, 0.0, 1000.0], 2));
    assert_eq!((decoded.pixel_range, decoded.assumed), (None, false));
    assert_eq!(read("[1, 2]").unwrap().count, 1);
    let (_, pointer, detail) = fault(read("[1, 2, 3]"));
    assert_eq!((pointer.as_str(), detail.as_str()), ("#", "expected 2 numbers, or an array of such; found 3"));
    let (_, pointer, detail) = fault(read("[[1, 2], [3, 1e39]]"));
    assert_eq!((pointer.as_str(), detail.as_str()), ("#/1/1", "the number is too large"));
    let (_, pointer, _) = fault(read("{\"images\": [1, 2], \"pixel_range\": \"0-1\"}"));
    assert_eq!(pointer, "#/pixel_range");
    let picture = png(image::GrayImage::new(28, 28));
    for (body, media) in [(&picture[..], None), (&[0, 1], Some("application/octet-stream"))] {
        assert_eq!(fault(decode(body, media, None, &points)).0, InputErrorKind::UnsupportedMedia);
    }
}

#[test]
fn what_was_learned_as_numbers_is_not_scaled_even_where_it_is_an_image() {
    let image = numbers(&[1, 2, 2]);
    let read = |body: &[u8], media| decode(body, Some(media), None, &image);
    let decoded = read(b"[[0, 128], [-3.5, 255]]", "application/json").unwrap();
    assert_eq!((decoded.inputs, decoded.pixel_range), (vec![0.0, 128.0, -3.5, 255.0], None));
    for (body, media) in [(&png(image::GrayImage::new(2, 2))[..], "image/png"), (&[0; 4], "application/octet-stream")] {
        assert_eq!(fault(read(body, media)).0, InputErrorKind::UnsupportedMedia);
    }
    let rows = Input::new(&Shape::new(&[4]), Dtype::Uint8);
    let decoded = decode(&[0, 255, 255, 0], Some("application/octet-stream"), None, &rows).unwrap();
    assert_eq!(decoded.inputs, [0.0, 1.0, 1.0, 0.0]);
}
