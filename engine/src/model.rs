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
            // Passes of about equal size, so that no thread waits long for another; but not of few rows on many threads,
            // for each reads all weights.
            let least = n.div_ceil(self.sizes.rows);
            let rows = n.div_ceil(least.next_multiple_of(rayon::current_num_threads()).min(2 * least));
            let passes = x.par_chunks(rows * inputs).zip(y.par_chunks_mut(rows * self.classes));
            passes.for_each_init(|| self.lend(), pass);
        }
        y
    }
}
