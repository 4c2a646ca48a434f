//! Images for a model, whichever way they come.
//!
//! | body | read as |
//! | --- | --- |
//! | JSON `{"image": …}`, `{"images": …}`, `{"instances": …}` or the value alone | numbers, or base64 PNG/JPEG |
//! | `application/octet-stream` | N × width bytes, 0–255 |
//! | PNG, JPEG | one picture, made like MNIST's if it is of another size |
//!
//! Numbers may be flat or nested as the model's input is, one image or many: the nesting decides, not the key. Numbers
//! that all lie within 0–1 are taken as they are, others as 0–255, unless `pixel_range` says which.
//!
//! A model that has learned from numbers, not from bytes, takes numbers as they are, as JSON: points, and images whose
//! values a client has scaled in a way of its own.
//!
//! Bodies come from strangers. How many images, how large a picture and how many pixels a request may have is limited
//! here; the size of the body is limited by whoever received it.

mod error;
mod jpeg;
mod json;
mod picture;
mod prepare;
mod range;
mod room;
mod tensor;

pub use error::{DecodeError, InputError, InputErrorKind};
pub use prepare::Preprocessing;
pub use range::PixelRange;
pub use room::AT_ONCE;

use serde::Serialize;

use crate::data::Dtype;
use crate::engine::shape::Shape;
use crate::memory::Reservation;
use picture::Pictures;
use room::Room;
use tensor::Content;

/// Most images of one request.
pub const IMAGES_MAX: usize = 1024;

/// What a body says.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// `[N, …]` as the model takes it; what it learned as bytes, 0–1.
    pub inputs: Vec<f32>,
    /// N, at least 1.
    pub count: usize,
    /// How they came.
    pub format: Format,
    /// How their numbers were read; `None` where the model has not learned from bytes.
    pub pixel_range: Option<PixelRange>,
    /// Whether that was concluded from the numbers, not said or given by the format.
    pub assumed: bool,
    /// What was done to pictures; `Mnist` if it was done to any of them.
    pub preprocessing: Preprocessing,
}

/// How images come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// JSON, of numbers or of base64 pictures.
    Json,
    /// A byte a pixel.
    OctetStream,
    /// A PNG file.
    Png,
    /// A JPEG file.
    Jpeg,
}

/// A body and what was said of it.
#[derive(Debug, Clone, Copy)]
pub struct Encoded<'a> {
    /// The body.
    pub bytes: &'a [u8],
    /// The header as it came; without one, or with a form's (what `curl -d` sends), the body's first bytes decide.
    pub content_type: Option<&'a str>,
    /// What was said outside the body.
    pub pixel_range: Option<PixelRange>,
}

/// Reads a body for a model that takes `input`, within the memory that is reserved for it; up to [`AT_ONCE`] bytes it
/// reserves by itself.
///
/// # Errors
/// If it is none of the known formats, or does not fit the model; or how much memory it takes, if that is more.
pub fn decode(body: Encoded<'_>, input: &Input, memory: &mut Reservation) -> Result<Decoded, DecodeError> {
    let Encoded { bytes, content_type, pixel_range } = body;
    match format(bytes, content_type)? {
        Format::Json => from_json(body, input, memory),
        // What is called a stream of bytes and begins as a picture is one, unless it has a whole number of images.
        Format::OctetStream if !bytes.len().is_multiple_of(input.width) && picture::format(bytes).is_some() => {
            from_picture(body, input, memory)
        }
        Format::OctetStream => {
            let mut room = Room::new(memory, bytes.len());
            if !room.has(4 * bytes.len() as u64) {
                return Err(DecodeError::Memory(room.needed().unwrap_or_default()));
            }
            Ok(from_bytes(bytes, pixel_range, input)?)
        }
        Format::Png | Format::Jpeg => from_picture(body, input, memory),
    }
}

/// A model's input, as far as decoding needs it.
#[derive(Debug)]
pub struct Input {
    axes: Vec<usize>,
    width: usize,
    dtype: Dtype,
}

impl Input {
    /// An input of this shape, whose values are bytes or numbers in the dataset that the model has learned from.
    pub fn new(shape: &Shape, dtype: Dtype) -> Self {
        Self { axes: shape.axes().to_vec(), width: shape.len().max(1), dtype }
    }

    /// Whether its values are bytes, which the model sees as 0–1.
    fn is_bytes(&self) -> bool {
        self.dtype == Dtype::Uint8
    }

    /// Height and width, where a picture can be turned into the input: one channel.
    fn grey(&self) -> Option<[usize; 2]> {
        match *self.axes {
            [1, height, width] if self.is_bytes() => Some([height, width]),
            _ => None,
        }
    }
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nested = self.axes.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
        match self.axes.len() {
            1 => write!(f, "{} numbers", self.width),
            _ => write!(f, "{} numbers, flat or nested {nested}", self.width),
        }
    }
}

/// The body's format, by its media type or its first bytes.
fn format(body: &[u8], content_type: Option<&str>) -> Result<Format, InputError> {
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let looks = || {
        let begin = body.iter().find(|byte| !byte.is_ascii_whitespace());
        let json = matches!(begin, Some(b'{' | b'[' | b'"')).then_some(Format::Json);
        picture::format(body).or(json)
    };
    match media.as_str() {
        "application/json" | "text/json" => Ok(Format::Json),
        media if media.starts_with("application/") && media.ends_with("+json") => Ok(Format::Json),
        "application/octet-stream" => Ok(Format::OctetStream),
        "image/png" => Ok(Format::Png),
        "image/jpeg" | "image/jpg" => Ok(Format::Jpeg),
        "" | "application/x-www-form-urlencoded" | "text/plain" | "image/*" | "*/*" => looks().ok_or_else(|| {
            InputError::unsupported("the body is neither JSON nor a PNG or JPEG picture; raw bytes need the media type application/octet-stream")
        }),
        other => Err(InputError::unsupported(format!(
            "media type `{other}` is not read; send application/json, application/octet-stream, image/png or image/jpeg"
        ))),
    }
}

fn from_json(body: Encoded<'_>, input: &Input, memory: &mut Reservation) -> Result<Decoded, DecodeError> {
    // The body, and of one of its texts what stands there without escapes, and what that is the base64 of.
    let room = Room::new(memory, 3 * body.bytes.len());
    let json::Body { content, pixel_range: inside } = json::read(body.bytes, input, room)?;
    let said = inside.or(body.pixel_range);
    match content {
        Content::Numbers(mut numbers) => {
            let count = numbers.count(input)?;
            let range = read_range(&mut numbers.values, said, input).map_err(|fault| match fault {
                RangeFault::Value { index, detail } => InputError::unprocessable(detail).at(numbers.pointer(index)),
                RangeFault::NotBytes(error) => error.at("#/pixel_range"),
            })?;
            Ok(Decoded {
                inputs: numbers.values,
                count,
                format: Format::Json,
                pixel_range: range,
                assumed: range.is_some() && said.is_none(),
                preprocessing: Preprocessing::None,
            })
        }
        Content::Pictures { inputs, preprocessing } => {
            refuse_range(said)?;
            Ok(pictures(inputs, Format::Json, preprocessing, input))
        }
    }
}

fn from_bytes(body: &[u8], pixel_range: Option<PixelRange>, input: &Input) -> Result<Decoded, InputError> {
    if !input.is_bytes() {
        return Err(InputError::unsupported(format!("this model takes no pixels: send {input} as JSON")));
    }
    if body.is_empty() || !body.len().is_multiple_of(input.width) {
        let detail = format!("{} bytes are not a whole number of images of {} bytes", body.len(), input.width);
        return Err(InputError::unprocessable(detail));
    }
    let count = body.len() / input.width;
    if count > IMAGES_MAX {
        return Err(InputError::too_many_images());
    }
    let mut inputs: Vec<_> = body.iter().copied().map(f32::from).collect();
    let said = pixel_range.unwrap_or(PixelRange::Byte);
    let range = read_range(&mut inputs, Some(said), input).map_err(|fault| match fault {
        RangeFault::Value { index, detail } => InputError::unprocessable(format!("byte {index}: {detail}")),
        RangeFault::NotBytes(error) => error,
    })?;
    Ok(Decoded {
        inputs,
        count,
        format: Format::OctetStream,
        pixel_range: range,
        assumed: false,
        preprocessing: Preprocessing::None,
    })
}

fn from_picture(body: Encoded<'_>, input: &Input, memory: &mut Reservation) -> Result<Decoded, DecodeError> {
    refuse_range(body.pixel_range)?;
    let mut inputs = Vec::new();
    // The body, and what the decoder copies of it.
    let mut reader = Pictures::new(input, Room::new(memory, 3 * body.bytes.len()));
    let (format, preprocessing) = reader.read(body.bytes, &mut inputs)?;
    match reader.room.needed() {
        Some(bytes) => Err(DecodeError::Memory(bytes)),
        None => Ok(pictures(inputs, format, preprocessing, input)),
    }
}

fn pictures(inputs: Vec<f32>, format: Format, preprocessing: Preprocessing, input: &Input) -> Decoded {
    let count = inputs.len() / input.width;
    Decoded { inputs, count, format, pixel_range: Some(PixelRange::Byte), assumed: false, preprocessing }
}

/// A picture says by itself how its pixels are to be read; only agreement with that makes sense.
fn refuse_range(said: Option<PixelRange>) -> Result<(), InputError> {
    match said {
        Some(PixelRange::Unit) => Err(InputError::unprocessable("pictures are read as 0-255; leave `pixel_range` out")),
        Some(PixelRange::Byte) | None => Ok(()),
    }
}

#[derive(Debug)]
enum RangeFault {
    Value { index: usize, detail: String },
    NotBytes(InputError),
}

/// Checks the numbers and turns pixels into 0–1.
fn read_range(values: &mut [f32], said: Option<PixelRange>, input: &Input) -> Result<Option<PixelRange>, RangeFault> {
    if input.is_bytes() {
        let value = |(index, detail)| RangeFault::Value { index, detail };
        return range::normalise(values, said).map(Some).map_err(value);
    }
    if said.is_some() {
        let detail = "`pixel_range` is for models that learned from bytes, and this one takes numbers as they are";
        return Err(RangeFault::NotBytes(InputError::unprocessable(detail)));
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(RangeFault::Value { index, detail: "the number is too large".into() }),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
