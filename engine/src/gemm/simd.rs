//! Vector operations that the kernels are written over, once for every processor. `avx512` and `avx2` implement them with
//! the processor's instructions, `portable` in plain Rust; which implementation runs is the
//! [`processor`](crate::processor)'s to say.

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512::Avx512;
use super::portable::Plain;
#[cfg(test)]
use super::portable::{EmulatedAvx2, EmulatedAvx512};
use crate::processor::Path;

/// Columns of a quad.
pub(super) const QUAD: usize = 4;

/// Lanes of the widest vector.
pub(super) const MOST_LANES: usize = 16;

/// How products fall into tiles.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    /// [`Simd::VECTORS`].
    pub(super) vectors: usize,
    /// [`Simd::ROWS`].
    pub(super) rows: [usize; 4],
    /// [`Simd::CAREFUL`].
    pub(super) careful: usize,
}

impl Tiles {
    /// 32 registers.
    pub(super) const AVX512: Self = Self { vectors: 4, rows: [14, 12, 9, 6], careful: 4 };
    /// 16 registers.
    pub(super) const AVX2: Self = Self { vectors: 2, rows: [8, 6, 4, 4], careful: 2 };
    /// In plain Rust, which leaves the registers to the compiler.
    pub(super) const PLAIN: Self = Self { vectors: 2, rows: [6, 4, 4, 4], careful: 0 };
}

/// How far a step's values lie from the first ones in the rows of A, and its row from the first one of B.
pub(super) type Offsets = [u32; 2];

/// Vectors of `f32` and what can be done with them.
///
/// # Safety
/// Whoever calls a method must have made sure that the processor has the implementation's instructions. Pointers must be
/// valid for as many values as the method reads or writes: `LANES`, or `n < LANES` of a part.
pub(super) trait Simd: Copy {
    /// Values of a vector.
    const LANES: usize;
    /// Most vectors of a tile of the broadcast kernel.
    const VECTORS: usize;
    /// Most rows of a tile of one, two, three and four vectors: as many as fit the registers, 14 at most.
    const ROWS: [usize; 4];
    /// Most vectors of a tile that asks for what is read next and leaves out steps that add nothing, two at least; none does
    /// for 0. The fewer rows a tile has, the more it leaves out.
    const CAREFUL: usize = 0;
    type Vector: Copy;
    /// For each lane, a place in its quad.
    type Places: Copy;
    /// Vectors that cost half as much, of the same processor; itself if there are none.
    type Narrow: Simd;

    /// Runs a part of a kernel, compiled as a function of its own.
    unsafe fn apart(part: impl Part);
    unsafe fn zero() -> Self::Vector;
    unsafe fn splat(value: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    /// The first `n` values, zeros beyond.
    unsafe fn load_part(from: *const f32, n: usize) -> Self::Vector;
    unsafe fn store(to: *mut f32, v: Self::Vector);
    unsafe fn store_part(to: *mut f32, v: Self::Vector, n: usize);
    /// `a·b + c`.
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The same values, but +0 for −0.
    #[inline(always)]
    unsafe fn without_sign_of_zero(v: Self::Vector) -> Self::Vector {
        // SAFETY: the caller vouches for the instructions.
        unsafe { Self::multiply_add(Self::zero(), Self::zero(), v) }
    }
    /// `v` where `gate` is positive, and 0 elsewhere; or also where it is not a number.
    unsafe fn where_positive(v: Self::Vector, gate: Self::Vector, or_nan: bool) -> Self::Vector;
    /// `n` values, each to the four lanes of a quad, and zeros beyond.
    unsafe fn splat_quads(from: *const f32, n: usize) -> Self::Vector;
    /// The first `columns` values of `n` rows, `row` apart, each row to a quad, and zeros beyond.
    unsafe fn quads(from: *const f32, row: usize, n: usize, columns: usize) -> Self::Vector;
    /// Of `n ≤ LANES` rows, `row` apart, the first `columns ≤ QUAD` values as [quads](Self::quads): every fourth row from
    /// the first on, from the second on, …; zeros beyond.
    #[inline(always)]
    unsafe fn every_fourth(from: *const f32, row: usize, n: usize, columns: usize) -> [Self::Vector; QUAD] {
        let mut quads = [from; QUAD];
        for (k, from) in quads.iter_mut().enumerate() {
            *from = from.wrapping_add(k * row);
        }
        let ([a, b, c, d], row) = (quads, QUAD * row);
        // SAFETY: as the caller vouches.
        unsafe {
            [
                Self::quads(a, row, n.div_ceil(QUAD), columns),
                Self::quads(b, row, (n + 2) / QUAD, columns),
                Self::quads(c, row, (n + 1) / QUAD, columns),
                Self::quads(d, row, n / QUAD, columns),
            ]
        }
    }
    /// The first values of all quads, each to the four lanes of its quad; their second values, and so on.
    unsafe fn spread(v: Self::Vector) -> [Self::Vector; QUAD];
    /// What lies in a quad of the four, as a matrix of four rows, transposed: quad by quad.
    unsafe fn turn(v: [Self::Vector; QUAD]) -> [Self::Vector; QUAD];
    /// The sum of the quads: the upper half of them is added to the lower one, until one is left.
    unsafe fn fold(v: Self::Vector) -> [f32; QUAD];
    /// Writes which of the `n` columns, `1 ≤ n ≤ LANES`, from `first` on are not zero in some of the rows to `to`, and returns
    /// how many those are; of `to`, it writes to as many places as a vector has lanes. What is not a number is not zero.
    unsafe fn places<const R: usize>(rows: &[*const f32; R], first: usize, n: usize, to: *mut u32) -> usize;
    /// Writes those of `n` values, `1 ≤ n ≤ LANES`, that are not zero, and the numbers beside them, one after the other.
    /// Returns how many those are; it writes as many as a vector has lanes. What is not a number is not zero.
    unsafe fn pick_nonzero(from: (*const f32, *const u32), n: usize, to: (*mut f32, *mut u32)) -> usize;
    /// For each of some steps, `step` values apart, a bit for each of `n ≤ 64` values: whether it is not zero.
    unsafe fn occupied(from: *const f32, n: usize, steps: (usize, usize), bits: *mut u64);
    /// For each of `n` words that has a bit of `mask`, writes its places: the first word's are given, and how far apart they
    /// are. Returns how many there are, and may write to as many more as half a vector has lanes.
    unsafe fn steps(words: *const u64, n: usize, mask: u64, places: (Offsets, Offsets), to: *mut Offsets) -> usize;
    /// Asks for the line of memory at `from`, which will be read once and need not be there.
    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        let _ = from;
    }
    /// Asks for the line of memory at `from`, which will be read after other things, for the second cache; it need not be
    /// there.
    #[inline(always)]
    unsafe fn prefetch_later(from: *const f32) {
        let _ = from;
    }
    /// Sum of the lanes: the upper half of them is added to the lower one, until one is left.
    unsafe fn sum(v: Self::Vector) -> f32;
    /// The sums of sixteen vectors, in the order of [`sum`](Self::sum).
    #[inline(always)]
    unsafe fn sums(v: &[[Self::Vector; 4]; 4]) -> [[f32; 4]; 4] {
        let mut sums = [[0.0; 4]; 4];
        for (sums, v) in sums.iter_mut().zip(v) {
            for (sum, &v) in sums.iter_mut().zip(v) {
                // SAFETY: as the caller vouches.
                *sum = unsafe { Self::sum(v) };
            }
        }
        sums
    }

    /// The values whose bits in `lanes` are set, zeros elsewhere; no others are read.
    unsafe fn load_some(from: *const f32, lanes: u16) -> Self::Vector;
    /// Stores the first values, whose bits in `lanes` are set.
    unsafe fn store_first(to: *mut f32, v: Self::Vector, lanes: u16);
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The greater value of each lane; that of `b` where neither is greater.
    unsafe fn max(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// A bit for each lane: whether the value of `a` is greater than that of `b`.
    unsafe fn greater(a: Self::Vector, b: Self::Vector) -> u16;
    /// `v`, but not a number where one of the others is none.
    unsafe fn or_nan(v: Self::Vector, others: [Self::Vector; QUAD]) -> Self::Vector;
    /// A bit for each lane: whether the value is not zero. What is not a number is not zero.
    unsafe fn nonzero(v: Self::Vector) -> u16;
    /// The four values at `from`, in every quad.
    unsafe fn splat_quad(from: *const f32) -> Self::Vector;
    /// For each lane a place in its quad: twice its bit of `high`, plus its bit of `low`.
    unsafe fn places_in_quads(low: u16, high: u16) -> Self::Places;
    /// For each lane, the value at its place in its quad.
    unsafe fn look_up(v: Self::Vector, places: Self::Places) -> Self::Vector;
    /// Writes the squares of four columns of two rows, sixteen values: of each column the upper value and the one on its
    /// right, then the lower ones. The rows have `n ≥ 1` values; what would come after them is 0.
    unsafe fn squares(upper: *const f32, lower: *const f32, n: usize, to: *mut f32);
    /// Those bits that are set in `mask`, side by side.
    unsafe fn extract_bits(bits: u64, mask: u64) -> u64;
}

/// A part of a kernel that is compiled as a function of its own. In one with dozens of loops the compiler loses its
/// overview of the registers, and takes minutes.
pub(super) trait Part {
    /// To be marked `#[inline(always)]`, and all that it calls in its loops: only what is inlined is compiled for the
    /// instructions of `S`.
    ///
    /// # Safety
    /// As for [`Simd`], and what the part itself asks for.
    unsafe fn run<S: Simd>(self);
}

/// Runs a part with the vectors of a path.
///
/// # Safety
/// The processor must have the path's instructions, and what the part asks for must hold.
pub(super) unsafe fn run_on(path: Path, part: impl Part) {
    // SAFETY: as the caller vouches.
    unsafe {
        match path {
            #[cfg(test)]
            Path::EmulatedAvx2 => EmulatedAvx2::apart(part),
            #[cfg(test)]
            Path::EmulatedAvx512 => EmulatedAvx512::apart(part),
            Path::Portable => Plain::apart(part),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => Avx2::apart(part),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => Avx512::apart(part),
        }
    }
}
