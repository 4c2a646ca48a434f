//! A network with its weights: what predictions are made with.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::aligned::Aligned;
use super::infer::{Rows, Sizes};
use super::loss::LossSpec;
use super::network::{Network, Weights};

/// A trained network, ready to predict.
#[derive(Debug)]
pub struct Model {
    network: Network,
    parameters: Aligned,
    transformed: Aligned,
    loss: LossSpec,
    classes: usize,
    sizes: Sizes,
    /// Memories of passes that have ended, for the next ones: a fresh one costs more than a small prediction.
    spare: Mutex<Vec<Aligned>>,
}

/// The memory of a pass; it goes back to the model's spare ones.
struct Lent<'a> {
    memory: Aligned,
    model: &'a Model,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        /// More are not kept.
        const MOST: usize = 32;
        let mut spare = self.model.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MOST {
            spare.push(std::mem::take(&mut self.memory));
        }
    }
}

impl Model {
    /// A network with these weights, trained with this loss to tell so many classes apart.
    ///
    /// # Panics
    /// If the weights are not as many as the network's parameters, or its outputs not what the loss takes.
    pub fn new(network: Network, parameters: &[f32], loss: LossSpec, classes: usize) -> Self {
        assert_eq!(network.parameter_count(), parameters.len(), "weights of another network");
        assert!(loss.rule().outputs(classes).accepts(network.output().len()), "outputs for another loss");
        let sizes = Sizes::new(&network, usize::MAX).expect("sizes of a network that was trained");
        let parameters = Aligned::from(parameters);
        let transformed = network.transformed(&parameters);
        Self { network, parameters, transformed, loss, classes, sizes, spare: Mutex::default() }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The weights, flat.
    pub fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// Whether a batch of so many values is one piece of work: more threads would not help.
    pub fn is_small(&self, values: usize) -> bool {
        values <= self.sizes.rows * self.network.input().len()
    }

    fn lend(&self) -> Lent<'_> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lent { memory: spare.unwrap_or_else(|| self.sizes.memory()), model: self }
    }

    /// What the loss makes of the outputs, `[N, classes]`, for inputs `[N, …]`: of most losses probabilities.
    ///
    /// # Panics
    /// If `x` is not a whole number of samples.
    pub fn infer(&self, x: &[f32]) -> Vec<f32> {
        let inputs = self.network.input().len();
        let n = x.len() / inputs;
        assert_eq!(n * inputs, x.len(), "inputs are whole samples");
        let mut y = vec![0.0; n * self.classes];
        let weights = Weights::predicting(&self.parameters, &self.transformed);
        let pass = |lent: &mut Lent<'_>, (x, y): (&[f32], &mut [f32])| {
            let (n, x) = (x.len() / inputs, Rows::At(x));
            let outputs = self.network.infer(weights, self.sizes, &mut lent.memory, n, x);
            self.loss.rule().predictions(outputs, self.classes, y);
        };
        if self.is_small(x.len()) {
            pass(&mut self.lend(), (x, &mut y));
        } else {
            let (mut x, mut to) = (x, &mut *y);
            let passes = passes_of(n, self.sizes.rows, rayon::current_num_threads()).map(move |rows| {
                let (of_pass, rest) = x.split_at(rows * inputs);
                x = rest;
                (of_pass, to.split_off_mut(..rows * self.classes).expect("a row of outputs for every row"))
            });
            // In their order, each by the thread that is free first.
            passes.par_bridge().for_each_init(|| self.lend(), pass);
        }
        y
    }
}

/// The rows of the passes that `n` rows are cut into, each of up to so many, for so many threads.
///
/// Threads are seldom equally fast: the cores of a shared machine are not, and one begins before another has woken. So where
/// there are more passes than threads, the last ones are smaller, that none waits long for another; but not much, for each
/// reads all weights.
fn passes_of(n: usize, most: usize, threads: usize) -> impl Iterator<Item = usize> {
    let at_once = most.saturating_mul(threads);
    let mut left = n;
    std::iter::from_fn(move || {
        let size = match left {
            _ if n <= at_once || threads == 1 => n.div_ceil(threads),
            _ if left >= at_once => most,
            _ => left.div_ceil(2 * threads),
        };
        // What is left then is cut evenly.
        let passes = left.div_ceil(size.clamp(most.div_ceil(2), most)).max(1);
        let rows = left.div_ceil(passes);
        left -= rows;
        (rows > 0).then_some(rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_even_and_the_last_of_many_smaller() {
        let sizes = |n, threads| passes_of(n, 64, threads).collect::<Vec<_>>();
        assert_eq!(sizes(65, 1), [33, 32]);
        assert_eq!(sizes(256, 1), [64; 4]);
        assert_eq!(sizes(100, 2), [50, 50]);
        assert_eq!(sizes(256, 2), [64, 64, 64, 32, 32]);
        assert_eq!(sizes(70, 8), [24, 23, 23]);
    }

    #[test]
    fn passes_take_every_row_once() {
        for (n, most, threads) in (0..400).flat_map(|n| [(n, 64, 1), (n, 64, 3), (n, 7, 16), (n, 1, 2)]) {
            let sizes: Vec<_> = passes_of(n, most, threads).collect();
            assert_eq!(sizes.iter().sum::<usize>(), n);
            assert!(sizes.iter().all(|rows| (1..=most).contains(rows)), "{n} rows, {most} at most: {sizes:?}");
        }
    }
}
