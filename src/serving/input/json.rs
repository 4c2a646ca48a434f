//! Images in JSON.
//!
//! Numbers go from the text straight into one flat buffer; nothing is kept of the nesting but the length of the arrays
//! at each depth, which must all be the same. Where something is wrong is found on the way out, so that the way in
//! costs nothing.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::picture::Pictures;
use super::{IMAGES_MAX, Input, InputError, InputErrorKind, PixelRange, Preprocessing};

/// The keys of which a body has exactly one.
const IMAGE_KEYS: [&str; 3] = ["image", "images", "instances"];
const RANGE_KEY: &str = "pixel_range";

/// What a JSON body says.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) content: Content,
    pub(super) pixel_range: Option<PixelRange>,
}

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
    pub(super) fn count(&self, input: &Input<'_>) -> Result<usize, InputError> {
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
fn pointer(root: &str, path: &[usize]) -> String {
    path.iter().rev().fold(root.to_owned(), |pointer, index| format!("{pointer}/{index}"))
}

/// Reads a body.
pub(super) fn read(body: &[u8], input: &Input<'_>) -> Result<Body, InputError> {
    let mut sink = Sink::new(input);
    let mut json = serde_json::Deserializer::from_slice(body);
    let outcome = json.deserialize_any(Root { sink: &mut sink }).and_then(|root| json.end().map(|()| root));
    if let Some((fault, path)) = sink.fault.take() {
        return Err(fault.at(pointer(&sink.root, &path)));
    }
    let pixel_range = outcome.map_err(|e| match e.classify() {
        serde_json::error::Category::Data => InputError::unprocessable(e.to_string()).at(sink.root.clone()),
        _ => InputError::malformed(format!("the body is not JSON: {e}")),
    })?;
    Ok(Body { content: sink.content()?, pixel_range })
}

/// Where numbers and pictures go while the text is read.
#[derive(Debug)]
struct Sink<'a> {
    values: Vec<f32>,
    limit: usize,
    /// Length of the arrays at each depth, once one of them has ended.
    lengths: Vec<Option<usize>>,
    /// In how many arrays the numbers stand.
    depth: Option<usize>,
    pictures: Pictures<'a>,
    preprocessing: Option<Preprocessing>,
    /// Pointer to the images, or to what is being read beside them.
    root: String,
    /// What is wrong, and the indexes that lead to it, innermost first.
    fault: Option<(InputError, Vec<usize>)>,
}

impl<'a> Sink<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        Self {
            values: Vec::new(),
            limit: input.width.saturating_mul(IMAGES_MAX),
            lengths: vec![None; input.axes.len().max(1) + 1],
            depth: None,
            pictures: Pictures::new(input),
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

    fn refuse<E: de::Error>(&mut self, detail: impl Into<String>) -> E {
        self.fail(InputError::unprocessable(detail))
    }

    #[inline]
    fn number<E: de::Error>(&mut self, depth: usize, value: f32) -> Result<(), E> {
        if self.depth != Some(depth) {
            self.first_number(depth)?;
        }
        if self.values.len() == self.limit {
            return Err(self.fail(InputError::too_many_images()));
        }
        self.values.push(value);
        Ok(())
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

    fn array_begins<E: de::Error>(&mut self, depth: usize) -> Result<(), E> {
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

    fn array_ends<E: de::Error>(&mut self, depth: usize, length: usize) -> Result<(), E> {
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

    fn picture<E: de::Error>(&mut self, depth: usize, text: &str) -> Result<(), E> {
        if depth > 1 || self.depth.is_some() || self.lengths[depth].is_some() {
            return Err(self.refuse("a text where a number is expected"));
        }
        let before = self.values.len();
        if before == self.limit {
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

    fn content(self) -> Result<Content, InputError> {
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

/// The whole body: an object, or the images alone.
struct Root<'s, 'a> {
    sink: &'s mut Sink<'a>,
}

impl<'de> Visitor<'de> for Root<'_, '_> {
    type Value = Option<PixelRange>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("images, or an object with `image`, `images` or `instances`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<Self::Value, A::Error> {
        Element { sink: self.sink, depth: 0 }.visit_seq(array).map(|()| None)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.sink.picture(0, text).map(|()| None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let sink = self.sink;
        let mut images = None;
        let mut range = None;
        while let Some(key) = object.next_key::<String>()? {
            sink.root = format!("#/{}", key.replace('~', "~0").replace('/', "~1"));
            if key == RANGE_KEY {
                range = object.next_value()?;
            } else if !IMAGE_KEYS.contains(&key.as_str()) {
                return Err(sink.refuse(unknown(&key)));
            } else if images.is_some() {
                return Err(sink.refuse("only one of `image`, `images` and `instances` is read"));
            } else {
                object.next_value_seed(Element { sink: &mut *sink, depth: 0 })?;
                images = Some(sink.root.clone());
            }
        }
        sink.root = images.unwrap_or_else(|| "#".into());
        if sink.root == "#" {
            return Err(sink.refuse("one of `image`, `images` and `instances` is missing"));
        }
        Ok(range)
    }
}

fn unknown(key: &str) -> String {
    let known = IMAGE_KEYS.into_iter().chain([RANGE_KEY]);
    let nearest = known.min_by_key(|known| strsim::damerau_levenshtein(known, key)).unwrap_or_default();
    // A key may be as long as a body; nobody needs to read it back whole.
    let key: String = key.chars().take(40).collect();
    format!("unknown field `{key}`; did you mean `{nearest}`?")
}

/// A number, a picture, or an array of such, in `depth` arrays.
struct Element<'s, 'a> {
    sink: &'s mut Sink<'a>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Element<'_, '_> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a picture in base64, or an array of such")
    }

    #[inline]
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.sink.number(self.depth, value as f32)
    }

    #[inline]
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.sink.number(self.depth, value as f32)
    }

    #[inline]
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.sink.number(self.depth, value as f32)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.sink.picture(self.depth, text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let Self { sink, depth } = self;
        sink.array_begins(depth)?;
        let mut length = 0;
        loop {
            match array.next_element_seed(Element { sink: &mut *sink, depth: depth + 1 }) {
                Ok(Some(())) => length += 1,
                Ok(None) => return sink.array_ends(depth, length),
                Err(e) => {
                    if let Some((_, path)) = &mut sink.fault {
                        path.push(length);
                    }
                    return Err(e);
                }
            }
        }
    }

    /// `{"b64": "…"}`, as TensorFlow Serving writes binary values.
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        match object.next_key::<String>()? {
            Some(key) if key == "b64" => object.next_value_seed(self),
            _ => Err(self.sink.refuse("an object where a number or a picture is expected")),
        }
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        Err(self.sink.refuse(format!("{value} is not a number")))
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Err(self.sink.refuse("null is not a number"))
    }
}
