//! PNG and JPEG pictures, from strangers.
//!
//! The size is judged, and memory reserved, before pixels are decoded. Of a PNG only the chunks that make the image are given to the decoder:
//! texts, profiles and animations may claim any amount of memory, and nobody looks at them here.

use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageResult, Limits};

use super::jpeg::coefficients_per_pixel;
use super::prepare::{Preprocessing, prepare};
use super::room::Room;
use super::{Format, Input, InputError};

/// Longest side of a picture.
const SIDE_MAX: u32 = 4096;
/// Most bytes of a decoded picture: 4096×4096 of four bytes.
const DECODED_MAX: u64 = 64 << 20;
/// Most pixels of all pictures of a request: four of the largest.
const PIXELS_MAX: u64 = 64 << 20;

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG_START: &[u8] = b"\xff\xd8\xff";
/// The chunks that make a PNG's image; all else can be left out.
const PNG_CHUNKS: [&[u8]; 5] = [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"];

/// The format of these bytes, by how they begin.
pub(super) fn format(bytes: &[u8]) -> Option<Format> {
    if bytes.starts_with(PNG_SIGNATURE) {
        Some(Format::Png)
    } else if bytes.starts_with(JPEG_START) {
        Some(Format::Jpeg)
    } else {
        None
    }
}

/// A grey picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grey {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Row by row.
    pub(super) pixels: Vec<u8>,
}

/// The pictures of one request.
#[derive(Debug)]
pub(super) struct Pictures<'a> {
    input: &'a Input,
    /// Pixels that the rest of them may have.
    pixels_left: u64,
    /// How many there were.
    pub(super) count: usize,
    pub(super) room: Room<'a>,
}

impl<'a> Pictures<'a> {
    pub(super) fn new(input: &'a Input, room: Room<'a>) -> Self {
        Self { input, pixels_left: PIXELS_MAX, count: 0, room }
    }

    /// Decodes one picture, makes it what the model takes, and appends it, 0–1; where there is no room for it, it is only
    /// measured.
    pub(super) fn read(&mut self, bytes: &[u8], inputs: &mut Vec<f32>) -> Result<(Format, Preprocessing), InputError> {
        let Some(size) = self.input.grey() else {
            return Err(InputError::unsupported(format!("this model takes no pictures: send {} as JSON", self.input)));
        };
        let Some(format) = format(bytes) else {
            return Err(InputError::malformed("this is neither a PNG nor a JPEG picture"));
        };
        let image = match format {
            Format::Png => self.png(&png_without_extras(bytes)),
            _ => self.jpeg(bytes),
        };
        let image = image?;
        self.count += 1;
        let Some(image) = image else { return Ok((format, Preprocessing::None)) };
        let (pixels, preprocessing) = prepare(grey(image), size);
        inputs.extend(pixels.iter().map(|&pixel| f32::from(pixel) * (1.0 / 255.0)));
        Ok((format, preprocessing))
    }

    fn png(&mut self, bytes: &[u8]) -> Result<Option<DynamicImage>, InputError> {
        let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits()).map_err(|e| fault(&e))?;
        self.decode(decoder, 0)
    }

    fn jpeg(&mut self, bytes: &[u8]) -> Result<Option<DynamicImage>, InputError> {
        let decoder = JpegDecoder::new(Cursor::new(bytes)).map_err(|e| fault(&e))?;
        self.decode(decoder, coefficients_per_pixel(bytes))
    }

    /// Decodes a picture whose decoder keeps so many coefficients of each pixel; `None` where there is no room for it.
    fn decode(
        &mut self,
        mut decoder: impl ImageDecoder,
        coefficients: u64,
    ) -> Result<Option<DynamicImage>, InputError> {
        let (width, height) = decoder.dimensions();
        if width > SIDE_MAX || height > SIDE_MAX || decoder.total_bytes() > DECODED_MAX {
            return Err(too_large());
        }
        if width == 0 || height == 0 {
            return Err(InputError::malformed("damaged picture: it has no pixels"));
        }
        self.pixels_left = self
            .pixels_left
            .checked_sub(u64::from(width) * u64::from(height))
            .ok_or_else(|| InputError::too_large(format!("more than {PIXELS_MAX} pixels in one request")))?;
        let batch = 4 * (self.input.width as u64).saturating_mul(self.count as u64 + 1);
        // While they are moved, those before it are there twice, and room is made for as many more.
        if !self.room.has(decoded_bytes(&decoder, coefficients).saturating_add(batch.saturating_mul(3))) {
            return Ok(None);
        }
        // Cameras store pictures lying down, and note which way is up.
        let decoded: ImageResult<_> = decoder.set_limits(limits()).and_then(|()| {
            let orientation = decoder.orientation()?;
            let mut image = DynamicImage::from_decoder(decoder)?;
            image.apply_orientation(orientation);
            Ok(image)
        });
        decoded.map(Some).map_err(|e| fault(&e))
    }
}

/// Bytes at the peak of decoding a picture and making it grey.
fn decoded_bytes(decoder: &impl ImageDecoder, coefficients: u64) -> u64 {
    /// A JPEG is decoded in units of up to four blocks of 8×8, also at its edges.
    const UNIT: u32 = 32;
    /// Bytes of a column of the lines that a decoder works on.
    const LINES: u64 = 2048;
    let (width, height) = decoder.dimensions();
    let [padded_width, padded_height] = [width, height].map(|side| u64::from(side.next_multiple_of(UNIT)));
    let (pixels, decoded) = (u64::from(width) * u64::from(height), decoder.total_bytes());
    let coefficients = 2 * coefficients * padded_width * padded_height;
    // Turned upright it is there twice. Grey is made from four bytes a pixel, on white and perhaps on black paper.
    let grey = if decoder.color_type() == ColorType::L8 { pixels } else { 4 * pixels + 2 * pixels };
    decoded + coefficients.max(decoded).max(grey) + LINES * padded_width
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(2 * DECODED_MAX);
    limits
}

fn too_large() -> InputError {
    InputError::too_large(format!("a picture may have at most {SIDE_MAX}×{SIDE_MAX} pixels of 4 bytes"))
}

fn fault(error: &ImageError) -> InputError {
    match error {
        ImageError::Limits(_) => too_large(),
        ImageError::Unsupported(_) => InputError::malformed(
            "damaged picture: it is of a kind of PNG or JPEG that is not read here; save it as an ordinary one",
        ),
        _ => InputError::malformed("damaged picture: it is cut off, or not as its format has it"),
    }
}

/// The same image; what follows a chunk that claims more bytes than there are is left to the decoder to judge.
fn png_without_extras(bytes: &[u8]) -> Vec<u8> {
    let (signature, mut rest) = bytes.split_at(PNG_SIGNATURE.len());
    let mut lean = signature.to_vec();
    while let Some((length, kind)) = rest.first_chunk::<8>().map(|head| head.split_at(4)) {
        // Length, kind, the data and its checksum.
        let length = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)) + 12;
        let Some((chunk, after)) = rest.split_at_checked(length) else { break };
        if PNG_CHUNKS.contains(&kind) {
            lean.extend(chunk);
        }
        rest = after;
    }
    lean.extend(rest);
    lean
}

/// Luma of ITU-R BT.601, as most libraries turn colour to grey, with what is transparent on white paper.
fn grey(image: DynamicImage) -> Grey {
    let (width, height) = (image.width() as usize, image.height() as usize);
    if let DynamicImage::ImageLuma8(image) = image {
        return Grey { width, height, pixels: image.into_raw() };
    }
    let rgba = image.into_rgba8().into_raw();
    let on = |paper: u32| -> Vec<u8> {
        let pixel = |rgba: &[u8]| {
            let [red, green, blue, alpha] = [0, 1, 2, 3].map(|channel| u32::from(rgba[channel]));
            let luma = (299 * red + 587 * green + 114 * blue + 500) / 1000;
            ((luma * alpha + paper * (255 - alpha) + 127) / 255) as u8
        };
        rgba.chunks_exact(4).map(pixel).collect()
    };
    let mut pixels = on(255);
    // White ink on nothing, as a dark page's canvas gives it, would vanish on white paper.
    if pixels.iter().all(|pixel| *pixel == 255) {
        pixels = on(0);
    }
    Grey { width, height, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transparent_pixels_are_white_paper() {
        let image = image::RgbaImage::from_raw(4, 1, vec![0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 51, 255, 0, 0, 255]);
        assert_eq!(grey(DynamicImage::ImageRgba8(image.unwrap())).pixels, [255, 0, 204, 76]);
    }

    #[test]
    fn white_ink_on_nothing_is_seen() {
        let image = image::RgbaImage::from_raw(2, 1, vec![255, 255, 255, 0, 255, 255, 255, 200]);
        assert_eq!(grey(DynamicImage::ImageRgba8(image.unwrap())).pixels, [0, 200]);
    }
}
