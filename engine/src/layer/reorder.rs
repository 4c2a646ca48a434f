//! Turns an image that lies as `[C, H, W]` into one that lies as `[H, W, C]`, or back. No spec names it: the network puts
//! it where a layer needs it, which is at its two ends alone.

use ndarray::{Array2, ArrayView2};

use super::{Backward, Context, Layer, Reference};
use crate::form::Form;

/// A change of order.
#[derive(Debug)]
pub(crate) struct Reorder {
    output: Form,
    /// Sizes of the two axes that change places, as the input has them.
    from: [usize; 2],
}

impl Reorder {
    /// An image to the order in which layers on images want it.
    pub(crate) fn interleave(image: [usize; 3]) -> Self {
        Self { output: Form::image(image), from: [image[0], image[1] * image[2]] }
    }

    /// What lies interleaved, back to the order of its shape's axes.
    pub(crate) fn planar(input: &Form, image: [usize; 3]) -> Self {
        Self { output: Form::planar(input.shape().clone()), from: [image[1] * image[2], image[0]] }
    }
}

/// Writes the transposes of matrices `[rows, columns]`.
fn transpose<T: Copy>([rows, columns]: [usize; 2], from: &[T], to: &mut [T]) {
    for (from, to) in from.chunks_exact(rows * columns).zip(to.chunks_exact_mut(rows * columns)) {
        for (r, row) in from.chunks_exact(columns).enumerate() {
            for (c, value) in row.iter().enumerate() {
                to[c * rows + r] = *value;
            }
        }
    }
}

impl Layer for Reorder {
    fn output(&self) -> &Form {
        &self.output
    }

    fn flops(&self) -> usize {
        0
    }

    fn forward(&self, _at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        transpose(self.from, x, y);
    }

    fn backward(&self, _at: &Context<'_>, _scratch: &mut [f32], Backward { dy, dx, .. }: Backward<'_>) {
        transpose([self.from[1], self.from[0]], dy, dx);
    }

    fn reference(&self, _at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let mut y = Array2::zeros(x.dim());
        for (x, mut y) in x.rows().into_iter().zip(y.rows_mut()) {
            let mut row = vec![0.0; y.len()];
            transpose(self.from, &x.to_vec(), &mut row);
            y.assign(&ndarray::ArrayView1::from(&row));
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same() {
        let x: Vec<f32> = (0..24u8).map(f32::from).collect();
        let at = Context {
            parameters: &[],
            prepared: &[],
            transformed: &[],
            pass: super::super::Pass::Infer,
            layer: 0,
            first_row: 0,
            pieces: 1,
        };
        let there = Reorder::interleave([2, 3, 2]);
        let (mut y, mut back) = (vec![0.0; 24], vec![0.0; 24]);
        there.forward(&at, &mut [], &x, &mut y);
        assert_eq!(&y[..4], &[0.0, 6.0, 1.0, 7.0]);
        Reorder::planar(there.output(), [2, 3, 2]).forward(&at, &mut [], &y, &mut back);
        assert_eq!(back, x);
    }
}
