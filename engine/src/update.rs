//! Phase 2 of a training step: over the tiles of the parameters, gradient, weight decay and update in one go.
//!
//! Where gradients are clipped by their norm, all of them must be known before the first update: then it goes over the
//! tiles twice. Otherwise the gradient of a tile is needed until its update alone, and written to the same small place
//! tile after tile: kept for the whole network, it would drive parameters and moments out of the caches.

use std::cell::RefCell;

use super::clip::{ClipSpec, Limit, sum_of_squares};
use super::layer::{MOST_ABREAST, Role};
use super::network::{Network, Tile};
use super::optimizer::{MAX_SLOTS, Moment, Optimizer};
use super::step::Workspace;
use super::team;

/// Parameters of a large layer.
const LARGE: usize = 1 << 16;

/// How parameters are updated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Update<'a> {
    pub(super) network: &'a Network,
    pub(super) optimizer: &'a dyn Optimizer,
    pub(super) clip: Option<ClipSpec>,
    /// λ of the decay ½λW² (*Deep Learning from Scratch* §6.4.2).
    pub(super) weight_decay: f32,
    /// Whether the gradients are wanted afterwards, in the workspace.
    pub(super) keep_gradient: bool,
}

thread_local! {
    /// The gradient of the tile at hand.
    static GRADIENT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// What an update writes.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) parameters: &'a mut [f32],
    pub(super) slots: [&'a mut [f32]; MAX_SLOTS],
}

/// The same part of parameters, gradient and optimizer memory.
struct Part<'a> {
    parameters: &'a mut [f32],
    /// Empty if it is not kept.
    gradient: &'a mut [f32],
    slots: [&'a mut [f32]; MAX_SLOTS],
}

/// What is done to each tile.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// Gradient alone.
    Gradient,
    /// Update alone, of a gradient that is known.
    Update(Moment, Option<Limit>),
    /// Both, while the gradient is at hand.
    Both(Moment, Option<Limit>),
}

impl Update<'_> {
    /// Works out the gradients over the last batch in `work`, and updates the parameters.
    pub(super) fn run(&self, work: &mut Workspace, moment: Moment, place: Place<'_>) {
        let mut gradient = std::mem::take(&mut work.gradient);
        let needs_norm = self.clip.is_some_and(|clip| clip.needs_norm());
        let kept = if self.keep_gradient || needs_norm { self.network.parameter_count() } else { 0 };
        gradient.resize(kept.max(gradient.len()), 0.0);
        let mut part = Part { parameters: place.parameters, gradient: &mut gradient[..kept], slots: place.slots };
        let tiles = self.network.tiles();
        match self.clip {
            Some(clip) if needs_norm => {
                self.over_layers(work, Work::Gradient, part.reborrow());
                // Tile by tile, in index order: what is a statistic has no gradient.
                let trained = tiles.iter().filter(|tile| !matches!(tile.role, Role::Statistic { .. }));
                let squares = trained.map(|tile| sum_of_squares(&part.gradient[tile.range.clone()])).sum();
                self.over_layers(work, Work::Update(moment, Some(clip.limit(squares))), part);
            }
            clip => {
                let limit = clip.map(|clip| clip.limit(0.0));
                self.over_layers(work, Work::Both(moment, limit), part);
            }
        }
        work.gradient = gradient;
    }

    /// Works out the gradients over the last batch in `work`, without an update: for gradient checks.
    pub(super) fn gradient(&self, work: &mut Workspace, parameters: &mut [f32]) -> Vec<f32> {
        let mut gradient = vec![0.0; parameters.len()];
        let part = Part { parameters, gradient: &mut gradient, slots: Default::default() };
        self.over_layers(work, Work::Gradient, part);
        gradient
    }

    /// Works on the tiles: large layers one after the other, so that the thread that has written some of a layer's
    /// weights reads the same ones, as a rule, at the next step; smaller ones together.
    fn over_layers(&self, work: &Workspace, what: Work, mut part: Part<'_>) {
        let mut tiles = self.network.tiles();
        while let Some(first) = tiles.first() {
            let is_large = |layer: usize| self.network.range(layer).len() >= LARGE;
            let goes_with = |tile: &Tile| tile.layer == first.layer || !(is_large(tile.layer) || is_large(first.layer));
            let (some, others) = tiles.split_at(tiles.iter().take_while(|tile| goes_with(tile)).count());
            let end = some.last().map_or(0, |last| last.range.end);
            let (mut of_some, rest) = part.split_at(end - first.range.start);
            let abreast = self.network.layer(first.layer).tiles_abreast();
            let mut left = some;
            if is_large(first.layer) && abreast > 1 {
                let mut runs = [const { None }; MOST_ABREAST];
                for run in &mut runs[..abreast] {
                    let (tiles, others) = left.split_at(some.len() / abreast);
                    let (of_run, rest) = of_some.split_at(tiles.iter().map(|tile| tile.range.len()).sum());
                    *run = Some((tiles, of_run));
                    (left, of_some) = (others, rest);
                }
                self.over_runs(work, what, runs);
            }
            self.over_tiles(work, what, left, of_some);
            (tiles, part) = (others, rest);
        }
    }

    /// Cuts runs of as many tiles in halves and works on both, down to the tiles that lie side by side.
    fn over_runs(&self, work: &Workspace, what: Work, runs: [Option<(&[Tile], Part<'_>)>; MOST_ABREAST]) {
        let count = runs[0].as_ref().map_or(0, |(tiles, _)| tiles.len());
        if count <= 1 {
            for (tiles, part) in runs.into_iter().flatten() {
                self.over_tiles(work, what, tiles, part);
            }
            return;
        }
        let mut right = [const { None }; MOST_ABREAST];
        let mut left = [const { None }; MOST_ABREAST];
        for ((run, left), right) in runs.into_iter().zip(&mut left).zip(&mut right) {
            let Some((tiles, part)) = run else { continue };
            let (first, second) = tiles.split_at(count / 2);
            let (of_first, of_second) = part.split_at(first.iter().map(|tile| tile.range.len()).sum());
            (*left, *right) = (Some((first, of_first)), Some((second, of_second)));
        }
        team::join(|| self.over_runs(work, what, left), || self.over_runs(work, what, right));
    }

    /// Cuts the tiles in halves of about equal size and works on both, down to single tiles.
    fn over_tiles(&self, work: &Workspace, what: Work, tiles: &[Tile], part: Part<'_>) {
        let (Some(first), Some(last)) = (tiles.first(), tiles.last()) else { return };
        if tiles.len() == 1 {
            return self.tile(work, what, first, part);
        }
        let start = first.range.start;
        let middle = start + (last.range.end - start) / 2;
        let cut = tiles.partition_point(|tile| tile.range.end <= middle).clamp(1, tiles.len() - 1);
        let (left, right) = tiles.split_at(cut);
        let (left_part, right_part) = part.split_at(right[0].range.start - start);
        team::join(|| self.over_tiles(work, what, left, left_part), || self.over_tiles(work, what, right, right_part));
    }

    fn tile(&self, work: &Workspace, what: Work, tile: &Tile, part: Part<'_>) {
        let Part { parameters, gradient, slots } = part;
        if !gradient.is_empty() {
            return self.tile_with(work, what, tile, Part { parameters, gradient, slots });
        }
        GRADIENT.with_borrow_mut(|memory| {
            let len = tile.range.len();
            memory.resize(memory.len().max(len), 0.0);
            self.tile_with(work, what, tile, Part { parameters, gradient: &mut memory[..len], slots });
        });
    }

    fn tile_with(&self, work: &Workspace, what: Work, tile: &Tile, part: Part<'_>) {
        let Part { parameters, gradient, slots } = part;
        if let Work::Gradient | Work::Both(..) = what {
            let mut batch = work.batch(tile.layer);
            if self.network.range(tile.layer).len() >= LARGE {
                // They are not in the cache: the gradient's product may ask for them.
                let [first, second] = slots.each_ref().map(|slot| &**slot);
                batch.soon = [&*parameters, first, second];
            }
            self.network.layer(tile.layer).gradient(tile.local.clone(), batch, gradient);
            if matches!(tile.role, Role::Weight { .. }) && self.weight_decay != 0.0 {
                for (g, &w) in gradient.iter_mut().zip(&*parameters) {
                    *g += self.weight_decay * w;
                }
            }
        }
        let (Work::Update(moment, limit) | Work::Both(moment, limit)) = what else { return };
        if let Role::Statistic { keep, .. } = tile.role {
            for (running, &now) in parameters.iter_mut().zip(&*gradient) {
                *running = keep * *running + (1.0 - keep) * now;
            }
            return;
        }
        if let Some(limit) = limit {
            limit.apply(gradient);
        }
        let moment = Moment { decays: matches!(tile.role, Role::Weight { .. }), ..moment };
        self.optimizer.update(moment, parameters, gradient, slots);
    }
}

impl Part<'_> {
    fn reborrow(&mut self) -> Part<'_> {
        let slots = self.slots.each_mut().map(|slot| &mut **slot);
        Part { parameters: self.parameters, gradient: self.gradient, slots }
    }

    fn split_at(self, at: usize) -> (Self, Self) {
        let middle = at.min(self.gradient.len());
        let ((p0, p1), (g0, g1)) = (self.parameters.split_at_mut(at), self.gradient.split_at_mut(middle));
        // Slots that the optimizer does not use are empty.
        let [a, b] = self.slots.map(|slot| {
            let at = at.min(slot.len());
            slot.split_at_mut(at)
        });
        (
            Self { parameters: p0, gradient: g0, slots: [a.0, b.0] },
            Self { parameters: p1, gradient: g1, slots: [a.1, b.1] },
        )
    }
}
