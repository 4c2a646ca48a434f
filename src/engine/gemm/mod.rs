//! The matrix product `C = A·B` or `C += A·B` on strided views, on the calling thread, without taking memory.
//!
//! One call is never cut over threads: the callers cut the work by the data, so the thread count cannot change a bit.
//! The shapes here are small and their factors lie well for one of two kernels (`kernel`), so nothing is packed;
//! `simd` says what differs between processors.
#![expect(unsafe_code, reason = "the product works on raw strided matrices; every view is checked against its slice")]

mod kernel;
mod simd;

use kernel::{Kind, Product};
use simd::Path;

/// A matrix laid over a slice: `rows × cols`, element `(i, j)` at `i * row_stride + j * col_stride`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> View<'a> {
    /// `data` as rows of `row_stride` values, of which the first `cols` are looked at.
    ///
    /// # Panics
    /// If `data` is too short.
    pub fn rows(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(fits(data.len(), rows, cols, row_stride), "a {rows}×{cols} view over {} values", data.len());
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transpose, without moving a value.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            data: self.data,
        }
    }
}

fn fits(len: usize, rows: usize, cols: usize, row_stride: usize) -> bool {
    rows == 0 || cols == 0 || (cols <= row_stride && (rows - 1) * row_stride + cols <= len)
}

/// What happens to the values that the result's place held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// They are replaced.
    Replace,
    /// The product is added to them.
    Add,
}

/// `C = A·B` or `C += A·B`, with `c` as rows of `b`'s columns, `c_stride` apart.
///
/// # Panics
/// If the sizes do not match, or both are transposes: Aᵀ·Bᵀ = (B·A)ᵀ, which no layer needs.
pub fn matmul(into: Into, c: &mut [f32], c_stride: usize, a: View<'_>, b: View<'_>) {
    multiply(Path::chosen(), into, c, c_stride, a, b);
}

fn multiply(path: Path, into: Into, c: &mut [f32], c_stride: usize, a: View<'_>, b: View<'_>) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert_eq!(k, b.rows, "inner sizes differ");
    assert!(fits(c.len(), m, n, c_stride), "a {m}×{n} product into {} values", c.len());
    let (kind, b_row) = match (b.col_stride, a.col_stride) {
        (1, _) => (Kind::Broadcast, b.row_stride),
        (stride, 1) => (Kind::Dot, stride),
        _ => panic!("one of the factors must lie row by row"),
    };
    let product = Product {
        a: a.data.as_ptr(),
        a_row: a.row_stride,
        a_col: a.col_stride,
        b: b.data.as_ptr(),
        b_row,
        c: c.as_mut_ptr(),
        c_row: c_stride,
        m,
        k,
        n,
        into,
    };
    // SAFETY: `View::rows` and `fits` have checked that every element of A, B and C lies in its slice (a transposed
    // view reaches the same elements); `c` is borrowed mutably, so it overlaps neither A nor B; the dot kernel is chosen
    // only where A's columns are contiguous; `Path` only gives out what the processor has.
    unsafe { kernel::run(path, kind, &product) }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, ArrayView2};
    use proptest::prelude::*;

    use super::*;
    use crate::engine::rng::{Purpose, Rng};

    fn random(rows: usize, cols: usize, stream: u64) -> Array2<f32> {
        let mut rng = Rng::new(1, Purpose::GradientCheck, stream, 0);
        Array2::from_shape_fn((rows, cols), |_| rng.normal() as f32)
    }

    fn view(a: &Array2<f32>) -> View<'_> {
        View::rows(a.as_slice().expect("standard layout"), a.nrows(), a.ncols(), a.ncols())
    }

    fn exact(a: &ArrayView2<'_, f32>, b: &ArrayView2<'_, f32>) -> Array2<f64> {
        a.mapv(f64::from).dot(&b.mapv(f64::from))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn agrees_with_ndarray_on_every_path(
            m in 1usize..40, k in 0usize..70, n in 1usize..140, pad in 0usize..5, transposed in 0..3, add: bool,
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
                multiply(path, into, &mut c, stride, va, vb);
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

        /// Whole or in pieces of rows: the same bits.
        #[test]
        fn cutting_the_rows_changes_no_bit(m in 1usize..30, cut in 0usize..30, n in 1usize..80, transposed: bool) {
            let (cut, k) = (cut.min(m), 37);
            let a = random(m, k, 0);
            let b = if transposed { random(n, k, 1) } else { random(k, n, 1) };
            let vb = if transposed { view(&b).transposed() } else { view(&b) };
            let data = a.as_slice().expect("standard layout");
            for path in Path::available() {
                let (mut whole, mut pieces) = (vec![0.0; m * n], vec![0.0; m * n]);
                multiply(path, Into::Replace, &mut whole, n, View::rows(data, m, k, k), vb);
                let (first, second) = pieces.split_at_mut(cut * n);
                multiply(path, Into::Replace, first, n, View::rows(&data[..cut * k], cut, k, k), vb);
                multiply(path, Into::Replace, second, n, View::rows(&data[cut * k..], m - cut, k, k), vb);
                prop_assert_eq!(whole, pieces);
            }
        }
    }
}
