//! The means of windows, of which the global average pooling is one: what the pools by average share.
//!
//! Channels are next to each other, so their values make the vectors.

use ndarray::{Array2, ArrayView2};

use super::window::Window;
use super::{Backward, Context, Layer, Reference};
use crate::form::Form;
use crate::processor::{Task, block, block_mut, blocks, wide};

/// Channels that are worked out at once. Of fewer than that, those of the next pixels are written too, which are
/// overwritten when their own turn comes: a few channels would make poor vectors.
const WIDE: usize = 16;

/// The means of windows.
#[derive(Debug)]
pub(super) struct Averages {
    window: Window,
    output: Form,
}

impl Averages {
    pub(super) fn new(window: Window) -> Self {
        let ([channels, ..], [height, width]) = (window.image, window.output);
        Self { window, output: Form::image([channels, height, width]) }
    }

    /// The same means under another shape.
    pub(super) fn with_output(self, output: Form) -> Self {
        Self { output, ..self }
    }

    /// The parts of the windows of each row of output pixels that lie within the image.
    #[inline(always)]
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let [channels, _, width] = self.window.image;
        (0..self.window.output[0]).map(move |i| {
            let rows = self.window.within(0, i);
            Row {
                window: &self.window,
                first: rows.start * width * channels,
                rows: rows.len(),
                output: i * self.window.output[1] * channels,
            }
        })
    }

    /// How the windows lie.
    fn tiling(&self) -> Tiling {
        let Window { image: [_, height, width], kernel, stride, output, .. } = self.window;
        let tiles = |axis: usize, side: usize| {
            output[axis] * kernel[axis] == side && (kernel[axis] == stride[axis] || output[axis] == 1)
        };
        let tiles = self.window.is_unpadded() && tiles(0, height) && tiles(1, width);
        match kernel {
            [2, 2] if tiles => Tiling::Pairs,
            _ if tiles => Tiling::Tiles,
            _ => Tiling::Loose,
        }
    }

    fn widths(&self) -> (usize, usize) {
        let ([c, h, w], [oh, ow]) = (self.window.image, self.window.output);
        (c * h * w, c * oh * ow)
    }
}

/// How the windows of a pool lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tiling {
    /// Every pixel is in one window of 2×2.
    Pairs,
    /// Every pixel is in one window.
    Tiles,
    /// Windows overlap, or leave pixels out.
    Loose,
}

/// A row of windows.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    window: &'a Window,
    /// Where the first of its rows begins.
    first: usize,
    rows: usize,
    /// Where the row of output pixels begins.
    output: usize,
}

impl Row<'_> {
    /// The windows from left to right; those of a pool that tiles, in `SIDE`, need no looking for.
    #[inline(always)]
    fn pixels<const SIDE: usize>(self) -> impl Iterator<Item = Pixels> {
        let [channels, _, width] = self.window.image;
        (0..self.window.output[1]).map(move |j| {
            let columns = if SIDE > 0 { j * SIDE..(j + 1) * SIDE } else { self.window.within(1, j) };
            Pixels {
                first: self.first + columns.start * channels,
                output: self.output + j * channels,
                rows: self.rows,
                columns: columns.len(),
                row: width * channels,
                channels,
            }
        })
    }
}

/// The pixels of a window, and the output pixel that is their mean.
#[derive(Debug, Clone, Copy)]
struct Pixels {
    /// Where the channels of the first pixel begin.
    first: usize,
    /// Where those of the output pixel do.
    output: usize,
    rows: usize,
    columns: usize,
    /// Distance of two rows.
    row: usize,
    channels: usize,
}

impl Pixels {
    /// Those of another sample.
    #[inline(always)]
    fn of_sample(self, input: usize, output: usize) -> Self {
        Self { first: self.first + input, output: self.output + output, ..self }
    }

    /// Where the channels of a pixel begin.
    #[inline(always)]
    fn at(self, row: usize, column: usize) -> usize {
        self.first + row * self.row + column * self.channels
    }

    /// Rows and columns, for a compiler that knows them where they are `SIDE`; 0 for any.
    #[inline(always)]
    fn sides<const SIDE: usize>(self) -> [usize; 2] {
        if SIDE > 0 { [SIDE; 2] } else { [self.rows, self.columns] }
    }

    /// The means of `W` channels from `c` on.
    #[inline(always)]
    fn average<const W: usize, const SIDE: usize>(self, c: usize, x: &[f32], y: &mut [f32]) {
        let [rows, columns] = self.sides::<SIDE>();
        let share = 1.0 / (rows * columns) as f32;
        let mut sum = [0.0; W];
        for row in 0..rows {
            for column in 0..columns {
                for (sum, x) in sum.iter_mut().zip(block::<W>(x, self.at(row, column) + c)) {
                    *sum += x;
                }
            }
        }
        *block_mut(y, self.output + c) = sum.map(|sum| share * sum);
    }

    /// The means of all channels where there is no room for more: of the last pixels.
    #[cold]
    #[inline(never)]
    fn average_exactly(self, x: &[f32], y: &mut [f32]) {
        for c in 0..self.channels {
            self.average::<1, 0>(c, x, y);
        }
    }

    /// Likewise of the gradients.
    #[cold]
    #[inline(never)]
    fn share_out_exactly(self, row: usize, dy: &[f32], dx: &mut [f32]) {
        for c in 0..self.channels {
            self.share_out::<1, 0, false>(row, c, dy, dx);
        }
    }

    /// Gives the pixels of row `row` their shares of the gradients of `W` channels from `c` on; `ADD` to what is there,
    /// where windows overlap.
    #[inline(always)]
    fn share_out<const W: usize, const SIDE: usize, const ADD: bool>(
        self,
        row: usize,
        c: usize,
        dy: &[f32],
        dx: &mut [f32],
    ) {
        let [rows, columns] = self.sides::<SIDE>();
        let share = 1.0 / (rows * columns) as f32;
        let part = block::<W>(dy, self.output + c).map(|dy| share * dy);
        for column in 0..columns {
            let dx = block_mut::<W>(dx, self.at(row, column) + c);
            let mut sum = if ADD { *dx } else { [0.0; W] };
            for (sum, part) in sum.iter_mut().zip(&part) {
                *sum += part;
            }
            *dx = sum;
        }
    }
}

/// The way of some samples forward.
struct Forward<'a> {
    pool: &'a Averages,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Forward<'_> {
    #[inline(always)]
    fn by_side<const SIDE: usize>(&mut self) {
        let channels = self.pool.window.image[0];
        if channels < WIDE {
            self.pass::<WIDE, SIDE>(0);
        } else {
            blocks!(overlapping channels, |c, W| self.pass::<W, SIDE>(c));
        }
    }

    /// `W` channels from `c` on of all output pixels, in their order.
    #[inline(always)]
    fn pass<const W: usize, const SIDE: usize>(&mut self, c: usize) {
        let Self { pool, x, y } = self;
        let (inputs, outputs) = pool.widths();
        for sample in 0..y.len() / outputs {
            for row in pool.rows() {
                for pixels in row.pixels::<SIDE>() {
                    let pixels = pixels.of_sample(sample * inputs, sample * outputs);
                    let [rows, columns] = pixels.sides::<SIDE>();
                    let last = pixels.at(rows - 1, columns - 1) + c;
                    if last + W <= x.len() && pixels.output + c + W <= y.len() {
                        pixels.average::<W, SIDE>(c, x, y);
                    } else {
                        pixels.average_exactly(x, y);
                    }
                }
            }
        }
    }
}

impl Task for Forward<'_> {
    #[inline(always)]
    fn run(mut self) {
        match self.pool.tiling() {
            Tiling::Pairs => self.by_side::<2>(),
            _ => self.by_side::<0>(),
        }
    }
}

/// And back.
struct Backprop<'a> {
    pool: &'a Averages,
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Backprop<'_> {
    #[inline(always)]
    fn by_side<const SIDE: usize>(&mut self) {
        let channels = self.pool.window.image[0];
        if channels < WIDE {
            self.pass::<WIDE, SIDE>(0);
        } else {
            blocks!(overlapping channels, |c, W| self.pass::<W, SIDE>(c));
        }
    }

    /// `W` channels from `c` on of all pixels, in their order; each is in one window.
    #[inline(always)]
    fn pass<const W: usize, const SIDE: usize>(&mut self, c: usize) {
        let Self { pool, dy, dx } = self;
        let (inputs, outputs) = pool.widths();
        for sample in 0..dy.len() / outputs {
            for windows in pool.rows() {
                for row in 0..windows.rows {
                    for pixels in windows.pixels::<SIDE>() {
                        let pixels = pixels.of_sample(sample * inputs, sample * outputs);
                        let [_, columns] = pixels.sides::<SIDE>();
                        let last = pixels.at(row, columns - 1) + c;
                        if last + W <= dx.len() && pixels.output + c + W <= dy.len() {
                            pixels.share_out::<W, SIDE, false>(row, c, dy, dx);
                        } else {
                            pixels.share_out_exactly(row, dy, dx);
                        }
                    }
                }
            }
        }
    }

    /// Where windows overlap, or leave pixels out.
    #[inline(always)]
    fn add(&mut self) {
        let Self { pool, dy, dx } = self;
        dx.fill(0.0);
        let (inputs, outputs) = pool.widths();
        for sample in 0..dy.len() / outputs {
            for pixels in pool.rows().flat_map(Row::pixels::<0>) {
                let pixels = pixels.of_sample(sample * inputs, sample * outputs);
                for row in 0..pixels.rows {
                    blocks!(pixels.channels, |c, W| pixels.share_out::<W, 0, true>(row, c, dy, dx));
                }
            }
        }
    }
}

impl Task for Backprop<'_> {
    #[inline(always)]
    fn run(mut self) {
        match self.pool.tiling() {
            Tiling::Pairs => self.by_side::<2>(),
            Tiling::Tiles => self.by_side::<0>(),
            Tiling::Loose => self.add(),
        }
    }
}

impl Layer for Averages {
    fn output(&self) -> &Form {
        &self.output
    }

    fn flops(&self) -> usize {
        self.widths().1.saturating_mul(self.window.kernel.iter().product())
    }

    fn forward(&self, _at: &Context<'_>, _scratch: &mut [f32], x: &[f32], y: &mut [f32]) {
        wide(Forward { pool: self, x, y });
    }

    fn backward(&self, _at: &Context<'_>, _scratch: &mut [f32], Backward { dy, dx, .. }: Backward<'_>) {
        wide(Backprop { pool: self, dy, dx });
    }

    fn reference(&self, _at: &Reference<'_>, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let channels = self.window.image[0];
        let mut y = Array2::zeros((x.nrows(), self.widths().1));
        for (x, mut y) in x.rows().into_iter().zip(y.rows_mut()) {
            for pixels in self.rows().flat_map(Row::pixels::<0>) {
                for (row, column) in (0..pixels.rows).flat_map(|row| (0..pixels.columns).map(move |c| (row, c))) {
                    for c in 0..channels {
                        y[pixels.output + c] += x[pixels.at(row, column) + c] / (pixels.rows * pixels.columns) as f64;
                    }
                }
            }
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::{Named, Padding, Pair};
    use super::*;
    use crate::processor::{Path, wide_on};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_path_agrees_with_the_plain_loops(
            channels in 1usize..40, sides in (3usize..8, 3usize..8), kernel in (1usize..4, 1usize..4),
            stride in prop::option::of(1usize..4), same: bool, n in 1usize..4,
        ) {
            let kernel = Pair::Rectangle(kernel.into());
            let padding = if same { Padding::Named(Named::Same) } else { Padding::Sizes(Pair::Square(0)) };
            let form = Form::image([channels, sides.0, sides.1]);
            let window = Window::new(&form, kernel, stride.map_or(kernel, Pair::Square), padding).expect("it fits");
            let pool = Averages::new(window);
            let (inputs, outputs) = pool.widths();
            let x: Vec<f32> = (0..n * inputs).map(|i| (i as f32 * 0.7).sin()).collect();
            let dy: Vec<f32> = (0..n * outputs).map(|i| (i as f32 * 0.3).cos()).collect();
            let (mut y_plain, mut dx_plain) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
            for sample in 0..n {
                for pixels in pool.rows().flat_map(Row::pixels::<0>) {
                    let pixels = pixels.of_sample(sample * inputs, sample * outputs);
                    let share = 1.0 / (pixels.rows * pixels.columns) as f64;
                    for (row, column) in (0..pixels.rows).flat_map(|row| (0..pixels.columns).map(move |c| (row, c))) {
                        for c in 0..channels {
                            let (input, output) = (pixels.at(row, column) + c, pixels.output + c);
                            y_plain[output] += share * f64::from(x[input]);
                            dx_plain[input] += share * f64::from(dy[output]);
                        }
                    }
                }
            }
            for path in Path::available() {
                let (mut y, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
                wide_on(path, Forward { pool: &pool, x: &x, y: &mut y });
                wide_on(path, Backprop { pool: &pool, dy: &dy, dx: &mut dx });
                for (found, plain) in y.iter().zip(&y_plain).chain(dx.iter().zip(&dx_plain)) {
                    prop_assert!((f64::from(*found) - plain).abs() < 1e-6, "{found} for {plain} on {}", path.name());
                }
            }
        }
    }
}
