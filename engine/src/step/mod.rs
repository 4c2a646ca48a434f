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

mod way;
mod workspace;

use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::layer::Pass;
use super::layout::Layout;
use super::loss::{Loss, Score};
use super::network::{Network, Prepared};
use super::samples::Samples;
use super::team;
use way::{Shard, Way};
use workspace::{Shards, bridge_of};
pub(super) use workspace::{Workspace, workspace_bytes};

/// The number of the next pass.
static PASSES: AtomicU64 = AtomicU64::new(1);

/// Phase 1 of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) network: &'a Network,
    pub(crate) loss: &'a dyn Loss,
    pub(crate) parameters: &'a [f32],
    pub(crate) pass: Pass,
}

/// Where a batch's samples come from.
pub(crate) trait Gather: Sync {
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
    pub(crate) fn differentiate(&self, work: &mut Workspace, samples: &dyn Gather, indices: &[u32]) -> Score {
        work.rows = indices.len();
        work.pass = PASSES.fetch_add(1, Ordering::Relaxed);
        self.network.prepare(indices.len(), self.parameters, &mut work.prepared);
        self.network.transform(self.parameters, &mut work.transformed);
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
            transformed: &work.transformed,
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
        let way = Way { step: self, prepared, transformed: &work.transformed, layout, whole, below: lower.last(), n };
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
