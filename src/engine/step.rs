//! One training step, in parallel phases:
//!
//! 1. segment by segment, over the shards of the batch: gather, forward; at the last one loss and backward in the same
//!    task; then segment by segment backward, down to the lowest layer with parameters. Between two segments stands a
//!    layer that needs the whole batch, or nothing but a regrouping of rows;
//! 2. over the tiles of the parameters: the gradient over the whole batch, weight decay and the update, in one go.
//!
//! Networks of affine layers are one segment, so phase 1 is one parallel loop; where there are more threads than shards,
//! the layers share out their own work, in pieces that change no bit. No two tasks write to the same place and
//! every sum has one fixed order, so the number of threads changes nothing.

use std::ops::Range;

use rayon::prelude::*;

use super::aligned::Aligned;
use super::batch::{Batch, Place};
use super::gemm::NOTHING;
use super::layer::{Backward, Collective, Context, Known, Pass, Seen};
use super::loss::{Loss, Score};
use super::network::{Network, Prepared};
use super::samples::Samples;
use super::segment::Layout;
use super::team;

/// The memory of training steps, taken once.
#[derive(Debug)]
pub(super) struct Workspace {
    segments: Vec<Shards>,
    prepared: Aligned,
    /// Rows of the last batch.
    rows: usize,
    /// The gradient, if the last [update](super::update::Update) was asked to keep it.
    pub(super) gradient: Vec<f32>,
}

/// The shards of one segment.
#[derive(Debug)]
struct Shards {
    layout: Layout,
    arena: Aligned,
    /// Of the last segment alone.
    labels: Vec<u16>,
    scores: Vec<Score>,
    /// What the shards measure for the layer above the segment on the way forward, for the one below on the way back.
    measures: Vec<f64>,
    measure_len: usize,
    /// What is known of the layer below the segment.
    whole: Vec<f64>,
    sums: Vec<f64>,
}

/// Bytes that [`Workspace::new`] takes; `None` where it overflows.
pub(super) fn workspace_bytes(network: &Network, batch: usize) -> Option<usize> {
    let parameters = network.parameter_count().checked_add(network.prepared_len())?;
    let values = layouts(network, batch, false)?.iter().try_fold(parameters, |sum, layout| {
        let arena = layout.len.checked_mul(layout.shards(batch))?;
        sum.checked_add(arena)
    })?;
    values.checked_mul(size_of::<f32>())
}

/// The layouts of a network's segments; `None` where a size overflows.
fn layouts(network: &Network, batch: usize, input_gradient: bool) -> Option<Vec<Layout>> {
    let layout = |segment: &super::segment::Segment| {
        let learns_below = segment.layers.start > 0 && network.learns_at_or_below(segment.layers.start - 1);
        Layout::new(network, segment, batch, input_gradient || learns_below)
    };
    network.segments().iter().map(layout).collect()
}

impl Workspace {
    /// Memory for batches of up to `batch` rows; `input_gradient` says whether the gradient of the inputs is wanted.
    ///
    /// # Panics
    /// If a size overflows: [`workspace_bytes`] says so beforehand.
    pub(super) fn new(network: &Network, batch: usize, input_gradient: bool) -> Self {
        let layouts = layouts(network, batch, input_gradient).expect("the plan has checked the sizes");
        let bridges: Vec<[usize; 2]> = layouts
            .iter()
            .map(|layout| bridge_of(network, layout).map_or([0; 2], |c| [c.measure_len(), c.whole_len()]))
            .collect();
        let shards = layouts.into_iter().enumerate().map(|(i, layout)| {
            let ([below, whole], above) = (bridges[i], bridges.get(i + 1).map_or(0, |bridge| bridge[0]));
            let (shards, measure_len) = (layout.shards(batch), below.max(above).max(1));
            Shards {
                arena: Aligned::zeros(layout.len * shards),
                labels: vec![0; layout.rows * shards],
                scores: vec![Score::default(); shards],
                measures: vec![0.0; measure_len * shards],
                measure_len,
                whole: vec![0.0; whole],
                sums: vec![0.0; below],
                layout,
            }
        });
        Self {
            segments: shards.collect(),
            prepared: Aligned::zeros(network.prepared_len()),
            rows: 0,
            gradient: Vec::new(),
        }
    }

    /// What layer `layer` works its gradient out from.
    pub(super) fn batch(&self, layer: usize) -> Batch<'_> {
        let shards = self
            .segments
            .iter()
            .find(|s| s.layout.segment.bridge == Some(layer) || s.layout.segment.layers.contains(&layer));
        batch_of(shards.expect("every layer is in a segment or between two"), self.rows, layer)
    }

    /// The values of a level over the last batch, shard by shard: 0 is the input, then each layer's output.
    ///
    /// The input of a layer between two segments is the level below it, its output the upper segment's input.
    pub(super) fn level(&self, level: usize) -> impl Iterator<Item = &[f32]> {
        let holds = |s: &&Shards| {
            let layers = &s.layout.segment.layers;
            (layers.start..=layers.end).contains(&level)
        };
        // A regrouped level is in two segments: always in the upper one.
        let shards = self.segments.iter().rev().find(holds).expect("every level is in a segment");
        let local = level - shards.layout.segment.layers.start;
        let chunks = shards.arena.chunks_exact(shards.layout.len).take(shards.layout.shards(self.rows));
        chunks
            .enumerate()
            .map(move |(i, shard)| shards.layout.level(shard, local, shards.layout.rows_of(self.rows, i).len()))
    }

    /// The gradient of the inputs, row by row, if it was asked for.
    pub(super) fn input_gradient(&self) -> Vec<f32> {
        let shards = &self.segments[0];
        let pieces = shards.layout.input_gradients(&shards.arena, self.rows, 0..self.rows);
        pieces.flat_map(|(_, values)| values.to_vec()).collect()
    }
}

fn batch_of(shards: &Shards, rows: usize, layer: usize) -> Batch<'_> {
    let place = if shards.layout.segment.bridge == Some(layer) {
        Place::Between(Known { rows, whole: &shards.whole, sums: &shards.sums })
    } else {
        let local = layer - shards.layout.segment.layers.start;
        Place::Within { layout: &shards.layout, arena: &shards.arena, local }
    };
    Batch { rows, place, soon: NOTHING }
}

/// In how many pieces the work on a shard may be cut, for all threads to have some.
fn pieces_of(layout: &Layout, n: usize) -> usize {
    rayon::current_num_threads() / layout.shards(n)
}

/// The layer below a segment that needs the whole batch.
fn bridge_of<'a>(network: &'a Network, layout: &Layout) -> Option<&'a dyn Collective> {
    layout.segment.bridge.and_then(|layer| network.layer(layer).collective())
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

/// Phase 1 of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) network: &'a Network,
    pub(super) loss: &'a dyn Loss,
    pub(super) parameters: &'a [f32],
    pub(super) pass: Pass,
}

/// Where a batch's samples come from.
pub(super) trait Gather: Sync {
    /// Writes the inputs of these samples, perhaps in so many pieces side by side; `spare` has room for one sample.
    fn inputs(&self, indices: &[u32], x: &mut [f32], spare: &mut [f32], pieces: usize);

    /// Writes their labels.
    fn labels(&self, indices: &[u32], labels: &mut [u16]);
}

impl Gather for Samples<'_> {
    fn inputs(&self, indices: &[u32], x: &mut [f32], _spare: &mut [f32], pieces: usize) {
        /// Samples that are worth the way to another thread.
        const LEAST: usize = 16;
        let middle = indices.len() / 2;
        if pieces < 2 || middle < LEAST {
            return self.gather(indices, x);
        }
        let ((i0, i1), (x0, x1)) = (indices.split_at(middle), x.split_at_mut(middle * self.width()));
        let (left, right) = (pieces / 2, pieces.div_ceil(2));
        team::join(|| self.inputs(i0, x0, &mut [], left), || self.inputs(i1, x1, &mut [], right));
    }

    fn labels(&self, indices: &[u32], labels: &mut [u16]) {
        for (label, &index) in labels.iter_mut().zip(indices) {
            *label = self.all_labels()[index as usize];
        }
    }
}

impl Step<'_> {
    /// Scores of the batch `indices`; leaves in `work` what the gradients are worked out from.
    pub(super) fn differentiate(&self, work: &mut Workspace, samples: &dyn Gather, indices: &[u32]) -> Score {
        work.rows = indices.len();
        self.network.prepare(indices.len(), self.parameters, &mut work.prepared);
        let last = work.segments.len() - 1;
        for s in 0..=last {
            self.forward(work, s, samples, indices);
        }
        for s in (0..last).rev() {
            if work.segments[s + 1].layout.has_input_gradient() {
                self.backward(work, s);
            }
        }
        let Shards { layout, scores, .. } = &work.segments[last];
        let mut total = Score::default();
        for score in &scores[..layout.shards(indices.len())] {
            total.add(*score);
        }
        total
    }

    /// Takes a batch through segment `s`; through the last one also back.
    fn forward(&self, work: &mut Workspace, s: usize, samples: &dyn Gather, indices: &[u32]) {
        let n = indices.len();
        let (lower, upper) = work.segments.split_at_mut(s);
        let (here, upper) = upper.split_first_mut().expect("there is a segment s");
        let mut above = upper.first_mut();
        let over = above.as_ref().and_then(|above| bridge_of(self.network, &above.layout));
        let Shards { layout, arena, labels, scores, measures, measure_len, whole, .. } = here;
        let way = Way {
            step: self,
            prepared: Prepared { values: &work.prepared, rows: n },
            layout,
            whole,
            below: lower.last(),
            n,
        };
        let is_last = above.is_none();
        let shards = arena.par_chunks_mut(layout.len).zip(measures.par_chunks_mut(*measure_len));
        let shards = shards.zip(labels.par_chunks_mut(layout.rows)).zip(&mut scores[..]).enumerate();
        let shards =
            shards.map(|(i, (((values, measure), labels), score))| (Shard { i, values, measure }, labels, score));
        let through = |(mut shard, labels, score): (Shard<'_>, &mut [u16], &mut Score), output: &mut [f32]| {
            way.forward(&mut shard, samples, indices, over, output);
            if is_last {
                *score = way.turn(&mut shard, samples, indices, labels);
            }
        };
        over_shards(layout, n, shards, above.as_deref_mut(), through);
        if let (Some(over), Some(above)) = (over, above) {
            let measures = measures.chunks_exact(*measure_len).take(layout.shards(n)).enumerate();
            let mut measures =
                measures.map(|(i, measure)| (layout.rows_of(n, i).len(), &measure[..over.measure_len()]));
            over.combine(&mut measures, &mut above.whole);
        } else if s > 0 && is_last {
            self.sum(here, n);
        }
    }

    /// Takes a batch back through segment `s`, which is not the last one.
    fn backward(&self, work: &mut Workspace, s: usize) {
        let n = work.rows;
        let (lower, upper) = work.segments.split_at_mut(s);
        let (here, upper) = upper.split_first_mut().expect("there is a segment s");
        let Shards { layout, arena, measures, measure_len, whole, .. } = here;
        let prepared = Prepared { values: &work.prepared, rows: n };
        let way = Way { step: self, prepared, layout, whole, below: lower.last(), n };
        let shards = arena.par_chunks_mut(layout.len).zip(measures.par_chunks_mut(*measure_len)).enumerate();
        team::for_each(shards.take(layout.shards(n)), |(i, (values, measure))| {
            way.back(&mut Shard { i, values, measure }, &upper[0]);
        });
        if s > 0 {
            self.sum(here, n);
        }
    }

    /// Adds what the shards measured on the way back, in index order.
    fn sum(&self, here: &mut Shards, n: usize) {
        let Some(bridge) = bridge_of(self.network, &here.layout) else { return };
        here.sums.fill(0.0);
        for measure in here.measures.chunks_exact(here.measure_len).take(here.layout.shards(n)) {
            for (sum, value) in here.sums.iter_mut().zip(&measure[..bridge.measure_len()]) {
                *sum += value;
            }
        }
    }
}

/// Does `task` with every shard of a batch of `n` rows, and with its rows of the input above, if its output lies there.
fn over_shards<T: Send>(
    layout: &Layout,
    n: usize,
    shards: impl IndexedParallelIterator<Item = T>,
    above: Option<&mut Shards>,
    task: impl Fn(T, &mut [f32]) + Sync,
) {
    let shards = shards.take(layout.shards(n));
    match above {
        Some(above) if layout.writes_above => {
            let outputs = layout.cut(above.layout.inputs(&mut above.arena, n), n);
            team::for_each(shards.zip(outputs), |(shard, output)| task(shard, output));
        }
        _ => team::for_each(shards, |shard| task(shard, &mut [])),
    }
}

/// A shard on its way.
struct Shard<'a> {
    i: usize,
    values: &'a mut [f32],
    measure: &'a mut [f64],
}

/// The way of a batch of `n` rows through a segment.
struct Way<'a> {
    step: &'a Step<'a>,
    prepared: Prepared<'a>,
    layout: &'a Layout,
    /// What is known of the layer below the segment.
    whole: &'a [f64],
    below: Option<&'a Shards>,
    n: usize,
}

impl Way<'_> {
    /// Takes a shard up through the segment; `output` is where its last values go if they lie above.
    fn forward(
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
    fn turn(&self, shard: &mut Shard<'_>, samples: &dyn Gather, indices: &[u32], labels: &mut [u16]) -> Score {
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
    fn back(&self, shard: &mut Shard<'_>, above: &Shards) {
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
        let at = network.context(layer, parameters, Some(self.prepared), pass, slice.of_batch().start);
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
