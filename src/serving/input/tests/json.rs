//! JSON bodies.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json as value};

use super::*;

/// `image` nested as `axes`.
fn nest(values: &[f64], axes: &[usize]) -> Value {
    match axes {
        [] => value!(values[0]),
        [axis, inner @ ..] => values.chunks(values.len() / axis).map(|values| nest(values, inner)).collect(),
    }
}

fn pixels(count: usize) -> Vec<f64> {
    (0..count * 784).map(|i| (i % 256) as f64).collect()
}

#[test]
fn nesting_decides_how_many_images_there_are() {
    for (axes, count) in [
        (&[784][..], 1),
        (&[28, 28], 1),
        (&[1, 28, 28], 1),
        (&[1, 784], 1),
        (&[3, 784], 3),
        (&[3, 28, 28], 3),
        (&[3, 1, 28, 28], 3),
    ] {
        let images = nest(&pixels(count), axes);
        for body in
            [images.clone(), value!({"image": images}), value!({"images": images}), value!({"instances": images})]
        {
            let decoded = json(&body.to_string()).unwrap();
            assert_eq!(decoded.count, count, "{axes:?}");
            assert!(decoded.inputs.iter().zip(pixels(count)).all(|(x, pixel)| *x == pixel as f32 * (1.0 / 255.0)));
        }
    }
}

#[test]
fn other_nestings_are_refused() {
    for (axes, found) in [(&[783][..], "783"), (&[784, 1], "784×1"), (&[14, 56], "14×56"), (&[1, 1, 1, 28, 28], "")] {
        let body = nest(&vec![0.0; axes.iter().product()], axes);
        let (kind, _, detail) = fault(json(&body.to_string()));
        assert_eq!(kind, InputErrorKind::Unprocessable);
        assert!(detail.ends_with(found), "{detail}");
    }
    let (_, pointer, detail) = fault(json(r#"{"images": [[1, 2], [3, 4]]}"#));
    assert_eq!(pointer, "#/images");
    assert_eq!(detail, "expected 784 numbers, flat or nested 1×28×28, or an array of such; found 2×2");
}

#[test]
fn what_is_wrong_is_pointed_at() {
    let mut images = nest(&pixels(2), &[2, 28, 28]);
    let mut with = |pointer: &str, wrong: Value| {
        let place = images.pointer_mut(pointer).unwrap();
        let right = std::mem::replace(place, wrong);
        let body = value!({"images": images}).to_string();
        *images.pointer_mut(pointer).unwrap() = right;
        let (kind, at, detail) = fault(json(&body));
        assert_eq!(kind, InputErrorKind::Unprocessable);
        assert_eq!(at, format!("#/images{pointer}"), "{detail}");
        detail
    };
    assert_eq!(with("/1/27/3", value!(256)), "256 is not a pixel: pixels lie within 0–255");
    assert_eq!(with("/0/0/1", value!(-0.5)), "-0.5 is not a pixel: pixels lie within 0–255");
    assert_eq!(with("/1/0/0", value!(null)), "null is not a number");
    assert_eq!(with("/1/0/0", value!(true)), "true is not a number");
    assert_eq!(with("/1/0/27", value!("7")), "a text where a number is expected");
    assert_eq!(with("/1/5/0", value!({})), "an object where a number or a picture is expected");
    assert_eq!(with("/1/5", value!([1, 2])), "this array has 2 elements, those before it have 28");
    assert_eq!(with("/1", value!([])), "this array has 0 elements, those before it have 28");
    assert_eq!(with("/1/5", value!(3)), "a number where an array stands in other places");
    assert_eq!(with("/1/5/3", value!([3])), "an array where a number stands in other places");
}

#[test]
fn numbers_within_0_and_1_are_normalised_already() {
    let body = |pixel: &str, range: &str| format!(r#"{{"image": [{}{pixel}]{range}}}"#, "0,".repeat(783));
    let read = |pixel: &str, range: &str| {
        json(&body(pixel, range)).map(|decoded| (decoded.inputs[783], decoded.pixel_range.unwrap(), decoded.assumed))
    };
    assert_eq!(read("1", ""), Ok((1.0, PixelRange::Unit, true)));
    assert_eq!(read("0.5", ""), Ok((0.5, PixelRange::Unit, true)));
    assert_eq!(read("51", ""), Ok((pixel(51), PixelRange::Byte, true)));
    assert_eq!(read("1", r#", "pixel_range": "0-255""#), Ok((pixel(1), PixelRange::Byte, false)));
    assert_eq!(read("1", r#", "pixel_range": "0-1""#), Ok((1.0, PixelRange::Unit, false)));
    assert_eq!(read("1", r#", "pixel_range": null"#), Ok((1.0, PixelRange::Unit, true)));
    let (_, pointer, _) = fault(json(&body("2", r#", "pixel_range": "0-1""#)));
    assert_eq!(pointer, "#/image/783");
    let (_, pointer, detail) = fault(json(&body("2", r#", "pixel_range": "0-2""#)));
    assert_eq!(pointer, "#/pixel_range");
    assert_eq!(detail, r#"`pixel_range` is "0-1" or "0-255""#);
    let outside = decode(body("1", "").as_bytes(), None, Some(PixelRange::Byte), &mnist()).unwrap();
    assert_eq!((outside.inputs[783], outside.assumed), (pixel(1), false));
}

#[test]
fn exactly_one_key_has_the_images() {
    let image = nest(&pixels(1), &[784]);
    let of = |body: Value| fault(json(&body.to_string()));
    let (kind, pointer, detail) = of(value!({"imagse": image}));
    assert_eq!((kind, pointer.as_str()), (InputErrorKind::Unprocessable, "#/imagse"));
    assert_eq!(detail, "unknown field `imagse`; did you mean `image`?");
    let (_, pointer, detail) = of(value!({"image": image, "images": image}));
    assert_eq!(pointer, "#/images");
    assert_eq!(detail, "only one of `image`, `images` and `instances` is read");
    let (_, pointer, detail) = of(value!({"pixel_range": "0-1"}));
    assert_eq!((pointer.as_str(), detail.as_str()), ("#", "one of `image`, `images` and `instances` is missing"));
    assert_eq!(of(value!({"a/b~": 1})).1, "#/a~1b~0");
    for empty in ["[]", r#"{"images": []}"#, "[[]]", "[[], []]"] {
        assert!(json(empty).is_err(), "{empty}");
    }
    assert_eq!(fault(json(r#"{"images": []}"#)).2, "there is no image in it");
}

#[test]
fn what_is_not_json_is_malformed() {
    for body in ["", "{", "[NaN]", "[1e999]", "[1] 2", "{\"image\": [1,]}", "[0, 1\u{0}]"] {
        assert_eq!(fault(json(body)).0, InputErrorKind::Malformed, "{body}");
    }
    assert_eq!(fault(json("3")).0, InputErrorKind::Unprocessable);
    let deep = "[".repeat(100_000);
    assert_eq!(fault(json(&deep)).2, "arrays are nested deeper than 4");
}

#[test]
fn pictures_come_in_base64_too() {
    let mut image = image::GrayImage::new(28, 28);
    image.put_pixel(3, 4, image::Luma([51]));
    image.put_pixel(14, 14, image::Luma([255]));
    let bytes = png(image);
    let text = STANDARD.encode(&bytes);
    let lines = text.as_bytes().chunks(20).map(|line| str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n");
    for picture in [
        text.clone(),
        format!("data:image/png;base64,{text}"),
        text.trim_end_matches('=').to_owned(),
        URL_SAFE_NO_PAD.encode(&bytes),
        lines,
    ] {
        for (body, count) in [
            (value!(picture), 1),
            (value!([picture, picture]), 2),
            (value!({"image": picture}), 1),
            (value!({"images": [picture, picture, picture]}), 3),
            (value!({"instances": [{"b64": picture}, picture]}), 2),
        ] {
            let decoded = json(&body.to_string()).unwrap();
            assert_eq!((decoded.count, decoded.format), (count, Format::Json));
            assert_eq!((decoded.preprocessing, decoded.assumed), (Preprocessing::None, false));
            assert_eq!(decoded.inputs.len(), count * 784);
            assert_eq!((decoded.inputs[4 * 28 + 3], decoded.inputs[0]), (pixel(51), 0.0));
        }
    }
}

#[test]
fn a_text_that_is_no_picture_is_pointed_at() {
    let picture = STANDARD.encode(png(image::GrayImage::new(28, 28)));
    for wrong in ["hello world", "aGVsbG8=", "data:text/plain,hello", "iVBORw0KGgo=", ""] {
        let (kind, pointer, _) = fault(json(&value!({"images": [picture, wrong]}).to_string()));
        assert_eq!((kind, pointer.as_str()), (InputErrorKind::Unprocessable, "#/images/1"), "{wrong}");
    }
    for mixed in [value!([picture, 1]), value!([1, picture]), value!([picture, [1]]), value!([[], picture])] {
        let (kind, pointer, _) = fault(json(&mixed.to_string()));
        assert!(kind == InputErrorKind::Unprocessable && pointer.starts_with("#/1"), "{pointer}");
    }
    assert!(json(&value!({"image": picture, "pixel_range": "0-1"}).to_string()).is_err());
    assert!(json(&value!({"image": picture, "pixel_range": "0-255"}).to_string()).is_ok());
}
