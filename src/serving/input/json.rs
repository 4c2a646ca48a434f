//! Images in JSON.
//!
//! Numbers go from the text straight into one flat buffer; nothing is kept of the nesting but the length of the arrays
//! at each depth, which must all be the same. Where something is wrong is found on the way out, so that the way in
//! costs nothing.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::room::Room;
use super::tensor::{Content, Sink, pointer};
use super::{DecodeError, Input, InputError, PixelRange};

/// The keys of which a body has exactly one.
const IMAGE_KEYS: [&str; 3] = ["image", "images", "instances"];
const RANGE_KEY: &str = "pixel_range";
const WRONG_RANGE: &str = "`pixel_range` is \"0-1\" or \"0-255\"";

/// What a JSON body says.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) content: Content,
    pub(super) pixel_range: Option<PixelRange>,
}

/// Reads a body.
pub(super) fn read(body: &[u8], input: &Input, room: Room<'_>) -> Result<Body, DecodeError> {
    let mut sink = Sink::new(input, room, body.len());
    let mut json = serde_json::Deserializer::from_slice(body);
    let outcome = json.deserialize_any(Root { sink: &mut sink }).and_then(|root| json.end().map(|()| root));
    if let Some((fault, path)) = sink.fault.take() {
        return Err(fault.at(pointer(&sink.root, &path)).into());
    }
    if let Some(bytes) = sink.needed() {
        return Err(DecodeError::Memory(bytes));
    }
    let pixel_range = outcome.map_err(|e| match e.classify() {
        serde_json::error::Category::Data if sink.root == format!("#/{RANGE_KEY}") => {
            InputError::unprocessable(WRONG_RANGE).at(sink.root.clone())
        }
        serde_json::error::Category::Data => {
            let detail = "images, or an object with `image`, `images` or `instances`, are needed";
            InputError::unprocessable(detail).at(sink.root.clone())
        }
        _ => InputError::malformed(format!("the body is not JSON: {e}")),
    })?;
    Ok(Body { content: sink.content()?, pixel_range })
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
                let text: Option<String> = object.next_value()?;
                let read = text.map(|text| text.parse()).transpose();
                range = read.map_err(|_| sink.refuse(WRONG_RANGE))?;
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
