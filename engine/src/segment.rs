//! A network's layers cut into segments, and a batch's rows into shards.
//!
//! Within a segment the rows of a batch have nothing to do with each other, so each shard of rows goes through all its
//! layers on its own, in one task. Between two segments all rows meet: where a layer needs the whole batch (batch
//! normalisation), or where the rows are better regrouped (a convolution works on few rows at a time that stay in the
//! cache, an affine layer on many that share one reading of its weights).
//!
//! How many shards there are depends on the batch size alone, so it is the same for any number of threads; it is one that
//! two threads share evenly. If there are more threads than shards, the layers that are worth it cut their rows further;
//! and where the weights outweigh the batch, there is one shard, and threads share the columns of its weights.

use std::ops::Range;

use super::network::Network;

/// Most rows of a shard: those of a fully connected layer share one reading of its weights.
const MAX_ROWS: usize = 64;
/// The same of a shard of convolutions.
const MAX_FINE_ROWS: usize = 32;
/// A batch is cut into a multiple of so many shards, if these are not too small.
const EVEN: usize = 2;
/// Least rows of a shard for that.
const LEAST_ROWS: usize = 8;
/// A batch of convolutions is cut into so many shards at least, if it has the rows.
const FINE_SHARDS: usize = 8;
/// Parameters of a piece of gradient work.
const TILE: usize = 1 << 13;
/// A layer's parameters are cut into so many pieces at least, for threads to share them evenly, if these are not too small.
const FEWEST_TILES: usize = 8;
const SMALLEST_TILE: usize = 1 << 10;

/// A segment whose parameters are so many times the values of its widest level stays whole: then threads share the
/// columns of its weights, and none reads or writes what another one does. Above convolutions fewer are enough: they write
/// their output where such a segment reads it, which spares a copy.
const WEIGHTY: usize = 4;
const WEIGHTY_ABOVE: usize = 1;

/// How many shards a batch is cut into; `fine` ones are of convolutions.
fn shards_of(batch: usize, fine: bool) -> usize {
    let least = if fine { batch.div_ceil(MAX_FINE_ROWS).max(FINE_SHARDS) } else { batch.div_ceil(MAX_ROWS) };
    least.next_multiple_of(EVEN).min(batch.div_ceil(if fine { 1 } else { LEAST_ROWS })).max(1)
}

/// A range of parameters, cut into pieces of gradient work.
pub(super) fn tiles_of(range: Range<usize>) -> Vec<Range<usize>> {
    range.clone().step_by(TILE).map(|first| first..(first + TILE).min(range.end)).collect()
}

/// `rows` rows of `width` parameters, cut into pieces of gradient work of whole rows, all of about the same size.
pub(super) fn tiles_of_rows(rows: usize, width: usize) -> Vec<Range<usize>> {
    let pieces = (rows * width).div_ceil(TILE).max(FEWEST_TILES.min(rows * width / SMALLEST_TILE));
    let some = rows.div_ceil(pieces.clamp(1, rows));
    (0..rows).step_by(some).map(|first| first * width..(first + some).min(rows) * width).collect()
}

/// Which layers of a network make a segment, and how they meet those below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its layers' indices; perhaps none.
    pub(super) layers: Range<usize>,
    /// The layer between the segment below and this one that needs the whole batch, if there is one.
    pub(super) bridge: Option<usize>,
}

impl Segment {
    /// Its input, and the outputs of its layers.
    pub(super) fn levels(&self) -> Range<usize> {
        self.layers.start..self.layers.end + 1
    }

    /// Values of a row of its widest level.
    pub(super) fn widest(&self, network: &Network) -> usize {
        self.levels().map(|level| network.width(level)).max().unwrap_or(1).max(1)
    }

    /// Whether nothing stands between it and the segment below but a regrouping of rows.
    pub(super) fn regroups(&self) -> bool {
        self.layers.start > 0 && self.bridge.is_none()
    }

    /// Whether it is one of convolutions.
    pub(super) fn is_fine(&self, network: &Network) -> bool {
        self.layers.clone().any(|layer| network.layer(layer).memory().partial > 0)
    }

    /// How many shards a batch of so many rows is cut into.
    pub(super) fn shards(&self, network: &Network, batch: usize) -> usize {
        let parameters: usize = self.layers.clone().map(|layer| network.range(layer).len()).sum();
        let fine = self.is_fine(network);
        let weighty = if self.regroups() { WEIGHTY_ABOVE } else { WEIGHTY };
        let whole = !fine && parameters / weighty >= self.widest(network).saturating_mul(batch);
        if whole { 1 } else { shards_of(batch, fine) }
    }
}

/// Cuts a network into segments.
pub(super) fn segments(network: &Network) -> Vec<Segment> {
    let mut segments = vec![Segment { layers: 0..0, bridge: None }];
    let mut fine = false;
    for index in 0..network.depth() {
        let layer = network.layer(index);
        let current = segments.last_mut().expect("there is a first one");
        if layer.collective().is_some() {
            segments.push(Segment { layers: index + 1..index + 1, bridge: Some(index) });
            fine = false;
        } else if fine && layer.likes_many_rows() {
            segments.push(Segment { layers: index..index + 1, bridge: None });
            fine = false;
        } else {
            current.layers.end = index + 1;
            fine |= layer.memory().partial > 0;
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{LayerSpec, affine::Affine};
    use crate::shape::Shape;

    #[test]
    fn a_batch_stays_whole_where_the_weights_outweigh_it() {
        let affine = |units| LayerSpec::Affine(Affine::of(units));
        let network = Network::build(&Shape::new(&[12]), &[affine(320), affine(330), affine(3)]).expect("a network");
        let shards = |batch: usize| network.segments()[0].shards(&network, batch);
        assert_eq!([7, 70, 700].map(shards), [1, 1, shards_of(700, false)]);
    }

    #[test]
    fn threads_share_a_batch_evenly() {
        let plain = [1, 8, 16, 32, 50, 96, 100, 128, 150, 512].map(|batch| shards_of(batch, false));
        assert_eq!(plain, [1, 1, 2, 2, 2, 2, 2, 2, 4, 8]);
        let fine = [1, 10, 32, 100, 512, 600].map(|batch| shards_of(batch, true));
        assert_eq!(fine, [1, 8, 8, 8, 16, 20]);
    }
}
