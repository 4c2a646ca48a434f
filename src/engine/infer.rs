//! The forward pass that predicts: rows go through all layers in two buffers that take turns, and nothing is kept.

use super::layer::Pass;
use super::network::Network;

/// Values that the widest level of a pass may take, so that both buffers stay in the cache.
const VALUES: usize = 1 << 17;
/// Most rows of a pass.
const MAX_ROWS: usize = 32;

/// The sizes of a network's predicting passes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Most rows of a pass.
    pub(super) rows: usize,
    /// Values of one of the two buffers.
    buffer: usize,
    scratch: usize,
}

impl Sizes {
    /// The sizes for passes of up to `batch` rows; `None` where one overflows.
    pub(super) fn new(network: &Network, batch: usize) -> Option<Self> {
        let widest = (0..=network.depth()).map(|level| network.width(level)).max().unwrap_or(1).max(1);
        let rows = (VALUES / widest).clamp(1, MAX_ROWS).min(batch.max(1));
        let scratch = (0..network.depth()).map(|layer| network.layer(layer).memory().scratch).max().unwrap_or(0);
        Some(Self { rows, buffer: widest.checked_mul(rows)?, scratch })
    }

    /// Values of the memory of a pass; `None` where they overflow.
    pub(super) fn checked_len(self) -> Option<usize> {
        self.buffer.checked_mul(2)?.checked_add(self.scratch)
    }

    /// Memory of a pass.
    pub(super) fn memory(self) -> Vec<f32> {
        vec![0.0; 2 * self.buffer + self.scratch]
    }
}

impl Network {
    /// Takes `n` rows through all layers: `input` writes them, and the outputs `[n, …]` come back.
    pub(super) fn infer<'a>(
        &self,
        parameters: &[f32],
        sizes: Sizes,
        memory: &'a mut [f32],
        n: usize,
        input: impl FnOnce(&mut [f32]),
    ) -> &'a [f32] {
        let (mut here, rest) = memory.split_at_mut(sizes.buffer);
        let (mut there, scratch) = rest.split_at_mut(sizes.buffer);
        input(&mut here[..n * self.width(0)]);
        for layer in 0..self.depth() {
            let at = self.context(layer, parameters, &[], Pass::Infer, 0);
            let (x, y) = (&here[..n * self.width(layer)], &mut there[..n * self.width(layer + 1)]);
            self.layer(layer).forward(&at, scratch, x, y);
            std::mem::swap(&mut here, &mut there);
        }
        &here[..n * self.width(self.depth())]
    }
}
