//! What a product asks for ahead of time.
//!
//! A product that works in the second cache leaves the memory behind it idle, and what comes next then waits for that
//! memory with the processor idle. So each tile asks, at every step, for one line of what will be read next: the rows of B
//! that follow, the columns of Xᵀ beside its own, and what the caller says it will read [soon](super::grid_matmul).
//! Nothing depends on it but time.

use super::simd::Simd;
use super::{Grid, LINE};

/// Most things that are asked for.
const MOST: usize = 5;
/// Most of them that a caller can name.
pub const MOST_SOON: usize = 3;

/// What is asked for, in this order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    regions: [Region; MOST],
}

/// Memory that tiles ask for, each a part of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region {
    /// Where the next tile begins.
    pub(super) start: *const f32,
    /// Tiles that are needed for all of it, and how far apart they begin.
    tiles: usize,
    tile: usize,
    /// Distance of what is asked for by two runs, and by two steps of one.
    pub(super) run: usize,
    pub(super) step: usize,
}

impl Region {
    /// A line that is at hand, again and again.
    pub(super) fn none(at: *const f32) -> Self {
        Self { start: at, tiles: 0, tile: 0, run: 0, step: 0 }
    }

    /// Whether it is one that nothing is gained by asking for.
    pub(super) fn is_nothing(&self) -> bool {
        self.tiles == 0
    }

    /// Values in a row, asked for by tiles of so many runs of so many steps.
    fn row(start: *const f32, values: usize, (runs, steps): (usize, usize)) -> Self {
        let run = steps * LINE;
        Self { start, tiles: values.div_ceil((runs * run).max(1)), tile: runs * run, run, step: LINE }
    }
}

/// The lines of a tile's part of a region, spread evenly over some goes.
pub(super) struct Lines {
    next: *const f32,
    step: usize,
    /// From a run's last line to the first one of the next.
    jump: usize,
    /// Steps of a run that are left, and all of them.
    left: usize,
    steps: usize,
    /// Lines a go.
    each: usize,
}

impl Region {
    /// The lines of a tile of so many runs of so many steps, to be asked for in `count` goes.
    #[inline(always)]
    pub(super) fn lines(&self, (runs, steps): (usize, usize), count: usize) -> Lines {
        let each = if self.is_nothing() { 0 } else { (runs * steps).div_ceil(count.max(1)) };
        let jump = self.run.wrapping_sub(steps * self.step);
        Lines { next: self.start, step: self.step, jump, left: steps, steps, each }
    }
}

impl Lines {
    /// Asks for the lines of a go.
    #[inline(always)]
    pub(super) fn ask<S: Simd>(&mut self) {
        let mut asked = 0;
        while asked < self.each {
            let these = (self.each - asked).min(self.left);
            for _ in 0..these {
                // SAFETY: a prefetch reads nothing; `S` is the implementation that runs.
                unsafe { S::prefetch_later(self.next) }
                self.next = self.next.wrapping_add(self.step);
            }
            (asked, self.left) = (asked + these, self.left - these);
            if self.left == 0 {
                (self.next, self.left) = (self.next.wrapping_add(self.jump), self.steps);
            }
        }
    }
}

impl Ahead {
    /// What a product of these asks for.
    pub(super) fn of(a: &Grid<'_>, soon: [&[f32]; MOST_SOON]) -> Self {
        let nothing = Region::none(a.data.as_ptr());
        let inner = (a.runs.count, a.columns.count);
        let [first, second, third] = soon.map(|values| Region::row(values.as_ptr(), values.len(), inner));
        let lies_upright = a.rows.stride == 1 && a.columns.stride != 1 && a.groups.count == 1;
        let beside = match lies_upright && soon.iter().any(|values| !values.is_empty()) {
            false => nothing,
            true => Region {
                start: a.data.as_ptr().wrapping_add(a.rows.count),
                tiles: a.rows.count.div_ceil(LINE),
                tile: LINE,
                run: a.runs.stride,
                step: a.columns.stride,
            },
        };
        Self { regions: [first, second, third, beside, nothing] }
    }

    /// The same for a piece of a product, of so many steps, that `values` of B from `next` on follow.
    pub(super) fn with_next(mut self, next: *const f32, values: usize, steps: usize) -> Self {
        self.regions[MOST - 1] = Region::row(next, values, (1, steps));
        self
    }

    /// Whether there is something to ask for.
    pub(super) fn is_something(&self) -> bool {
        !self.regions.iter().all(Region::is_nothing)
    }

    /// What the tile that comes as the `nth` one asks for.
    #[inline(always)]
    pub(super) fn of_tile(&self, nth: usize) -> Region {
        let mut nth = nth;
        for region in &self.regions {
            if nth < region.tiles {
                return Region { start: region.start.wrapping_add(nth * region.tile), ..*region };
            }
            nth -= region.tiles;
        }
        Region::none(self.regions[0].start)
    }
}
