//! The sixteen filters of a group, as the vectors that a processor has: one of AVX-512, or two of AVX2.

use super::super::avx2::Avx2;
use super::super::avx512::Avx512;
#[cfg(test)]
use super::super::portable::{EmulatedAvx2, EmulatedAvx512};
use super::super::simd::{Part, Simd};
use super::{LANES, PLACES};
use crate::processor::Path;

/// Values of sixteen filters, and what can be done with them.
///
/// # Safety
/// Whoever calls a method must have made sure that the processor has the implementation's instructions. Pointers must be
/// valid for sixteen values, or for those whose bits in `lanes` are set.
pub(super) trait Group: Copy {
    /// Windows of the pool that are worked on at a time, of one or two: with more, fewer steps can be left out.
    const ABREAST: usize;
    /// Groups that are worked on at a time, one or two: as many as fit the registers.
    const GROUPS: usize;
    /// For each filter, a place in a square.
    type Places: Copy;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// Those whose bits are set, zeros elsewhere.
    unsafe fn load_some(from: *const f32, lanes: u16) -> Self;
    /// Of the first filters, whose bits are set.
    unsafe fn store_first(self, to: *mut f32, lanes: u16);
    unsafe fn add(self, other: Self) -> Self;
    /// `self · factor + sum`.
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self;
    /// The same values, but +0 for −0.
    unsafe fn without_sign_of_zero(self) -> Self;
    /// The largest of four values for each filter, or the floor; what is not a number is passed on. It is never −0.
    unsafe fn largest(floor: Self, places: [Self; PLACES]) -> Self;
    /// Which of four values is the largest one for each filter, the first if several are: whether it is on the right,
    /// whether it is below, and whether it is above the floor.
    unsafe fn which(floor: Self, places: [Self; PLACES]) -> [u16; 3];
    /// The places of the values that were the largest ones.
    unsafe fn places(right: u16, below: u16) -> Self::Places;
    /// The four values of a square, again and again.
    unsafe fn square(from: *const f32) -> Self;
    /// For each filter, the value at its place.
    unsafe fn look_up(self, places: Self::Places) -> Self;
    /// A bit for each value: whether it is not zero.
    unsafe fn nonzero(from: *const f32, lanes: u16) -> u16;
    /// [`Simd::squares`].
    unsafe fn squares(upper: *const f32, lower: *const f32, n: usize, to: *mut f32);
    /// [`Simd::extract_bits`].
    unsafe fn extract_bits(bits: u64, mask: u64) -> u64;
}

/// Sixteen values in `N` vectors of a processor.
#[derive(Clone, Copy)]
pub(super) struct Vectors<S: Simd, const N: usize>([S::Vector; N]);

impl<S: Simd, const N: usize> Vectors<S, N> {
    /// The bits of the lanes of a vector.
    #[inline(always)]
    fn of_vector(lanes: u16, nth: usize) -> u16 {
        lanes >> (nth * S::LANES) & (u16::MAX >> (LANES - S::LANES))
    }

    /// The greater ones; the others' where neither is.
    #[inline(always)]
    unsafe fn max(mut self, other: Self) -> Self {
        for (v, other) in self.0.iter_mut().zip(other.0) {
            // SAFETY: the caller vouches for the instructions.
            *v = unsafe { S::max(*v, other) };
        }
        self
    }

    /// A bit for each lane where a value is greater than the other one.
    #[inline(always)]
    unsafe fn greater(self, other: Self) -> u16 {
        let mut bits = 0;
        for (nth, (v, other)) in self.0.into_iter().zip(other.0).enumerate() {
            // SAFETY: the caller vouches for the instructions.
            bits |= unsafe { S::greater(v, other) } << (nth * S::LANES);
        }
        bits
    }
}

impl<S: Simd, const N: usize> Group for Vectors<S, N> {
    // Of two vectors a group, one window takes eight registers of sixteen, and the filters two.
    const ABREAST: usize = if N == 1 { 2 } else { 1 };
    const GROUPS: usize = if N == 1 { 2 } else { 1 };
    type Places = [S::Places; N];

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        const { assert!(N * S::LANES == LANES) }
        // SAFETY: the caller vouches for the instructions.
        Self([unsafe { S::splat(value) }; N])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe {
            let mut vectors = [S::zero(); N];
            for (nth, v) in vectors.iter_mut().enumerate() {
                *v = S::load(from.add(nth * S::LANES));
            }
            Self(vectors)
        }
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, lanes: u16) -> Self {
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe {
            let mut vectors = [S::zero(); N];
            for (nth, v) in vectors.iter_mut().enumerate() {
                *v = S::load_some(from.wrapping_add(nth * S::LANES), Self::of_vector(lanes, nth));
            }
            Self(vectors)
        }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, lanes: u16) {
        for (nth, v) in self.0.into_iter().enumerate() {
            // SAFETY: the caller vouches for the instructions and the pointer.
            unsafe { S::store_first(to.wrapping_add(nth * S::LANES), v, Self::of_vector(lanes, nth)) }
        }
    }

    #[inline(always)]
    unsafe fn add(mut self, other: Self) -> Self {
        for (v, other) in self.0.iter_mut().zip(other.0) {
            // SAFETY: the caller vouches for the instructions.
            *v = unsafe { S::add(*v, other) };
        }
        self
    }

    #[inline(always)]
    unsafe fn multiply_add(mut self, factor: Self, sum: Self) -> Self {
        for ((v, factor), sum) in self.0.iter_mut().zip(factor.0).zip(sum.0) {
            // SAFETY: the caller vouches for the instructions.
            *v = unsafe { S::multiply_add(*v, factor, sum) };
        }
        self
    }

    #[inline(always)]
    unsafe fn without_sign_of_zero(mut self) -> Self {
        for v in &mut self.0 {
            // SAFETY: the caller vouches for the instructions.
            *v = unsafe { S::without_sign_of_zero(*v) };
        }
        self
    }

    #[inline(always)]
    unsafe fn largest(floor: Self, [p, q, r, s]: [Self; PLACES]) -> Self {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let mut largest = p.max(q).max(r.max(s)).max(floor);
            for (nth, v) in largest.0.iter_mut().enumerate() {
                *v = S::or_nan(*v, [p.0[nth], q.0[nth], r.0[nth], s.0[nth]]);
            }
            largest.without_sign_of_zero()
        }
    }

    #[inline(always)]
    unsafe fn which(floor: Self, [p, q, r, s]: [Self; PLACES]) -> [u16; 3] {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let (upper, lower) = (p.max(q), r.max(s));
            let below = lower.greater(upper);
            [q.greater(p) & !below | s.greater(r) & below, below, upper.max(lower).greater(floor)]
        }
    }

    #[inline(always)]
    unsafe fn places(right: u16, below: u16) -> Self::Places {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let mut places = [S::places_in_quads(Self::of_vector(right, 0), Self::of_vector(below, 0)); N];
            for (nth, places) in places.iter_mut().enumerate().skip(1) {
                *places = S::places_in_quads(Self::of_vector(right, nth), Self::of_vector(below, nth));
            }
            places
        }
    }

    #[inline(always)]
    unsafe fn square(from: *const f32) -> Self {
        // SAFETY: the caller vouches for the instructions and four values.
        Self([unsafe { S::splat_quad(from) }; N])
    }

    #[inline(always)]
    unsafe fn look_up(mut self, places: Self::Places) -> Self {
        for (v, places) in self.0.iter_mut().zip(places) {
            // SAFETY: the caller vouches for the instructions.
            *v = unsafe { S::look_up(*v, places) };
        }
        self
    }

    #[inline(always)]
    unsafe fn nonzero(from: *const f32, lanes: u16) -> u16 {
        let mut bits = 0;
        // SAFETY: the caller vouches for the instructions and the pointer.
        unsafe {
            for (nth, v) in Self::load_some(from, lanes).0.into_iter().enumerate() {
                bits |= S::nonzero(v) << (nth * S::LANES);
            }
        }
        bits
    }

    #[inline(always)]
    unsafe fn squares(upper: *const f32, lower: *const f32, n: usize, to: *mut f32) {
        // SAFETY: as the caller vouches.
        unsafe { S::squares(upper, lower, n, to) }
    }

    #[inline(always)]
    unsafe fn extract_bits(bits: u64, mask: u64) -> u64 {
        // SAFETY: as the caller vouches.
        unsafe { S::extract_bits(bits, mask) }
    }
}

/// Work on an image.
pub(super) trait Work {
    /// Does it with such groups, for filters of `K·K` taps.
    ///
    /// # Safety
    /// The processor must have the instructions of `G`, and the sizes be right.
    unsafe fn run<G: Group, const K: usize>(self);
}

/// Some work for filters of 3·3 or 5·5 taps, with groups of `N` vectors.
struct Grouped<W, const N: usize> {
    kernel: usize,
    work: W,
}

impl<W: Work, const N: usize> Part for Grouped<W, N> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { kernel, work } = self;
        // SAFETY: as the caller vouches.
        unsafe { if kernel == 3 { work.run::<Vectors<S, N>, 3>() } else { work.run::<Vectors<S, N>, 5>() } }
    }
}

/// Does some work with the vectors of a path, for filters of 3·3 or 5·5 taps.
///
/// # Safety
/// The processor must have the path's instructions, and the sizes be right.
///
/// # Panics
/// If the path has no such vectors.
pub(super) unsafe fn run_on(path: Path, kernel: usize, work: impl Work) {
    // SAFETY: as the caller vouches.
    unsafe {
        match path {
            Path::Avx512 => Avx512::apart(Grouped::<_, 1> { kernel, work }),
            Path::Avx2 => Avx2::apart(Grouped::<_, 2> { kernel, work }),
            #[cfg(test)]
            Path::EmulatedAvx512 => EmulatedAvx512::apart(Grouped::<_, 1> { kernel, work }),
            #[cfg(test)]
            Path::EmulatedAvx2 => EmulatedAvx2::apart(Grouped::<_, 2> { kernel, work }),
            Path::Portable => unreachable!("there is no kernel for it"),
        }
    }
}
