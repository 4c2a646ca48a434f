//! What the kernels need of a processor, and plain Rust that has it; `avx512` and `avx2` have it, too.
//!
//! The kernels are written once over this trait; which implementation runs is the
//! [`processor`](crate::processor)'s to say.

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512::Avx512;
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
    /// With the widest vectors: AVX-512's 32 registers.
    pub(super) const WIDEST: Self = Self { vectors: 4, rows: [14, 12, 9, 6], careful: 4 };
    /// In plain Rust, which leaves the registers to the compiler.
    const PLAIN: Self = Self { vectors: 2, rows: [6, 4, 4, 4], careful: 0 };
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
    /// Writes which of the `n ≤ LANES` columns from `first` on are not zero in some of the rows to `to`, and returns how
    /// many those are; of `to`, it may write to as many places as a vector has lanes.
    #[inline(always)]
    unsafe fn places<const R: usize>(rows: &[*const f32; R], first: usize, n: usize, to: *mut u32) -> usize {
        let mut count = 0;
        for k in first..first + n {
            // SAFETY: the caller vouches for the pointers.
            unsafe {
                *to.add(count) = k as u32;
                count += usize::from(rows.iter().any(|row| *row.add(k) != 0.0));
            }
        }
        count
    }
    /// Writes those of `n ≤ LANES` values that are not zero, and the numbers beside them, one after the other. Returns how
    /// many those are; it may write as many as a vector has lanes. What is not a number is not zero.
    #[inline(always)]
    unsafe fn pick_nonzero(from: (*const f32, *const u32), n: usize, to: (*mut f32, *mut u32)) -> usize {
        let mut count = 0;
        for i in 0..n {
            // SAFETY: the caller vouches for the pointers.
            unsafe {
                let value = *from.0.add(i);
                to.0.add(count).write(value);
                to.1.add(count).write(*from.1.add(i));
                count += usize::from(value != 0.0);
            }
        }
        count
    }
    /// For each of some steps, `step` values apart, a bit for each of `n ≤ 64` values: whether it is not zero.
    #[inline(always)]
    unsafe fn occupied(from: *const f32, n: usize, (steps, step): (usize, usize), bits: *mut u64) {
        for k in 0..steps {
            // SAFETY: the caller vouches for the pointers.
            unsafe {
                let bit = |i: usize| u64::from(*from.add(k * step + i) != 0.0) << i;
                *bits.add(k) = (0..n).fold(0, |bits, i| bits | bit(i));
            }
        }
    }
    /// For each of `n` words that has a bit of `mask`, writes its places: the first word's are given, and how far apart they
    /// are. Returns how many there are, and may write to as many more as half a vector has lanes.
    #[inline(always)]
    unsafe fn steps(
        words: *const u64,
        n: usize,
        mask: u64,
        (first, step): (Offsets, Offsets),
        to: *mut Offsets,
    ) -> usize {
        let mut count = 0;
        for k in 0..n {
            // SAFETY: the caller vouches for the pointers.
            unsafe {
                *to.add(count) = [first[0] + k as u32 * step[0], first[1] + k as u32 * step[1]];
                count += usize::from(*words.add(k) & mask != 0);
            }
        }
        count
    }
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
            Path::Portable => Portable::<8>::apart(part),
            #[cfg(test)]
            Path::Wide => Portable::<MOST_LANES>::apart(part),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => Avx2::apart(part),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => Avx512::apart(part),
        }
    }
}

/// Plain Rust, in vectors of so many lanes: correct everywhere, and fast where the compiler makes vectors of it.
///
/// Eight lanes are what serves. Sixteen are for the tests, which so see on any processor how a product falls into tiles where
/// a processor has AVX-512.
#[derive(Clone, Copy)]
pub(super) struct Portable<const LANES: usize>;

impl<const L: usize> Portable<L> {
    const TILES: Tiles = if L == MOST_LANES { Tiles::WIDEST } else { Tiles::PLAIN };
}

impl<const L: usize> Simd for Portable<L> {
    const LANES: usize = L;
    const VECTORS: usize = Self::TILES.vectors;
    const ROWS: [usize; 4] = Self::TILES.rows;
    const CAREFUL: usize = Self::TILES.careful;
    type Vector = [f32; L];
    type Narrow = Portable<8>;

    #[inline(never)]
    unsafe fn apart(part: impl Part) {
        // SAFETY: as the caller vouches.
        unsafe { part.run::<Self>() }
    }

    #[inline(always)]
    unsafe fn zero() -> [f32; L] {
        [0.0; L]
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; L] {
        [value; L]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; L] {
        // SAFETY: the caller vouches for a vector's values.
        unsafe { from.cast::<[f32; L]>().read() }
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, n: usize) -> [f32; L] {
        // SAFETY: the caller vouches for `n` values.
        std::array::from_fn(|i| if i < n { unsafe { from.add(i).read() } } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: [f32; L]) {
        // SAFETY: the caller vouches for a vector's values.
        unsafe { to.cast::<[f32; L]>().write(v) }
    }

    #[inline(always)]
    unsafe fn store_part(to: *mut f32, v: [f32; L], n: usize) {
        for (i, value) in v.into_iter().enumerate().take(n) {
            // SAFETY: the caller vouches for `n` values.
            unsafe { to.add(i).write(value) }
        }
    }

    #[inline(always)]
    unsafe fn multiply_add(a: [f32; L], b: [f32; L], c: [f32; L]) -> [f32; L] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    unsafe fn where_positive(v: [f32; L], gate: [f32; L], or_nan: bool) -> [f32; L] {
        std::array::from_fn(|i| if gate[i] > 0.0 || (or_nan && gate[i].is_nan()) { v[i] } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn splat_quads(from: *const f32, n: usize) -> [f32; L] {
        // SAFETY: the caller vouches for `n` values.
        std::array::from_fn(|i| if i / QUAD < n { unsafe { from.add(i / QUAD).read() } } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn quads(from: *const f32, row: usize, n: usize, columns: usize) -> [f32; L] {
        std::array::from_fn(|i| {
            let (k, column) = (i / QUAD, i % QUAD);
            // SAFETY: the caller vouches for these values of `n` rows.
            if k < n && column < columns { unsafe { from.add(k * row + column).read() } } else { 0.0 }
        })
    }

    #[inline(always)]
    unsafe fn spread(v: [f32; L]) -> [[f32; L]; QUAD] {
        std::array::from_fn(|k| std::array::from_fn(|i| v[i / QUAD * QUAD + k]))
    }

    #[inline(always)]
    unsafe fn turn(v: [[f32; L]; QUAD]) -> [[f32; L]; QUAD] {
        std::array::from_fn(|k| std::array::from_fn(|i| v[i % QUAD][i / QUAD * QUAD + k]))
    }

    #[inline(always)]
    unsafe fn fold(v: [f32; L]) -> [f32; QUAD] {
        let v = halve(v, QUAD);
        std::array::from_fn(|i| v[i])
    }

    #[inline(always)]
    unsafe fn sum(v: [f32; L]) -> f32 {
        halve(v, 1)[0]
    }
}

/// Adds the upper half of the values to the lower one, until so many are left: the first ones.
#[inline(always)]
fn halve<const L: usize>(mut v: [f32; L], left: usize) -> [f32; L] {
    let mut lanes = L;
    while lanes > left {
        lanes /= 2;
        for i in 0..lanes {
            v[i] += v[i + lanes];
        }
    }
    v
}
