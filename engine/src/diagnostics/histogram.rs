//! What many values come to: where they lie, and how long they are as a vector.
//!
//! A training waits for it after an epoch, so it looks at values side by side. The order of each sum is that of the values
//! alone, whatever the vectors and the threads.

use serde::{Deserialize, Serialize};

use crate::processor::{Task, block, wide};

/// Bins of a histogram.
const BINS: usize = 32;
/// Values that are looked at side by side: a sum of one after the other waits for each addition.
const LANES: usize = 16;
/// Values whose bins are found before they are counted.
const BLOCK: usize = 256;
/// Tables that values are counted in by turns: two that follow each other mostly lie in the same bin.
const TABLES: usize = 4;

/// Numbers of values in equal bins from the least to the greatest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// The least value.
    pub min: f32,
    /// The greatest.
    pub max: f32,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
    /// How many lie in each bin.
    pub counts: Vec<u32>,
}

impl Histogram {
    /// The histogram of some finite values.
    pub(super) fn of(values: &[f32]) -> Self {
        let mut spread = Spread::default();
        wide(Measure { values, spread: &mut spread });
        let Spread { min, max, sum } = spread;
        let count = values.len().max(1) as f64;
        let mean = sum.total() / count;
        let (mut squares, mut counts) = (Lanes::default(), [[0; BINS]; TABLES]);
        let scale = if max > min { BINS as f32 / (max - min) } else { 0.0 };
        wide(Sort { values, mean, min, scale, squares: &mut squares, counts: &mut counts });
        let or_zero = |v: f32| if v.is_finite() { v } else { 0.0 };
        Self {
            min: or_zero(min),
            max: or_zero(max),
            mean,
            std: (squares.total() / count).sqrt(),
            counts: (0..BINS).map(|bin| counts.iter().map(|table| table[bin]).sum()).collect(),
        }
    }
}

/// A sum, of which each lane has a part.
#[derive(Debug, Clone, Copy, Default)]
struct Lanes([f64; LANES]);

impl Lanes {
    /// Adds what comes of each value, `LANES` of them at a time.
    #[inline(always)]
    fn add<const N: usize>(&mut self, values: [&[f32]; N], of: impl Fn([f32; N]) -> f64) {
        let len = values[0].len();
        let whole = len - len % LANES;
        let mut sums = self.0;
        for at in (0..whole).step_by(LANES) {
            let blocks = values.map(|values| block::<LANES>(values, at));
            for lane in 0..LANES {
                sums[lane] += of(blocks.map(|block| block[lane]));
            }
        }
        for at in whole..len {
            sums[at - whole] += of(values.map(|values| values[at]));
        }
        self.0 = sums;
    }

    fn total(&self) -> f64 {
        self.0.iter().sum()
    }
}

/// From where to where values go, and their sum.
#[derive(Debug, Clone, Copy)]
struct Spread {
    min: f32,
    max: f32,
    sum: Lanes,
}

impl Default for Spread {
    fn default() -> Self {
        Self { min: f32::INFINITY, max: f32::NEG_INFINITY, sum: Lanes::default() }
    }
}

/// Finds the spread of values.
struct Measure<'a> {
    values: &'a [f32],
    spread: &'a mut Spread,
}

impl Task for Measure<'_> {
    #[inline(always)]
    fn run(self) {
        let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let (blocks, rest) = self.values.as_chunks::<LANES>();
        for values in blocks {
            for (low, value) in low.iter_mut().zip(values) {
                *low = if value < low { *value } else { *low };
            }
            for (high, value) in high.iter_mut().zip(values) {
                *high = if value > high { *value } else { *high };
            }
        }
        for value in rest {
            low[0] = value.min(low[0]);
            high[0] = value.max(high[0]);
        }
        self.spread.min = low.into_iter().fold(f32::INFINITY, f32::min);
        self.spread.max = high.into_iter().fold(f32::NEG_INFINITY, f32::max);
        self.spread.sum.add([self.values], |[value]| f64::from(value));
    }
}

/// The whole part of a number from 0 to far below 2²³, without the conversion that no compiler does side by side since
/// it takes any number.
#[inline(always)]
fn whole_part(value: f32) -> u32 {
    /// From here on, floats are whole, and their last bits are the number.
    const WHOLE: f32 = (1 << 23) as f32;
    let nearest = (value + WHOLE) - WHOLE;
    let below = if nearest > value { nearest - 1.0 } else { nearest };
    (below + WHOLE).to_bits().wrapping_sub(WHOLE.to_bits())
}

/// Counts values in their bins, and adds up the squares of what they are off the mean.
struct Sort<'a> {
    values: &'a [f32],
    mean: f64,
    min: f32,
    /// Bins per unit.
    scale: f32,
    squares: &'a mut Lanes,
    counts: &'a mut [[u32; BINS]; TABLES],
}

impl Task for Sort<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { values, mean, min, scale, squares, counts } = self;
        squares.add([values], |[value]| (f64::from(value) - mean).powi(2));
        let mut bins = [0; BLOCK];
        for values in values.chunks(BLOCK) {
            for (bin, value) in bins.iter_mut().zip(values) {
                *bin = whole_part((value - min) * scale);
            }
            for (at, bin) in bins[..values.len()].iter().enumerate() {
                counts[at % TABLES][(*bin as usize).min(BINS - 1)] += 1;
            }
        }
    }
}

/// √Σ of the squares of what comes of values that belong together.
pub(super) fn norm<const N: usize>(values: [&[f32]; N], of: impl Fn([f32; N]) -> f32) -> f64 {
    struct Norm<'a, F, const N: usize>(&'a mut Lanes, [&'a [f32]; N], F);
    impl<F: Fn([f32; N]) -> f32, const N: usize> Task for Norm<'_, F, N> {
        #[inline(always)]
        fn run(self) {
            let Self(squares, values, of) = self;
            squares.add(values, |values| f64::from(of(values)).powi(2));
        }
    }
    let mut squares = Lanes::default();
    wide(Norm(&mut squares, values, of));
    squares.total().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every sum one value after the other.
    fn plain(values: &[f32]) -> (f64, f64, f64) {
        let count = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let squares = |from: f64| values.iter().map(|v| (f64::from(*v) - from).powi(2)).sum::<f64>();
        (mean, (squares(mean) / count).sqrt(), squares(0.0).sqrt())
    }

    #[test]
    fn figures_are_those_of_one_value_after_the_other() {
        for len in [1, 15, 16, 17, 63, 64, 100, 1003] {
            let values: Vec<f32> = (0..len).map(|i| ((i * 7919 % 997) as f32 - 300.0) / 128.0).collect();
            let (histogram, (mean, std, length)) = (Histogram::of(&values), plain(&values));
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-12 * b.abs().max(1.0);
            assert!(near(histogram.mean, mean) && near(histogram.std, std), "{len}");
            assert!(near(norm([&values], |[value]| value), length), "{len}");
            assert!(near(norm([&values, &values], |[a, b]| 3.0 * a - b), 2.0 * length), "{len}");
            let least = values.iter().copied().fold(f32::INFINITY, f32::min);
            assert_eq!((histogram.min, histogram.max), (least, values.iter().copied().fold(-least.abs(), f32::max)));
            let mut counts = vec![0; BINS];
            let scale = if histogram.max > least { BINS as f32 / (histogram.max - least) } else { 0.0 };
            values.iter().for_each(|value| counts[(((value - least) * scale) as usize).min(BINS - 1)] += 1);
            assert_eq!(histogram.counts, counts);
        }
    }

    #[test]
    fn a_histogram_counts_every_value_once() {
        let values: Vec<f32> = (0..64u8).map(f32::from).collect();
        let histogram = Histogram::of(&values);
        assert_eq!((histogram.min, histogram.max, histogram.mean), (0.0, 63.0, 31.5));
        assert!(histogram.counts.iter().all(|count| (1..=3).contains(count)));
        assert_eq!(histogram.counts.iter().sum::<u32>(), 64);
        assert_eq!(Histogram::of(&[2.0; 5]).counts[0], 5);
        assert_eq!(Histogram::of(&[]).counts.iter().sum::<u32>(), 0);
    }
}
