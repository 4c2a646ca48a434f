//! The loops of the commonest pool: windows of 2×2 that tile the image. A pair of its rows makes one row of the result,
//! so the rows of any number of samples are gone through as if they were one image.

use crate::processor::{Task, block, block_mut, blocks};

/// Sizes of a row of the result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) width: usize,
    pub(super) channels: usize,
}

impl Row {
    /// Its values.
    fn len(self) -> usize {
        self.width * self.channels
    }
}

/// `W` channels of the pixels of a window: above left and right, below left and right.
#[inline(always)]
fn window<const W: usize>(above: &[f32], below: &[f32], channels: usize, c: usize) -> [[f32; W]; 4] {
    [*block(above, c), *block(above, channels + c), *block(below, c), *block(below, channels + c)]
}

/// The larger ones; what is not a number stays, since it must reach the loss.
#[inline(always)]
fn larger<const W: usize>(a: [f32; W], b: [f32; W]) -> [f32; W] {
    let mut larger = b;
    for lane in 0..W {
        larger[lane] = if a[lane] > b[lane] || a[lane].is_nan() { a[lane] } else { b[lane] };
    }
    larger
}

/// The way forward, with a ReLU before it if it is `RECTIFIED`.
pub(super) struct Forward<'a, const RECTIFIED: bool> {
    pub(super) row: Row,
    pub(super) x: &'a [f32],
    pub(super) y: &'a mut [f32],
}

impl<const RECTIFIED: bool> Task for Forward<'_, RECTIFIED> {
    #[inline(always)]
    fn run(self) {
        let Self { row, x, y } = self;
        let channels = row.channels;
        for (x, y) in x.chunks_exact(4 * row.len()).zip(y.chunks_exact_mut(row.len())) {
            let (above, below) = x.split_at(2 * row.len());
            blocks!(overlapping channels, |c, W| {
                let pixels = above.chunks_exact(2 * channels).zip(below.chunks_exact(2 * channels));
                for ((above, below), y) in pixels.zip(y.chunks_exact_mut(channels)) {
                    let [p, q, r, s] = window::<W>(above, below, channels, c);
                    let mut largest = larger(larger(p, q), larger(r, s));
                    if RECTIFIED {
                        largest = larger(largest, [0.0; W]);
                    }
                    *block_mut(y, c) = largest;
                }
            });
        }
    }
}

/// And back.
pub(super) struct Backprop<'a, const RECTIFIED: bool> {
    pub(super) row: Row,
    pub(super) x: &'a [f32],
    pub(super) y: &'a [f32],
    pub(super) dy: &'a [f32],
    pub(super) dx: &'a mut [f32],
}

impl<const RECTIFIED: bool> Task for Backprop<'_, RECTIFIED> {
    #[inline(always)]
    fn run(self) {
        let Self { row, x, y, dy, dx } = self;
        let channels = row.channels;
        let rows = x.chunks_exact(4 * row.len()).zip(dx.chunks_exact_mut(4 * row.len()));
        for ((x, dx), (y, dy)) in rows.zip(y.chunks_exact(row.len()).zip(dy.chunks_exact(row.len()))) {
            let ((above, below), (dx_above, dx_below)) = (x.split_at(2 * row.len()), dx.split_at_mut(2 * row.len()));
            blocks!(overlapping channels, |c, W| {
                let pixels = above.chunks_exact(2 * channels).zip(below.chunks_exact(2 * channels));
                let results = dx_above.chunks_exact_mut(2 * channels).zip(dx_below.chunks_exact_mut(2 * channels));
                let gradients = y.chunks_exact(channels).zip(dy.chunks_exact(channels));
                for (((above, below), (dx_above, dx_below)), (y, dy)) in pixels.zip(results).zip(gradients) {
                    let [p, q, r, s] = window::<W>(above, below, channels, c);
                    let (y, mut rest) = (*block::<W>(y, c), *block::<W>(dy, c));
                    if RECTIFIED {
                        // A product, which the compiler does not make a jump of.
                        for lane in 0..W {
                            rest[lane] *= if y[lane] > 0.0 { 1.0 } else { 0.0 };
                        }
                    }
                    *block_mut(dx_above, c) = take(p, y, &mut rest);
                    *block_mut(dx_above, channels + c) = take(q, y, &mut rest);
                    *block_mut(dx_below, c) = take(r, y, &mut rest);
                    *block_mut(dx_below, channels + c) = take(s, y, &mut rest);
                }
            });
        }
    }
}

/// Takes, from the gradients that are left, those of the pixel's values that are the largest.
#[inline(always)]
fn take<const W: usize>(x: [f32; W], y: [f32; W], rest: &mut [f32; W]) -> [f32; W] {
    let mut taken = [0.0; W];
    for lane in 0..W {
        taken[lane] = if x[lane] == y[lane] { rest[lane] } else { 0.0 };
    }
    for lane in 0..W {
        rest[lane] = if x[lane] == y[lane] { 0.0 } else { rest[lane] };
    }
    taken
}
