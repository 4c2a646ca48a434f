//! What is made of the parameters before a pass: what the layers go forward with, and what they go back with.

use super::{Network, Node};
use crate::aligned::Aligned;
use crate::layer::{Context, Pass};

/// The parameters, and what has been made of them beforehand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) parameters: &'a [f32],
    /// [Transformed](Network::transform) for the way forward, or empty.
    pub(crate) transformed: &'a [f32],
    /// For the way back; without them there is none.
    pub(crate) prepared: Option<Prepared<'a>>,
}

impl<'a> Weights<'a> {
    /// Those of a pass that predicts.
    pub(crate) fn predicting(parameters: &'a [f32], transformed: &'a [f32]) -> Self {
        Self { parameters, transformed, prepared: None }
    }
}

/// Parameters that are prepared for a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prepared<'a> {
    pub(crate) values: &'a [f32],
    /// Rows of the batch.
    pub(crate) rows: usize,
}

impl Node {
    /// Whether its parameters are prepared for a batch of so many rows.
    fn is_prepared(&self, rows: usize) -> bool {
        /// Rows, of several shards, that make up for a preparation that each can do for itself.
        const WORTH: usize = 256;
        !self.prepared.is_empty() && (rows >= WORTH || !self.layer.memory().can_do_without)
    }
}

impl Network {
    /// Values of all layers' prepared parameters.
    pub(crate) fn prepared_len(&self) -> usize {
        self.prepared
    }

    /// Prepares the layers' parameters for a batch of so many rows.
    pub(crate) fn prepare(&self, rows: usize, parameters: &[f32], prepared: &mut [f32]) {
        for node in self.nodes.iter().filter(|node| node.is_prepared(rows)) {
            node.layer.prepare(&parameters[node.range.clone()], &mut prepared[node.prepared.clone()]);
        }
    }

    /// Values of all layers' transformed parameters.
    pub(crate) fn transformed_len(&self) -> usize {
        self.transformed
    }

    /// The layers' parameters, transformed, in memory of their own.
    pub(crate) fn transformed(&self, parameters: &[f32]) -> Aligned {
        let mut transformed = Aligned::zeros(self.transformed);
        self.transform(parameters, &mut transformed);
        transformed
    }

    /// Transforms the layers' parameters.
    pub(crate) fn transform(&self, parameters: &[f32], transformed: &mut [f32]) {
        for node in self.nodes.iter().filter(|node| !node.transformed.is_empty()) {
            node.layer.transform(&parameters[node.range.clone()], &mut transformed[node.transformed.clone()]);
        }
    }

    /// What a layer works with in a pass over rows from `first_row` on.
    pub(crate) fn context<'a>(
        &self,
        layer: usize,
        Weights { parameters, transformed, prepared }: Weights<'a>,
        pass: Pass,
        first_row: usize,
    ) -> Context<'a> {
        let node = &self.nodes[layer];
        let prepared = prepared.filter(|prepared| node.is_prepared(prepared.rows));
        let prepared = prepared.map_or(&[][..], |prepared| &prepared.values[node.prepared.clone()]);
        Context {
            parameters: &parameters[node.range.clone()],
            prepared,
            transformed: transformed.get(node.transformed.clone()).unwrap_or_default(),
            pass,
            layer: node.index(layer),
            first_row,
            pieces: 1,
        }
    }
}
