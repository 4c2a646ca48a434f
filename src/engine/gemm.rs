//! The matrix product `C = A·B` or `C += A·B` on strided views, by the `gemm` crate on the calling thread.
//!
//! One call is never cut over threads: the callers cut the work by the data, so the thread count cannot change a bit.
#![expect(unsafe_code, reason = "the product works on raw strided matrices; every view is checked against its slice")]

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
/// If the sizes do not match.
pub fn matmul(into: Into, c: &mut [f32], c_stride: usize, a: View<'_>, b: View<'_>) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert_eq!(k, b.rows, "inner sizes differ");
    assert!(fits(c.len(), m, n, c_stride), "a {m}×{n} product into {} values", c.len());
    // SAFETY: `View::rows` and `fits` have checked that every element of A, B and C lies in its slice (a transposed
    // view reaches the same elements); `c` is borrowed mutably, so it overlaps neither A nor B.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            c_stride as isize,
            into == Into::Add,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
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
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_ndarray(m in 1usize..40, k in 0usize..70, n in 1usize..40, pad in 0usize..5, ta: bool, tb: bool, add: bool) {
            let a = if ta { random(k, m, 0) } else { random(m, k, 0) };
            let b = if tb { random(n, k, 1) } else { random(k, n, 1) };
            let stride = n + pad;
            let mut c = vec![2.0f32; m * stride];
            let (va, vb) = (view(&a), view(&b));
            matmul(
                if add { Into::Add } else { Into::Replace },
                &mut c, stride,
                if ta { va.transposed() } else { va },
                if tb { vb.transposed() } else { vb },
            );
            let truth = exact(&if ta { a.t() } else { a.view() }, &if tb { b.t() } else { b.view() });
            for i in 0..m {
                for j in 0..n {
                    let expected = truth[[i, j]] + if add { 2.0 } else { 0.0 };
                    prop_assert!((f64::from(c[i * stride + j]) - expected).abs() < 1e-4);
                }
                prop_assert!(c[i * stride + n..(i + 1) * stride].iter().all(|v| *v == 2.0), "wrote beside the result");
            }
        }
    }
}
