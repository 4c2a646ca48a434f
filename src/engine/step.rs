//! One training step, in two parallel phases:
//!
//! 1. over the shards of the batch: gather, forward, loss, backward down to the lowest layer with parameters;
//! 2. over the tiles of the parameters: the gradient over the whole batch, weight decay and the update, in one go.
//!
//! No two tasks write to the same place and every sum has one fixed order, so the number of threads changes nothing.

use rayon::prelude::*;

use super::loss::{Loss, Score};
use super::network::{Network, Tile};
use super::optimizer::{MAX_SLOTS, Moment, Optimizer};
use super::samples::Samples;
use super::shard::Layout;

/// The memory of training steps, taken once.
#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) layout: Layout,
    pub(super) arena: Vec<f32>,
    labels: Vec<u16>,
    scores: Vec<Score>,
    gradient: Vec<f32>,
}

/// Bytes that [`Workspace::new`] takes; `None` where it overflows.
pub(super) fn workspace_bytes(network: &Network, batch: usize) -> Option<usize> {
    let layout = Layout::new(network, batch, false)?;
    let arena = layout.len.checked_mul(batch.div_ceil(layout.rows))?;
    arena.checked_add(network.parameter_count())?.checked_mul(4)
}

impl Workspace {
    /// Memory for batches of up to `batch` rows.
    ///
    /// # Panics
    /// If a size overflows: [`workspace_bytes`] says so beforehand.
    pub(super) fn new(network: &Network, batch: usize, input_gradient: bool) -> Self {
        let layout = Layout::new(network, batch, input_gradient).expect("the plan has checked the sizes");
        let shards = batch.div_ceil(layout.rows);
        Self {
            arena: vec![0.0; layout.len * shards],
            labels: vec![0; layout.rows * shards],
            scores: vec![Score::default(); shards],
            gradient: vec![0.0; network.parameter_count()],
            layout,
        }
    }

    /// Most rows it has room for.
    pub(super) fn capacity(&self) -> usize {
        self.labels.len()
    }

    /// Runs `task(shard, labels, indices)` over the shards of a batch and adds the scores in index order.
    fn over_shards<T>(&mut self, indices: &[u32], samples: &Samples<'_>, task: T) -> Score
    where
        T: Fn(&Layout, &mut [f32], &[u16]) -> Score + Sync,
    {
        let layout = &self.layout;
        let shards = self.arena.par_chunks_mut(layout.len).zip(self.labels.par_chunks_mut(layout.rows));
        shards.zip(self.scores.par_iter_mut()).zip(indices.par_chunks(layout.rows)).for_each(
            |(((shard, labels), score), indices)| {
                let labels = &mut labels[..indices.len()];
                let x = layout.input(shard, indices.len());
                for ((x, label), &index) in x.chunks_exact_mut(samples.width()).zip(&mut *labels).zip(indices) {
                    samples.read(index as usize, x);
                    *label = samples.labels()[index as usize];
                }
                *score = task(layout, shard, labels);
            },
        );
        let mut total = Score::default();
        for score in &self.scores[..indices.len().div_ceil(layout.rows)] {
            total.add(*score);
        }
        total
    }
}

/// What a step works with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) network: &'a Network,
    pub(super) loss: &'a dyn Loss,
    pub(super) optimizer: &'a dyn Optimizer,
    /// λ of the decay ½λW² (*Deep Learning from Scratch* §6.4.2).
    pub(super) weight_decay: f32,
}

impl Setting<'_> {
    /// Phase 1: scores and gradients of the batch `indices`.
    pub(super) fn differentiate(
        &self,
        work: &mut Workspace,
        parameters: &[f32],
        samples: &Samples<'_>,
        indices: &[u32],
    ) -> Score {
        let scale = 1.0 / indices.len() as f32;
        work.over_shards(indices, samples, |layout, shard, labels| {
            self.network.forward(parameters, layout, shard, labels.len());
            let (y, dy) = layout.output(shard, labels.len());
            let score = self.loss.score_and_gradient(y, labels, scale, dy);
            self.network.backward(parameters, layout, shard, labels.len());
            score
        })
    }

    /// Scores of the batch `indices`, without gradients.
    pub(super) fn evaluate(
        &self,
        work: &mut Workspace,
        parameters: &[f32],
        samples: &Samples<'_>,
        indices: &[u32],
    ) -> Score {
        work.over_shards(indices, samples, |layout, shard, labels| {
            self.network.forward(parameters, layout, shard, labels.len());
            self.loss.score(layout.output(shard, labels.len()).0, labels)
        })
    }

    /// Phase 2: gradients of the parameters over the `batch` rows in `work`, and the update.
    pub(super) fn update(&self, work: &mut Workspace, batch: usize, moment: Moment, place: Place<'_>) {
        let place = place.with_gradient(&mut work.gradient);
        self.over_tiles(&work.layout, &work.arena, batch, moment, self.network.tiles(), place);
    }

    /// Cuts the tiles in halves of about equal size and works on both, down to single tiles.
    fn over_tiles(
        &self,
        layout: &Layout,
        arena: &[f32],
        batch: usize,
        moment: Moment,
        tiles: &[Tile],
        mut place: Part<'_>,
    ) {
        let (Some(first), Some(last)) = (tiles.first(), tiles.last()) else { return };
        if tiles.len() == 1 {
            let pieces = layout.pieces(arena, first.layer, batch);
            self.network.layer(first.layer).gradient(first.local.clone(), pieces, place.gradient);
            if first.decays && self.weight_decay != 0.0 {
                for (g, &w) in place.gradient.iter_mut().zip(&*place.parameters) {
                    *g += self.weight_decay * w;
                }
            }
            let moment = Moment { decays: first.decays, ..moment };
            self.optimizer.update(moment, place.parameters, place.gradient, place.slots);
            return;
        }
        let start = first.range.start;
        let middle = start + (last.range.end - start) / 2;
        let cut = tiles.partition_point(|tile| tile.range.end <= middle).clamp(1, tiles.len() - 1);
        let (left, right) = tiles.split_at(cut);
        let (left_place, right_place) = place.split_at(right[0].range.start - start);
        rayon::join(
            || self.over_tiles(layout, arena, batch, moment, left, left_place),
            || self.over_tiles(layout, arena, batch, moment, right, right_place),
        );
    }

    /// Gradients of the parameters over the `batch` rows in `work`, without an update: for gradient checks.
    pub(super) fn gradient<'w>(&self, work: &'w mut Workspace, batch: usize) -> &'w [f32] {
        for tile in self.network.tiles() {
            let pieces = work.layout.pieces(&work.arena, tile.layer, batch);
            let gradient = &mut work.gradient[tile.range.clone()];
            self.network.layer(tile.layer).gradient(tile.local.clone(), pieces, gradient);
        }
        &work.gradient
    }
}

/// What an update writes.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) parameters: &'a mut [f32],
    pub(super) slots: [&'a mut [f32]; MAX_SLOTS],
}

impl<'a> Place<'a> {
    fn with_gradient(self, gradient: &'a mut [f32]) -> Part<'a> {
        Part { parameters: self.parameters, gradient, slots: self.slots }
    }
}

/// The same part of parameters, gradient and optimizer memory.
struct Part<'a> {
    parameters: &'a mut [f32],
    gradient: &'a mut [f32],
    slots: [&'a mut [f32]; MAX_SLOTS],
}

impl Part<'_> {
    fn split_at(&mut self, at: usize) -> (Part<'_>, Part<'_>) {
        let (p0, p1) = self.parameters.split_at_mut(at);
        let (g0, g1) = self.gradient.split_at_mut(at);
        // Slots that the optimizer does not use are empty.
        let [a, b] = self.slots.each_mut().map(|slot| {
            let at = at.min(slot.len());
            slot.split_at_mut(at)
        });
        (
            Part { parameters: p0, gradient: g0, slots: [a.0, b.0] },
            Part { parameters: p1, gradient: g1, slots: [a.1, b.1] },
        )
    }
}
