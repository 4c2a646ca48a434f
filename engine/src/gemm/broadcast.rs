//! The broadcast kernel: how a product is cut into tiles of C that stay in registers (`tile`).
//!
//! Columns that are left over beyond whole vectors would leave most lanes of one idle. Up to half a vector of them takes
//! vectors of half the size. Up to four are done with lanes that run along A's rows (`strip`) where A lies column by
//! column, or along its columns (`upright`) where it lies row by row; if these come in runs, which may be short, as `quads`.

use super::ahead::Region;
use super::kernel::{Finish, Product};
use super::quads::Quads;
use super::row::row;
use super::sieve::{Sieve, Steps};
use super::simd::{Part, QUAD, Simd};
use super::strip::{STRIP, strip};
use super::tile::{MOST_APART, Place, Tile};
use super::upright::Upright;

/// Rows of B that are gone through at once: with a block of columns they fit the second cache. A multiple of the lanes of
/// any vector.
pub(super) const DEPTH: usize = 1 << 10;

/// In pieces of B's rows where there are many, each going on from what the one before it has left in C.
///
/// # Safety
/// As for [`run`](super::kernel::run).
#[inline(always)]
pub(super) unsafe fn broadcast<S: Simd>(p: &Product) {
    let depth = if p.runs.0 == 1 { DEPTH } else { p.k.max(1) };
    let (panels, depths) = (p.n.div_ceil(p.panel.max(1)), p.k.div_ceil(depth).max(1));
    let pieces = panels * depths;
    let piece = |nth: usize| {
        let (product, nth) = (p.nth(nth / pieces), nth % pieces);
        let first = nth / panels * depth;
        product.piece((first, (p.k - first).min(depth)), nth % panels)
    };
    // One call, for the compiler to write it down once: the kernels are long.
    for nth in 0..pieces * p.each.0 {
        let mut these = piece(nth);
        if S::CAREFUL > 0 && p.runs.0 == 1 && nth % pieces + 1 < pieces {
            let next = piece(nth + 1);
            these.ahead = p.ahead.with_next(next.b, next.k * next.b_row, these.k);
        }
        // SAFETY: these columns of A and as many rows of a panel of B lie within the views.
        unsafe { columns::<S>(&these) }
    }
}

/// Blocks of columns outside, so that a block of B stays in the cache while the rows of A go by.
#[inline(always)]
unsafe fn columns<S: Simd>(p: &Product) {
    // Only plain tiles leave steps out. A few columns beside wider ones are little of the work in any case, as is the last
    // panel of several.
    let sieves = S::CAREFUL > 0 && p.may_hold_zeros;
    let are_little = p.n < p.panel || p.n >= 2 * S::LANES;
    let is_few = p.a_col == 1 && p.n % S::LANES <= QUAD && (!sieves || are_little);
    let few = if is_few { p.n % S::LANES } else { 0 };
    if p.m * p.groups.0 == 1 && p.runs.0 == 1 && p.a_col == 1 {
        // SAFETY: as the caller vouches.
        return unsafe {
            row::<S>(p, few);
            finish::<S>(p, (0, 1), (0, p.n));
        };
    }
    // Of few vectors, one for a few columns costs more than steps that are left out spare.
    let is_short = (1..=2).contains(&(p.n / S::LANES));
    let may_stand = p.a_row == 1 && p.a_col != 1 && p.n % S::LANES <= STRIP;
    let stands = if may_stand && (!sieves || is_short) { p.n % S::LANES } else { 0 };
    let narrow = if S::Narrow::LANES < S::LANES { S::Narrow::LANES } else { 0 };
    // Of the windows of an image, a higher tile is better than a wider one: neighbouring rows share most values.
    let widest = if p.runs.0 > 1 && p.groups.0 > 1 { S::VECTORS.min(2) } else { S::VECTORS };
    let (mut j, end) = (0, p.n - few - stands);
    if stands > 0 {
        // Before the others: its values go to memory one by one, and who reads a row right afterwards waits for them.
        // SAFETY: as the caller vouches, and A's rows are neighbours.
        unsafe { strip::<S>(p, end, stands) }
    }
    // What is left of a vector then is a block of its own, in vectors that cost half as much.
    let is_rest_narrow = end > S::LANES && end % S::LANES <= narrow && !sieves;
    let whole = if is_rest_narrow { end - end % S::LANES } else { end };
    // Of one vector, a step is too short to ask for what comes next, or to be worth finding.
    let fits = Sieve::fits::<S>(p);
    let looks_ahead = S::CAREFUL > 0 && p.groups.0 == 1 && p.ahead.is_something();
    if (fits || looks_ahead) && whole > S::LANES {
        // SAFETY: the columns lie within the product, which is a single group.
        unsafe { S::apart(Careful { p, end: whole, fits }) }
        j = whole;
    }
    while j < end {
        let columns = (if j < whole { whole - j } else { end - j }).min(widest * S::LANES);
        // SAFETY: the block lies within the product, `columns` needs that many vectors; whoever has the instructions of
        // wide vectors has those of narrow ones.
        unsafe {
            match columns.div_ceil(S::LANES) {
                1 if columns <= narrow => S::Narrow::apart(Block::<1> { p, j, columns }),
                1 => S::apart(Block::<1> { p, j, columns }),
                2 => S::apart(Block::<2> { p, j, columns }),
                3 => S::apart(Block::<3> { p, j, columns }),
                _ => S::apart(Block::<4> { p, j, columns }),
            }
        }
        j += columns;
    }
    // SAFETY: as above, and A's columns lie contiguous; of one run there are no more than a piece has.
    match few {
        0 => {}
        _ if p.runs.0 == 1 => unsafe { S::apart(Upright { p, j: end, columns: few }) },
        _ => unsafe { S::apart(Block::<0> { p, j: end, columns: few }) },
    }
    // SAFETY: the rest of all rows; what tiles have written they have finished.
    unsafe { finish::<S>(p, (0, p.m * p.groups.0), (end, p.n - end)) }
}

/// Calls `$task` with the height as a constant.
macro_rules! heights {
    ($height:expr, |$R:ident| $task:expr) => {
        heights!($height, $R, $task, 1 2 3 4 5 6 7 8 9 10 11 12 13)
    };
    ($height:expr, $R:ident, $task:expr, $($n:literal)+) => {
        match $height {
            $($n => { const $R: usize = $n; $task })+
            _ => { const $R: usize = 14; $task }
        }
    };
}

/// Sums that keep the multipliers busy: each product waits for the one before it.
const BUSY: usize = 12;

/// All rows of a block of columns, in tiles of about equal height; in quads for `V` = 0.
///
/// Where a group's tiles would have too few sums, as the narrow rows of a small image, they reach over to the next group.
///
/// # Safety
/// The columns must lie within the product, and need `V` vectors.
struct Block<'a, const V: usize> {
    p: &'a Product,
    j: usize,
    columns: usize,
}

impl<const V: usize> Part for Block<'_, V> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { p, j, columns } = self;
        let (mut groups, mut rows, mut tiles) = (p.groups.0, p.m, p.m.div_ceil(highest::<S>(V)));
        if V > 0 && groups > 1 && p.a_row != 1 && rows * V < BUSY * tiles {
            (groups, rows) = (1, groups * rows);
            tiles = rows.div_ceil(highest::<S>(V).min(MOST_APART));
        }
        // The first ones have one row more.
        let (least, more) = (rows / tiles.max(1), rows % tiles.max(1));
        for group in 0..groups {
            let mut at = Place { group, i: 0, j, columns };
            for (height, count) in [(least + 1, more), (least, tiles - more)] {
                if height == 0 || count == 0 {
                    continue;
                }
                // SAFETY: the rows lie within the product, all in one group if others than tiles want them so; each arm has as
                // many rows as there are.
                unsafe { heights!(height, |R| of_height::<S, R, V>(p, at, count)) }
                at = at.below(height * count, p.m);
            }
        }
    }
}

/// All rows of the columns before `end`, in tiles that ask for what is read next and, where a sieve fits, look once for all
/// their columns which steps are worth doing.
///
/// # Safety
/// The columns must lie within the product, which must be a single group; a sieve must fit it if it is said to.
struct Careful<'a> {
    p: &'a Product,
    end: usize,
    fits: bool,
}

impl Part for Careful<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { p, end, fits } = self;
        let highest = highest::<S>(end.div_ceil(S::LANES).min(S::CAREFUL));
        let (tiles, mut i) = (p.m.div_ceil(highest), 0);
        let (mut sieve, mut steps) = (fits.then(Sieve::new), Steps::new());
        for tile in 0..tiles {
            let below = p.m * (tile + 1) / tiles;
            let row = Row { p, i, nth: tile, tiles, end, sieve: &mut sieve, steps: &mut steps };
            // SAFETY: the rows lie within the product; each arm has as many as there are.
            unsafe { heights!(below - i, |R| across::<S, R>(row)) }
            i = below;
        }
    }
}

/// Tiles from row `i` on, one beside the other up to column `end`: the `nth` ones from above, of so many.
struct Row<'a> {
    p: &'a Product,
    i: usize,
    nth: usize,
    tiles: usize,
    end: usize,
    sieve: &'a mut Option<Sieve>,
    steps: &'a mut Steps,
}

/// The same, each of `R` rows.
struct Across<'a, const R: usize>(Row<'a>);

#[inline(always)]
unsafe fn across<S: Simd, const R: usize>(row: Row<'_>) {
    // Higher ones are never asked for; said so that the compiler leaves them out.
    if const { S::CAREFUL > 0 && R <= highest::<S>(2) } {
        // SAFETY: as the caller vouches.
        unsafe { S::apart(Across::<R>(row)) }
    }
}

impl<const R: usize> Part for Across<'_, R> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Row { p, i, nth, tiles, end, sieve, steps } = self.0;
        // SAFETY: the rows lie within the product, which the sieve fits; the columns of each tile need that many vectors.
        unsafe {
            let pays = match sieve {
                Some(sieve) => sieve.find::<S, R>(p, i, steps),
                None => false,
            };
            let steps = pays.then_some(&*steps);
            let mut j = 0;
            while j < end {
                // Not one vector alone at last: there, a step is too short for so much care.
                let vectors = match (end - j).div_ceil(S::LANES) {
                    left if left == S::CAREFUL + 1 && S::CAREFUL > 2 => S::CAREFUL - 1,
                    left => left.min(S::CAREFUL),
                };
                let at = Place { group: 0, i, j, columns: (end - j).min(vectors * S::LANES) };
                let region = p.ahead.of_tile(nth + j / (S::CAREFUL * S::LANES) * tiles);
                match vectors {
                    1 => careful_tile::<S, R, 1>(p, at, steps, region),
                    2 => careful_tile::<S, R, 2>(p, at, steps, region),
                    3 => careful_tile::<S, R, 3>(p, at, steps, region),
                    _ => careful_tile::<S, R, 4>(p, at, steps, region),
                }
                j += at.columns;
            }
        }
    }
}

#[inline(always)]
unsafe fn careful_tile<S: Simd, const R: usize, const V: usize>(
    p: &Product,
    at: Place,
    steps: Option<&Steps>,
    region: Region,
) {
    // Wider and higher ones are never asked for; said so that the compiler leaves them out.
    if const { V <= S::CAREFUL && (V > 1 || S::CAREFUL == 2) && R <= highest::<S>(V) } {
        // SAFETY: as the caller vouches.
        unsafe {
            match steps {
                None if region.is_nothing() => S::apart(Tile::<R, V, false> { p, at, steps, region }),
                _ => S::apart(Tile::<R, V, true> { p, at, steps, region }),
            }
        }
    }
}

/// Most rows of a tile.
#[inline(always)]
const fn highest<S: Simd>(vectors: usize) -> usize {
    S::ROWS[vectors.saturating_sub(1)]
}

/// So many tiles of `R` rows, one below the other.
#[inline(always)]
unsafe fn of_height<S: Simd, const R: usize, const V: usize>(p: &Product, at: Place, count: usize) {
    // Higher and wider ones are never asked for; said so that the compiler leaves them out.
    if const { R <= highest::<S>(V) && V <= S::VECTORS } {
        // SAFETY: as the caller vouches.
        unsafe {
            S::apart(Tiles::<R, V> { p, at, count });
        }
    }
}

/// So many tiles of `R` rows, one below the other, in one function: what surrounds a call costs as much as several steps.
struct Tiles<'a, const R: usize, const V: usize> {
    p: &'a Product,
    at: Place,
    count: usize,
}

impl<const R: usize, const V: usize> Part for Tiles<'_, R, V> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { p, mut at, count } = self;
        for _ in 0..count {
            // SAFETY: as the caller vouches.
            unsafe {
                if const { V == 0 } {
                    Quads::<R> { p, at }.run::<S>();
                } else {
                    Tile::<R, V, false> { p, at, steps: None, region: Region::none(p.a) }.run::<S>();
                }
            }
            at = at.below(R, p.m);
        }
    }
}

/// Does what the product ends with to C's values of so many rows and columns from the first ones on: those that no tile has
/// worked out, since tiles do it themselves.
///
/// # Safety
/// They must lie within C, and so within the gate.
#[inline(always)]
unsafe fn finish<S: Simd>(p: &Product, (i, rows): (usize, usize), (j, columns): (usize, usize)) {
    let (gate, gate_row) = match p.end {
        Finish::Plain => return,
        Finish::Rectify => (p.c.cast_const(), p.c_row),
        Finish::WherePositive { gate, row } => (gate, row),
    };
    let or_nan = matches!(p.end, Finish::Rectify);
    for i in i..i + rows {
        let mut done = 0;
        while done < columns {
            let n = (columns - done).min(S::LANES);
            // SAFETY: as the caller vouches.
            unsafe {
                let (c, gate) = (p.c.add(i * p.c_row + j + done), gate.add(i * gate_row + j + done));
                if n == S::LANES {
                    S::store(c, S::where_positive(S::load(c), S::load(gate), or_nan));
                } else {
                    S::store_part(c, S::where_positive(S::load_part(c, n), S::load_part(gate, n), or_nan), n);
                }
            }
            done += n;
        }
    }
}
