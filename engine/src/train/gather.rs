//! Where a mini-batch's inputs come from: the samples as they are, or varied at random.

use crate::augment::{AugmentSpec, Draw, ImageShape};
use crate::samples::Samples;
use crate::step::Gather;

/// Training images, varied: a pure function of the seed, the epoch and the sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Augmented<'a> {
    pub(super) samples: Samples<'a>,
    pub(super) augment: AugmentSpec,
    pub(super) image: ImageShape,
    pub(super) seed: u64,
    pub(super) epoch: u64,
}

impl Gather for Augmented<'_> {
    fn inputs(&self, indices: &[u32], x: &mut [f32], spare: &mut [f32], _pieces: usize) {
        let width = self.samples.width();
        let plain = &mut spare[..width];
        for (x, &index) in x.chunks_exact_mut(width).zip(indices) {
            self.samples.read(index as usize, plain);
            let draw = Draw { seed: self.seed, epoch: self.epoch, sample: u64::from(index) };
            self.augment.apply(self.image, plain, x, draw);
        }
    }

    fn labels(&self, indices: &[u32], labels: &mut [u16]) {
        Gather::labels(&self.samples, indices, labels);
    }
}
