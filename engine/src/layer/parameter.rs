//! A layer's parameters: their names and shapes for people and files, and how they lie in the flat buffer.

use ndarray::{ArrayView, IxDyn};

use super::panels::Panels;
use crate::form::Form;
use crate::init::Init;
use crate::shape::Shape;

/// One parameter tensor of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// `W`, `b`, `gamma`, …; the network adds the number: `W1`, `b1`.
    pub name: &'static str,
    /// Its axes, as the field writes them and files have them.
    pub shape: Shape,
    /// How its values lie in the flat buffer.
    pub storage: Storage,
    /// What it is to initialisation, training and weight decay.
    pub role: Role,
    /// How it starts, if not as the job says.
    pub init: Option<Init>,
}

impl Parameter {
    /// Biases, one an output.
    pub fn biases(units: usize) -> Self {
        Self::of("b", Shape::new(&[units]), Role::Bias)
    }

    /// A parameter that lies as its shape says.
    pub fn of(name: &'static str, shape: Shape, role: Role) -> Self {
        Self { name, shape, storage: Storage::Plain, role, init: None }
    }
}

/// What a parameter is to initialisation, training and weight decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Role {
    /// Weights between `fan_in` inputs and `fan_out` outputs: random at the start, decayed.
    Weight {
        /// Inputs of one output unit.
        fan_in: usize,
        /// Outputs of one input unit.
        fan_out: usize,
    },
    /// Biases and shifts: zero at the start, never decayed.
    Bias,
    /// Scales: one at the start, never decayed.
    Scale,
    /// A running statistic: follows what a batch shows, keeping the share `keep` of itself at each step; not trained.
    Statistic {
        /// Its value at the start.
        start: f32,
        /// What is kept at each step.
        keep: f32,
    },
}

/// How a parameter's values lie in the flat buffer, seen from how files have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In the same order.
    Plain,
    /// With its axes in another order.
    Permuted {
        /// The axes as files have them; they may cut an axis of the shape into several.
        axes: Vec<usize>,
        /// Which of them lies outermost in the flat buffer, which next, and so on.
        order: Vec<usize>,
    },
    /// A matrix in panels, whose rows lie so.
    Panels(Panels, Box<Self>),
}

impl Storage {
    /// The storage of one value (or row of `per_value` values) for each value of an input of this form.
    pub fn following(input: &Form, per_value: usize) -> Self {
        match input.interleaved() {
            None => Self::Plain,
            Some([c, h, w]) => Self::Permuted { axes: vec![c, h, w, per_value], order: vec![1, 2, 0, 3] },
        }
    }

    /// Values in the order of a file, from those of the flat buffer.
    ///
    /// # Panics
    /// If they are not as many as the axes say.
    pub fn to_file(&self, stored: &[f32]) -> Vec<f32> {
        match self {
            Self::Plain => stored.to_vec(),
            Self::Panels(panels, rows) => rows.to_file(&panels.to_rows(stored)),
            Self::Permuted { axes, order } => {
                let lying: Vec<_> = order.iter().map(|axis| axes[*axis]).collect();
                let mut back = vec![0; order.len()];
                for (place, axis) in order.iter().enumerate() {
                    back[*axis] = place;
                }
                permuted(stored, &lying, &back)
            }
        }
    }

    /// Values in the order of the flat buffer, from those of a file.
    ///
    /// # Panics
    /// If they are not as many as the axes say.
    pub fn from_file(&self, values: &[f32]) -> Vec<f32> {
        match self {
            Self::Plain => values.to_vec(),
            Self::Panels(panels, rows) => panels.from_rows(&rows.from_file(values)),
            Self::Permuted { axes, order } => permuted(values, axes, order),
        }
    }
}

fn permuted(values: &[f32], axes: &[usize], order: &[usize]) -> Vec<f32> {
    let view = ArrayView::from_shape(IxDyn(axes), values).expect("as many values as the axes say");
    view.permuted_axes(IxDyn(order)).iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_the_buffer_hold_the_same_weights() {
        // Two filters of one row and three columns over two channels: [F, C, H, W] = [2, 2, 1, 3] lies as [H, W, C, F].
        let storage = Storage::Permuted { axes: vec![2, 2, 1, 3], order: vec![2, 3, 1, 0] };
        let file: Vec<f32> = (0..12u8).map(f32::from).collect();
        let stored = storage.from_file(&file);
        assert_eq!(stored, [0., 6., 3., 9., 1., 7., 4., 10., 2., 8., 5., 11.]);
        assert_eq!(storage.to_file(&stored), file);
    }

    #[test]
    fn rows_follow_the_order_of_their_inputs() {
        let storage = Storage::following(&Form::image([2, 1, 2]), 1);
        assert_eq!(storage.from_file(&[10., 11., 20., 21.]), [10., 20., 11., 21.]);
        assert_eq!(Storage::following(&Form::image([1, 5, 5]), 3), Storage::Plain);
    }
}
