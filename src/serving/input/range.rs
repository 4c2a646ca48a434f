//! How pixels' numbers are to be read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What black to white, or paper to ink, is in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PixelRange {
    /// Normalised.
    #[serde(rename = "0-1")]
    Unit,
    /// Bytes.
    #[serde(rename = "0-255")]
    Byte,
}

impl PixelRange {
    fn max(self) -> f32 {
        match self {
            Self::Unit => 1.0,
            Self::Byte => 255.0,
        }
    }
}

impl fmt::Display for PixelRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unit => "0-1",
            Self::Byte => "0-255",
        })
    }
}

/// Text that names no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pixel range is `0-1` or `0-255`")]
pub struct UnknownRange;

impl FromStr for PixelRange {
    type Err = UnknownRange;

    fn from_str(text: &str) -> Result<Self, UnknownRange> {
        [Self::Unit, Self::Byte].into_iter().find(|range| range.to_string() == text).ok_or(UnknownRange)
    }
}

/// Turns pixels into 0–1 and says how they were read; or which one is out of range, and what is wrong with it.
///
/// Without a word on it, numbers that all lie within 0–1 are normalised already.
pub(super) fn normalise(values: &mut [f32], said: Option<PixelRange>) -> Result<PixelRange, (usize, String)> {
    let max = said.unwrap_or(PixelRange::Byte).max();
    // NaN is in no range.
    if let Some(index) = values.iter().position(|value| !(0.0..=max).contains(value)) {
        let told = if said.is_some() { ", as `pixel_range` says" } else { "" };
        return Err((index, format!("{} is not a pixel: pixels lie within 0–{max}{told}", values[index])));
    }
    let normalised = || values.iter().all(|value| *value <= 1.0);
    let range = said.unwrap_or_else(|| if normalised() { PixelRange::Unit } else { PixelRange::Byte });
    if range == PixelRange::Byte {
        // The same product as a training batch's, so that a model sees the same bits.
        values.iter_mut().for_each(|value| *value *= 1.0 / 255.0);
    }
    Ok(range)
}
