//! The memory that the shards of a segment work in.
//!
//! Each shard of a [segment](super::segment) owns one stretch of a flat buffer:
//!
//! ```text
//! arena:  [ shard 0 | shard 1 | … ]
//! shard:  [ x [R, I] | y₁ [R, O₁] | … | y_L [R, O_L] | what layers keep | gradients | scratch | partial gradients ]
//! ```
//!
//! A gradient `dy` that is needed for the whole batch afterwards (below an affine layer's `dW`) has a place of its own;
//! the others take turns in two. Where the segment above is one shard and nothing but a regrouping of rows stands between,
//! the output `y_L` is not here but there, and so is its gradient: they are the input of that shard, and its gradient.
//!
//! A shard of convolutions goes through its layers slice by slice, of so few rows that what one layer writes is in the
//! cache still when the next one reads it; the two gradients that take turns need no more than a slice's room.

use std::ops::Range;

use rayon::prelude::*;

use super::aligned::LINE;
use super::layer::{Backward, Memory, Seen};
use super::network::Network;
use super::segment::Segment;

/// Values that the widest level of a slice may take, about.
const SLICE_VALUES: usize = 1 << 14;

/// Where things lie in the memory of a segment's shards.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// What it is the layout of.
    pub(super) segment: Segment,
    /// Most rows of a batch.
    batch: usize,
    /// Most shards.
    shards: usize,
    /// Most rows of a shard, `R`.
    pub(super) rows: usize,
    /// Most rows of a slice.
    slice: usize,
    /// Values of a shard.
    pub(super) len: usize,
    /// Offset and width of `x, y₁, …, y_L`.
    pub(super) values: Vec<(usize, usize)>,
    /// Those of what each layer keeps.
    kept: Vec<(usize, usize)>,
    /// Those of `dx, dy₁, …, dy_L`.
    pub(super) gradients: Vec<Gradient>,
    scratch: Range<usize>,
    pub(super) partials: Vec<Range<usize>>,
    input_gradient: bool,
    /// Whether its output is the input of the segment above and lies there, as does its gradient.
    pub(super) writes_above: bool,
}

/// Where the gradient of a level lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gradient {
    pub(super) offset: usize,
    /// Whether it has a place for all rows of the shard: else for a slice.
    stays: bool,
}

impl Gradient {
    /// Where that of a slice lies.
    fn of(self, slice: &Range<usize>, width: usize) -> Range<usize> {
        let first = self.offset + if self.stays { slice.start * width } else { 0 };
        first..first + slice.len() * width
    }
}

/// Where some rows lie of those that begin at an offset and have a width.
fn rows_at((offset, width): (usize, usize), rows: &Range<usize>) -> Range<usize> {
    offset + rows.start * width..offset + rows.end * width
}

impl Layout {
    /// The layout for batches of up to `batch` rows; `None` where a size overflows. `input_gradient` says whether the
    /// gradient of the segment's input is asked for.
    pub(super) fn new(network: &Network, segment: &Segment, batch: usize, input_gradient: bool) -> Option<Self> {
        let memories: Vec<Memory> = segment.layers.clone().map(|layer| network.layer(layer).memory()).collect();
        let (fine, widest) = (segment.is_fine(network), segment.widest(network));
        let shards = segment.shards(network, batch);
        let above =
            network.segments().iter().find(|above| above.layers.start == segment.layers.end && above.regroups());
        let writes_above = above.is_some_and(|above| above.shards(network, batch) == 1);
        let rows = batch.div_ceil(shards);
        let mut len = 0usize;
        // Everything begins at a cache line.
        let mut place = |values: usize| {
            let offset = len;
            len = len.checked_add(values)?.checked_next_multiple_of(LINE)?;
            Some(offset)
        };
        let slice = if fine { (SLICE_VALUES / widest).clamp(1, rows) } else { rows };
        let mut widths: Vec<usize> = segment.levels().map(|level| network.width(level)).collect();
        if let Some(output) = widths.last_mut().filter(|_| writes_above) {
            *output = 0;
        }
        let sizes: Vec<usize> = widths.iter().map(|width| rows.checked_mul(*width)).collect::<Option<_>>()?;
        let values = sizes.iter().map(|size| place(*size)).collect::<Option<Vec<_>>>()?;
        let kept = memories.iter().map(|memory| Some((place(rows.checked_mul(memory.kept)?)?, memory.kept)));
        let kept = kept.collect::<Option<_>>()?;
        // A gradient stays if the layer that gave the values works its own gradient out over the whole batch; so do that of
        // the network's output, which comes for all rows at once, and the input's, which the segment below reads.
        let is_last = network.segments().last().is_none_or(|last| last == segment);
        let stays = |level: usize| match level.checked_sub(1) {
            None => true,
            Some(_) if level + 1 == widths.len() && is_last => true,
            Some(layer) => {
                let index = segment.layers.start + layer;
                network.layer(index).memory().partial == 0 && !network.layer(index).parameters().is_empty()
            }
        };
        let turn = |parity: usize| {
            let levels = (0..sizes.len()).filter(|level| level % 2 == parity && !stays(*level));
            levels.map(|level| slice * widths[level]).max().unwrap_or(0)
        };
        let turns = [place(turn(0))?, place(turn(1))?];
        let wanted = |level: usize| level > 0 || input_gradient || sizes.len() == 1;
        let gradients = (0..sizes.len())
            .map(|level| match stays(level) {
                false => Some(Gradient { offset: turns[level % 2], stays: false }),
                true => {
                    place(if wanted(level) { sizes[level] } else { 0 }).map(|offset| Gradient { offset, stays: true })
                }
            })
            .collect::<Option<_>>()?;
        let first = segment.layers.start == 0 && segment.bridge.is_none();
        let most_scratch =
            memories.iter().map(|memory| memory.scratch).max().unwrap_or(0).max(if first { widths[0] } else { 0 });
        let scratch = place(most_scratch)?;
        let partials = memories.iter().map(|memory| place(memory.partial).map(|at| at..at + memory.partial));
        let partials = partials.collect::<Option<_>>()?;
        let values = values.into_iter().zip(widths).collect();
        let segment = segment.clone();
        let scratch = scratch..scratch + most_scratch;
        // Never empty, so that an arena can be cut into shards.
        Some(Self {
            segment,
            batch,
            shards,
            rows,
            slice,
            len: len.max(LINE),
            values,
            kept,
            gradients,
            scratch,
            partials,
            input_gradient,
            writes_above,
        })
    }

    /// Shards of a batch of `n` rows.
    pub(super) fn shards(&self, n: usize) -> usize {
        (n * self.shards).div_ceil(self.batch)
    }

    /// The rows of a shard of a batch of `n` rows: all shards have as many, but for one row more that the first may have.
    pub(super) fn rows_of(&self, n: usize, shard: usize) -> Range<usize> {
        let (rows, larger) = (n / self.shards(n), n % self.shards(n));
        let first = shard * rows + shard.min(larger);
        first..first + rows + usize::from(shard < larger)
    }

    /// The slices of a shard of `rows` rows.
    pub(super) fn slices(&self, rows: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let slice = self.slice;
        (0..rows).step_by(slice).map(move |first| first..(first + slice).min(rows))
    }

    /// The shard that holds a row of a batch of `n` rows.
    fn shard_of(&self, n: usize, row: usize) -> usize {
        let (rows, larger) = (n / self.shards(n), n % self.shards(n));
        let in_larger = larger * (rows + 1);
        if row < in_larger { row / (rows + 1) } else { larger + (row - in_larger) / rows }
    }

    /// Whether there is room for the gradient of the input.
    pub(super) fn has_input_gradient(&self) -> bool {
        self.input_gradient
    }

    /// The input of a slice, and scratch: in a first segment with room for one more row.
    pub(super) fn input<'a>(&self, shard: &'a mut [f32], slice: &Range<usize>) -> (&'a mut [f32], &'a mut [f32]) {
        let (values, scratch) = shard.split_at_mut(self.scratch.start);
        (&mut values[self.values_of(0, slice)], &mut scratch[..self.scratch.len()])
    }

    /// What layer `local` of the segment reads and writes on the way of a slice forward: `x`, `y`, scratch, and what it keeps.
    pub(super) fn forward<'a>(
        &self,
        shard: &'a mut [f32],
        local: usize,
        slice: &Range<usize>,
    ) -> (&'a [f32], &'a mut [f32], &'a mut [f32], &'a mut [f32]) {
        let (x, y) = (self.values_of(local, slice), self.values_of(local + 1, slice));
        let kept = rows_at(self.kept[local], slice);
        let (values, scratch) = shard.split_at_mut(self.scratch.start);
        let (below, above) = values.split_at_mut(y.start);
        let (above, of_layers) = above.split_at_mut(kept.start - y.start);
        (&below[x], &mut above[..y.len()], &mut scratch[..self.scratch.len()], &mut of_layers[..kept.len()])
    }

    /// Where the values of a slice lie.
    fn values_of(&self, level: usize, slice: &Range<usize>) -> Range<usize> {
        rows_at(self.values[level], slice)
    }

    /// The values of a level of `rows` rows: 0 is the input.
    pub(super) fn level<'a>(&self, shard: &'a [f32], level: usize, rows: usize) -> &'a [f32] {
        let (from, width) = self.values[level];
        &shard[from..from + rows * width]
    }

    /// The rows of an output that is [written above](Self::writes_above), shard by shard of a batch of `n` rows.
    pub(super) fn cut<'a>(
        &self,
        output: &'a mut [f32],
        n: usize,
    ) -> impl IndexedParallelIterator<Item = &'a mut [f32]> {
        let (width, rows, larger) = (output.len() / n, n / self.shards(n), n % self.shards(n));
        let (first, others) = output.split_at_mut(larger * (rows + 1) * width);
        first.par_chunks_mut((rows + 1) * width).chain(others.par_chunks_mut(rows * width))
    }

    /// The inputs of a batch of `n` rows, which is one shard.
    pub(super) fn inputs<'a>(&self, arena: &'a mut [f32], n: usize) -> &'a mut [f32] {
        &mut arena[self.values_of(0, &(0..n))]
    }

    /// Some of them, and their gradients.
    pub(super) fn inputs_and_gradients<'a>(&self, arena: &'a [f32], rows: &Range<usize>) -> (&'a [f32], &'a [f32]) {
        (&arena[self.values_of(0, rows)], &arena[self.gradients[0].of(rows, self.values[0].1)])
    }

    /// The output of the last layer for a slice.
    pub(super) fn output_of<'a>(&self, shard: &'a [f32], slice: &Range<usize>) -> &'a [f32] {
        &shard[self.values_of(self.values.len() - 1, slice)]
    }

    /// The same, and its gradient.
    pub(super) fn output<'a>(&self, shard: &'a mut [f32], slice: &Range<usize>) -> (&'a [f32], &'a mut [f32]) {
        let (last, gradient) = (self.values.len() - 1, self.gradients.last().expect("dx"));
        let start = self.gradients_start();
        let (values, gradients) = shard.split_at_mut(start);
        let of_slice = gradient.of(slice, self.values[last].1);
        (&values[self.values_of(last, slice)], &mut gradients[of_slice.start - start..of_slice.end - start])
    }

    /// What layer `local` of the segment reads and writes on the way of a slice back, with scratch.
    pub(super) fn backward<'a>(
        &self,
        shard: &'a mut [f32],
        local: usize,
        slice: &Range<usize>,
    ) -> (Backward<'a>, &'a mut [f32]) {
        let (x, y) = (self.values_of(local, slice), self.values_of(local + 1, slice));
        let start = self.gradients_start();
        let (values, rest) = shard.split_at_mut(start);
        let (gradients, scratch) = rest.split_at_mut(self.scratch.start - start);
        let [below, above] = [local, local + 1].map(|level| {
            let range = self.gradients[level].of(slice, self.values[level].1);
            range.start - start..range.end - start
        });
        let (dx, dy) = if below.start < above.start {
            let (low, high) = gradients.split_at_mut(above.start);
            (&mut low[below], &high[..above.len()])
        } else {
            let (low, high) = gradients.split_at_mut(below.start);
            (&mut high[..below.len()], &low[above])
        };
        let kept = &values[rows_at(self.kept[local], slice)];
        (Backward { x: &values[x], y: &values[y], kept, dy, dx }, &mut scratch[..self.scratch.len()])
    }

    /// What layer `local` needs to add a slice to its partial gradient: what it saw, scratch, and the partial gradient.
    pub(super) fn accumulate<'a>(
        &self,
        shard: &'a mut [f32],
        local: usize,
        slice: &Range<usize>,
    ) -> (Seen<'a>, &'a mut [f32], &'a mut [f32]) {
        let (x, dy) = (self.values_of(local, slice), self.gradients[local + 1].of(slice, self.values[local + 1].1));
        let kept = rows_at(self.kept[local], slice);
        let (values, rest) = shard.split_at_mut(self.scratch.start);
        let (scratch, partials) = rest.split_at_mut(self.scratch.len());
        let partial = &self.partials[local];
        let partial = partial.start - self.scratch.end..partial.end - self.scratch.end;
        (Seen { x: &values[x], kept: &values[kept], dy: &values[dy] }, scratch, &mut partials[partial])
    }

    fn gradients_start(&self) -> usize {
        let last = self.kept.last().or(self.values.last());
        last.map_or(0, |(offset, width)| offset + self.rows * width)
    }

    /// The output rows `wanted` of a batch of `n` rows, piece by piece: the shard's rows of a piece, and its values.
    pub(super) fn outputs<'a>(
        &'a self,
        arena: &'a [f32],
        n: usize,
        wanted: Range<usize>,
    ) -> impl Iterator<Item = (Range<usize>, &'a [f32])> {
        self.pieces_of(arena, n, wanted, *self.values.last().expect("x"))
    }

    /// The gradients of the input rows `wanted` of a batch of `n` rows, piece by piece.
    pub(super) fn input_gradients<'a>(
        &'a self,
        arena: &'a [f32],
        n: usize,
        wanted: Range<usize>,
    ) -> impl Iterator<Item = (Range<usize>, &'a [f32])> {
        self.pieces_of(arena, n, wanted, (self.gradients[0].offset, self.values[0].1))
    }

    /// The gradient of the input of a slice.
    pub(super) fn input_gradient<'a>(&self, shard: &'a [f32], slice: &Range<usize>) -> &'a [f32] {
        &shard[self.gradients[0].of(slice, self.values[0].1)]
    }

    /// Pieces of the rows `wanted`, each given with its place in `wanted`.
    fn pieces_of<'a>(
        &'a self,
        arena: &'a [f32],
        n: usize,
        wanted: Range<usize>,
        (offset, width): (usize, usize),
    ) -> impl Iterator<Item = (Range<usize>, &'a [f32])> {
        let shards =
            if wanted.is_empty() { 0..0 } else { self.shard_of(n, wanted.start)..self.shard_of(n, wanted.end - 1) + 1 };
        shards.map(move |shard| {
            let rows = self.rows_of(n, shard);
            let part = rows.start.max(wanted.start)..rows.end.min(wanted.end);
            let from = shard * self.len + offset + (part.start - rows.start) * width;
            (part.start - wanted.start..part.end - wanted.start, &arena[from..from + part.len() * width])
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gradient_check::{assert_forward_agrees, assert_gradients_agree};
    use crate::layer::LayerSpec;
    use crate::shape::Shape;

    fn layout(batch: usize, shards: usize) -> Layout {
        let rows = batch.div_ceil(shards);
        Layout {
            segment: Segment { layers: 0..0, bridge: None },
            batch,
            shards,
            rows,
            slice: rows,
            len: rows * 3,
            values: vec![(0, 3)],
            kept: vec![],
            gradients: vec![Gradient { offset: 0, stays: true }],
            scratch: 0..0,
            partials: vec![],
            input_gradient: false,
            writes_above: false,
        }
    }

    proptest! {
        #[test]
        fn every_row_is_in_one_shard(batch in 1usize..200, n in 1usize..200, shards in 1usize..40) {
            let (n, layout) = (n.min(batch), layout(batch, shards.min(batch)));
            prop_assert!(layout.shards(n) <= layout.shards && layout.shards(batch) == layout.shards);
            let mut next = 0;
            for shard in 0..layout.shards(n) {
                let range = layout.rows_of(n, shard);
                prop_assert!(range.start == next && !range.is_empty() && range.len() <= layout.rows);
                prop_assert!(range.clone().all(|row| layout.shard_of(n, row) == shard));
                next = range.end;
            }
            prop_assert_eq!(next, n);
        }

        #[test]
        fn an_output_above_is_cut_as_the_shards_are(batch in 1usize..200, n in 1usize..200, shards in 1usize..40) {
            let (n, layout) = (n.min(batch), layout(batch, shards.min(batch)));
            let mut output: Vec<f32> = (0..2 * n).map(|i| i as f32).collect();
            let cut: Vec<Vec<f32>> = layout.cut(&mut output, n).map(|rows| rows.to_vec()).collect();
            let rows = (0..layout.shards(n)).map(|shard| layout.rows_of(n, shard));
            let expected: Vec<Vec<f32>> = rows.map(|r| (2 * r.start..2 * r.end).map(|i| i as f32).collect()).collect();
            prop_assert_eq!(cut, expected);
        }

        #[test]
        fn pieces_cover_what_is_wanted_in_order(n in 1usize..100, shards in 1usize..40, a in 0usize..100, b in 0usize..100) {
            let layout = layout(n, shards.min(n));
            let wanted = a.min(b).min(n)..a.max(b).min(n);
            let mut arena = vec![0.0; layout.len * layout.shards(n)];
            for shard in 0..layout.shards(n) {
                for (i, row) in layout.rows_of(n, shard).enumerate() {
                    arena[shard * layout.len + i * 3..][..3].fill(row as f32);
                }
            }
            let mut next = 0;
            for (place, values) in layout.outputs(&arena, n, wanted.clone()) {
                prop_assert_eq!(place.start, next);
                next = place.end;
                for (row, value) in place.zip(values.chunks_exact(3)) {
                    prop_assert_eq!(value, [(wanted.start + row) as f32; 3]);
                }
            }
            prop_assert_eq!(next, wanted.len());
        }
    }

    #[test]
    fn convolutions_write_where_a_whole_segment_reads() {
        let pool = serde_json::json!({"type": "max_pool2d", "kernel": 2, "stride": null, "padding": 0});
        let affine = |units: usize| serde_json::json!({"type": "affine", "units": units});
        let conv = serde_json::json!(
            {"type": "conv2d", "filters": 4, "kernel": 3, "stride": 1, "padding": 1, "init": null}
        );
        for below in [vec![pool], vec![]] {
            let layers = [vec![conv.clone()], below, vec![affine(40), affine(3)]].concat();
            let layers: Vec<LayerSpec> = serde_json::from_value(layers.into()).expect("layers");
            let (input, n) = (Shape::new(&[1, 6, 6]), 20);
            let network = Network::build(&input, &layers).expect("a network");
            let lower = Layout::new(&network, &network.segments()[0], n, false).expect("a layout");
            assert!(lower.writes_above && lower.shards(n) > 1 && lower.values.last().is_some_and(|last| last.1 == 0));
            assert_forward_agrees(&layers, &input, n, 1);
            assert_gradients_agree(&layers, &input, n, 1);
        }
    }
}
