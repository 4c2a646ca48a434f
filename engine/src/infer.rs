//! The forward pass that predicts: rows go through the layers in buffers that take turns, and nothing is kept.
//!
//! The head of a network, up to its last convolution and what follows that, takes a few rows at a time, which stay in the
//! cache; the layers after it take all rows of a pass at once, for they read large weights once for all of them.
//!
//! ```text
//! input ─ slice by slice ─► [ here ⇄ there ] ─► rows of a pass ─► [ here ⇄ there ] ─► outputs
//!                                head                                  rest
//! ```

use std::ops::Range;

use super::aligned::{Aligned, LINE};
use super::layer::Pass;
use super::network::{Network, Weights};

/// Values that the widest level of a pass may take, so that its buffers stay in the cache.
const VALUES: usize = 1 << 18;
/// The same of a slice.
const SLICE_VALUES: usize = 1 << 15;
/// Most rows of a pass.
const MAX_ROWS: usize = 64;

/// The inputs of a pass.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    /// In memory: they are read where they lie.
    At(&'a [f32]),
    /// To be written, those asked for, to where they are wanted.
    Read(&'a dyn Fn(Range<usize>, &mut [f32])),
}

impl<'a> Rows<'a> {
    /// Writes rows to a buffer, if they lie nowhere yet.
    fn fetch(self, rows: Range<usize>, buffer: &mut [f32]) {
        if let Self::Read(read) = self {
            read(rows, buffer);
        }
    }

    /// What a layer reads: of the first one the rows where they lie, else what is in its buffer.
    fn or<'b>(self, layer: usize, rows: Range<usize>, width: usize, buffer: &'b [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        match self {
            Self::At(x) if layer == 0 => &x[rows.start * width..rows.end * width],
            _ => &buffer[..rows.len() * width],
        }
    }
}

/// The sizes of a network's predicting passes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Most rows of a pass.
    pub(super) rows: usize,
    /// Layers of the head.
    head: usize,
    /// Most rows of a slice.
    slice: usize,
    /// Values of one of the head's two buffers, and of one of the rest's: whole lines.
    buffers: [usize; 2],
    scratch: usize,
}

impl Sizes {
    /// The sizes for passes of up to `batch` rows; `None` where one overflows.
    pub(super) fn new(network: &Network, batch: usize) -> Option<Self> {
        let head = head_of(network);
        let widest = |levels: Range<usize>| levels.map(|level| network.width(level)).max().unwrap_or(1).max(1);
        let (of_head, of_rest) = (widest(0..head), widest(head..network.depth() + 1));
        let rows = (VALUES / of_rest).clamp(1, MAX_ROWS).min(batch.max(1));
        let slice = (SLICE_VALUES / of_head).clamp(1, rows);
        let scratch = (0..network.depth()).map(|layer| network.layer(layer).memory().scratch).max().unwrap_or(0);
        let buffer = |width: usize, rows: usize| width.checked_mul(rows)?.checked_next_multiple_of(LINE);
        let head_buffer = if head == 0 { 0 } else { buffer(of_head, slice)? };
        Some(Self { rows, head, slice, buffers: [head_buffer, buffer(of_rest, rows)?], scratch })
    }

    /// Values of the memory of a pass; `None` where they overflow.
    pub(super) fn checked_len(self) -> Option<usize> {
        self.buffers[0].checked_add(self.buffers[1])?.checked_mul(2)?.checked_add(self.scratch)
    }

    /// Memory of a pass.
    pub(super) fn memory(self) -> Aligned {
        Aligned::zeros(2 * (self.buffers[0] + self.buffers[1]) + self.scratch)
    }
}

/// Layers up to the last convolution, with those that follow it row by row.
fn head_of(network: &Network) -> usize {
    let layer = |index: usize| network.layer(index);
    let Some(last) = (0..network.depth()).rfind(|index| layer(*index).memory().partial > 0) else { return 0 };
    (last..network.depth()).find(|index| layer(*index).likes_many_rows()).unwrap_or(network.depth())
}

impl Network {
    /// Takes `n` rows through all layers; the outputs `[n, …]` come back.
    pub(super) fn infer<'a>(
        &self,
        weights: Weights<'_>,
        sizes: Sizes,
        memory: &'a mut [f32],
        n: usize,
        input: Rows<'_>,
    ) -> &'a [f32] {
        let (head, rest) = memory.split_at_mut(2 * sizes.buffers[0]);
        let (head_here, head_there) = head.split_at_mut(sizes.buffers[0]);
        let (mut here, rest) = rest.split_at_mut(sizes.buffers[1]);
        let (mut there, scratch) = rest.split_at_mut(sizes.buffers[1]);
        let mut forward = |layer: usize, rows: Range<usize>, x: &[f32], y: &mut [f32]| {
            let at = self.context(layer, weights, Pass::Infer, 0);
            let y = &mut y[..rows.len() * self.width(layer + 1)];
            self.layer(layer).forward(&at, scratch, input.or(layer, rows, self.width(layer), x), y);
        };
        if sizes.head == 0 {
            input.fetch(0..n, &mut here[..n * self.width(0)]);
        }
        for first in (0..n).step_by(sizes.slice).filter(|_| sizes.head > 0) {
            let slice = first..(first + sizes.slice).min(n);
            let (mut x, mut y) = (&mut *head_here, &mut *head_there);
            input.fetch(slice.clone(), &mut x[..slice.len() * self.width(0)]);
            for layer in 0..sizes.head - 1 {
                forward(layer, slice.clone(), x, y);
                std::mem::swap(&mut x, &mut y);
            }
            forward(sizes.head - 1, slice, x, &mut here[first * self.width(sizes.head)..]);
        }
        for layer in sizes.head..self.depth() {
            forward(layer, 0..n, here, there);
            std::mem::swap(&mut here, &mut there);
        }
        &here[..n * self.width(self.depth())]
    }
}
