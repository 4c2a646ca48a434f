//! How the layers of a spec become those of a network: mostly one by one, but some do the work of others, too. A pool takes
//! in the ReLU before it, a batch normalisation the one after it, an affine layer or a convolution the one between it and the
//! next of its kind, and a convolution of one-channel images its pool.

use super::{LayerSummary, Network, NetworkError, Outputs, Shown};
use crate::layer::conv2d::Around;
use crate::layer::reorder::Reorder;
use crate::layer::{Layer, LayerError, LayerSpec, Relus};
use crate::shape::Shape;

/// Where the outputs of a spec's layer are found: at which level, and what they are to it.
type At = (usize, Outputs);

impl Network {
    /// Appends the layer of a spec, or of several that are worked out as one; says of how many.
    pub(super) fn place(&mut self, specs: &[LayerSpec], index: usize) -> Result<usize, NetworkError> {
        let spec = &specs[index];
        let fault = |error| NetworkError { index, error };
        let too_large =
            || fault(LayerError { field: None, detail: "the network has more than 2^32 parameters".into() });
        let planar = self.form().as_image().filter(|_| self.form().is_planar_image());
        if let Some(image) = planar.filter(|_| spec.wants_interleaved()) {
            self.push(None, Box::new(Reorder::interleave(image))).ok_or_else(too_large)?;
        }
        if let Some((layer, rectified)) = self.pooled(&specs[index..]) {
            return self.place_pooled(specs, index, layer, rectified).ok_or_else(too_large);
        }
        let node = self.nodes.len();
        if let Some(outputs) = taken_in(specs, index) {
            self.show(spec, None, (node, outputs), None);
            return Ok(1);
        }
        let relus = Relus { above: is_between(specs, index + 1), below: index > 0 && is_between(specs, index - 1) };
        let of_linear = match relus.above {
            true => (node, Outputs::First { node, rectified: false }),
            false => (node + 1, Outputs::Values),
        };
        let (layer, at) = match spec {
            LayerSpec::MaxPool2d(pool) if index > 0 && taken_in(specs, index - 1) == Some(Outputs::Rectified) => {
                (pool.rectified(self.form()), (node + 1, Outputs::Values))
            }
            LayerSpec::Conv2d(conv) => {
                let selective = specs.get(index + 1).is_some_and(LayerSpec::hands_down_zeros);
                (conv.among(Around { selective, relus }, self.form()), of_linear)
            }
            LayerSpec::BatchNorm(norm) if taken_in(specs, index + 1) == Some(Outputs::Values) => {
                (norm.rectified(self.form()), (node, Outputs::Plain(node)))
            }
            LayerSpec::Affine(affine) => (affine.with(relus, self.form()), of_linear),
            _ => (spec.build(self.form()), (node + 1, Outputs::Values)),
        };
        self.push(Some(index), layer.map_err(fault)?).ok_or_else(too_large)?;
        self.show(spec, None, at, Some(node));
        Ok(1)
    }

    /// The layer of a convolution, perhaps a ReLU, and a pool that come next, if there is one that does the work of all;
    /// and whether there is a ReLU.
    fn pooled(&self, specs: &[LayerSpec]) -> Option<(Box<dyn Layer>, bool)> {
        let (conv, pool, rectified) = match specs {
            [LayerSpec::Conv2d(conv), LayerSpec::MaxPool2d(pool), ..] => (conv, pool, false),
            [LayerSpec::Conv2d(conv), LayerSpec::Relu(_), LayerSpec::MaxPool2d(pool), ..] => (conv, pool, true),
            _ => return None,
        };
        let learns_below = self.len > 0;
        conv.pooled(self.form(), pool, rectified).filter(|_| !learns_below).map(|layer| (layer, rectified))
    }

    /// Appends such a layer; `None` where its size overflows.
    fn place_pooled(
        &mut self,
        specs: &[LayerSpec],
        index: usize,
        layer: Box<dyn Layer>,
        rectified: bool,
    ) -> Option<usize> {
        let node = self.nodes.len();
        let shape = layer.first().map(|conv| conv.output().shape().clone());
        self.push(Some(index), layer)?;
        self.show(&specs[index], shape.clone(), (node, Outputs::First { node, rectified: false }), Some(node));
        if rectified {
            self.show(&specs[index + 1], shape, (node, Outputs::First { node, rectified: true }), None);
        }
        let pool = index + 1 + usize::from(rectified);
        self.show(&specs[pool], None, (node + 1, Outputs::Values), None);
        Some(pool + 1 - index)
    }

    /// Says where the outputs of a spec's layer, of this shape or the network's so far, are found, and which node has its
    /// parameters.
    fn show(&mut self, spec: &LayerSpec, shape: Option<Shape>, (level, outputs): At, node: Option<usize>) {
        let output = shape.unwrap_or_else(|| self.output().clone());
        let parameters = node.map_or(0, |node| self.nodes[node].range.len());
        let summary = LayerSummary { name: spec.name().into(), output, parameters };
        self.shown.push(Shown { summary, level, outputs, node });
    }
}

/// Whether a layer is a ReLU between two affine layers or two convolutions: the lower one takes it in, the upper one hands
/// its gradient down.
fn is_between(specs: &[LayerSpec], index: usize) -> bool {
    let around = index.checked_sub(1).and_then(|before| specs.get(before..index + 2));
    matches!(
        around,
        Some(
            [LayerSpec::Affine(_), LayerSpec::Relu(_), LayerSpec::Affine(_)]
                | [LayerSpec::Conv2d(_), LayerSpec::Relu(_), LayerSpec::Conv2d(_)]
        )
    )
}

/// Whether a layer is a ReLU that the pool after it takes in, or else the batch normalisation, the affine layer or the
/// convolution before it; and what its outputs are then.
fn taken_in(specs: &[LayerSpec], index: usize) -> Option<Outputs> {
    let Some(LayerSpec::Relu(_)) = specs.get(index) else { return None };
    match (index.checked_sub(1).map(|before| &specs[before]), specs.get(index + 1)) {
        (_, Some(LayerSpec::MaxPool2d(_))) => Some(Outputs::Rectified),
        (Some(LayerSpec::BatchNorm(_)), _) => Some(Outputs::Values),
        _ if is_between(specs, index) => Some(Outputs::Values),
        _ => None,
    }
}
