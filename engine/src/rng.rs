//! Randomness without state.
//!
//! Every random draw of dojang is a pure function of `(seed, purpose, a, b)`: which epoch, which step, which sample.
//! Nothing of it has to be saved in a checkpoint, and a resumed job draws what the undisturbed one would have drawn.
//!
//! The bits come from ChaCha8 (D. J. Bernstein, *ChaCha, a variant of Salsa20*, 2008), keyed with the four numbers.
//! The distributions are written here, on `libm`'s portable functions, so that no dependency's new version and no
//! C library changes a value under us.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// What a stream of random numbers is for; streams of different purposes are independent.
///
/// The numbers are part of every result ever computed: add new ones, never change one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights; `a` is the parameter's index in the network.
    Init = 1,
    /// The order of the training samples; `a` is the epoch.
    Shuffle = 2,
    /// Images of the procedural `digits`; `a` is the split, `b` the image's index.
    Digits = 3,
    /// Dropout masks; `a` is the step, `b` the layer and sample.
    Dropout = 4,
    /// Augmentation of images; `a` is the epoch, `b` the sample's index.
    Augment = 5,
    /// Which samples are held out for validation.
    Validation = 6,
    /// Inputs and parameters of a gradient check.
    GradientCheck = 7,
    /// Points of the toy datasets; `a` is the dataset, `b` the part.
    Toy = 8,
}

/// A stream of random numbers, a pure function of what it was made from.
#[derive(Debug, Clone)]
pub struct Rng {
    bits: ChaCha8Rng,
    spare_normal: Option<f64>,
}

impl Rng {
    /// The stream of `(seed, purpose, a, b)`.
    pub fn new(seed: u64, purpose: Purpose, a: u64, b: u64) -> Self {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([seed, purpose as u64, a, b]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self { bits: ChaCha8Rng::from_seed(key), spare_normal: None }
    }

    /// 32 uniform bits.
    pub fn bits(&mut self) -> u32 {
        self.bits.next_u32()
    }

    /// What so many calls of [`bits`](Self::bits) give, much faster.
    pub fn fill(&mut self, bits: &mut [u32]) {
        let mut bytes = [0; 256];
        for bits in bits.chunks_mut(bytes.len() / 4) {
            let bytes = &mut bytes[..4 * bits.len()];
            self.bits.fill_bytes(bytes);
            for (bits, bytes) in bits.iter_mut().zip(bytes.as_chunks().0) {
                *bits = u32::from_le_bytes(*bytes);
            }
        }
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`.
    pub fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Standard normal, by the polar method (G. Marsaglia, T. A. Bray, 1964).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        loop {
            let u = 2.0 * self.uniform() - 1.0;
            let v = 2.0 * self.uniform() - 1.0;
            let square = u * u + v * v;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * libm::log(square) / square).sqrt();
                self.spare_normal = Some(v * factor);
                return u * factor;
            }
        }
    }

    /// Uniform in `0..bound`, without bias (D. Lemire, *Fast random integer generation in an interval*, 2019).
    ///
    /// # Panics
    /// If `bound` is zero.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "no number lies below zero");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.bits()) * u64::from(bound);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// Puts `items` into a uniformly random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u32 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_function_of_its_four_numbers() {
        let draw = |seed, purpose, a, b| Rng::new(seed, purpose, a, b).bits();
        assert_eq!(draw(1, Purpose::Init, 2, 3), draw(1, Purpose::Init, 2, 3));
        let base = draw(1, Purpose::Init, 2, 3);
        for other in [
            draw(2, Purpose::Init, 2, 3),
            draw(1, Purpose::Shuffle, 2, 3),
            draw(1, Purpose::Init, 3, 3),
            draw(1, Purpose::Init, 2, 4),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn values_never_change_under_us() {
        let mut rng = Rng::new(42, Purpose::Init, 0, 0);
        let drawn = (rng.bits(), rng.uniform(), rng.normal(), rng.below(1000));
        assert_eq!(drawn, (2_634_808_449, 0.769_651_823_799_208_8, 2.118_372_404_603_831_2, 867));
    }

    #[test]
    fn filling_draws_what_single_calls_draw() {
        let (mut one, mut many) = (Rng::new(1, Purpose::Dropout, 2, 3), Rng::new(1, Purpose::Dropout, 2, 3));
        for length in [1, 0, 63, 64, 65, 3, 1000] {
            let mut bits = vec![0; length];
            many.fill(&mut bits);
            assert_eq!(bits, (0..length).map(|_| one.bits()).collect::<Vec<_>>(), "{length}");
        }
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut rng = Rng::new(7, Purpose::Init, 0, 0);
        let n = 100_000;
        let (mut mean, mut square, mut uniform) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let z = rng.normal();
            mean += z / f64::from(n);
            square += z * z / f64::from(n);
            uniform += rng.uniform() / f64::from(n);
        }
        assert!(mean.abs() < 0.015 && (square - 1.0).abs() < 0.02 && (uniform - 0.5).abs() < 0.005);
    }

    #[test]
    fn shuffling_keeps_every_item_and_reaches_every_order() {
        let mut seen = std::collections::BTreeSet::new();
        for epoch in 0..200 {
            let mut items = [0, 1, 2, 3];
            Rng::new(0, Purpose::Shuffle, epoch, 0).shuffle(&mut items);
            seen.insert(items);
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3]);
        }
        assert_eq!(seen.len(), 24);
    }
}
