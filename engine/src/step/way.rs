//! The way of a shard through a segment, slice by slice: up, and back down.

use std::ops::Range;

use super::workspace::{Shards, bridge_of};
use super::{Gather, Step};
use crate::layer::{Backward, Collective, Context, Known, Seen};
use crate::layout::Layout;
use crate::loss::Score;
use crate::network::{Prepared, Weights};

/// A shard on its way.
pub(super) struct Shard<'a> {
    pub(super) i: usize,
    pub(super) values: &'a mut [f32],
    pub(super) measure: &'a mut [f64],
}

/// The way of a batch of `n` rows through a segment.
pub(super) struct Way<'a> {
    pub(super) step: &'a Step<'a>,
    pub(super) prepared: Prepared<'a>,
    pub(super) transformed: &'a [f32],
    pub(super) layout: &'a Layout,
    /// What is known of the layer below the segment.
    pub(super) whole: &'a [f64],
    pub(super) below: Option<&'a Shards>,
    pub(super) n: usize,
}

impl Way<'_> {
    /// Takes a shard up through the segment; `output` is where its last values go if they lie above.
    pub(super) fn forward(
        &self,
        shard: &mut Shard<'_>,
        samples: &dyn Gather,
        indices: &[u32],
        over: Option<&dyn Collective>,
        output: &mut [f32],
    ) {
        let (layout, n) = (self.layout, self.n);
        let width = output.len() / layout.rows_of(n, shard.i).len();
        for slice in Slice::all(layout, n, shard.i) {
            let (x, spare) = layout.input(shard.values, &slice.rows);
            match self.below {
                None => samples.inputs(&indices[slice.of_batch()], x, spare, pieces_of(layout, n)),
                Some(below) if below.layout.writes_above => {}
                Some(below) => self.enter(below, &slice, x),
            }
            self.forward_layers(shard.values, &slice, &mut output[slice.rows.start * width..slice.rows.end * width]);
            if let Some(over) = over {
                let y = layout.output_of(shard.values, &slice.rows);
                over.measure(y, slice.rows.start, &mut shard.measure[..over.measure_len()]);
            }
        }
    }

    /// At the last segment's end: works out the loss, and takes the shard back down.
    pub(super) fn turn(
        &self,
        shard: &mut Shard<'_>,
        samples: &dyn Gather,
        indices: &[u32],
        labels: &mut [u16],
    ) -> Score {
        let rows = self.layout.rows_of(self.n, shard.i);
        let labels = &mut labels[..rows.len()];
        samples.labels(&indices[rows.clone()], labels);
        let (y, dy) = self.layout.output(shard.values, &(0..rows.len()));
        let score = self.step.loss.score_and_gradient(y, labels, 1.0 / self.n as f32, dy);
        for slice in Slice::all(self.layout, self.n, shard.i) {
            self.backward_layers(shard.values, &slice, None);
            self.leave(&slice, shard);
        }
        score
    }

    /// Takes a shard down through the segment, from the one above.
    pub(super) fn back(&self, shard: &mut Shard<'_>, above: &Shards) {
        let (network, layout) = (self.step.network, self.layout);
        let over = bridge_of(network, &above.layout);
        for slice in Slice::all(layout, self.n, shard.i) {
            if layout.writes_above {
                let output = above.layout.inputs_and_gradients(&above.arena, &slice.of_batch());
                self.backward_layers(shard.values, &slice, Some(output));
                self.leave(&slice, shard);
                continue;
            }
            let (y, dy) = layout.output(shard.values, &slice.rows);
            let width = y.len() / slice.rows.len();
            for (part, upper_dy) in above.layout.input_gradients(&above.arena, self.n, slice.of_batch()) {
                let part = part.start * width..part.end * width;
                let (y, dy) = (&y[part.clone()], &mut dy[part]);
                match (over, above.layout.segment.bridge) {
                    (Some(over), Some(layer)) => {
                        let known = Known { rows: self.n, whole: &above.whole, sums: &above.sums };
                        over.backward(network.part(layer, self.step.parameters), known, y, upper_dy, dy);
                    }
                    _ => dy.copy_from_slice(upper_dy),
                }
            }
            self.backward_layers(shard.values, &slice, None);
            self.leave(&slice, shard);
        }
    }

    /// Brings rows from the segment below into this one's input.
    fn enter(&self, below: &Shards, slice: &Slice, x: &mut [f32]) {
        let (network, layout) = (self.step.network, self.layout);
        let width = x.len() / slice.rows.len();
        for (part, values) in below.layout.outputs(&below.arena, self.n, slice.of_batch()) {
            let x = &mut x[part.start * width..part.end * width];
            match (bridge_of(network, layout), layout.segment.bridge) {
                (Some(bridge), Some(layer)) => {
                    bridge.forward(network.part(layer, self.step.parameters), self.whole, values, x);
                }
                _ => x.copy_from_slice(values),
            }
        }
    }

    /// Measures, for the layer below the segment, the gradients that come out of it for a slice.
    fn leave(&self, slice: &Slice, shard: &mut Shard<'_>) {
        let (network, layout) = (self.step.network, self.layout);
        let bridge = bridge_of(network, layout);
        let (Some(bridge), Some(layer), Some(below)) = (bridge, layout.segment.bridge, self.below) else { return };
        let dx = layout.input_gradient(shard.values, &slice.rows);
        let (width, sums) = (dx.len() / slice.rows.len(), &mut shard.measure[..bridge.measure_len()]);
        if slice.rows.start == 0 {
            sums.fill(0.0);
        }
        let parameters = network.part(layer, self.step.parameters);
        for (part, x) in below.layout.outputs(&below.arena, self.n, slice.of_batch()) {
            bridge.measure_backward(parameters, self.whole, x, &dx[part.start * width..part.end * width], sums);
        }
    }

    /// Takes a slice through the layers of the segment; `output` is where its last values go if they lie above.
    fn forward_layers(&self, shard: &mut [f32], slice: &Slice, output: &mut [f32]) {
        let layout = self.layout;
        for (local, layer) in layout.segment.layers.clone().enumerate() {
            let at = self.context(layer, slice);
            let (x, y, scratch, kept) = layout.forward(shard, local, &slice.rows);
            let y = if layout.writes_above && layer + 1 == layout.segment.layers.end { &mut *output } else { y };
            self.step.network.layer(layer).forward_keeping(&at, scratch, x, y, kept);
        }
    }

    /// What a layer works with on a slice: in pieces, if there are more threads than shards.
    fn context(&self, layer: usize, slice: &Slice) -> Context<'_> {
        let Step { network, parameters, pass, .. } = *self.step;
        let weights = Weights { parameters, transformed: self.transformed, prepared: Some(self.prepared) };
        let at = network.context(layer, weights, pass, slice.of_batch().start);
        Context { pieces: pieces_of(self.layout, self.n), ..at }
    }

    /// From the gradient of the segment's output, for a slice, down to the lowest layer that needs it; `above` are output
    /// and gradient if they lie there.
    fn backward_layers(&self, shard: &mut [f32], slice: &Slice, above: Option<(&[f32], &[f32])>) {
        let (network, layout) = (self.step.network, self.layout);
        let layers = layout.segment.layers.clone();
        let learns = |index: usize| !network.layer(index).parameters().is_empty();
        for (local, index) in layers.clone().enumerate().rev() {
            let layer = network.layer(index);
            let above = above.filter(|_| index + 1 == layers.end);
            if layer.memory().partial > 0 {
                let (seen, scratch, partial) = layout.accumulate(shard, local, &slice.rows);
                if slice.rows.start == 0 {
                    partial.fill(0.0);
                }
                let seen = above.map_or(seen, |(_, dy)| Seen { dy, ..seen });
                layer.accumulate(scratch, seen, partial);
            }
            if !layout.has_input_gradient() && !(layers.start..index).any(learns) {
                break;
            }
            let (pass, scratch) = layout.backward(shard, local, &slice.rows);
            let pass = match above {
                Some((y, dy)) => Backward { y, dy, ..pass },
                None => pass,
            };
            layer.backward(&self.context(index, slice), scratch, pass);
        }
    }
}

/// A slice of a shard.
#[derive(Debug, Clone)]
struct Slice {
    /// Index in the batch of the shard's first row.
    first: usize,
    /// Its rows, as the shard counts them.
    rows: Range<usize>,
}

impl Slice {
    /// Its rows, as the batch counts them.
    fn of_batch(&self) -> Range<usize> {
        self.first + self.rows.start..self.first + self.rows.end
    }

    /// The slices of a shard of a batch of `n` rows.
    fn all(layout: &Layout, n: usize, shard: usize) -> impl Iterator<Item = Self> + use<> {
        let rows = layout.rows_of(n, shard);
        layout.slices(rows.len()).map(move |slice| Self { first: rows.start, rows: slice })
    }
}

/// In how many pieces the work on a shard may be cut, for all threads to have some.
fn pieces_of(layout: &Layout, n: usize) -> usize {
    rayon::current_num_threads() / layout.shards(n)
}
