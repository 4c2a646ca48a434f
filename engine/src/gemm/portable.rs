//! Vectors in plain Rust: those of the portable path, and those that emulate AVX2 and AVX-512 in the tests.
//!
//! An emulated operation gives the bits that the processor's instructions give, and writes to memory wherever they do; so on any
//! processor the tests see what the kernels of each path compute. What NaN comes of an operation on others is left open, as
//! Rust leaves it.

use super::simd::{MOST_LANES, Offsets, Part, QUAD, Simd, Tiles};

/// Vectors of so many lanes. Those that are fused emulate a processor, whose products are rounded only once, with the sum they
/// are added to: AVX2 with 8 lanes, AVX-512 with 16.
#[derive(Debug, Clone, Copy)]
pub(super) struct Portable<const LANES: usize, const FUSED: bool>;

/// What serves where there are no better vectors: correct everywhere, and fast where the compiler makes vectors of it.
pub(super) type Plain = Portable<8, false>;
#[cfg(test)]
pub(super) type EmulatedAvx2 = Portable<8, true>;
#[cfg(test)]
pub(super) type EmulatedAvx512 = Portable<MOST_LANES, true>;

impl<const L: usize, const FUSED: bool> Portable<L, FUSED> {
    const TILES: Tiles = match (L, FUSED) {
        (_, false) => Tiles::PLAIN,
        (MOST_LANES, _) => Tiles::AVX512,
        _ => Tiles::AVX2,
    };

    /// Writes those of `values` that come with `true` to `to`, one after the other, and returns how many those are. In all,
    /// as many are written as there are values: AVX-512 has zeros for what is left, AVX2 the first value.
    ///
    /// # Safety
    /// There must be room for them, and a value.
    #[cfg_attr(not(test), inline(always))]
    unsafe fn compress<T: Copy + Default>(values: impl Iterator<Item = (T, bool)>, to: *mut T) -> usize {
        let (mut count, mut first, mut len) = (0, None, 0);
        for (value, is_kept) in values {
            // SAFETY: as the caller vouches: no more have been kept than have come.
            unsafe { to.add(count).write(value) };
            count += usize::from(is_kept);
            first = first.or(Some(value));
            len += 1;
        }
        let rest = if L == MOST_LANES { T::default() } else { first.unwrap_or_default() };
        for i in count..len {
            // SAFETY: as above.
            unsafe { to.add(i).write(rest) };
        }
        count
    }
}

impl<const L: usize, const FUSED: bool> Simd for Portable<L, FUSED> {
    const LANES: usize = L;
    const VECTORS: usize = Self::TILES.vectors;
    const ROWS: [usize; 4] = Self::TILES.rows;
    const CAREFUL: usize = Self::TILES.careful;
    type Vector = [f32; L];
    type Places = [u32; L];
    type Narrow = Portable<8, FUSED>;

    #[inline(never)]
    unsafe fn apart(part: impl Part) {
        // SAFETY: as the caller vouches.
        unsafe { part.run::<Self>() }
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn zero() -> [f32; L] {
        [0.0; L]
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn splat(value: f32) -> [f32; L] {
        [value; L]
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn load(from: *const f32) -> [f32; L] {
        // SAFETY: the caller vouches for a vector's values.
        unsafe { from.cast::<[f32; L]>().read() }
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn load_part(from: *const f32, n: usize) -> [f32; L] {
        // SAFETY: the caller vouches for `n` values.
        std::array::from_fn(|i| if i < n { unsafe { from.add(i).read() } } else { 0.0 })
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn store(to: *mut f32, v: [f32; L]) {
        // SAFETY: the caller vouches for a vector's values.
        unsafe { to.cast::<[f32; L]>().write(v) }
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn store_part(to: *mut f32, v: [f32; L], n: usize) {
        for (i, value) in v.into_iter().enumerate().take(n) {
            // SAFETY: the caller vouches for `n` values.
            unsafe { to.add(i).write(value) }
        }
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn multiply_add(a: [f32; L], b: [f32; L], c: [f32; L]) -> [f32; L] {
        if FUSED { fused(&a, &b, &c) } else { std::array::from_fn(|i| a[i] * b[i] + c[i]) }
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn where_positive(v: [f32; L], gate: [f32; L], or_nan: bool) -> [f32; L] {
        std::array::from_fn(|i| if gate[i] > 0.0 || (or_nan && gate[i].is_nan()) { v[i] } else { 0.0 })
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn splat_quads(from: *const f32, n: usize) -> [f32; L] {
        // SAFETY: the caller vouches for `n` values.
        std::array::from_fn(|i| if i / QUAD < n { unsafe { from.add(i / QUAD).read() } } else { 0.0 })
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn quads(from: *const f32, row: usize, n: usize, columns: usize) -> [f32; L] {
        std::array::from_fn(|i| {
            let (k, column) = (i / QUAD, i % QUAD);
            // SAFETY: the caller vouches for these values of `n` rows.
            if k < n && column < columns { unsafe { from.add(k * row + column).read() } } else { 0.0 }
        })
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn spread(v: [f32; L]) -> [[f32; L]; QUAD] {
        std::array::from_fn(|k| std::array::from_fn(|i| v[i / QUAD * QUAD + k]))
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn turn(v: [[f32; L]; QUAD]) -> [[f32; L]; QUAD] {
        std::array::from_fn(|k| std::array::from_fn(|i| v[i % QUAD][i / QUAD * QUAD + k]))
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn fold(v: [f32; L]) -> [f32; QUAD] {
        let v = halve(v, QUAD);
        std::array::from_fn(|i| v[i])
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn sum(v: [f32; L]) -> f32 {
        halve(v, 1)[0]
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn places<const R: usize>(rows: &[*const f32; R], first: usize, n: usize, to: *mut u32) -> usize {
        // SAFETY: the caller vouches for the pointers.
        let is_occupied = |i: usize| i < n && rows.iter().any(|row| unsafe { *row.add(first + i) } != 0.0);
        // SAFETY: the caller vouches for a vector's room.
        unsafe { Self::compress((0..L).map(|i| ((first + i) as u32, is_occupied(i))), to) }
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn pick_nonzero(from: (*const f32, *const u32), n: usize, to: (*mut f32, *mut u32)) -> usize {
        // SAFETY: the caller vouches for `n` values and numbers, and for a vector's room.
        unsafe {
            let values = Self::load_part(from.0, n);
            let others: [u32; L] = std::array::from_fn(|i| if i < n { from.1.add(i).read() } else { 0 });
            let found = values.map(|value| value != 0.0);
            Self::compress(others.into_iter().zip(found), to.1);
            Self::compress(values.into_iter().zip(found), to.0)
        }
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn occupied(from: *const f32, n: usize, (steps, step): (usize, usize), bits: *mut u64) {
        for k in 0..steps {
            // SAFETY: the caller vouches for the pointers.
            unsafe {
                let bit = |i: usize| u64::from(*from.add(k * step + i) != 0.0) << i;
                *bits.add(k) = (0..n).fold(0, |bits, i| bits | bit(i));
            }
        }
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn steps(
        words: *const u64,
        n: usize,
        mask: u64,
        (first, step): (Offsets, Offsets),
        to: *mut Offsets,
    ) -> usize {
        let mut count = 0;
        for k in (0..n).step_by(L / 2) {
            let place = |k: usize| [first[0] + k as u32 * step[0], first[1] + k as u32 * step[1]];
            // SAFETY: the caller vouches for `n` words, and for half a vector's room.
            unsafe {
                let has_bit = |k: usize| k < n && *words.add(k) & mask != 0;
                count += Self::compress((k..k + L / 2).map(|k| (place(k), has_bit(k))), to.add(count));
            }
        }
        count
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn load_some(from: *const f32, lanes: u16) -> [f32; L] {
        // SAFETY: the caller vouches for the values whose bits are set.
        std::array::from_fn(|i| if lanes >> i & 1 == 1 { unsafe { from.add(i).read() } } else { 0.0 })
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn store_first(to: *mut f32, v: [f32; L], lanes: u16) {
        // SAFETY: the caller vouches for the values whose bits are set, the first ones.
        unsafe { Self::store_part(to, v, lanes.trailing_ones() as usize) }
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn add(a: [f32; L], b: [f32; L]) -> [f32; L] {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn max(a: [f32; L], b: [f32; L]) -> [f32; L] {
        std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn greater(a: [f32; L], b: [f32; L]) -> u16 {
        bits::<L>(|i| a[i] > b[i])
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn or_nan(v: [f32; L], others: [[f32; L]; QUAD]) -> [f32; L] {
        std::array::from_fn(|i| if others.iter().any(|other| other[i].is_nan()) { f32::NAN } else { v[i] })
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn nonzero(v: [f32; L]) -> u16 {
        bits::<L>(|i| v[i] != 0.0)
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn splat_quad(from: *const f32) -> [f32; L] {
        // SAFETY: the caller vouches for four values.
        std::array::from_fn(|i| unsafe { from.add(i % QUAD).read() })
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn places_in_quads(low: u16, high: u16) -> [u32; L] {
        std::array::from_fn(|i| u32::from(low >> i & 1) + 2 * u32::from(high >> i & 1))
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn look_up(v: [f32; L], places: [u32; L]) -> [f32; L] {
        std::array::from_fn(|i| v[i / QUAD * QUAD + places[i] as usize])
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn squares(upper: *const f32, lower: *const f32, n: usize, to: *mut f32) {
        for column in 0..QUAD {
            for (place, row) in [upper, lower].into_iter().enumerate() {
                for (right, at) in [column, column + 1].into_iter().enumerate() {
                    // SAFETY: the caller vouches for `n` values of each row, and for room for sixteen.
                    unsafe {
                        let value = if at < n { row.add(at).read() } else { 0.0 };
                        to.add(column * QUAD + 2 * place + right).write(value);
                    }
                }
            }
        }
    }

    #[cfg_attr(not(test), inline(always))]
    unsafe fn extract_bits(bits: u64, mask: u64) -> u64 {
        let (mut extracted, mut count, mut left) = (0, 0, mask);
        while left != 0 {
            extracted |= (bits >> left.trailing_zeros() & 1) << count;
            (count, left) = (count + 1, left & (left - 1));
        }
        extracted
    }
}

/// Adds the upper half of the values to the lower one, until so many are left: the first ones.
#[cfg_attr(not(test), inline(always))]
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

/// `a·b + c`, rounded once. Not inlined: kernels have it thousands of times, and would be long to compile.
#[inline(never)]
fn fused<const L: usize>(a: &[f32; L], b: &[f32; L], c: &[f32; L]) -> [f32; L] {
    std::array::from_fn(|i| a[i].mul_add(b[i], c[i]))
}

/// A bit for each lane.
#[cfg_attr(not(test), inline(always))]
fn bits<const L: usize>(bit: impl Fn(usize) -> bool) -> u16 {
    (0..L).fold(0, |bits, i| bits | u16::from(bit(i)) << i)
}
