//! The way back: every lane looks the value up that its largest result came from.

use std::mem::MaybeUninit;

use super::group::{Group, Work};
use super::taps::{Filled, Windows};
use super::{LANES, PLACES, Pooled};

/// Windows of the pool that are gone through for one row of taps after the other: what is needed of them stays near.
const CHUNK: usize = 64;

/// A padded image, the gradients of its results, and those that they are added to.
pub(super) struct Gradient<'a> {
    pub(super) pooled: &'a Pooled,
    pub(super) x: &'a [f32],
    pub(super) dy: &'a [f32],
    pub(super) bits: &'a [u16],
    pub(super) squares: &'a mut [f32],
    pub(super) dw: &'a mut [f32],
    pub(super) db: &'a mut [f32],
}

impl Work for Gradient<'_> {
    #[inline(always)]
    unsafe fn run<G: Group, const K: usize>(self) {
        let Self { pooled, x, dy, bits, squares, dw, db } = self;
        // SAFETY: as the caller vouches: of each row, only the lanes that are filters are touched.
        unsafe {
            fill::<G>(pooled, x.as_ptr(), squares.as_mut_ptr());
            let which = Filled::of::<G>(pooled, x.as_ptr()).windows::<K>();
            for group in (0..pooled.groups()).step_by(G::GROUPS) {
                let of = Groups { pooled, group, dy: dy.as_ptr(), bits: bits.as_ptr(), squares: squares.as_ptr() };
                let (dw, db) = (dw[group * LANES..].as_mut_ptr(), db[group * LANES..].as_mut_ptr());
                match (pooled.groups() - group).min(G::GROUPS) {
                    1 => of.add::<G, K, 1>(&which, dw, db),
                    _ => of.add::<G, K, 2>(&which, dw, db),
                }
            }
        }
    }
}

/// Fills in the square of each value of the image: it, the one on its right, and the two below them.
///
/// # Safety
/// As for [`Work::run`].
#[inline(always)]
unsafe fn fill<G: Group>(pooled: &Pooled, x: *const f32, squares: *mut f32) {
    let (pitch, squares_pitch) = (pooled.pitch, pooled.pitch_of_squares());
    for from in (0..squares_pitch).step_by(LANES) {
        let column = from / PLACES;
        for row in 0..pooled.rows_of_squares() {
            // SAFETY: the rows and these columns lie within the image, and their squares within theirs.
            unsafe {
                let upper = x.add(row * pitch + column);
                G::squares(upper, upper.add(pitch), pitch - column, squares.add(row * squares_pitch + from));
            }
        }
    }
}

/// What is needed of a window of the pool, for `V` groups of filters.
#[derive(Clone, Copy)]
struct Window<G: Group, const V: usize> {
    /// The gradients of the filters that live.
    dy: [G; V],
    /// Where in a square each filter's largest result came from.
    places: [G::Places; V],
}

/// Windows one after the other, row by row.
struct Chunk<G: Group, const V: usize> {
    /// Row and column of the first one in the result.
    first: [usize; 2],
    count: usize,
    windows: [MaybeUninit<Window<G, V>>; CHUNK],
    /// Where the squares of each one begin.
    squares: [usize; CHUNK],
}

/// One or two groups of filters, and what they need.
struct Groups<'a> {
    pooled: &'a Pooled,
    group: usize,
    dy: *const f32,
    bits: *const u16,
    squares: *const f32,
}

impl Groups<'_> {
    /// Adds their gradients.
    ///
    /// # Safety
    /// As for [`Work::run`]; there must be `V` groups.
    #[inline(always)]
    unsafe fn add<G: Group, const K: usize, const V: usize>(&self, which: &Windows, dw: *mut f32, db: *mut f32) {
        if const { V > G::GROUPS } {
            // Never asked for; said so that the compiler leaves it out.
            return;
        }
        let (pixels, width, filters) = (self.pooled.pixels(), self.pooled.output[1], self.pooled.filters);
        let windows = [const { MaybeUninit::uninit() }; CHUNK];
        let mut chunk = Chunk::<G, V> { first: [0; 2], count: 0, windows, squares: [0; CHUNK] };
        // SAFETY: as the caller vouches.
        let mut sums = unsafe { [[[G::splat(0.0); V]; K]; K] };
        // SAFETY: as the caller vouches.
        unsafe {
            for (tap, sums) in sums.as_flattened_mut().iter_mut().enumerate() {
                *sums = self.load(dw.add(tap * filters));
            }
        }
        for first in (0..pixels).step_by(CHUNK) {
            chunk.first = [first / width, first % width];
            chunk.count = (pixels - first).min(CHUNK);
            // SAFETY: as the caller vouches.
            unsafe {
                self.fill_in(first, &mut chunk, db);
                for (u, sums) in sums.iter_mut().enumerate() {
                    let windows = which.of_taps::<G>(chunk.first, chunk.count, width, u);
                    self.add_row(&chunk, windows, u, sums);
                }
            }
        }
        // SAFETY: as the caller vouches.
        unsafe {
            for (tap, &sums) in sums.as_flattened().iter().enumerate() {
                self.store(dw.add(tap * filters), sums);
            }
        }
    }

    /// Fills in the windows of a chunk that begins with the `first` one of all, and adds their gradients to the biases'.
    ///
    /// # Safety
    /// As [`add`](Self::add).
    #[inline(always)]
    unsafe fn fill_in<G: Group, const V: usize>(&self, first: usize, chunk: &mut Chunk<G, V>, db: *mut f32) {
        let (groups, pitch) = (self.pooled.groups(), self.pooled.pitch_of_squares());
        let [mut i, mut j] = chunk.first;
        // SAFETY: as the caller vouches; a masked load touches the lanes alone that are filters.
        unsafe {
            let mut bias = self.load::<G, V>(db);
            let mut bits = self.bits.add(first * 3 * groups + self.group);
            let mut dy = self.dy.add(first * self.pooled.filters + self.group * LANES);
            for (window, square) in chunk.windows.iter_mut().zip(&mut chunk.squares).take(chunk.count) {
                let window = window.as_mut_ptr();
                for (v, bias) in bias.iter_mut().enumerate() {
                    let (right, below) = (*bits.add(v), *bits.add(groups + v));
                    let lives = *bits.add(2 * groups + v) & self.pooled.lanes_of(self.group + v);
                    let dy = G::load_some(dy.add(v * LANES), lives);
                    (*window).dy[v] = dy;
                    (*window).places[v] = G::places(right, below);
                    *bias = bias.add(dy);
                }
                *square = 2 * i * pitch + 2 * j * PLACES;
                j += 1;
                if j == self.pooled.output[1] {
                    (i, j) = (i + 1, 0);
                }
                bits = bits.add(3 * groups);
                dy = dy.add(self.pooled.filters);
            }
            self.store(db, bias);
        }
    }

    /// Adds what the windows of a chunk give to the gradients of a row of taps.
    ///
    /// # Safety
    /// As [`add`](Self::add); the chunk must be filled in.
    #[inline(always)]
    unsafe fn add_row<G: Group, const K: usize, const V: usize>(
        &self,
        chunk: &Chunk<G, V>,
        mut windows: u64,
        u: usize,
        of_row: &mut [[G; V]; K],
    ) {
        let mut all = *of_row;
        // SAFETY: as the caller vouches; the squares are those of the windows.
        unsafe {
            let row = self.squares.add(u * self.pooled.pitch_of_squares());
            while windows != 0 {
                let at = windows.trailing_zeros() as usize;
                windows &= windows - 1;
                let (window, squares) = (chunk.windows[at].assume_init_ref(), row.add(chunk.squares[at]));
                for (column, sums) in all.iter_mut().enumerate() {
                    let square = G::square(squares.add(column * PLACES));
                    for ((sum, &places), &dy) in sums.iter_mut().zip(&window.places).zip(&window.dy) {
                        *sum = square.look_up(places).multiply_add(dy, *sum);
                    }
                }
            }
        }
        *of_row = all;
    }

    /// A row of the filters.
    ///
    /// # Safety
    /// It must be there.
    #[inline(always)]
    unsafe fn load<G: Group, const V: usize>(&self, row: *const f32) -> [G; V] {
        // SAFETY: as the caller vouches; the lanes alone are touched that are filters.
        unsafe {
            let mut values = [G::splat(0.0); V];
            for (v, values) in values.iter_mut().enumerate() {
                *values = G::load_some(row.add(v * LANES), self.pooled.lanes_of(self.group + v));
            }
            values
        }
    }

    /// Stores the sums of a row of the filters; +0 for −0.
    ///
    /// # Safety
    /// As [`load`](Self::load).
    #[inline(always)]
    unsafe fn store<G: Group, const V: usize>(&self, row: *mut f32, values: [G; V]) {
        for (v, values) in values.into_iter().enumerate() {
            // SAFETY: as the caller vouches; the lanes alone are touched that are filters.
            unsafe {
                let values = values.without_sign_of_zero();
                values.store_first(row.add(v * LANES), self.pooled.lanes_of(self.group + v));
            }
        }
    }
}
