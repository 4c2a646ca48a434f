//! The memory of training steps: the shards of every segment, and what is known between them.

use crate::aligned::Aligned;
use crate::batch::{Batch, Place};
use crate::gemm::NOTHING;
use crate::layer::{Collective, Known};
use crate::layout::Layout;
use crate::loss::Score;
use crate::network::Network;
use crate::segment::Segment;

/// The memory of training steps, taken once.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(super) segments: Vec<Shards>,
    pub(super) prepared: Aligned,
    pub(super) transformed: Aligned,
    /// Rows of the last batch, and the number of its pass.
    pub(super) rows: usize,
    pub(super) pass: u64,
    /// The gradient, if the last [update](crate::update::Update) was asked to keep it.
    pub(crate) gradient: Vec<f32>,
}

/// The shards of one segment.
#[derive(Debug)]
pub(super) struct Shards {
    pub(super) layout: Layout,
    pub(super) arena: Aligned,
    /// Of the last segment alone.
    pub(super) labels: Vec<u16>,
    pub(super) scores: Vec<Score>,
    /// What the shards measure for the layer above the segment on the way forward, for the one below on the way back.
    pub(super) measures: Vec<f64>,
    pub(super) measure_len: usize,
    /// What is known of the layer below the segment.
    pub(super) whole: Vec<f64>,
    pub(super) sums: Vec<f64>,
}

/// Bytes that [`Workspace::new`] takes; `None` where it overflows.
pub(crate) fn workspace_bytes(network: &Network, batch: usize) -> Option<usize> {
    let parameters =
        network.parameter_count().checked_add(network.prepared_len())?.checked_add(network.transformed_len())?;
    let values = layouts(network, batch, false)?.iter().try_fold(parameters, |sum, layout| {
        let arena = layout.len.checked_mul(layout.shards(batch))?;
        sum.checked_add(arena)
    })?;
    values.checked_mul(size_of::<f32>())
}

/// The layouts of a network's segments; `None` where a size overflows.
fn layouts(network: &Network, batch: usize, input_gradient: bool) -> Option<Vec<Layout>> {
    let layout = |segment: &Segment| {
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
    pub(crate) fn new(network: &Network, batch: usize, input_gradient: bool) -> Self {
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
            transformed: Aligned::zeros(network.transformed_len()),
            rows: 0,
            pass: 0,
            gradient: Vec::new(),
        }
    }

    /// What layer `layer` works its gradient out from.
    pub(crate) fn batch(&self, layer: usize) -> Batch<'_> {
        let shards = self
            .segments
            .iter()
            .find(|s| s.layout.segment.bridge == Some(layer) || s.layout.segment.layers.contains(&layer));
        let shards = shards.expect("every layer is in a segment or between two");
        let place = if shards.layout.segment.bridge == Some(layer) {
            Place::Between(Known { rows: self.rows, whole: &shards.whole, sums: &shards.sums })
        } else {
            let local = layer - shards.layout.segment.layers.start;
            Place::Within { layout: &shards.layout, arena: &shards.arena, local }
        };
        Batch { pass: self.pass, rows: self.rows, place, soon: NOTHING }
    }

    /// The values of a level over the last batch, shard by shard: 0 is the input, then each layer's output.
    ///
    /// The input of a layer between two segments is the level below it, its output the upper segment's input.
    pub(crate) fn level(&self, level: usize) -> impl Iterator<Item = &[f32]> {
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
    pub(crate) fn input_gradient(&self) -> Vec<f32> {
        let shards = &self.segments[0];
        let pieces = shards.layout.input_gradients(&shards.arena, self.rows, 0..self.rows);
        pieces.flat_map(|(_, values)| values.to_vec()).collect()
    }
}

/// The layer below a segment that needs the whole batch.
pub(super) fn bridge_of<'a>(network: &'a Network, layout: &Layout) -> Option<&'a dyn Collective> {
    layout.segment.bridge.and_then(|layer| network.layer(layer).collective())
}
