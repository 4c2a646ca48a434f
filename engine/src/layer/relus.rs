//! ReLUs that a layer works out with its product, so that no value goes to memory and back for them.
//!
//! Of two layers of a kind with a ReLU between them, the lower one takes it in: its outputs are the rectified values alone.
//! The upper one, whose inputs these are, sees by them which gradients get through.

use crate::gemm::End;
use crate::processor::wide;

/// The ReLUs next to a layer that it has a part in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Relus {
    /// The outputs are rectified. The layer above hands down what remains of its gradient.
    pub(crate) above: bool,
    /// The inputs are such outputs.
    pub(crate) below: bool,
}

impl Relus {
    /// What becomes of the outputs.
    pub(super) fn end(self) -> End<'static> {
        if self.above { End::Rectify } else { End::Plain }
    }

    /// Leaves of the gradient of the inputs `x` what a ReLU below them lets through, if there is one.
    pub(super) fn gate(self, x: &[f32], dx: &mut [f32]) {
        if self.below {
            wide(|| {
                for (dx, &x) in dx.iter_mut().zip(x) {
                    *dx = if x > 0.0 { *dx } else { 0.0 };
                }
            });
        }
    }
}
