//! Augmentation moves pixels as its fields say, and invents none.

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

const NONE: AugmentSpec = AugmentSpec { shift: 0, rotate: 0.0, scale: 0.0, elastic: 0.0, elastic_sigma: 4.0 };
const ALL: AugmentSpec = AugmentSpec { shift: 2, rotate: 15.0, scale: 0.2, elastic: 2.0, elastic_sigma: 4.0 };
const SHAPE: ImageShape = ImageShape { channels: 1, height: 9, width: 12, order: ChannelOrder::First };

fn noise(len: usize, stream: u64) -> Vec<f32> {
    let mut rng = Rng::new(9, Purpose::GradientCheck, stream, 0);
    (0..len).map(|_| rng.uniform() as f32).collect()
}

fn augmented(spec: AugmentSpec, shape: ImageShape, image: &[f32], draw: Draw) -> Vec<f32> {
    let mut out = vec![9.0; image.len()];
    spec.apply(shape, image, &mut out, draw);
    out
}

fn nth(sample: u64) -> Draw {
    Draw { seed: 1, epoch: 1, sample }
}

#[test]
fn nothing_asked_is_nothing_changed() {
    let mut image = noise(108, 0);
    image[5] = -0.0;
    let out = augmented(NONE, SHAPE, &image, nth(0));
    assert!(out.iter().zip(&image).all(|(a, b)| a.to_bits() == b.to_bits()));
}

#[test]
fn a_shift_moves_pixels_exactly_and_every_way() {
    let image = noise(108, 0);
    let moved = |down: i32, right: i32| -> Vec<f32> {
        let places = (0..9).flat_map(|y| (0..12).map(move |x| (y, x)));
        places.map(|(y, x)| SHAPE.value(&image, 0, y - down, x - right)).collect()
    };
    let all: Vec<_> = (-1..=1).flat_map(|down| (-1..=1).map(move |right| (down, right))).collect();
    let mut seen = std::collections::BTreeSet::new();
    for sample in 0..200 {
        let out = augmented(AugmentSpec { shift: 1, ..NONE }, SHAPE, &image, nth(sample));
        seen.insert(all.iter().position(|(down, right)| moved(*down, *right) == out).expect("a shift by whole pixels"));
    }
    assert_eq!(seen.len(), 9);
}

#[test]
fn a_draw_is_a_function_of_seed_epoch_and_sample() {
    let image = noise(108, 0);
    let base = Draw { seed: 1, epoch: 2, sample: 3 };
    assert_eq!(augmented(ALL, SHAPE, &image, base), augmented(ALL, SHAPE, &image, base));
    for other in [Draw { seed: 2, ..base }, Draw { epoch: 3, ..base }, Draw { sample: 4, ..base }] {
        assert_ne!(augmented(ALL, SHAPE, &image, base), augmented(ALL, SHAPE, &image, other));
    }
}

#[test]
fn each_field_changes_images_by_itself() {
    let image = noise(108, 0);
    for spec in [
        AugmentSpec { shift: 1, ..NONE },
        AugmentSpec { rotate: 5.0, ..NONE },
        AugmentSpec { scale: 0.1, ..NONE },
        AugmentSpec { elastic: 1.0, ..NONE },
    ] {
        let changed = (0..50).filter(|&n| augmented(spec, SHAPE, &image, nth(n)) != image).count();
        assert!(changed > 35, "{spec:?}: {changed} of 50");
    }
}

#[test]
fn the_map_turns_and_scales_about_the_centre() {
    let square = ImageShape { height: 5, width: 5, ..SHAPE };
    let close = |(y, x): (f32, f32), (v, u): (f32, f32)| (y - v).abs() < 1e-5 && (x - u).abs() < 1e-5;
    let turn = InverseMap::new(square, (0.0, 0.0), std::f64::consts::FRAC_PI_2, 1.0);
    assert!(close(turn.source(0, 2), (2.0, 4.0)), "what is on top comes from the right: {:?}", turn.source(0, 2));
    assert!(close(turn.source(2, 2), (2.0, 2.0)));
    let twice = InverseMap::new(square, (0.0, 0.0), 0.0, 2.0);
    assert!(close(twice.source(0, 4), (1.0, 3.0)));
    let moved = InverseMap::new(square, (1.0, -2.0), 0.0, 1.0);
    assert!(close(moved.source(3, 1), (2.0, 3.0)));
}

#[test]
fn channels_move_together_in_either_order() {
    let planes = ImageShape { channels: 3, ..SHAPE };
    let pixels = ImageShape { order: ChannelOrder::Last, ..planes };
    let image = noise(3 * 108, 0);
    let mut interleaved = vec![0.0; image.len()];
    for (c, y, x) in (0..3).flat_map(|c| (0..9).flat_map(move |y| (0..12).map(move |x| (c, y, x)))) {
        interleaved[pixels.index(c, y, x)] = image[planes.index(c, y, x)];
    }
    let out = augmented(ALL, planes, &image, nth(5));
    let other = augmented(ALL, pixels, &interleaved, nth(5));
    for (c, plane) in out.chunks(108).enumerate() {
        assert_eq!(plane, augmented(ALL, SHAPE, &image[c * 108..][..108], nth(5)), "channel {c}");
        let same = (0..9).all(|y| (0..12).all(|x| other[pixels.index(c, y, x)] == plane[SHAPE.index(0, y, x)]));
        assert!(same, "channel {c}");
    }
}

#[test]
fn values_never_change_under_us() {
    let ramp: Vec<f32> = (0..108).map(|i| i as f32).collect();
    let out = augmented(ALL, SHAPE, &ramp, nth(7));
    let sum: f64 = out.iter().map(|v| f64::from(*v)).sum();
    assert_eq!((out[50], out[61], sum), (28.432_169, 41.067_375, 3_676.405_348_181_724_5));
}

#[test]
fn bumps_too_fine_for_the_image_are_refused() {
    let large = ImageShape { height: 600, width: 10, ..SHAPE };
    assert_eq!(ALL.check(SHAPE), Ok(()));
    let error = ALL.check(large).expect_err("σ = 4 on 600 pixels");
    assert_eq!((error.field, error.to_string().ends_with("take at least 9.4")), ("elastic_sigma", true), "{error}");
    assert_eq!(AugmentSpec { elastic_sigma: 9.4, ..ALL }.check(large), Ok(()));
    assert_eq!(AugmentSpec { elastic: 0.0, ..ALL }.check(large), Ok(()));
}

#[test]
fn shapes_of_images() {
    let of = |axes: &[usize]| ImageShape::of(&Shape::new(axes));
    assert_eq!(of(&[9, 12]), Some(SHAPE));
    assert_eq!(of(&[3, 9, 12]), Some(ImageShape { channels: 3, ..SHAPE }));
    assert_eq!((of(&[784]), of(&[1, 0, 5]), of(&[1, 1, 2, 2])), (None, None, None));
}

#[test]
fn the_table_is_what_is_read() {
    let defaults: serde_json::Map<_, _> =
        FIELDS.iter().filter_map(|field| Some((field.name.to_owned(), field.default.value()?))).collect();
    assert_eq!(serde_json::from_value::<AugmentSpec>(defaults.into()).expect("the table's fields"), NONE);
    assert!(NONE.is_identity() && !ALL.is_identity());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn values_stay_within_those_of_the_image(
        sizes in (1usize..4, 1usize..20, 1usize..20),
        amounts in (0u32..5, 0f64..180.0, 0f64..0.9, 0f64..10.0),
        sample: u64,
    ) {
        let (channels, height, width) = sizes;
        let (shift, rotate, scale, elastic) = amounts;
        let spec = AugmentSpec { shift, rotate, scale, elastic, elastic_sigma: 1.0 };
        let shape = ImageShape { channels, height, width, order: ChannelOrder::Last };
        let image: Vec<f32> = noise(channels * height * width, sample).iter().map(|v| v * 3.0 - 1.0).collect();
        let low = image.iter().copied().fold(0.0, f32::min);
        let high = image.iter().copied().fold(0.0, f32::max);
        for value in augmented(spec, shape, &image, nth(sample)) {
            prop_assert!((low..=high).contains(&value), "{value} out of {low}..={high}");
        }
    }
}
