//! `digits` as a dataset: what [`digits`](super::digits) draws. Needs no file and no network.

use super::digits::{self, Images};
use super::source::{Availability, DataError, Source};
use super::{Dataset, DatasetInfo, Dtype, Split, Values};
use crate::engine::shape::Shape;

/// Drawn images, so many of them.
#[derive(Debug)]
pub struct Procedural {
    train: usize,
    test: usize,
}

impl Procedural {
    /// As many as MNIST has.
    pub fn digits() -> Self {
        Self { train: digits::TRAIN, test: digits::TEST }
    }
}

impl Source for Procedural {
    fn info(&self) -> DatasetInfo {
        DatasetInfo {
            name: "digits".into(),
            description: "Digits drawn by strokes in random hands, 28×28 grey, centred as MNIST's are.".into(),
            input: Shape::new(&[1, 28, 28]),
            dtype: Dtype::Uint8,
            classes: 10,
            class_names: (0..10).map(|digit| digit.to_string()).collect(),
            train_samples: self.train,
            test_samples: self.test,
        }
    }

    fn availability(&self) -> Availability {
        Availability::Ready
    }

    fn load(&self) -> Result<Dataset, DataError> {
        let draw = |count, split| -> Split {
            let Images { pixels, labels } = digits::generate(count, split, digits::SEED);
            Split { inputs: Values::Bytes(pixels), labels: labels.into_iter().map(u16::from).collect() }
        };
        let (train, test) = (draw(self.train, digits::Split::Train), draw(self.test, digits::Split::Test));
        Ok(Dataset { info: self.info(), train, test })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_what_it_announces() {
        let source = Procedural { train: 50, test: 20 };
        let digits = source.load().unwrap();
        assert_eq!((digits.train.len(), digits.test.len()), (50, 20));
        assert_eq!(digits.train.inputs.len(), 50 * digits.info.input.len());
        assert!(digits.train.labels.iter().all(|label| *label < 10));
        assert_eq!(digits.train, source.load().unwrap().train);
    }
}
