//! All that is needed to go on with a job bit for bit, as one safetensors file.
//!
//! Tensors `parameters`, `slot.0`, `slot.1` (what the optimizer remembers), `best` (the parameters of the best epoch, where
//! early stopping keeps them), flat `f32`; the position and the running sums as JSON in the metadata. Of randomness nothing needs saving: see [`rng`](super::rng).

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use super::layer::{Panels, Storage};
use super::loss::Score;
use super::network::Network;
use super::train::early_stopping::Best;

const KEY: &str = "dojang.checkpoint";

/// Where training stands. Early versions wrote a `window` besides: sums that an observer now reports before a checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Mini-batches done.
    pub step: u64,
    /// Sums over the training samples since the last evaluation.
    pub epoch: Score,
}

/// How wide weights lie in a flat buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrangement {
    /// Row by row: what says nothing else was written so, by an early version.
    #[default]
    Rows,
    /// In [panels](super::layer::Panels) where the matrix has more than [`EARLY_NARROW`] columns, by a later version.
    #[serde(rename = "panels")]
    WidePanels,
    /// In panels, as networks have them.
    #[serde(rename = "panels_of_64")]
    Panels,
}

/// Columns of which a matrix was left in rows, where only wider ones lay in panels.
const EARLY_NARROW: usize = 128;

/// A saved state of training.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Where training stands.
    pub position: Position,
    /// How the buffers lie.
    pub arrangement: Arrangement,
    /// The flat parameter buffer.
    pub parameters: Vec<f32>,
    /// The optimizer's buffers, those it uses.
    pub slots: Vec<Vec<f32>>,
    /// The best epoch so far, where early stopping asks for it.
    pub best: Option<Best>,
}

/// What the metadata say.
#[derive(Debug, Serialize, Deserialize)]
struct Metadata {
    #[serde(flatten)]
    position: Position,
    #[serde(default)]
    arrangement: Arrangement,
    /// Value and epoch of the best epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    best: Option<(f64, u64)>,
}

/// Why bytes are not a checkpoint.
#[derive(Debug, thiserror::Error)]
#[error("not a checkpoint: {0}")]
pub struct CheckpointError(String);

impl Checkpoint {
    /// The bytes to keep.
    ///
    /// # Panics
    /// Never: sizes and names are our own.
    pub fn encode(&self) -> Vec<u8> {
        let best = self.best.as_ref().map(|best| (best.value, best.epoch));
        let metadata = Metadata { position: self.position, arrangement: self.arrangement, best };
        let metadata = serde_json::to_string(&metadata).expect("a position is plain numbers");
        let names: Vec<_> = (0..self.slots.len()).map(|i| format!("slot.{i}")).collect();
        let buffers = std::iter::once(("parameters", &self.parameters));
        let best = self.best.iter().filter(|best| !best.parameters.is_empty()).map(|best| ("best", &best.parameters));
        let buffers: Vec<_> = buffers
            .chain(names.iter().map(String::as_str).zip(&self.slots))
            .chain(best)
            .map(|(name, values)| (name, values.len(), to_bytes(values)))
            .collect();
        let views = buffers.iter().map(|(name, len, bytes)| {
            (*name, TensorView::new(Dtype::F32, vec![*len], bytes).expect("four bytes a value"))
        });
        serialize(views, Some(HashMap::from([(KEY.to_owned(), metadata)]))).expect("names are distinct")
    }

    /// Reads [`encode`](Self::encode)'s bytes.
    ///
    /// # Errors
    /// If they are not such, or hold a number that is not finite.
    pub fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let fault = |e: &dyn std::fmt::Display| CheckpointError(e.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| fault(&e))?;
        let metadata = header.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or_else(|| fault(&"no position"))?;
        let Metadata { position, arrangement, best } = serde_json::from_str(metadata).map_err(|e| fault(&e))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| fault(&e))?;
        let parameters = floats(file.tensor("parameters").map_err(|e| fault(&e))?.data());
        let slots: Vec<_> =
            (0..).map_while(|i| file.tensor(&format!("slot.{i}")).ok()).map(|t| floats(t.data())).collect();
        let best = best.map(|(value, epoch)| {
            let parameters = file.tensor("best").map_or_else(|_| vec![], |tensor| floats(tensor.data()));
            Best { value, epoch, parameters }
        });
        let checkpoint = Self { position, arrangement, parameters, slots, best };
        if !checkpoint.is_finite() {
            return Err(fault(&"a value is not finite"));
        }
        Ok(checkpoint)
    }

    /// The same with its buffers as this network has them.
    ///
    /// # Panics
    /// If they are not as long as the network's parameters.
    #[must_use]
    pub fn arranged_for(mut self, network: &Network) -> Self {
        let is_in_rows = |panels: &Panels| match self.arrangement {
            Arrangement::Rows => true,
            Arrangement::WidePanels => panels.columns() <= EARLY_NARROW,
            Arrangement::Panels => false,
        };
        if self.arrangement != Arrangement::Panels {
            let best = self.best.iter_mut().map(|best| &mut best.parameters).filter(|values| !values.is_empty());
            for values in std::iter::once(&mut self.parameters).chain(&mut self.slots).chain(best) {
                for tensor in network.tensors() {
                    if let Storage::Panels(panels, _) = &tensor.storage
                        && is_in_rows(panels)
                    {
                        let in_panels = panels.from_rows(&values[tensor.range.clone()]);
                        values[tensor.range.clone()].copy_from_slice(&in_panels);
                    }
                }
            }
            self.arrangement = Arrangement::Panels;
        }
        self
    }

    /// Whether every number in it is finite; one that is not must never be saved.
    pub fn is_finite(&self) -> bool {
        let slots = self.slots.iter().map(Vec::as_slice);
        is_finite(std::iter::once(&self.parameters[..]).chain(slots), self.best.as_ref())
    }
}

/// Whether a state of these buffers could be saved.
pub(super) fn is_finite<'a>(mut buffers: impl Iterator<Item = &'a [f32]>, best: Option<&Best>) -> bool {
    buffers.all(all_finite) && best.is_none_or(|best| best.value.is_finite() && all_finite(&best.parameters))
}

/// Whether every value is finite.
pub fn all_finite(values: &[f32]) -> bool {
    values.iter().all(|v| v.is_finite())
}

/// Little-endian bytes of the values.
pub fn to_bytes(values: &[f32]) -> Vec<u8> {
    // Into memory that is there: of an iterator over bytes the compiler makes a loop over single ones.
    let mut bytes = vec![0; size_of_val(values)];
    for (bytes, value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
        *bytes = value.to_le_bytes();
    }
    bytes
}

/// Values of little-endian bytes; a rest of fewer than four is left out.
pub fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Checkpoint {
        Checkpoint {
            position: Position { step: 7, epoch: Score { loss: 1.0 / 3.0, correct: 30, samples: 40 } },
            arrangement: Arrangement::Panels,
            parameters: vec![1.5, -0.0, f32::MIN_POSITIVE / 2.0, f32::MAX],
            slots: vec![vec![0.25; 4], vec![1e-30; 4]],
            best: Some(Best { value: 0.1, epoch: 3, parameters: vec![0.5; 4] }),
        }
    }

    #[test]
    fn comes_back_bit_for_bit() {
        let read = Checkpoint::decode(&example().encode()).expect("our own bytes");
        assert_eq!(read, example());
        assert_eq!(read.parameters[1].to_bits(), (-0.0f32).to_bits());
        assert_eq!(read.encode(), example().encode());
    }

    #[test]
    fn what_says_nothing_lies_row_by_row() {
        let early = r#"{"step":7,"window":{"loss":0.5,"correct":3,"samples":4},"epoch":{"loss":1.5,"correct":30,"samples":40}}"#;
        let metadata: Metadata = serde_json::from_str(early).expect("as the first version wrote it");
        assert_eq!((metadata.arrangement, metadata.position.step), (Arrangement::Rows, 7));
    }

    #[test]
    fn what_lies_in_panels_says_since_when() {
        for (name, arrangement) in [("panels", Arrangement::WidePanels), ("panels_of_64", Arrangement::Panels)] {
            let read: Arrangement = serde_json::from_value(name.into()).expect("as a version wrote it");
            assert_eq!(read, arrangement);
        }
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = example().encode();
        for end in [0, 7, 20, bytes.len() - 1] {
            assert!(Checkpoint::decode(&bytes[..end]).is_err());
        }
        let mut spoiled = example();
        spoiled.parameters[0] = f32::NAN;
        assert!(Checkpoint::decode(&spoiled.encode()).is_err());
    }
}
