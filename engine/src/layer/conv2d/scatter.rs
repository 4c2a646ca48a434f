//! The gradients of a convolution, from the values of `dy` that are not zero alone.
//!
//! Each value `dy[n, f, i, j]` adds a multiple of filter `f` to a window of `dx̄`, and a multiple of a window of `x̄` to the
//! gradient of filter `f`. Listed one by one, zeros cost nothing: below a ReLU half of the values are, below a pool more.
//! And with a stride `dx` takes no zeros in between, which the product with a stretched `dy` does.
//!
//! The rows of a window, `KW·C` values, are filled up to whole [slots](SLOT): in the prepared filters and in their gradient
//! with zeros; in an image, what follows is looked at, but never changed or counted.

use super::super::window::Window;
use crate::batch::Partials;
use crate::gemm::sparse::{AddMultiples, Places, Rows, SLOT};
use crate::gemm::transpose;

/// How the windows of a convolution lie.
#[derive(Debug)]
pub(super) struct Scatter {
    window: Window,
    filters: usize,
    rows: Rows,
    /// Where the windows of the padded image begin, one a pixel of the output.
    pixels: Places,
    /// Where the filters begin, `[F, KH, slots]`.
    of_filters: Places,
}

/// Values of a memory, cut into parts that begin at whole slots.
fn parts<const N: usize>(mut memory: &mut [f32], lens: [usize; N]) -> [&mut [f32]; N] {
    lens.map(|len| {
        let (part, rest) = std::mem::take(&mut memory).split_at_mut(len.next_multiple_of(SLOT));
        memory = rest;
        &mut part[..len]
    })
}

impl Scatter {
    /// `None` where a size overflows.
    pub(super) fn new(window: Window, filters: usize) -> Option<Self> {
        let ([channels, ..], [kh, kw], [oh, ow]) = (window.image, window.kernel, window.output);
        let rows = Rows { count: kh, slots: kw.checked_mul(channels)?.div_ceil(SLOT) };
        let of_filter = kh.checked_mul(rows.slots)?.checked_mul(SLOT)?;
        of_filter.checked_mul(filters)?;
        let [_, width] = window.padded();
        let place = |pixel: usize| {
            let (i, j) = (pixel / ow, pixel % ow);
            (i * window.stride[0] * width + j * window.stride[1]) * channels
        };
        Some(Self {
            window,
            filters,
            rows,
            pixels: Places::new((0..oh.checked_mul(ow)?).map(place))?,
            of_filters: Places::new((0..filters).map(|filter| filter * of_filter))?,
        })
    }

    /// The share of a slot's values that count.
    pub(super) fn share(&self) -> f64 {
        (self.window.kernel[1] * self.window.image[0]) as f64 / (self.rows.slots * SLOT) as f64
    }

    /// Values of the filters, `[F, KH, slots]`.
    pub(super) fn weights(&self) -> usize {
        self.filters * self.of_filter()
    }

    fn of_filter(&self) -> usize {
        self.rows.count * self.rows.slots * SLOT
    }

    fn outputs(&self) -> usize {
        self.window.output.iter().product()
    }

    /// Distance of the rows of a padded image.
    fn pitch(&self) -> usize {
        self.window.padded()[1] * self.window.image[0]
    }

    /// Values of a padded image, with what is looked at beyond it.
    fn padded(&self) -> usize {
        self.window.padded()[0] * self.pitch() + SLOT
    }

    /// Scratch memory; `None` where it overflows.
    pub(super) fn scratch(&self) -> Option<usize> {
        let values = self.outputs().checked_mul(self.filters)?;
        let lists = self.of_filters.memory(self.outputs())?.max(self.pixels.memory(self.filters)?);
        let [height, width] = self.window.padded();
        let padded = height.checked_mul(width)?.checked_mul(self.window.image[0])?;
        padded.checked_add(values)?.checked_add(lists)?.checked_add(4 * SLOT)
    }

    /// From `W` `[KH, KW, C, F]` the filters one by one, `[F, KH, slots]`; what is beyond a row is left as it is.
    pub(super) fn prepare(&self, w: &[f32], prepared: &mut [f32]) {
        let (row, slots) = (self.window.kernel[1] * self.window.image[0], self.rows.slots * SLOT);
        if row == slots {
            return transpose(w, self.filters, prepared);
        }
        for (f, filter) in prepared.chunks_exact_mut(self.of_filter()).enumerate() {
            for (u, to) in filter.chunks_exact_mut(slots).enumerate() {
                let from = w[u * row * self.filters + f..].iter().step_by(self.filters);
                for (to, from) in to[..row].iter_mut().zip(from) {
                    *to = *from;
                }
            }
        }
    }

    /// `dx` of a sample.
    pub(super) fn backward(&self, prepared: &[f32], scratch: &mut [f32], dy: &[f32], dx: &mut [f32]) {
        let lists_len = scratch.len() - self.padded().next_multiple_of(SLOT);
        let [padded, lists] = parts(scratch, [self.padded(), lists_len / SLOT * SLOT]);
        padded.fill(0.0);
        let lists = self.of_filters.lists(dy, lists);
        AddMultiples {
            rows: self.rows,
            lists,
            from: prepared,
            from_pitch: self.rows.slots * SLOT,
            into: padded,
            into_pitch: self.pitch(),
            targets: &self.pixels,
        }
        .run();
        self.window.cut_out(padded, dx);
    }

    /// Adds the gradient of a sample's filters to `dw` `[F, KH, slots]`.
    pub(super) fn accumulate(&self, scratch: &mut [f32], x: &[f32], dy: &[f32], dw: &mut [f32]) {
        let lens = [self.padded(), dy.len()];
        let taken: usize = lens.iter().map(|len| len.next_multiple_of(SLOT)).sum();
        let lists_len = (scratch.len() - taken) / SLOT * SLOT;
        let [padded, turned, lists] = parts(scratch, [lens[0], lens[1], lists_len]);
        self.window.pad(x, padded);
        transpose(dy, self.filters, turned);
        AddMultiples {
            rows: self.rows,
            lists: self.pixels.lists(turned, lists),
            from: padded,
            from_pitch: self.pitch(),
            into: dw,
            into_pitch: self.rows.slots * SLOT,
            targets: &self.of_filters,
        }
        .run();
    }

    /// Writes the sum of partial gradients for rows `first..` of `W` `[KH·KW·C, F]`.
    pub(super) fn sum(&self, partials: Partials<'_>, first: usize, sum: &mut [f32]) {
        /// Rows that are summed at once: of a filter they lie side by side.
        const SIDE: usize = 128;
        let (row, slots) = (self.window.kernel[1] * self.window.image[0], self.rows.slots * SLOT);
        let rows = sum.len() / self.filters;
        let mut done = 0;
        while done < rows {
            let (u, at) = ((first + done) / row, (first + done) % row);
            let some = SIDE.min(row - at).min(rows - done);
            let sum = &mut sum[done * self.filters..][..some * self.filters];
            for filter in 0..self.filters {
                let place = filter * self.of_filter() + u * slots + at;
                let mut total = [0.0; SIDE];
                partials.sum(place, &mut total[..some]);
                for (to, total) in sum[filter..].iter_mut().step_by(self.filters).zip(total) {
                    *to = total;
                }
            }
            done += some;
        }
    }
}
