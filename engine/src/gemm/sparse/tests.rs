//! Sparse sums against the formula, on every path; and that it changes no bit to leave zeros out.

use proptest::prelude::*;

use super::*;
use crate::rng::{Purpose, Rng};

fn random(len: usize, stream: u64) -> Vec<f32> {
    let mut rng = Rng::new(1, Purpose::GradientCheck, stream, 0);
    (0..len).map(|_| rng.normal() as f32).collect()
}

/// So many values of which some are zero.
fn sparse(len: usize, zeros: f64) -> Vec<f32> {
    let mut rng = Rng::new(2, Purpose::GradientCheck, 0, 0);
    (0..len).map(|_| if rng.uniform() < zeros { 0.0 } else { rng.normal() as f32 }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn sums_agree_with_the_formula_on_every_path(
        number in 1usize..6, len in 1usize..80, count in 1usize..8, slots in 1usize..20, spare in 0usize..9,
        step in 0usize..40, zeros in 0f64..1.0, scale in prop_oneof![Just(1.0), Just(1e-23)],
    ) {
        let rows = Rows { count, slots };
        let (from_pitch, into_pitch) = (slots * SLOT + spare, slots * SLOT + 2 * spare);
        let places = Places::new((0..len).map(|i| i * step)).expect("near");
        let targets = Places::new((0..number).map(|i| i * (count * into_pitch))).expect("near");
        let scaled = |values: Vec<f32>, scale: f32| values.into_iter().map(|value| scale * value).collect::<Vec<_>>();
        let dense = scaled(sparse(number * len, zeros), scale);
        let from = scaled(random((len - 1) * step + rows.reach(from_pitch), 0), scale);
        let start = scaled(random((number - 1) * count * into_pitch + rows.reach(into_pitch), 1), scale * scale);
        // As the engine's sums, they begin with no −0, which would stay where nothing is listed.
        let start = start.into_iter().map(|value| value + 0.0).collect::<Vec<_>>();
        let mut expected: Vec<f64> = start.iter().map(|value| f64::from(*value)).collect();
        // Rounded once for a step, or twice; −0 becomes +0 where a list has something.
        let mut full = [start.clone(), start.clone()];
        for (l, dense) in dense.chunks(len).enumerate() {
            for (i, value) in dense.iter().enumerate() {
                for (u, k) in (0..count).flat_map(|u| (0..slots * SLOT).map(move |k| (u, k))) {
                    let (at, from) = (l * count * into_pitch + u * into_pitch + k, from[i * step + u * from_pitch + k]);
                    expected[at] += f64::from(*value) * f64::from(from);
                    full[0][at] = value.mul_add(from, full[0][at]);
                    full[1][at] += value * from;
                    if i + 1 == len && dense.iter().any(|value| *value != 0.0) {
                        full.iter_mut().for_each(|full| full[at] += 0.0);
                    }
                }
            }
        }
        for path in Path::available() {
            let mut memory = vec![f32::NAN; places.memory(number).expect("small")];
            let lists = places.lists_on(path, &dense, &mut memory);
            let mut into = start.clone();
            let (from, into, targets) = (&from, &mut into[..], &targets);
            AddMultiples { rows, lists, from, from_pitch, into, into_pitch, targets }.run_on(path);
            for (value, expected) in into.iter().zip(&expected) {
                prop_assert!((f64::from(*value) - expected).abs() < 1e-4, "{path:?}");
            }
            let full = &full[usize::from(!path.is_fused())];
            prop_assert!(into.iter().zip(full).all(|(sum, full)| sum.to_bits() == full.to_bits()), "{path:?}");
        }
    }

    #[test]
    fn lists_have_what_is_not_zero_in_order_on_every_path(len in 1usize..100, zeros in 0f64..1.0) {
        let mut dense = sparse(2 * len, zeros);
        dense[len / 2] = f32::NAN;
        let places = Places::new((0..len).map(|i| 3 * i)).expect("near");
        for path in Path::available() {
            let mut memory = vec![7.0; places.memory(2).expect("small")];
            let lists = places.lists_on(path, &dense, &mut memory);
            for (index, dense) in dense.chunks(len).enumerate() {
                let (values, at) = lists.list(index);
                let found = values.iter().zip(at).map(|(value, place)| (value.to_bits(), place.to_bits() as usize));
                let expected = dense.iter().enumerate().filter(|(_, value)| **value != 0.0);
                prop_assert!(found.eq(expected.map(|(i, value)| (value.to_bits(), 3 * i))), "{path:?}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "beyond the rows")]
fn a_window_beyond_its_rows_is_refused() {
    let (places, targets) = (Places::new([1].into_iter()).expect("near"), Places::new([0].into_iter()).expect("near"));
    let mut memory = vec![0.0; places.memory(1).expect("small")];
    let lists = places.lists(&[1.0], &mut memory);
    let rows = Rows { count: 1, slots: 1 };
    let (from, into, targets) = (&[0.0; SLOT], &mut [0.0; SLOT], &targets);
    AddMultiples { rows, lists, from, from_pitch: SLOT, into, into_pitch: SLOT, targets }.run();
}
