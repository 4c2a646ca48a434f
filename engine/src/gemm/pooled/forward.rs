//! The way forward: what the convolution gives stays in registers until the largest is known.

use super::group::{Group, Work};
use super::taps::Filled;
use super::{LANES, PLACES, Pooled};

/// A padded image, the filters, and what comes of them.
pub(super) struct Forward<'a> {
    pub(super) pooled: &'a Pooled,
    pub(super) x: &'a [f32],
    pub(super) w: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) y: &'a mut [f32],
    /// If they are wanted.
    pub(super) bits: Option<&'a mut [u16]>,
}

impl Work for Forward<'_> {
    #[inline(always)]
    unsafe fn run<G: Group, const K: usize>(self) {
        let Self { pooled, x, w, bias, y, bits } = self;
        let (width, groups) = (pooled.output[1], pooled.groups());
        let bits = bits.map(<[u16]>::as_mut_ptr);
        let offsets = Offsets::<K>::new(pooled);
        // SAFETY: as the caller vouches.
        let filled = unsafe { Filled::of::<G>(pooled, x.as_ptr()) };
        for i in 0..pooled.output[0] {
            let taps = filled.taps::<K>(i, G::ABREAST);
            for group in (0..groups).step_by(G::GROUPS) {
                let mut j = 0;
                while j < width {
                    let windows = (width - j).min(G::ABREAST);
                    let tile = Tile {
                        pooled,
                        x: x[2 * i * pooled.pitch + 2 * j..].as_ptr(),
                        w: w[group * LANES..].as_ptr(),
                        bias: bias[group * LANES..].as_ptr(),
                        y: y[(i * width + j) * pooled.filters + group * LANES..].as_mut_ptr(),
                        bits: bits.map(|bits| bits.wrapping_add((i * width + j) * 3 * groups + group)),
                        group,
                        taps: taps.at(j),
                        offsets: &offsets,
                    };
                    // SAFETY: the windows lie within the image, their places within the result and the bits; there is a
                    // second group where one is taken.
                    unsafe {
                        match (windows, (groups - group).min(G::GROUPS)) {
                            (1, 1) => tile.run::<G, 1, 1>(),
                            (1, _) => tile.run::<G, 1, 2>(),
                            (_, 1) => tile.run::<G, 2, 1>(),
                            _ => tile.run::<G, 2, 2>(),
                        }
                    }
                    j += windows;
                }
            }
        }
    }
}

/// Where the values of a tap begin, in bytes.
#[derive(Debug, Clone, Copy, Default)]
struct OfTap {
    x: usize,
    w: usize,
}

/// That of each tap, by its bit: to look it up costs less than to work it out.
struct Offsets<const K: usize>([OfTap; u64::BITS as usize]);

impl<const K: usize> Offsets<K> {
    #[inline]
    fn new(pooled: &Pooled) -> Self {
        let mut offsets = [OfTap::default(); u64::BITS as usize];
        for (u, offsets) in offsets.chunks_exact_mut(u8::BITS as usize).take(K).enumerate() {
            for (column, of_tap) in offsets.iter_mut().take(K).enumerate() {
                let [x, w] = [u * pooled.pitch + column, (u * K + column) * pooled.lanes()];
                *of_tap = OfTap { x: x * size_of::<f32>(), w: w * size_of::<f32>() };
            }
        }
        Self(offsets)
    }
}

/// Where some windows of the pool lie, for some groups of filters.
struct Tile<'a, const K: usize> {
    pooled: &'a Pooled,
    x: *const f32,
    w: *const f32,
    bias: *const f32,
    y: *mut f32,
    /// If they are wanted.
    bits: Option<*mut u16>,
    group: usize,
    /// The steps that add anything.
    taps: u64,
    offsets: &'a Offsets<K>,
}

impl<const K: usize> Tile<'_, K> {
    /// # Safety
    /// `P` windows and `V` groups must be there.
    #[inline(always)]
    unsafe fn run<G: Group, const P: usize, const V: usize>(&self) {
        if const { P > G::ABREAST || V > G::GROUPS } {
            // Never asked for; said so that the compiler leaves it out.
            return;
        }
        // SAFETY: as the caller vouches.
        unsafe {
            let mut biases = [G::splat(0.0); V];
            for (v, bias) in biases.iter_mut().enumerate() {
                *bias = G::load(self.bias.add(v * LANES));
            }
            if self.taps == 0 {
                // All places are the same, and so are the windows.
                for (v, &bias) in biases.iter().enumerate() {
                    let outcome = self.outcome([bias; PLACES]);
                    for window in 0..P {
                        self.write((window, v), outcome);
                    }
                }
                return;
            }
            for (window, [p, q, r, s]) in self.sums::<G, P, V>(biases).iter().enumerate() {
                for (v, (((&p, &q), &r), &s)) in p.iter().zip(q).zip(r).zip(s).enumerate() {
                    self.write((window, v), self.outcome([p, q, r, s]));
                }
            }
        }
    }

    /// The largest of the four places of a window, and which one it is.
    ///
    /// # Safety
    /// The processor must have the instructions.
    #[inline(always)]
    unsafe fn outcome<G: Group>(&self, places: [G; PLACES]) -> (G, [u16; 3]) {
        // SAFETY: as the caller vouches.
        unsafe {
            let floor = G::splat(if self.pooled.rectified { 0.0 } else { f32::NEG_INFINITY });
            (G::largest(floor, places), G::which(floor, places))
        }
    }

    /// Writes what came of a window and a group of filters.
    ///
    /// # Safety
    /// They must be there.
    #[inline(always)]
    unsafe fn write<G: Group>(&self, (window, v): (usize, usize), (largest, words): (G, [u16; 3])) {
        let (filters, groups) = (self.pooled.filters, self.pooled.groups());
        // SAFETY: as the caller vouches; only the lanes are written that are filters.
        unsafe {
            let y = self.y.add(window * filters + v * LANES);
            largest.store_first(y, self.pooled.lanes_of(self.group + v));
            if let Some(bits) = self.bits {
                for (row, word) in words.into_iter().enumerate() {
                    bits.add((window * 3 + row) * groups + v).write(word);
                }
            }
        }
    }

    /// What the convolution gives at the four places of each window.
    ///
    /// # Safety
    /// As [`run`](Self::run).
    #[inline(always)]
    unsafe fn sums<G: Group, const P: usize, const V: usize>(&self, biases: [G; V]) -> [[[G; V]; PLACES]; P] {
        let mut sums = [[biases; PLACES]; P];
        let mut taps = self.taps;
        while taps != 0 {
            let of_tap = self.offsets.0[taps.trailing_zeros() as usize];
            taps &= taps - 1;
            // SAFETY: the windows' rows and the vectors of the filters are there, as the caller vouches.
            unsafe {
                let (row, w) = (self.x.byte_add(of_tap.x), self.w.byte_add(of_tap.w));
                let rows = [row, row.add(self.pooled.pitch)];
                let mut weights = biases;
                for (v, weights) in weights.iter_mut().enumerate() {
                    *weights = G::load(w.add(v * LANES));
                }
                for (window, sums) in sums.iter_mut().enumerate() {
                    for (place, sums) in sums.iter_mut().enumerate() {
                        let x = G::splat(*rows[place / 2].add(2 * window + place % 2));
                        for (sum, &weights) in sums.iter_mut().zip(&weights) {
                            *sum = x.multiply_add(weights, *sum);
                        }
                    }
                }
            }
        }
        sums
    }
}
