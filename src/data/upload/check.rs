//! Whether arrays make a dataset, and what it is.

use super::{CLASSES_MAX, Part, Parts, Upload, UploadError};
use crate::data::{Dataset, DatasetInfo, Split};
use crate::engine::shape::Shape;
use crate::text::hidden_character;

/// Longest name of a class, in characters.
const CLASS_NAME_MAX: usize = 120;

/// The dataset that these arrays make.
pub(super) fn dataset(upload: &Upload, parts: Parts) -> Result<Dataset, UploadError> {
    let (input, train, test) = match parts {
        Parts::Split { train, test } => {
            let places = [train.places, test.places];
            let (train_input, train) = split(train)?;
            let (test_input, test) = split(test)?;
            let (dtype, test_dtype) = (train.inputs.dtype(), test.inputs.dtype());
            if (&train_input, dtype) != (&test_input, test_dtype) {
                let detail =
                    format!("samples of shape {test_input}, {test_dtype}; {} has {train_input}, {dtype}", places[0][0]);
                return Err(places[1][0].fault(detail));
            }
            (train_input, train, test)
        }
        Parts::Together(part) => {
            let place = part.places[0];
            let (input, mut train) = split(part)?;
            // The last sixth, as MNIST has it of 70,000.
            let test = (train.len() / 6).max(1);
            if train.len() <= test {
                return Err(place.fault("one sample cannot be split into some to learn from and some to measure on"));
            }
            let test = train.split_off(train.len() - test);
            (input, train, test)
        }
    };
    let class_names = class_names(upload, &train, &test)?;
    let info = DatasetInfo {
        name: upload.name.clone(),
        description: upload.description.clone(),
        input,
        dtype: train.inputs.dtype(),
        classes: class_names.len(),
        class_names,
        train_samples: train.len(),
        test_samples: test.len(),
    };
    Ok(Dataset { info, train, test })
}

/// Inputs with a label each, and the shape of one.
fn split(part: Part) -> Result<(Shape, Split), UploadError> {
    let Part { inputs: (axes, inputs), labels: (label_axes, labels), places: [x, y] } = part;
    let input = match axes[..] {
        _ if axes.contains(&0) => return Err(x.fault(format!("shape {axes:?} holds no value"))),
        [_, width] => Shape::new(&[width]),
        [_, height, width] => Shape::new(&[1, height, width]),
        [_, height, width, channels @ (1 | 3 | 4)] if height > channels && width > channels => {
            let detail = format!(
                "shape {axes:?} looks like channels last; channels come first here, [N, {channels}, {height}, {width}]: \
                 np.transpose(x, (0, 3, 1, 2)).copy() makes it so"
            );
            return Err(x.fault(detail));
        }
        [_, channels, height, width] => Shape::new(&[channels, height, width]),
        _ => return Err(x.fault(format!("shape {axes:?}; inputs are [N, D], [N, H, W] or [N, C, H, W]"))),
    };
    let samples = axes[0];
    match label_axes[..] {
        [count] | [count, 1] if count == samples => Ok((input, Split { inputs, labels })),
        [count] | [count, 1] => Err(y.fault(format!("{count} labels; {x} has {samples} samples"))),
        _ => Err(y.fault(format!(
            "shape {label_axes:?}; labels are [{samples}], the index of each sample's class (np.argmax(y, axis=1) turns \
             one-hot rows into it)"
        ))),
    }
}

/// A name for each class: those given, which must be enough, or numbers.
fn class_names(upload: &Upload, train: &Split, test: &Split) -> Result<Vec<String>, UploadError> {
    let highest = train.labels.iter().chain(&test.labels).max().map_or(0, |label| usize::from(*label));
    let fault = |detail: String| Err(UploadError::fault("class_names", detail));
    let names = match &upload.class_names {
        None => (0..=highest).map(|label| label.to_string()).collect(),
        Some(names) if names.len() <= highest => {
            let (count, classes) = (names.len(), highest + 1);
            let names = if count == 1 { "name" } else { "names" };
            return fault(format!("{count} {names}, but {classes} classes: the highest label is {highest}"));
        }
        Some(names) => names.clone(),
    };
    if names.len() < 2 {
        return Err(UploadError::fault(
            if upload.class_names.is_some() { "class_names" } else { super::label_field(&upload.files) },
            "one class only: there is nothing to tell apart",
        ));
    }
    if names.len() > CLASSES_MAX {
        return fault(format!("{} names; a dataset has at most {CLASSES_MAX} classes", names.len()));
    }
    if let Some(name) = names.iter().find(|name| !is_class_name(name)) {
        return fault(format!("`{}` is no name of 1 to {CLASS_NAME_MAX} visible characters", name.escape_debug()));
    }
    Ok(names)
}

fn is_class_name(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= CLASS_NAME_MAX && hidden_character(name).is_none()
}
