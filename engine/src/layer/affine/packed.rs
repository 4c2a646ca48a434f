//! Columns of a layer's output gradients, packed for the thread at hand.
//!
//! The gradient of a panel of weights takes the same columns of `dy` tile after tile. Where they lie they are a part of
//! long rows, which begin anywhere in a line; and of rows 2 KiB apart, a usual width, no more than some dozens fit the first
//! cache at a time. So a thread that comes to a panel copies its columns, and works on the copy for all tiles it does:
//!
//! ```text
//!   dy, shard by shard           packed
//!   ┌──────┬──────┬──┐           ┌──────┐
//!   │      │██████│  │  [N, O] → │██████│ [N, w], each row a whole number of lines
//!   └──────┴──────┴──┘           └──────┘
//! ```

use std::array;
use std::cell::RefCell;
use std::ops::Range;

use super::at_least;
use crate::aligned::{Aligned, LINE};
use crate::batch::{Batch, Stack};
use crate::gemm::{Axis, Grid, View};
use crate::layer::MOST_ABREAST;
use crate::processor::{Task, wide};

/// Most rows that are packed: of more, the copy would drive out what the caches hold.
const MOST_ROWS: usize = 1 << 11;

/// A copy, and of what it is one.
#[derive(Debug, Default)]
struct Packed {
    /// The pass whose gradients they are, and where these lie. What lies there stays the same for a pass.
    of: (u64, usize),
    values: Aligned,
}

thread_local! {
    /// Of as many panels as are worked on side by side.
    static PACKED: [RefCell<Packed>; MOST_ABREAST] = array::from_fn(|_| RefCell::default());
}

/// Gives `task` the stacks of a batch in index order, each with columns `columns` of its `dy`, of `units` columns: as a
/// matrix `[N, columns]`, or as one in groups of as many rows as a shard has. `index` tells which panel of the layer's
/// they are.
pub(super) fn over_stacks(
    batch: Batch<'_>,
    units: usize,
    (index, columns): (usize, Range<usize>),
    mut task: impl FnMut(usize, Stack<'_>, Grid<'_>),
) {
    if batch.rows > MOST_ROWS {
        for (i, stack) in batch.stacks().enumerate() {
            task(i, stack, where_it_lies(&stack, units, &columns));
        }
        return;
    }
    PACKED.with(|packed| {
        let mut packed = packed[index % MOST_ABREAST].borrow_mut();
        packed.hold(batch, units, &columns);
        let stride = stride_of(&columns);
        let mut values = &packed.values[..batch.rows * stride];
        for (i, stack) in batch.stacks().enumerate() {
            let rows = stack.shards.count * stack.rows;
            task(i, stack, View::rows(values, rows, columns.len(), stride).into());
            values = &values[rows * stride..];
        }
    });
}

/// Distance of packed rows.
fn stride_of(columns: &Range<usize>) -> usize {
    columns.len().next_multiple_of(LINE)
}

/// The columns of a stack, not packed.
fn where_it_lies<'a>(stack: &Stack<'a>, units: usize, columns: &Range<usize>) -> Grid<'a> {
    Grid {
        data: &stack.dy[columns.start..],
        groups: stack.shards,
        rows: Axis::new(stack.rows, units),
        runs: Axis::ONE,
        columns: Axis::new(columns.len(), 1),
        may_hold_zeros: false,
    }
}

impl Packed {
    /// Sees to it that these columns of the batch are there.
    fn hold(&mut self, batch: Batch<'_>, units: usize, columns: &Range<usize>) {
        let place = batch.stacks().next().map_or(0, |stack| stack.dy[columns.start..].as_ptr().addr());
        if self.of == (batch.pass, place) {
            return;
        }
        let stride = stride_of(columns);
        let mut to = at_least(&mut self.values, batch.rows * stride);
        for (_, dy) in batch.pieces() {
            let (of_piece, rest) = to.split_at_mut(dy.len() / units * stride);
            wide(Pack { dy, units, columns, to: of_piece, stride });
            to = rest;
        }
        self.of = (batch.pass, place);
    }
}

struct Pack<'a> {
    dy: &'a [f32],
    units: usize,
    columns: &'a Range<usize>,
    to: &'a mut [f32],
    stride: usize,
}

impl Task for Pack<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { dy, units, columns, to, stride } = self;
        for (row, to) in dy.chunks_exact(units).zip(to.chunks_exact_mut(stride)) {
            let (lines, rest) = row[columns.start..columns.end].as_chunks::<LINE>();
            let (to, of_rest) = to.as_chunks_mut::<LINE>().0.split_at_mut(lines.len());
            for (to, line) in to.iter_mut().zip(lines) {
                *to = *line;
            }
            for (to, value) in of_rest.as_flattened_mut().iter_mut().zip(rest) {
                *to = *value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Affine;
    use super::*;
    use crate::layer::panels::Panels;
    use crate::layer::{LayerSpec, Pass};
    use crate::loss::{LossSpec, softmax_cross_entropy::SoftmaxCrossEntropy};
    use crate::network::Network;
    use crate::optimizer::sgd::Sgd;
    use crate::samples::{Inputs, Samples};
    use crate::shape::Shape;
    use crate::step::{Step, Workspace};
    use crate::update::Update;

    const INPUTS: usize = 5;
    const UNITS: usize = 140;

    /// `xᵀ·dy` of the first layer over the last batch, row by row.
    fn by_the_formula(work: &Workspace) -> Vec<f64> {
        let mut gradient = vec![0.0; INPUTS * UNITS];
        for (x, dy) in work.batch(0).pieces() {
            for (x, dy) in x.chunks_exact(INPUTS).zip(dy.chunks_exact(UNITS)) {
                for (of_input, x) in gradient.chunks_exact_mut(UNITS).zip(x) {
                    for (sum, dy) in of_input.iter_mut().zip(dy) {
                        *sum += f64::from(*x) * f64::from(*dy);
                    }
                }
            }
        }
        gradient
    }

    #[test]
    fn each_pass_is_worked_on_with_its_own_columns() {
        let layers = [LayerSpec::Affine(Affine::of(UNITS)), LayerSpec::Affine(Affine::of(3))];
        let network = Network::build(&Shape::new(&[INPUTS]), &layers).expect("a network");
        let value = |i: usize| (i as f32 * 0.37).sin();
        let parameters: Vec<f32> = (0..network.parameter_count()).map(value).collect();
        let most = MOST_ROWS + 3;
        let (x, labels): (Vec<f32>, Vec<u16>) =
            ((0..most * INPUTS).map(|i| value(i + 1)).collect(), (0..most).map(|i| (i % 3) as u16).collect());
        let samples = Samples::new(Inputs::Floats(&x), &labels, INPUTS);
        let loss = LossSpec::SoftmaxCrossEntropy(SoftmaxCrossEntropy::default());
        let (loss, pass) = (loss, Pass::Train { seed: 0, step: 0 });
        let step = Step { network: &network, loss: loss.rule(), parameters: &parameters, pass };
        let optimizer = Sgd { learning_rate: 1.0 };
        let update =
            Update { network: &network, optimizer: &optimizer, clip: None, weight_decay: 0.0, keep_gradient: true };
        let mut work = Workspace::new(&network, most, false);
        for rows in [0..40, 40..80, 0..most, 3..40, 1000..1077] {
            let indices: Vec<u32> = rows.clone().map(|i| i as u32).collect();
            step.differentiate(&mut work, &samples, &indices);
            let gradient = update.gradient(&mut work, &mut parameters.clone());
            let found = Panels::of(INPUTS, UNITS).to_rows(&gradient[..INPUTS * UNITS]);
            for (found, wanted) in found.iter().zip(by_the_formula(&work)) {
                assert!((f64::from(*found) - wanted).abs() < 1e-6, "{rows:?}: {found} for {wanted}");
            }
        }
    }
}
