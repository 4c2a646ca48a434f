//! The kernels against plain loops, to the bit: what is left out changes none.

use proptest::prelude::*;

use super::*;
use crate::rng::{Purpose, Rng};

/// Equal only where even the signs of zeros are.
fn to_bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// A random image that is zero but for some of the values within a part of it.
fn image([height, pitch]: [usize; 2], [top, left, bottom, right]: [f64; 4], seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed, Purpose::Init, 1, 0);
    let within = |at: usize, size: usize, from: f64, to: f64| (from..=to).contains(&(at as f64 / size as f64));
    let pixels = (0..height).flat_map(|row| (0..pitch).map(move |column| (row, column)));
    pixels
        .map(|(row, column)| {
            let [value, kept] = [rng.uniform_in(-1.0, 1.0) as f32, rng.uniform() as f32];
            let lies_within = within(row, height, top, bottom) && within(column, pitch, left, right);
            if lies_within && kept < 0.7 { value } else { 0.0 }
        })
        .collect()
}

/// The largest of each window and filter, which of the four places it came from, and whether it is above the floor.
fn plain_forward(sizes: &Pooled, x: &[f32], (w, bias): (&[f32], &[f32])) -> Vec<(f32, usize, bool)> {
    let (k, width) = (sizes.kernel, sizes.output[1]);
    let floor = if sizes.rectified { 0.0 } else { f32::NEG_INFINITY };
    let of = |pixel: usize, filter: usize| {
        let places = [0, 1, 2, 3].map(|place| {
            let (i, j) = (2 * (pixel / width) + place / 2, 2 * (pixel % width) + place % 2);
            (0..k * k).fold(bias[filter], |sum, tap| {
                let x = x[(i + tap / k) * sizes.pitch + j + tap % k];
                x.mul_add(w[tap * sizes.lanes() + filter], sum)
            })
        });
        let first = (1..4).fold(0, |first, place| if places[place] > places[first] { place } else { first });
        (places[first].max(floor) + 0.0, first, places[first] > floor)
    };
    (0..sizes.pixels()).flat_map(|pixel| (0..sizes.filters).map(move |filter| of(pixel, filter))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn agrees_with_plain_loops(
        kernel in prop_oneof![Just(3usize), Just(5)], filters in 1usize..70, rectified: bool, beyond in 0usize..3,
        output in prop_oneof![
            8 => [1usize..8, 1usize..14],
            1 => [1usize..4, 29usize..40],
            1 => [29usize..34, 1usize..4],
        ],
        part in [0.0f64..0.6, 0.0f64..0.6, 0.3f64..1.0, 0.3f64..1.0], seed: u64,
        scale in prop_oneof![2 => Just(1.0), 1 => Just(1e-23)],
    ) {
        let pitch = 2 * output[1] + kernel - 1 + beyond;
        let sizes = Pooled { kernel, filters, output, pitch, rectified };
        let mut x = image([sizes.height(), pitch], part, seed);
        x.iter_mut().for_each(|x| *x *= scale);
        let mut rng = Rng::new(seed, Purpose::Init, 2, 0);
        let mut random = |count: usize| (0..count).map(|_| scale * rng.uniform_in(-1.0, 1.0) as f32).collect::<Vec<f32>>();
        let mut w = random((kernel * kernel + 1) * sizes.lanes());
        w.chunks_exact_mut(sizes.lanes()).for_each(|row| row[filters..].fill(0.0));
        // As large as the sums: with small factors, some are −0.
        w[kernel * kernel * sizes.lanes()..].iter_mut().for_each(|bias| *bias *= scale);
        let (w, bias) = w.split_at(kernel * kernel * sizes.lanes());
        let wanted = plain_forward(&sizes, &x, (w, bias));

        let dy = random(wanted.len());
        let mut start = random((kernel * kernel + 1) * filters);
        start.iter_mut().for_each(|start| *start *= scale);
        let mut plain = start.clone();
        let living = dy.iter().zip(&wanted).enumerate().filter(|(_, (_, (_, _, lives)))| *lives);
        for (at, (&dy, &(_, place, _))) in living {
            let (pixel, filter) = (at / filters, at % filters);
            let (i, j) = (2 * (pixel / output[1]) + place / 2, 2 * (pixel % output[1]) + place % 2);
            for tap in 0..kernel * kernel {
                let (x, sum) = (x[(i + tap / kernel) * pitch + j + tap % kernel], &mut plain[tap * filters + filter]);
                *sum = x.mul_add(dy, *sum);
            }
            plain[kernel * kernel * filters + filter] += dy;
        }
        plain.iter_mut().for_each(|sum| *sum += 0.0);

        for path in Path::available().into_iter().filter(|path| Pooled::is_possible_on(*path, kernel)) {
            let (mut y, mut alone) = (vec![f32::NAN; wanted.len()], vec![f32::NAN; wanted.len()]);
            let mut bits = vec![0; sizes.words()];
            sizes.forward_on(path, &x, (w, bias), &mut y, Some(&mut bits));
            sizes.forward_on(path, &x, (w, bias), &mut alone, None);
            prop_assert_eq!(to_bits(&y), to_bits(&alone), "{:?}", path);
            prop_assert!(y.iter().zip(&wanted).all(|(y, wanted)| y.to_bits() == wanted.0.to_bits()), "{path:?}");

            let (mut squares, mut gradients) = (vec![f32::NAN; sizes.squares()], start.clone());
            let of_filters = gradients.split_at_mut(kernel * kernel * filters);
            sizes.gradient_on(path, &x, (&dy, &bits), &mut squares, of_filters);
            prop_assert_eq!(to_bits(&gradients), to_bits(&plain), "{:?}", path);
        }
    }
}

/// One window of the pool, over an image of 4×4.
#[test]
fn takes_the_first_largest_and_passes_on_what_is_not_a_number() {
    for path in Path::available().into_iter().filter(|path| Pooled::is_possible_on(*path, 3)) {
        takes_the_first_largest_on(path);
    }
}

fn takes_the_first_largest_on(path: Path) {
    let sizes = Pooled { kernel: 3, filters: 17, output: [1, 1], pitch: 4, rectified: true };
    let (w, bias) = (vec![1.0; 9 * sizes.lanes()], vec![0.5; sizes.lanes()]);
    let run = |x: &[f32; 16]| {
        let (mut y, mut bits) = (vec![0.0; 17], vec![0; sizes.words()]);
        sizes.forward_on(path, x, (&w, &bias), &mut y, Some(&mut bits));
        (y, bits)
    };
    let (y, bits) = run(&[1.0; 16]);
    assert_eq!(y, [9.5; 17]);
    let is = |bits: &[u16], expected: [bool; 3]| {
        let words = bits.chunks_exact(2).map(|row| (row[0] == u16::MAX, row[1] & 1 == 1)).collect::<Vec<_>>();
        assert_eq!(words, expected.map(|bit| (bit, bit)));
    };
    is(&bits, [false, false, true]);
    for (corner, [right, below]) in [(0, [false, false]), (3, [true, false]), (12, [false, true]), (15, [true, true])] {
        let mut x = [1.0; 16];
        x[corner] = 2.0;
        let (y, bits) = run(&x);
        assert_eq!(y, [10.5; 17]);
        is(&bits, [right, below, true]);
        x[corner] = f32::NAN;
        assert!(run(&x).0.iter().all(|y| y.is_nan()), "at {corner} on {path:?}");
    }
    let (y, bits) = run(&[-1.0; 16]);
    assert_eq!(y, [0.0; 17]);
    is(&bits, [false, false, false]);
}
