//! Bodies that want too much, and bodies of no sense.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Crc;
use image::codecs::jpeg::JpegEncoder;
use proptest::prelude::*;

use super::*;

/// A PNG chunk.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    [&(data.len() as u32).to_be_bytes(), &kind[..], data, &crc.sum().to_be_bytes()].concat()
}

/// The same PNG with a chunk after its header.
fn with_chunk(png: &[u8], kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let header = 8 + 25;
    [&png[..header], &chunk(kind, data), &png[header..]].concat()
}

#[test]
fn a_request_has_at_most_1024_images() {
    let too_many = |outcome| assert_eq!(fault(outcome).0, InputErrorKind::TooLarge);
    let raw = vec![0; 1025 * 784];
    assert_eq!(decode(&raw[784..], Some("application/octet-stream"), None, &mnist()).unwrap().count, 1024);
    too_many(decode(&raw, Some("application/octet-stream"), None, &mnist()));
    let image = format!("[{}0]", "0,".repeat(783));
    let images = |count: usize| format!("[{}{image}]", format!("{image},").repeat(count - 1));
    assert_eq!(json(&images(1024)).unwrap().count, 1024);
    too_many(json(&images(1025)));
    too_many(decode(format!("[{}[0,0]]", "[0,0],".repeat(1024)).as_bytes(), None, None, &numbers(&[2])));
    let picture = format!("\"{}\"", STANDARD.encode(png(image::GrayImage::new(28, 28))));
    too_many(json(&format!("[{}{picture}]", format!("{picture},").repeat(1024))));
}

#[test]
fn a_picture_is_judged_by_its_header() {
    let mut header = 60_000u32.to_be_bytes().to_vec();
    header.extend(60_000u32.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    let huge = [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], &chunk(b"IDAT", &[0; 10])].concat();
    assert_eq!(fault(decode(&huge, None, None, &mnist())).0, InputErrorKind::TooLarge);
    let wide = png(image::GrayImage::new(4097, 1));
    assert_eq!(fault(decode(&wide, None, None, &mnist())).0, InputErrorKind::TooLarge);
    let wide = encode(image::GrayImage::new(4097, 1), ImageFormat::Jpeg);
    assert_eq!(fault(decode(&wide, None, None, &mnist())).0, InputErrorKind::TooLarge);
    let body = format!("[\"{}\"]", STANDARD.encode(&wide));
    assert_eq!(
        fault(json(&body)),
        (InputErrorKind::TooLarge, "#/0".into(), fault(decode(&wide, None, None, &mnist())).2)
    );
}

#[test]
fn all_pictures_of_a_request_share_a_budget() {
    let large = STANDARD.encode(png(image::GrayImage::new(4096, 4096)));
    let body = format!("[{}\"{large}\"]", format!("\"{large}\",").repeat(4));
    let (kind, pointer, detail) = fault(json(&body));
    assert_eq!((kind, pointer.as_str()), (InputErrorKind::TooLarge, "#/4"));
    assert_eq!(detail, "more than 67108864 pixels in one request");
}

#[test]
fn what_a_png_tells_beside_its_image_is_not_looked_at() {
    let mut image = image::GrayImage::new(28, 28);
    image.put_pixel(14, 14, image::Luma([200]));
    let plain = png(image);
    let expected = decode(&plain, None, None, &mnist()).unwrap();
    // A text that would unfold to gigabytes, one that is just large, and an animation's frame of absurd size.
    let text = [&b"Comment\0\0"[..], &vec![0x78; 1 << 20]].concat();
    for (kind, data) in [(b"zTXt", &text), (b"tEXt", &text), (b"iCCP", &text), (b"fcTL", &vec![0xff; 26])] {
        assert_eq!(decode(&with_chunk(&plain, kind, data), None, None, &mnist()).unwrap(), expected);
    }
    // A chunk that claims more bytes than there are.
    let mut broken = with_chunk(&plain, b"tEXt", b"x");
    broken[33..37].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(fault(decode(&broken, None, None, &mnist())).0, InputErrorKind::Malformed);
}

fn picture() -> impl Strategy<Value = Vec<u8>> {
    (1u32..40, 1u32..40, prop::bool::ANY, any::<u64>()).prop_map(|(width, height, jpeg, seed)| {
        let image = image::RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([0, 8, 16].map(|shift| (seed.wrapping_mul(u64::from(x * 41 + y)) >> shift) as u8))
        });
        if !jpeg {
            return png(image);
        }
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 60).encode_image(&image).unwrap();
        bytes
    })
}

const MEDIA: [Option<&str>; 5] =
    [None, Some("application/json"), Some("application/octet-stream"), Some("image/png"), Some("x/y")];

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..100), media in prop::sample::select(&MEDIA[..])) {
        for shape in [mnist(), numbers(&[2]), numbers(&[3, 2, 2]), numbers(&[1, 1, 1])] {
            let _ = decode(&body, media, None, &shape);
            let _ = decode(&[b"\x89PNG\r\n\x1a\n", &body[..]].concat(), media, None, &shape);
            let _ = decode(&[b"\xff\xd8\xff", &body[..]].concat(), media, None, &shape);
        }
    }

    #[test]
    fn no_json_like_text_panics(body in r#"[\[\]{}",:0-9a-z. -]{0,60}"#, key in "image|images|pixel_range|b64") {
        for shape in [mnist(), numbers(&[2]), numbers(&[1, 1, 1])] {
            let _ = decode(body.as_bytes(), Some("application/json"), None, &shape);
            let _ = decode(format!("{{\"{key}\":{body}").as_bytes(), None, None, &shape);
            let _ = decode(format!("[{body}]").as_bytes(), None, None, &shape);
        }
    }

    #[test]
    fn any_picture_is_read_and_no_damaged_one_panics(
        bytes in picture(), place: prop::sample::Index, value: u8, cut: prop::sample::Index,
    ) {
        let decoded = decode(&bytes, None, None, &mnist()).unwrap();
        prop_assert_eq!(decoded.inputs.len(), 784);
        prop_assert!(decoded.inputs.iter().all(|x| (0.0..=1.0).contains(x)));
        let _ = decode(&bytes[..cut.index(bytes.len())], None, None, &mnist());
        let mut damaged = bytes;
        let place = place.index(damaged.len());
        damaged[place] = value;
        let _ = decode(&damaged, None, None, &mnist());
    }
}
