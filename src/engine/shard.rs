//! A batch cut into shards, and the memory they work in.
//!
//! Each shard owns one stretch of a flat buffer, with room for its rows' input, every layer's output and the gradient
//! of every output:
//!
//! ```text
//! arena:  [ shard 0 | shard 1 | … ]
//! shard:  [ x [R, I] | y₁ [R, O₁] | … | y_L [R, O_L] | dx [R, I] if wanted | dy₁ [R, O₁] | … | dy_L [R, O_L] ]
//! ```
//!
//! How many rows a shard has depends on the batch size alone, so it is the same for any number of threads.

use super::network::Network;

/// Most rows of a shard.
pub(super) const SHARD_ROWS: usize = 32;

/// Where things lie in a shard's memory.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Rows of a full shard, `R`.
    pub(super) rows: usize,
    /// Offset and width of `x, y₁, …, y_L`.
    values: Vec<(usize, usize)>,
    /// Offset of `dx, dy₁, …, dy_L`.
    gradients: Vec<usize>,
    /// Values of a shard.
    pub(super) len: usize,
    input_gradient: bool,
}

impl Layout {
    /// The layout for batches of up to `batch` rows; `None` where a size overflows.
    pub(super) fn new(network: &Network, batch: usize, input_gradient: bool) -> Option<Self> {
        let rows = batch.div_ceil(batch.div_ceil(SHARD_ROWS));
        let widths = network.widths();
        let mut len = 0usize;
        let mut place = |width: usize| {
            let offset = len;
            len = len.checked_add(rows.checked_mul(width)?)?;
            Some(offset)
        };
        let values = widths.iter().map(|&width| Some((place(width)?, width))).collect::<Option<_>>()?;
        let gradients = widths
            .iter()
            .enumerate()
            .map(|(i, &width)| place(if i == 0 && !input_gradient { 0 } else { width }))
            .collect::<Option<_>>()?;
        Some(Self { rows, values, gradients, len, input_gradient })
    }

    /// Whether there is room for the gradient of the input.
    pub(super) fn has_input_gradient(&self) -> bool {
        self.input_gradient
    }

    /// The values of level `level` (0 is the input) and of the level above it, for `rows` rows.
    pub(super) fn value_pair<'a>(&self, shard: &'a mut [f32], level: usize, rows: usize) -> (&'a [f32], &'a mut [f32]) {
        let ((from, width), (to, above)) = (self.values[level], self.values[level + 1]);
        let (below, rest) = shard.split_at_mut(to);
        (&below[from..from + rows * width], &mut rest[..rows * above])
    }

    /// The input of `rows` rows.
    pub(super) fn input<'a>(&self, shard: &'a mut [f32], rows: usize) -> &'a mut [f32] {
        &mut shard[..rows * self.values[0].1]
    }

    /// The output of the last layer, and its gradient.
    pub(super) fn output<'a>(&self, shard: &'a mut [f32], rows: usize) -> (&'a [f32], &'a mut [f32]) {
        let (&(from, width), &gradient) = (self.values.last().expect("x"), self.gradients.last().expect("dx"));
        let (values, gradients) = shard.split_at_mut(gradient);
        (&values[from..from + rows * width], &mut gradients[..rows * width])
    }

    /// The output of the last layer alone; a shard of [`output_end`](Self::output_end) values is enough for it.
    pub(super) fn output_values<'a>(&self, shard: &'a [f32], rows: usize) -> &'a [f32] {
        let &(from, width) = self.values.last().expect("x");
        &shard[from..from + rows * width]
    }

    /// Where the outputs end and the gradients begin: all that a forward pass needs.
    pub(super) fn output_end(&self) -> usize {
        self.gradients[0]
    }

    /// What the backward pass of layer `layer` reads and writes: `x`, `y`, `dy`, `dx`.
    pub(super) fn backward<'a>(&self, shard: &'a mut [f32], layer: usize, rows: usize) -> Backward<'a> {
        let ((x, x_width), (y, y_width)) = (self.values[layer], self.values[layer + 1]);
        let (values, gradients) = shard.split_at_mut(self.gradients[0]);
        let (below, above) = gradients.split_at_mut(self.gradients[layer + 1] - self.gradients[0]);
        let dx = self.gradients[layer] - self.gradients[0];
        Backward {
            x: &values[x..x + rows * x_width],
            y: &values[y..y + rows * y_width],
            dy: &above[..rows * y_width],
            dx: &mut below[dx..dx + rows * x_width],
        }
    }

    /// Input and output gradient of layer `layer` in every shard of a batch of `batch` rows.
    pub(super) fn pieces<'a>(&self, arena: &'a [f32], layer: usize, batch: usize) -> Pieces<'a> {
        Pieces {
            arena,
            shard_len: self.len,
            shard_rows: self.rows,
            rows_left: batch,
            x: self.values[layer],
            dy: (self.gradients[layer + 1], self.values[layer + 1].1),
        }
    }

    /// The input gradient of a batch's shard.
    pub(super) fn input_gradient<'a>(&self, shard: &'a [f32], rows: usize) -> &'a [f32] {
        let from = self.gradients[0];
        &shard[from..from + rows * self.values[0].1]
    }
}

/// Views of a shard that one layer's backward pass works on.
#[derive(Debug)]
pub(super) struct Backward<'a> {
    pub(super) x: &'a [f32],
    pub(super) y: &'a [f32],
    pub(super) dy: &'a [f32],
    pub(super) dx: &'a mut [f32],
}

/// A layer's inputs `x` and output gradients `dy` over a batch, a pair a shard, in index order.
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    arena: &'a [f32],
    shard_len: usize,
    shard_rows: usize,
    rows_left: usize,
    x: (usize, usize),
    dy: (usize, usize),
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (&'a [f32], &'a [f32]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rows_left == 0 {
            return None;
        }
        let rows = self.rows_left.min(self.shard_rows);
        self.rows_left -= rows;
        let (shard, rest) = self.arena.split_at(self.shard_len);
        self.arena = rest;
        let part = |(offset, width): (usize, usize)| &shard[offset..offset + rows * width];
        Some((part(self.x), part(self.dy)))
    }
}
