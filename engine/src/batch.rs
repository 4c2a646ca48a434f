//! A batch as a layer sees it when it works out the gradient of its parameters: all shards, one after the other.

use super::gemm::{Axis, MOST_SOON};
use super::layer::Known;
use super::layout::Layout;
use super::processor::sum_rows;

/// Rows that make a stack of shards large enough.
const STACKED: usize = 512;

/// What a layer works its gradient out from, over a whole batch.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Number of the pass that has left this behind: no other one of the process has it.
    pub(super) pass: u64,
    pub(super) rows: usize,
    pub(super) place: Place<'a>,
    /// What will be read next: it may be asked for meanwhile.
    pub(super) soon: [&'a [f32]; MOST_SOON],
}

/// Where a layer stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// In a segment.
    Within { layout: &'a Layout, arena: &'a [f32], local: usize },
    /// Between two.
    Between(Known<'a>),
}

/// Inputs `x` and output gradients `dy` of some shards that have as many rows each, at the same distance in both.
#[derive(Debug, Clone, Copy)]
pub struct Stack<'a> {
    /// From the first shard's inputs on.
    pub x: &'a [f32],
    /// From the first shard's output gradients on.
    pub dy: &'a [f32],
    /// How many shards, and how far apart.
    pub shards: Axis,
    /// Rows of each.
    pub rows: usize,
}

/// The partial gradients of a layer, one a shard.
#[derive(Debug, Clone, Copy)]
pub struct Partials<'a> {
    /// From the first shard's on.
    values: &'a [f32],
    shards: Axis,
}

impl Partials<'_> {
    /// Writes their sum, in index order, of as many values as `sum` has from `first` on.
    pub fn sum(self, first: usize, sum: &mut [f32]) {
        sum_rows(&self.values[first..], self.shards.count, self.shards.stride, sum);
    }
}

impl<'a> Batch<'a> {
    /// The layer's inputs `x` and output gradients `dy`, a pair a shard, in index order.
    ///
    /// # Panics
    /// For a layer that needs the whole batch: it has what is [known](Self::known) instead.
    pub fn pieces(self) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
        let (layout, arena, local) = self.within();
        let ((x, x_width), y_width, dy) =
            (layout.values[local], layout.values[local + 1].1, layout.gradients[local + 1].offset);
        arena.chunks_exact(layout.len).take(layout.shards(self.rows)).enumerate().map(move |(i, shard)| {
            let rows = layout.rows_of(self.rows, i).len();
            (&shard[x..x + rows * x_width], &shard[dy..dy + rows * y_width])
        })
    }

    /// The same, several shards at a time where they have as many rows, in index order.
    ///
    /// # Panics
    /// As [`pieces`](Self::pieces).
    pub fn stacks(self) -> impl Iterator<Item = Stack<'a>> {
        let (layout, arena, local) = self.within();
        let (x, dy) = (layout.values[local].0, layout.gradients[local + 1].offset);
        let rows_of = move |shard: usize| layout.rows_of(self.rows, shard).len();
        let (shards, mut shard) = (layout.shards(self.rows), 0);
        std::iter::from_fn(move || {
            let (first, rows) = (shard, (shard < shards).then(|| rows_of(shard))?);
            while shard < shards && (shard - first) * rows < STACKED && rows_of(shard) == rows {
                shard += 1;
            }
            let arena = &arena[first * layout.len..shard * layout.len];
            Some(Stack { x: &arena[x..], dy: &arena[dy..], shards: Axis::new(shard - first, layout.len), rows })
        })
    }

    /// The shards' partial gradients.
    ///
    /// # Panics
    /// As [`pieces`](Self::pieces).
    pub fn partials(self) -> Partials<'a> {
        let (layout, arena, local) = self.within();
        let first = layout.partials[local].start;
        Partials { values: &arena[first..], shards: Axis::new(layout.shards(self.rows), layout.len) }
    }

    fn within(self) -> (&'a Layout, &'a [f32], usize) {
        let Place::Within { layout, arena, local } = self.place else {
            panic!("a layer between segments has no shards of its own")
        };
        (layout, arena, local)
    }

    /// What is known of the whole batch at a collective layer.
    ///
    /// # Panics
    /// For any other layer.
    pub fn known(self) -> Known<'a> {
        let Place::Between(known) = self.place else { panic!("a layer within a segment knows its shards alone") };
        known
    }
}
