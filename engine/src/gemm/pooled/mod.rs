//! A convolution of one-channel images with the 2×2 maximum pool above it, as one; for AVX-512 and AVX2.
//!
//! The four results of a pool's window stay in registers until the largest of each filter is known, so what the
//! convolution gives is never in memory. The lanes are the filters:
//!
//! ```text
//!   image          p q      sums p, q, r, s of 1 or 2 windows of the pool, 16 or 32 filters:
//!   ┌─┬─┬─┬─┬─┬─┐  r s      += x · w, a value of the image times a vector of the filters, K·K times
//!   ├─┼─┼─┼─┼─┼─┤
//!   ├─┼─┼─┼─┼─┼─┤           y = max(p, q, r, s), and per filter three bits: whether the largest is on the right,
//!   └─┴─┴─┴─┴─┴─┘               whether it is below, and whether it lives, as a ReLU sees it
//! ```
//!
//! On the way back only the window of that largest one counts. It is another one for each filter, but what a tap meets is
//! one of four values, which every lane looks up: so a window of the pool costs `K·K` multiplications and look-ups instead
//! of `4·K·K` multiplications.
//!
//! ```text
//!   square of x₀₀, four times in a vector:  x₀₀ x₀₁ x₁₀ x₁₁     lane's place in it: 2 if below + 1 if on the right
//! ```
//!
//! What the image's zeros meet is left out, both ways: see `taps`.

#[cfg(target_arch = "x86_64")]
mod forward;
#[cfg(target_arch = "x86_64")]
mod gradient;
#[cfg(target_arch = "x86_64")]
mod group;
#[cfg(target_arch = "x86_64")]
mod taps;

use super::super::processor::Path;

/// Filters that are worked on at once; their bits are a word.
const LANES: usize = 16;
/// Values of a square: the places of a window of the pool.
const PLACES: usize = 4;

/// Sizes of such a convolution.
#[derive(Debug, Clone, Copy)]
pub struct Pooled {
    /// Height and width of a filter.
    pub kernel: usize,
    /// Filters.
    pub filters: usize,
    /// Height and width of the pooled result.
    pub output: [usize; 2],
    /// Width of the padded image.
    pub pitch: usize,
    /// Whether a ReLU stands before the pool.
    pub rectified: bool,
}

impl Pooled {
    /// Whether there are kernels for it, and this processor has their instructions.
    pub fn is_possible(kernel: usize) -> bool {
        Self::is_possible_on(Path::chosen(), kernel)
    }

    fn is_possible_on(path: Path, kernel: usize) -> bool {
        path != Path::Portable && matches!(kernel, 3 | 5)
    }

    /// Sixteens of filters.
    fn groups(&self) -> usize {
        self.filters.div_ceil(LANES)
    }

    /// Filters in whole vectors: the width of a row of `w`, and of the biases.
    pub fn lanes(&self) -> usize {
        self.groups() * LANES
    }

    /// The lanes of a group that are filters, a bit each.
    #[cfg(target_arch = "x86_64")]
    fn lanes_of(&self, group: usize) -> u16 {
        u16::MAX >> (LANES - (self.filters - group * LANES).min(LANES))
    }

    /// Words of a sample's bits: of each pixel of the result a row for "right", one for "below", one for "lives".
    pub fn words(&self) -> usize {
        self.pixels() * 3 * self.groups()
    }

    /// Values of a sample's look-up squares.
    pub fn squares(&self) -> usize {
        self.rows_of_squares() * self.pitch_of_squares()
    }

    /// Pixels of the result.
    pub fn pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// The rows of the image that squares begin in.
    fn rows_of_squares(&self) -> usize {
        2 * self.output[0] + self.kernel - 2
    }

    /// Values of a row of squares, in whole vectors.
    fn pitch_of_squares(&self) -> usize {
        ((2 * self.output[1] + self.kernel - 2) * PLACES).next_multiple_of(LANES)
    }

    /// Rows of a padded image.
    fn height(&self) -> usize {
        2 * self.output[0] + self.kernel - 1
    }

    /// Values of a padded image.
    fn image(&self) -> usize {
        self.height() * self.pitch
    }

    /// The result `[OH, OW, F]` of a padded image, and the bits for the way back if they are wanted; `w` is
    /// `[K·K, lanes]` and `bias` `[lanes]`.
    ///
    /// # Panics
    /// If it is not [possible](Self::is_possible), or a size is wrong.
    pub fn forward(&self, x: &[f32], filters: (&[f32], &[f32]), y: &mut [f32], bits: Option<&mut [u16]>) {
        self.forward_on(Path::chosen(), x, filters, y, bits);
    }

    fn forward_on(&self, path: Path, x: &[f32], (w, bias): (&[f32], &[f32]), y: &mut [f32], bits: Option<&mut [u16]>) {
        let (k, lanes) = (self.kernel, self.lanes());
        assert!(x.len() >= self.image() && self.pitch + 1 >= 2 * self.output[1] + k, "an image");
        assert!(w.len() == k * k * lanes && bias.len() == lanes, "filters");
        assert!(y.len() == self.pixels() * self.filters, "a result");
        assert!(bits.as_ref().is_none_or(|bits| bits.len() == self.words()), "bits");
        assert!(Self::is_possible_on(path, k), "no kernel for it");
        // SAFETY: the sizes are right, and `Path` only gives out what the processor has.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            group::run_on(path, k, forward::Forward { pooled: self, x, w, bias, y, bits });
        }
    }

    /// Adds a sample's gradients to `dw` `[K·K, F]` and `db` `[F]`, from the padded image, `dy` `[OH, OW, F]` and the
    /// bits.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn gradient(
        &self,
        x: &[f32],
        of_results: (&[f32], &[u16]),
        squares: &mut [f32],
        gradients: (&mut [f32], &mut [f32]),
    ) {
        self.gradient_on(Path::chosen(), x, of_results, squares, gradients);
    }

    fn gradient_on(
        &self,
        path: Path,
        x: &[f32],
        (dy, bits): (&[f32], &[u16]),
        squares: &mut [f32],
        (dw, db): (&mut [f32], &mut [f32]),
    ) {
        let k = self.kernel;
        assert!(x.len() >= self.image() && self.pitch + 1 >= 2 * self.output[1] + k, "an image");
        assert!(dy.len() == self.pixels() * self.filters && bits.len() == self.words(), "gradients and bits");
        assert!(squares.len() == self.squares(), "room for squares");
        assert!(dw.len() == k * k * self.filters && db.len() == self.filters, "filters");
        assert!(Self::is_possible_on(path, k), "no kernel for it");
        // SAFETY: the sizes are right, and `Path` only gives out what the processor has.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            group::run_on(path, k, gradient::Gradient { pooled: self, x, dy, bits, squares, dw, db });
        }
    }

    /// Writes `dy` to those of the `[2·OH, 2·OW, F]` values that were the largest, and zeros to the others.
    ///
    /// # Panics
    /// If a size is wrong.
    pub fn spread(&self, dy: &[f32], bits: &[u16], spread: &mut [f32]) {
        let (filters, width) = (self.filters, self.output[1]);
        spread.fill(0.0);
        for (pixel, (dy, bits)) in dy.chunks_exact(filters).zip(bits.chunks_exact(3 * self.groups())).enumerate() {
            let [right, below, lives] = [0, 1, 2].map(|which| &bits[which * self.groups()..]);
            for (filter, dy) in dy.iter().enumerate() {
                let bit = |words: &[u16]| usize::from(words[filter / LANES] >> (filter % LANES) & 1);
                let (i, j) = (2 * (pixel / width) + bit(below), 2 * (pixel % width) + bit(right));
                if bit(lives) == 1 {
                    spread[(i * 2 * width + j) * filters + filter] = *dy;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
