//! Numbers and pictures as they are read, and the tensor that they make.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT};
use serde::de;

use super::picture::Pictures;
use super::room::Room;
use super::{IMAGES_MAX, Input, InputError, InputErrorKind, Preprocessing};

/// What a body's value was.
#[derive(Debug)]
pub(super) enum Content {
    Numbers(Numbers),
    /// Decoded already, 0–1.
    Pictures {
        inputs: Vec<f32>,
        preprocessing: Preprocessing,
    },
}

/// A tensor as it was written.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) values: Vec<f32>,
    /// Lengths of the arrays, outermost first.
    axes: Vec<usize>,
    /// Pointer to the whole.
    root: String,
}

impl Numbers {
    /// How many samples of the model's input these are.
    pub(super) fn count(&self, input: &Input) -> Result<usize, InputError> {
        let is_sample = |axes: &[usize]| {
            let ones = input.axes.iter().take_while(|axis| **axis == 1).count();
            axes == [input.width] || !axes.is_empty() && (0..=ones).any(|ones| axes == &input.axes[ones..])
        };
        let many = self.axes.split_first().filter(|(_, axes)| is_sample(axes));
        let fault = |detail: String| Err(InputError::unprocessable(detail).at(self.root.clone()));
        match many {
            _ if is_sample(&self.axes) => Ok(1),
            Some((0, _)) => fault("there is no image in it".into()),
            Some((&count, _)) if count > IMAGES_MAX => Err(InputError::too_many_images().at(self.root.clone())),
            Some((&count, _)) => Ok(count),
            None if self.values.is_empty() => fault("there is no image in it".into()),
            None => {
                let found = self.axes.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
                fault(format!("expected {input}, or an array of such; found {found}"))
            }
        }
    }

    /// Where value `index` stands.
    pub(super) fn pointer(&self, index: usize) -> String {
        let mut rest = index;
        let mut path = Vec::new();
        for &axis in self.axes.iter().rev() {
            path.push(rest % axis.max(1));
            rest /= axis.max(1);
        }
        pointer(&self.root, &path)
    }
}

/// `root` and the indexes below it, innermost first.
pub(super) fn pointer(root: &str, path: &[usize]) -> String {
    path.iter().rev().fold(root.to_owned(), |pointer, index| format!("{pointer}/{index}"))
}

/// Where numbers and pictures go while the text is read.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    values: Vec<f32>,
    limit: usize,
    /// Most numbers that the body can hold: each has a digit and what parts it from the next.
    most: usize,
    /// Length of the arrays at each depth, once one of them has ended.
    lengths: Vec<Option<usize>>,
    /// In how many arrays the numbers stand.
    depth: Option<usize>,
    pictures: Pictures<'a>,
    preprocessing: Option<Preprocessing>,
    /// Pointer to the images, or to what is being read beside them.
    pub(super) root: String,
    /// What is wrong, and the indexes that lead to it, innermost first.
    pub(super) fault: Option<(InputError, Vec<usize>)>,
}

impl<'a> Sink<'a> {
    /// A sink for a body of so many bytes.
    pub(super) fn new(input: &'a Input, room: Room<'a>, body: usize) -> Self {
        Self {
            values: Vec::new(),
            limit: input.width.saturating_mul(IMAGES_MAX),
            most: body / 2 + 1,
            lengths: vec![None; input.axes.len().max(1) + 1],
            depth: None,
            pictures: Pictures::new(input, room),
            preprocessing: None,
            root: "#".into(),
            fault: None,
        }
    }

    /// Notes what is wrong; the error returned only stops the reader.
    fn fail<E: de::Error>(&mut self, fault: InputError) -> E {
        self.fault = Some((fault, Vec::new()));
        E::custom("")
    }

    pub(super) fn refuse<E: de::Error>(&mut self, detail: impl Into<String>) -> E {
        self.fail(InputError::unprocessable(detail))
    }

    #[inline]
    pub(super) fn number<E: de::Error>(&mut self, depth: usize, value: f32) -> Result<(), E> {
        if self.depth != Some(depth) {
            self.first_number(depth)?;
        }
        if self.values.len() == self.limit {
            return Err(self.fail(InputError::too_many_images()));
        }
        if self.values.len() == self.values.capacity() {
            self.grow()?;
        }
        self.values.push(value);
        Ok(())
    }

    /// Makes room for more numbers, if there is memory for them.
    #[cold]
    fn grow<E: de::Error>(&mut self) -> Result<(), E> {
        let most = self.most.min(self.limit);
        let capacity = (2 * self.values.len()).clamp(256, most.max(256)).max(self.values.len() + 1);
        // While they are moved, they are there twice.
        let bytes = |values: usize| 4 * (values + self.values.len()) as u64;
        if !self.pictures.room.has(bytes(capacity)) {
            // Of the numbers to come none is looked at; at worst there are as many as can be.
            self.pictures.room.has(bytes(2 * most));
            return Err(E::custom(""));
        }
        self.values.reserve_exact(capacity - self.values.len());
        Ok(())
    }

    /// Bytes that the body takes to be read, if it was not read for want of memory.
    pub(super) fn needed(&self) -> Option<u64> {
        self.pictures.room.needed()
    }

    fn first_number<E: de::Error>(&mut self, depth: usize) -> Result<(), E> {
        if self.preprocessing.is_some() {
            return Err(self.refuse("a number among pictures: send either"));
        }
        if self.depth.is_some() || self.lengths.get(depth).is_some_and(Option::is_some) {
            return Err(self.refuse("a number where an array stands in other places"));
        }
        self.depth = Some(depth);
        Ok(())
    }

    pub(super) fn array_begins<E: de::Error>(&mut self, depth: usize) -> Result<(), E> {
        if self.preprocessing.is_some() {
            return Err(self.refuse("an array among pictures: send a list of pictures"));
        }
        if self.depth.is_some_and(|numbers| numbers <= depth) {
            return Err(self.refuse("an array where a number stands in other places"));
        }
        if depth >= self.lengths.len() {
            return Err(self.refuse(format!("arrays are nested deeper than {}", self.lengths.len())));
        }
        Ok(())
    }

    pub(super) fn array_ends<E: de::Error>(&mut self, depth: usize, length: usize) -> Result<(), E> {
        match self.lengths[depth] {
            Some(other) if other != length => {
                Err(self.refuse(format!("this array has {length} elements, those before it have {other}")))
            }
            _ => {
                self.lengths[depth] = Some(length);
                Ok(())
            }
        }
    }

    pub(super) fn picture<E: de::Error>(&mut self, depth: usize, text: &str) -> Result<(), E> {
        if depth > 1 || self.depth.is_some() || self.lengths[depth].is_some() {
            return Err(self.refuse("a text where a number is expected"));
        }
        if self.pictures.count == IMAGES_MAX {
            return Err(self.fail(InputError::too_many_images()));
        }
        let read = from_base64(text).and_then(|bytes| self.pictures.read(&bytes, &mut self.values));
        let (_, preprocessing) = read.map_err(|fault| {
            // The body is JSON and read as such; that one of its texts is no picture is a matter of content.
            let kind = match fault.kind {
                InputErrorKind::TooLarge => InputErrorKind::TooLarge,
                _ => InputErrorKind::Unprocessable,
            };
            self.fail(InputError { kind, ..fault })
        })?;
        let any = self.preprocessing.is_some_and(|before| before == Preprocessing::Mnist);
        self.preprocessing = Some(if any { Preprocessing::Mnist } else { preprocessing });
        Ok(())
    }

    pub(super) fn content(self) -> Result<Content, InputError> {
        if let Some(preprocessing) = self.preprocessing {
            return Ok(Content::Pictures { inputs: self.values, preprocessing });
        }
        let depth = self.depth.unwrap_or(self.lengths.len());
        let axes: Vec<_> = self.lengths.iter().take(depth).map_while(|length| *length).collect();
        if axes.iter().product::<usize>() != self.values.len() {
            return Err(InputError::unprocessable("the arrays are not of the same lengths").at(self.root));
        }
        Ok(Content::Numbers(Numbers { values: self.values, axes, root: self.root }))
    }
}

/// The bytes of a base64 text, of either alphabet, padded or not, also as a `data:` URL.
fn from_base64(text: &str) -> Result<Vec<u8>, InputError> {
    let not_base64 = || InputError::unprocessable("this text is not a PNG or JPEG picture in base64");
    let text = match text.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").ok_or_else(not_base64)?.1,
        None => text,
    };
    let engine = if text.contains(['-', '_']) { URL_SAFE_PAD_INDIFFERENT } else { STANDARD_PAD_INDIFFERENT };
    let decoded = if text.contains(|c: char| c.is_ascii_whitespace()) {
        engine.decode(text.split_ascii_whitespace().collect::<String>())
    } else {
        engine.decode(text)
    };
    decoded.map_err(|_| not_base64())
}
