//! The product against `ndarray`'s in `f64`, on every path, and that cutting it changes no bit.

mod emulation;
mod order;

use ndarray::{Array2, ArrayView2, s};
use proptest::prelude::*;

use super::broadcast::DEPTH;
use super::*;
use crate::rng::{Purpose, Rng};

fn random(rows: usize, cols: usize, stream: u64) -> Array2<f32> {
    let mut rng = Rng::new(1, Purpose::GradientCheck, stream, 0);
    Array2::from_shape_fn((rows, cols), |_| rng.normal() as f32)
}

fn view(a: &Array2<f32>) -> View<'_> {
    View::rows(a.as_slice().expect("standard layout"), a.nrows(), a.ncols(), a.ncols())
}

/// Equal only where even the signs of zeros are.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Factors of values that are usual, and of such whose products are too small for a number, so that sums become −0.
fn scale() -> impl Strategy<Value = f32> {
    prop_oneof![3 => Just(1.0), 1 => Just(1e-23)]
}

fn exact(a: &ArrayView2<'_, f32>, b: &ArrayView2<'_, f32>) -> Array2<f64> {
    a.mapv(f64::from).dot(&b.mapv(f64::from))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn agrees_with_ndarray_on_every_path(
        m in 1usize..90, k in 0usize..70, n in 1usize..140, pad in 0usize..5, transposed in 0..3, add: bool,
    ) {
        let (ta, tb) = (transposed == 1, transposed == 2);
        let a = if ta { random(k, m, 0) } else { random(m, k, 0) };
        let b = if tb { random(n, k, 1) } else { random(k, n, 1) };
        let (va, vb) = (view(&a), view(&b));
        let truth = exact(&if ta { a.t() } else { a.view() }, &if tb { b.t() } else { b.view() });
        let stride = n + pad;
        for path in Path::available() {
            let mut c = vec![2.0f32; m * stride];
            let into = if add { Into::Add } else { Into::Replace };
            let (va, vb) = (if ta { va.transposed() } else { va }, if tb { vb.transposed() } else { vb });
            multiply(path, into, ViewMut::rows(&mut c, m, n, stride), va, vb);
            for i in 0..m {
                for j in 0..n {
                    let expected = truth[[i, j]] + if add { 2.0 } else { 0.0 };
                    let error = (f64::from(c[i * stride + j]) - expected).abs();
                    prop_assert!(error < 1e-4, "{path:?}");
                }
                let beside = &c[i * stride + n..(i + 1) * stride];
                prop_assert!(beside.iter().all(|v| *v == 2.0), "{path:?} wrote beside the result");
            }
        }
    }

    /// Windows of an image, as a convolution takes them.
    #[test]
    fn grids_agree_with_plain_matrices_on_every_path(
        groups in 1usize..4, rows in 1usize..20, runs in 1usize..4, columns in 1usize..20, n in 1usize..70,
        strides in (1usize..9, 1usize..9, 1usize..9, 1usize..9), add: bool,
    ) {
        let data = random(1, 3 * 9 + 19 * 9 + 3 * 9 + 19 * 9 + 1, 0);
        let data = data.as_slice().expect("standard layout");
        let a = Grid {
            data,
            groups: Axis::new(groups, strides.0),
            rows: Axis::new(rows, strides.1),
            runs: Axis::new(runs, strides.2),
            columns: Axis::new(columns, strides.3),
            may_hold_zeros: false,
        };
        let plain = Array2::from_shape_fn((groups * rows, runs * columns), |(i, k)| {
            let (g, r, run, column) = (i / rows, i % rows, k / columns, k % columns);
            data[g * strides.0 + r * strides.1 + run * strides.2 + column * strides.3]
        });
        let b = random(runs * columns, n, 1);
        let truth = exact(&plain.view(), &b.view());
        for path in Path::available() {
            let mut c = vec![2.0f32; groups * rows * n];
            let into = if add { Into::Add } else { Into::Replace };
            let bias = (n % 2 == 0 && !add).then(|| vec![0.5; n]);
            let into_c = ViewMut::rows(&mut c, groups * rows, n, n);
            multiply_grid(path, Kind::Broadcast, Frame { bias: bias.as_deref(), ..into.into() }, into_c, (&a, &view(&b).into()), NOTHING);
            for (value, truth) in c.iter().zip(&truth) {
                let start = if add { 2.0 } else { 0.0 } + if bias.is_some() { 0.5 } else { 0.0 };
                let error = (f64::from(*value) - truth - start).abs();
                prop_assert!(error < 1e-4, "{path:?}");
            }
        }
    }

    /// More rows of B than are gone through at once.
    #[test]
    fn deep_products_agree_on_every_path(m in 1usize..12, k in 1000usize..2200, n in 1usize..70, add: bool) {
        let (a, b) = (random(m, k, 0), random(k, n, 1));
        let truth = exact(&a.view(), &b.view());
        for path in Path::available() {
            let mut c = vec![2.0f32; m * n];
            let into = if add { Into::Add } else { Into::Replace };
            let bias = (!add && n % 2 == 0).then(|| vec![2.0; n]);
            let views = (&view(&a).into(), &view(&b).into());
            multiply_grid(path, Kind::Broadcast, Frame { bias: bias.as_deref(), ..into.into() }, ViewMut::rows(&mut c, m, n, n), views, NOTHING);
            let start = if add || bias.is_some() { 2.0 } else { 0.0 };
            for (value, truth) in c.iter().zip(&truth) {
                prop_assert!((f64::from(*value) - truth - start).abs() < 1e-3, "{path:?}");
            }
        }
    }

    /// A matrix in panels, which a few rows of zeros may spare steps: what it is row by row, in pieces of rows too.
    #[test]
    fn panels_are_one_matrix(
        m in 1usize..40, cut in 0usize..40, k in 1usize..120, is_deep: bool, n in 1usize..200, width in 1usize..100,
        may_hold_zeros: bool, add: bool,
    ) {
        let (cut, k) = (cut.min(m), if is_deep { DEPTH + k } else { k });
        let a = random(m, k, 0).mapv(|value| if may_hold_zeros { value.max(0.0) } else { value });
        let b = random(k, n, 1);
        let panels = (0..n).step_by(width).map(|first| b.slice(s![.., first..(first + width).min(n)]));
        let panels: Vec<f32> = panels.flat_map(|panel| panel.iter().copied().collect::<Vec<_>>()).collect();
        let panels = Panelled::new(&panels, k, n, width);
        let truth = exact(&a.view(), &b.view());
        let bias = (!add && n % 2 == 0).then(|| vec![2.0; n]);
        let (into, start) = if add { (Into::Add, 2.0) } else { (Into::Replace, bias.as_ref().map_or(0.0, |_| 2.0)) };
        let data = a.as_slice().expect("standard layout");
        for path in Path::available() {
            let product = |rows: std::ops::Range<usize>, c: &mut [f32]| {
                let c = ViewMut::rows(c, rows.len(), n, n + 3);
                let a = View::rows(&data[rows.start * k..rows.end * k], rows.len(), k, k);
                let a = Grid { may_hold_zeros, ..a.into() };
                multiply_grid(path, Kind::Broadcast, Frame { bias: bias.as_deref(), ..into.into() }, c, (&a, &panels), NOTHING);
            };
            let (mut whole, mut pieces, mut last) = (vec![2.0; m * (n + 3)], vec![2.0; m * (n + 3)], vec![2.0; n + 3]);
            product(0..m, &mut whole);
            let (first, second) = pieces.split_at_mut(cut * (n + 3));
            product(0..cut, first);
            product(cut..m, second);
            product(m - 1..m, &mut last);
            prop_assert_eq!(&whole, &pieces, "{:?}", path);
            prop_assert_eq!(&whole[(m - 1) * (n + 3)..], &last, "{:?}", path);
            for (i, row) in whole.chunks_exact(n + 3).enumerate() {
                for (j, value) in row[..n].iter().enumerate() {
                    prop_assert!((f64::from(*value) - truth[[i, j]] - start).abs() < 1e-3, "{path:?}");
                }
                prop_assert_eq!(&row[n..], &[2.0; 3], "beside the result");
            }
            // What it may end with.
            let gate = random(m, n + 3, 2);
            let gate = gate.as_slice().expect("standard layout");
            for (end, gate) in [(End::Rectify, &whole[..]), (End::WherePositive(View::rows(gate, m, n, n + 3)), gate)] {
                let mut ended = vec![2.0; m * (n + 3)];
                let (c, a) = (ViewMut::rows(&mut ended, m, n, n + 3), Grid { may_hold_zeros, ..view(&a).into() });
                let frame = Frame { bias: bias.as_deref(), end, into };
                multiply_grid(path, Kind::Broadcast, frame, c, (&a, &panels), NOTHING);
                let is_positive = |i: usize| i % (n + 3) >= n || gate[i] > 0.0;
                let left = |i: usize| if is_positive(i) { whole[i] } else { 0.0 };
                prop_assert_eq!(ended, (0..m * (n + 3)).map(left).collect::<Vec<_>>(), "{:?}", path);
            }
        }
    }

    /// Products of one size, in one call: each as if it were alone.
    #[test]
    fn products_of_one_size_are_independent(
        count in 1usize..5, m in 1usize..40, k in 0usize..40, n in 1usize..70, between in (0usize..3, 0usize..3, 0usize..3),
    ) {
        let apart = [m * k + between.0, k * n + between.1, m * n + between.2];
        let (a, b) = (random(1, count * apart[0] + 1, 0), random(1, count * apart[1] + 1, 1));
        let (a, b) = (a.as_slice().expect("standard layout"), b.as_slice().expect("standard layout"));
        for path in Path::available() {
            let (mut together, mut alone) = (vec![2.0; count * apart[2]], vec![2.0; count * apart[2]]);
            let into = Each { values: &mut together[..], apart: apart[2] };
            let [of_a, of_b] = [(a, apart[0]), (b, apart[1])].map(|(values, apart)| Each { values, apart });
            multiply_each(path, count, [m, k, n], into, of_a, of_b);
            for i in 0..count {
                let (a, b) = (View::rows(&a[i * apart[0]..], m, k, k), View::rows(&b[i * apart[1]..], k, n, n));
                multiply(path, Into::Replace, ViewMut::rows(&mut alone[i * apart[2]..], m, n, n), a, b);
            }
            prop_assert_eq!(together, alone, "{:?}", path);
        }
    }

    /// Shards of a batch, each with its rows of x and dy: in one product, or one after the other.
    #[test]
    fn runs_apart_are_one_product(
        shards in 1usize..5, k in 1usize..20, m in 1usize..90, n in 1usize..70, apart in 0usize..9, add: bool,
    ) {
        let (x_stride, y_stride) = (k * m + apart, k * n + apart);
        let (x, y) = (random(1, shards * x_stride, 0), random(1, shards * y_stride, 1));
        let (x, y) = (x.as_slice().expect("standard layout"), y.as_slice().expect("standard layout"));
        let (runs, columns) = (Axis::new(shards, x_stride), Axis::new(k, m));
        let a = Grid { data: x, groups: Axis::ONE, rows: Axis::new(m, 1), runs, columns, may_hold_zeros: false };
        let groups = Axis::new(shards, y_stride);
        let b = Grid { data: y, groups, rows: Axis::new(k, n), runs: Axis::ONE, columns: Axis::new(n, 1), may_hold_zeros: false };
        for path in Path::available() {
            let (mut whole, mut steps) = (vec![2.0; m * n], vec![2.0; m * n]);
            let begin = if add { Into::Add } else { Into::Replace };
            // What is asked for ahead of time changes nothing.
            let soon = if apart % 2 == 0 { [x, y, &x[..1]] } else { NOTHING };
            multiply_grid(path, Kind::Broadcast, begin.into(), ViewMut::rows(&mut whole, m, n, n), (&a, &b.into()), soon);
            for shard in 0..shards {
                let (x, y) = (&x[shard * x_stride..], &y[shard * y_stride..]);
                let into = if shard == 0 { begin } else { Into::Add };
                let (x, y) = (View::rows(x, k, m, m).transposed(), View::rows(y, k, n, n));
                multiply(path, into, ViewMut::rows(&mut steps, m, n, n), x, y);
            }
            // The last few columns of a single row have sums in lanes, added up once in the whole and once a step.
            prop_assert!(m == 1 || whole == steps, "{path:?}");
            prop_assert!(whole.iter().zip(&steps).all(|(a, b)| (a - b).abs() < 1e-4), "{path:?}");
        }
    }

    /// Whole or in pieces of rows, with zeros among the values as a ReLU leaves them: the same bits.
    #[test]
    fn cutting_the_rows_changes_no_bit(
        m in 1usize..30, cut in 0usize..30, k in 1usize..300, n in 1usize..150, transposed: bool, zeros: bool,
        add: bool, scale in scale(),
    ) {
        let cut = cut.min(m);
        let a = random(m, k, 0).mapv(|value| scale * if zeros { value.max(0.0) } else { value });
        let b = scale * if transposed { random(n, k, 1) } else { random(k, n, 1) };
        let vb = if transposed { view(&b).transposed() } else { view(&b) };
        let data = a.as_slice().expect("standard layout");
        let into = if add { Into::Add } else { Into::Replace };
        for path in Path::available() {
            let (mut whole, mut pieces) = (vec![-0.0; m * n], vec![-0.0; m * n]);
            multiply(path, into, ViewMut::rows(&mut whole, m, n, n), View::rows(data, m, k, k), vb);
            let (first, second) = pieces.split_at_mut(cut * n);
            multiply(path, into, ViewMut::rows(first, cut, n, n), View::rows(&data[..cut * k], cut, k, k), vb);
            let second = ViewMut::rows(second, m - cut, n, n);
            multiply(path, into, second, View::rows(&data[cut * k..], m - cut, k, k), vb);
            prop_assert_eq!(bits(&whole), bits(&pieces), "{:?}", path);
            let mut last = vec![-0.0; n];
            let row = View::rows(&data[(m - 1) * k..], 1, k, k);
            multiply(path, into, ViewMut::rows(&mut last, 1, n, n), row, vb);
            prop_assert_eq!(bits(&whole[(m - 1) * n..]), bits(&last), "{:?}", path);
        }
    }

    /// Products that leave steps out, for whole rows of zeros and columns of them, and −0 here and there: what the sums over
    /// all steps give, in pieces of rows too, and a row for itself.
    #[test]
    fn skipping_zeros_changes_no_bit(
        m in 1usize..150, cut in 0usize..150, k in 1usize..300, n in 1usize..140, runs in 1usize..4, seed: u64,
        upright: bool, density in 0u32..11, add: bool, scale in scale(),
    ) {
        let (cut, runs) = (cut.min(m), if upright { runs } else { 1 });
        let steps = runs * k;
        let mut rng = Rng::new(seed, Purpose::GradientCheck, 2, 0);
        let mut odds = |size: usize| (0..size).map(|_| rng.bits() % 10 < density).collect::<Vec<_>>();
        let (columns, blocks) = (odds(steps), odds(m.div_ceil(7) * steps.div_ceil(9)));
        let is_kept = |i: usize, s: usize| columns[s] && blocks[i / 7 * steps.div_ceil(9) + s / 9];
        let values = scale * random(m, steps, 0);
        let value = |i: usize, s: usize| if is_kept(i, s) { values[[i, s]] } else { [0.0, -0.0][(i + s) % 2] };
        let data: Vec<f32> = match upright {
            true => (0..steps * m).map(|at| value(at % m, at / m)).collect(),
            false => (0..m * steps).map(|at| value(at / steps, at % steps)).collect(),
        };
        let b = scale * random(steps, n, 1);
        let grid = |first: usize, rows: usize| Grid {
            data: &data[(if upright { first } else { first * steps }).min(data.len())..],
            groups: Axis::ONE,
            rows: Axis::new(rows, if upright { 1 } else { steps }),
            runs: Axis::new(runs, k * m),
            columns: Axis::new(k, if upright { m } else { 1 }),
            may_hold_zeros: true,
        };
        let into = if add { Into::Add } else { Into::Replace };
        let start = if add { -0.0 } else { 0.0 };
        let element = |j: usize| order::Element { j, n, a_lies_by_rows: !upright || m == 1, runs, may_hold_zeros: true };
        for path in Path::available() {
            let product = |first: usize, rows: usize, c: &mut [f32]| {
                let c = ViewMut::rows(c, rows, n, n);
                multiply_grid(path, Kind::Broadcast, into.into(), c, (&grid(first, rows), &view(&b).into()), NOTHING);
            };
            let (mut whole, mut pieces, mut last) = (vec![start; m * n], vec![start; m * n], vec![start; n]);
            product(0, m, &mut whole);
            let (first, second) = pieces.split_at_mut(cut * n);
            product(0, cut, first);
            product(cut, m - cut, second);
            product(m - 1, 1, &mut last);
            prop_assert_eq!(bits(&whole), bits(&pieces), "{:?}", path);
            prop_assert_eq!(bits(&whole[(m - 1) * n..]), bits(&last), "{:?}", path);
            let mut factors = vec![(0.0, 0.0); steps];
            for (at, &sum) in whole.iter().enumerate() {
                let (i, j) = (at / n, at % n);
                for (s, factors) in factors.iter_mut().enumerate() {
                    *factors = (value(i, s), b[[s, j]]);
                }
                let expected = order::sum(path, element(j), start, &factors);
                prop_assert_eq!((sum.to_bits(), i, j), (expected.to_bits(), i, j), "{:?}", path);
                let truth: f64 = factors.iter().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                prop_assert!((f64::from(sum) - truth).abs() < 1e-3, "{path:?}");
            }
        }
    }

    /// The same where A lies column by column.
    #[test]
    fn cutting_upright_rows_changes_no_bit(m in 1usize..150, cut in 0usize..150, k in 1usize..40, n in 1usize..70) {
        let cut = cut.min(m);
        let (a, b) = (random(k, m, 0), random(k, n, 1));
        let data = a.as_slice().expect("standard layout");
        let rows = |first: usize, count: usize| View::rows(&data[first.min(data.len())..], k, count, m).transposed();
        for path in Path::available() {
            let (mut whole, mut pieces) = (vec![0.0; m * n], vec![0.0; m * n]);
            multiply(path, Into::Replace, ViewMut::rows(&mut whole, m, n, n), rows(0, m), view(&b));
            let (first, second) = pieces.split_at_mut(cut * n);
            multiply(path, Into::Replace, ViewMut::rows(first, cut, n, n), rows(0, cut), view(&b));
            multiply(path, Into::Replace, ViewMut::rows(second, m - cut, n, n), rows(cut, m - cut), view(&b));
            prop_assert_eq!(whole, pieces);
        }
    }
}

#[test]
#[should_panic(expected = "results, side by side")]
fn products_that_overlap_are_refused() {
    let (factors, mut results) = ([0.0; 12], [0.0; 12]);
    let [a, b] = [Each { values: &factors[..], apart: 4 }, Each { values: &factors[..], apart: 4 }];
    matmul_each(3, [2, 2, 2], Each { values: &mut results, apart: 3 }, a, b);
}

#[test]
#[should_panic(expected = "3 factors")]
fn factors_that_are_not_there_are_refused() {
    let (factors, mut results) = ([0.0; 11], [0.0; 12]);
    let [a, b] = [Each { values: &factors[..], apart: 4 }, Each { values: &factors[..], apart: 2 }];
    matmul_each(3, [2, 2, 2], Each { values: &mut results, apart: 4 }, a, b);
}

#[test]
#[should_panic(expected = "A's runs and B's groups differ")]
fn groups_that_do_not_match_are_refused() {
    let (two, one) = (Axis::new(2, 1), Axis::new(1, 1));
    let a = Grid {
        data: &[0.0; 4],
        groups: Axis::ONE,
        rows: one,
        runs: Axis::ONE,
        columns: Axis::new(4, 1),
        may_hold_zeros: false,
    };
    let b = Grid {
        data: &[0.0; 4],
        groups: Axis::new(2, 2),
        rows: two,
        runs: Axis::ONE,
        columns: one,
        may_hold_zeros: false,
    };
    grid_matmul(Into::Replace, &mut [0.0; 4], a, b, NOTHING);
}

#[test]
#[should_panic(expected = "beyond its data")]
fn a_grid_beyond_its_data_is_refused() {
    let axis = Axis::new(2, 2);
    let a =
        Grid { data: &[0.0; 4], groups: axis, rows: axis, runs: Axis::ONE, columns: Axis::ONE, may_hold_zeros: false };
    grid_matmul(Into::Replace, &mut [0.0; 4], a, View::rows(&[1.0], 1, 1, 1), NOTHING);
}

#[test]
#[should_panic(expected = "beyond its data")]
fn some_rows_of_a_grid_beyond_its_data_are_refused() {
    let rows = Axis::new(4, 2);
    let b =
        Grid { data: &[0.0; 4], groups: Axis::ONE, rows, runs: Axis::ONE, columns: Axis::ONE, may_hold_zeros: false };
    let b = Panelled::from(b).of_rows(3..4);
    matmul_to(End::Plain, ViewMut::rows(&mut [0.0], 1, 1, 1), View::rows(&[1.0], 1, 1, 1), b);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Some columns of A times as many rows of a B in panels are the product of copies of them.
    #[test]
    fn parts_of_the_depth_are_products_of_their_own(
        (m, n, width) in (1usize..20, 1usize..140, 1usize..70), (k, first, last) in (1usize..1500, 0usize..1500, 0usize..1500),
    ) {
        let (first, last) = (first.min(last) % (k + 1), first.max(last) % (k + 1));
        let part = first.min(last)..first.max(last);
        let value = |i: usize| (i as f32 * 0.37).sin();
        let a: Vec<f32> = (0..m * k).map(value).collect();
        let b: Vec<f32> = (0..k * n).map(|i| value(i + 1)).collect();
        let mut of_part = Vec::new();
        for column in (0..n).step_by(width) {
            let w = width.min(n - column);
            of_part.extend_from_slice(&b[column * k + part.start * w..column * k + part.end * w]);
        }
        let copy: Vec<f32> = a.chunks_exact(k).flat_map(|row| row[part.clone()].to_vec()).collect();
        let (mut found, mut wanted) = (vec![f32::NAN; m * n], vec![f32::NAN; m * n]);
        let a = View::rows(&a, m, k, k).of_columns(part.clone());
        let b = Panelled::new(&b, k, n, width).of_rows(part.clone());
        matmul_to(End::Plain, ViewMut::rows(&mut found, m, n, n), a, b);
        let (a, b) = (View::rows(&copy, m, part.len(), part.len()), Panelled::new(&of_part, part.len(), n, width));
        matmul_to(End::Plain, ViewMut::rows(&mut wanted, m, n, n), a, b);
        prop_assert!(found == wanted, "{part:?} of {k}");
    }
}

#[test]
fn what_is_not_a_number_stays_when_rectified() {
    for path in Path::available() {
        for n in [1, 3, 7, 16, 21] {
            let mut c = vec![0.0; 2 * n];
            let b = vec![1.0; n];
            let views = (&View::rows(&[f32::NAN, -1.0], 2, 1, 1).into(), &View::rows(&b, 1, n, n).into());
            let frame = Frame { end: End::Rectify, ..Into::Replace.into() };
            multiply_grid(path, Kind::Broadcast, frame, ViewMut::rows(&mut c, 2, n, n), views, NOTHING);
            assert!(c[..n].iter().all(|value| value.is_nan()) && c[n..].iter().all(|value| *value == 0.0), "{path:?}");
        }
    }
}
