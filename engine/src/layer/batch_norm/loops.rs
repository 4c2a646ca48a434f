//! The loops of batch normalisation: over runs of pixels that stay in the nearest cache, and over blocks of channels.
//!
//! Sums are in f32 within a run, and in f64 over the runs: fast, and exact enough for any batch. A ReLU that comes after
//! the normalisation, if it is `RECTIFIED`, is worked out with it; its gradient passes where the output is positive,
//! which is cheaper to find out again from `x` than to read.

use crate::processor::{Task, block, block_mut, blocks};

/// Pixels of a run.
const RUN: usize = 64;
/// Pixels whose sums are worked out side by side: an addition need not wait for the one before.
const ABREAST: usize = 4;

/// `values` of some channels, as f32.
#[inline(always)]
fn narrowed<const W: usize>(value: impl Fn(usize) -> f64) -> [f32; W] {
    let mut narrow = [0.0; W];
    for (lane, narrow) in narrow.iter_mut().enumerate() {
        *narrow = value(lane) as f32;
    }
    narrow
}

/// Sums, lane by lane, of pixels that come [`ABREAST`].
#[inline(always)]
fn folded<const W: usize>(sums: [[f32; W]; ABREAST]) -> [f32; W] {
    let mut sum = [0.0; W];
    for (lane, sum) in sum.iter_mut().enumerate() {
        *sum = (sums[0][lane] + sums[1][lane]) + (sums[2][lane] + sums[3][lane]);
    }
    sum
}

/// Adds `x − center` to sums, or the squares.
#[inline(always)]
fn add_offs<const W: usize, const SQUARED: bool>(sum: &mut [f32; W], x: &[f32; W], center: &[f32; W]) {
    let (x, mut total) = (*x, *sum);
    for lane in 0..W {
        let off = x[lane] - center[lane];
        total[lane] += if SQUARED { off * off } else { off };
    }
    *sum = total;
}

/// Adds pixels to the mean of each channel and to the sum of its squared deviations.
pub(super) struct Measure<'a> {
    pub(super) channels: usize,
    pub(super) x: &'a [f32],
    /// Pixels that are in them already.
    pub(super) seen: usize,
    pub(super) means: &'a mut [f64],
    pub(super) deviations: &'a mut [f64],
}

impl Measure<'_> {
    /// Sums over a run of `x − center`, or of their squares, for the channels from `c` on.
    #[inline(always)]
    fn sums<const W: usize, const SQUARED: bool>(&self, run: &[f32], c: usize, center: &[f32; W]) -> [f32; W] {
        let mut sums = [[0.0f32; W]; ABREAST];
        let mut groups = run.chunks_exact(ABREAST * self.channels);
        for group in &mut groups {
            for (pixel, sum) in sums.iter_mut().enumerate() {
                add_offs::<W, SQUARED>(sum, block(group, pixel * self.channels + c), center);
            }
        }
        for pixel in groups.remainder().chunks_exact(self.channels) {
            add_offs::<W, SQUARED>(&mut sums[0], block(pixel, c), center);
        }
        folded(sums)
    }
}

impl Task for Measure<'_> {
    /// Run by run the mean, and the deviations from that; then as in [`combine`](super::Collective::combine).
    #[inline(always)]
    fn run(self) {
        let mut count = self.seen as f64;
        for run in self.x.chunks(RUN * self.channels) {
            let pixels = (run.len() / self.channels) as f64;
            let total = count + pixels;
            let (part, share, weight) = (1.0 / pixels, pixels / total, count * pixels / total);
            blocks!(self.channels, |c, W| {
                let sums = self.sums::<W, false>(run, c, &[0.0; W]);
                let center = narrowed::<W>(|lane| f64::from(sums[lane]) * part);
                let squares = self.sums::<W, true>(run, c, &center);
                let means = self.means[c..].first_chunk_mut::<W>().expect("a mean for each channel");
                let deviations = self.deviations[c..].first_chunk_mut::<W>().expect("as many deviations");
                for lane in 0..W {
                    let mean = f64::from(sums[lane]) * part;
                    // About the rounded mean; the rest is made good here.
                    let off = mean - f64::from(center[lane]);
                    let own = f64::from(squares[lane]) - pixels * off * off;
                    let distance = mean - means[lane];
                    means[lane] += distance * share;
                    deviations[lane] += own + distance * distance * weight;
                }
            });
            count = total;
        }
    }
}

/// `y = (x − mean) · scale + shift`, channel by channel, and the ReLU of it.
pub(super) struct Normalise<'a, const RECTIFIED: bool> {
    pub(super) affinity: Affinity<'a>,
    pub(super) x: &'a [f32],
    pub(super) y: &'a mut [f32],
}

/// What a channel's values are normalised by, and what they become then.
#[derive(Clone, Copy)]
pub(super) struct Affinity<'a> {
    pub(super) statistics: Statistics<'a>,
    pub(super) gamma: &'a [f32],
    pub(super) beta: &'a [f32],
}

/// Means and variances.
#[derive(Clone, Copy)]
pub(super) enum Statistics<'a> {
    /// Of a batch: means, and `1/√(σ² + ε)`.
    Batch([&'a [f64]; 2]),
    /// The running ones: means and variances, and ε.
    Running([&'a [f32]; 2], f64),
}

impl Statistics<'_> {
    /// Mean and `1/√(σ² + ε)` of the channels from `c` on.
    #[inline(always)]
    fn of<const W: usize>(self, c: usize) -> [[f64; W]; 2] {
        match self {
            Self::Batch(known) => known.map(|values| *values[c..].first_chunk().expect("a value for each channel")),
            Self::Running([means, variances], epsilon) => {
                let (mean, variance) = (block::<W>(means, c), block::<W>(variances, c));
                let mut of = [[0.0; W]; 2];
                for lane in 0..W {
                    of[0][lane] = f64::from(mean[lane]);
                    of[1][lane] = 1.0 / (f64::from(variance[lane]) + epsilon).sqrt();
                }
                of
            }
        }
    }
}

/// [`Affinity`] of a block of channels.
struct Table<const W: usize> {
    inverse: [f64; W],
    mean: [f32; W],
    /// `γ/√(σ² + ε)`.
    scale: [f32; W],
    shift: [f32; W],
}

impl<const W: usize> Table<W> {
    /// `x − mean`, and the part of `dy` that the ReLU lets pass, if there is one.
    #[inline(always)]
    fn off_and_passed<const RECTIFIED: bool>(&self, lane: usize, x: f32, dy: f32) -> [f32; 2] {
        let off = x - self.mean[lane];
        let passes = !RECTIFIED || off * self.scale[lane] + self.shift[lane] > 0.0;
        [off, if passes { dy } else { 0.0 }]
    }

    /// Adds `dy`, and `dy · (x − mean)`.
    #[inline(always)]
    fn add<const RECTIFIED: bool>(&self, [sum, product]: [&mut [f32; W]; 2], x: &[f32; W], dy: &[f32; W]) {
        for lane in 0..W {
            let [off, dy] = self.off_and_passed::<RECTIFIED>(lane, x[lane], dy[lane]);
            sum[lane] += dy;
            product[lane] += dy * off;
        }
    }
}

impl Affinity<'_> {
    fn channels(&self) -> usize {
        self.gamma.len()
    }

    /// That of the channels from `c` on.
    #[inline(always)]
    fn of<const W: usize>(&self, c: usize) -> Table<W> {
        let ([mean, inverse], gamma) = (self.statistics.of::<W>(c), block::<W>(self.gamma, c));
        let scale = narrowed(|lane| f64::from(gamma[lane]) * inverse[lane]);
        Table { inverse, mean: narrowed(|lane| mean[lane]), scale, shift: *block(self.beta, c) }
    }
}

impl<const RECTIFIED: bool> Task for Normalise<'_, RECTIFIED> {
    #[inline(always)]
    fn run(self) {
        let Self { affinity, x, y } = self;
        let channels = affinity.channels();
        for (x, y) in x.chunks(RUN * channels).zip(y.chunks_mut(RUN * channels)) {
            blocks!(channels, |c, W| {
                let Table { mean, scale, shift, .. } = affinity.of::<W>(c);
                for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
                    // Copies, for the compiler to see that nothing overlaps; here and below.
                    let (x, mut result) = (*block::<W>(x, c), [0.0; W]);
                    for lane in 0..W {
                        let value = (x[lane] - mean[lane]) * scale[lane] + shift[lane];
                        // What is not a number must reach the loss.
                        result[lane] = if RECTIFIED && value <= 0.0 { 0.0 } else { value };
                    }
                    *block_mut(y, c) = result;
                }
            });
        }
    }
}

/// Adds `Σ dy` and `Σ dy·x̂` of some pixels.
pub(super) struct MeasureBackward<'a, const RECTIFIED: bool> {
    pub(super) affinity: Affinity<'a>,
    pub(super) x: &'a [f32],
    pub(super) dy: &'a [f32],
    pub(super) shifts: &'a mut [f64],
    pub(super) scales: &'a mut [f64],
}

impl<const RECTIFIED: bool> Task for MeasureBackward<'_, RECTIFIED> {
    #[inline(always)]
    fn run(self) {
        let Self { affinity, x, dy, shifts, scales } = self;
        let channels = affinity.channels();
        for (x, dy) in x.chunks(RUN * channels).zip(dy.chunks(RUN * channels)) {
            blocks!(channels, |c, W| {
                let table = affinity.of::<W>(c);
                let mut sums = [[[0.0f32; W]; ABREAST]; 2];
                let groups = (x.chunks_exact(ABREAST * channels), dy.chunks_exact(ABREAST * channels));
                let rest = (groups.0.remainder(), groups.1.remainder());
                let [sum, product] = &mut sums;
                for (x, dy) in groups.0.zip(groups.1) {
                    for (pixel, (sum, product)) in sum.iter_mut().zip(product.iter_mut()).enumerate() {
                        let at = pixel * channels + c;
                        table.add::<RECTIFIED>([sum, product], block(x, at), block(dy, at));
                    }
                }
                for (x, dy) in rest.0.chunks_exact(channels).zip(rest.1.chunks_exact(channels)) {
                    table.add::<RECTIFIED>([&mut sum[0], &mut product[0]], block(x, c), block(dy, c));
                }
                let (sum, product) = (folded(*sum), folded(*product));
                let shifts = shifts[c..].first_chunk_mut::<W>().expect("a sum for each channel");
                let scales = scales[c..].first_chunk_mut::<W>().expect("as many sums");
                // One after the other, for the compiler to see two vectors.
                for lane in 0..W {
                    shifts[lane] += f64::from(sum[lane]);
                }
                for lane in 0..W {
                    scales[lane] += f64::from(product[lane]) * table.inverse[lane];
                }
            });
        }
    }
}

/// `dx = factor · dy − shift − slope · (x − mean)`.
pub(super) struct Backprop<'a, const RECTIFIED: bool> {
    pub(super) affinity: Affinity<'a>,
    /// `Σ dy` and `Σ dy·x̂` over the batch, and the pixels of a channel.
    pub(super) shifts: &'a [f64],
    pub(super) scales: &'a [f64],
    pub(super) count: f64,
    pub(super) x: &'a [f32],
    pub(super) dy: &'a [f32],
    pub(super) dx: &'a mut [f32],
}

impl<const RECTIFIED: bool> Task for Backprop<'_, RECTIFIED> {
    #[inline(always)]
    fn run(self) {
        let Self { affinity, shifts, scales, x, dy, dx, .. } = self;
        let (channels, part) = (affinity.channels(), 1.0 / self.count);
        let runs = x.chunks(RUN * channels).zip(dy.chunks(RUN * channels));
        for ((x, dy), dx) in runs.zip(dx.chunks_mut(RUN * channels)) {
            blocks!(channels, |c, W| {
                let table = affinity.of::<W>(c);
                let (scale, inverse) = (&table.scale, &table.inverse);
                let shifts = shifts[c..].first_chunk::<W>().expect("a sum for each channel");
                let scales = scales[c..].first_chunk::<W>().expect("as many sums");
                let gamma = block::<W>(affinity.gamma, c);
                let constant = narrowed::<W>(|lane| f64::from(gamma[lane]) * inverse[lane] * shifts[lane] * part);
                let slope =
                    narrowed::<W>(|lane| f64::from(gamma[lane]) * inverse[lane] * scales[lane] * part * inverse[lane]);
                let pixels = x.chunks_exact(channels).zip(dy.chunks_exact(channels));
                for ((x, dy), dx) in pixels.zip(dx.chunks_exact_mut(channels)) {
                    let (x, dy, mut result) = (*block::<W>(x, c), *block::<W>(dy, c), [0.0; W]);
                    for lane in 0..W {
                        let [off, dy] = table.off_and_passed::<RECTIFIED>(lane, x[lane], dy[lane]);
                        result[lane] = scale[lane] * dy - constant[lane] - slope[lane] * off;
                    }
                    *block_mut(dx, c) = result;
                }
            });
        }
    }
}
