//! What is wrong with a body.

use super::IMAGES_MAX;

/// Why a body is not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// It takes so many bytes of memory, which are more than were reserved.
    #[error("{0} bytes of memory are needed")]
    Memory(u64),
}

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct InputError {
    /// Whose fault it is, as far as a status says that.
    pub kind: InputErrorKind,
    /// What is wrong.
    pub detail: String,
    /// Where in a JSON body, as a JSON pointer in URI form: `#/images/3/0`.
    pub pointer: Option<String>,
}

/// Kinds of [`InputError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputErrorKind {
    /// Not the format it claims to be.
    Malformed,
    /// Of a known format, but not what the model takes.
    Unprocessable,
    /// Of an unknown format, or one that this model does not take.
    UnsupportedMedia,
    /// Too many images, or too large ones.
    TooLarge,
}

impl InputError {
    fn new(kind: InputErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), pointer: None }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(InputErrorKind::Malformed, detail)
    }

    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(InputErrorKind::Unprocessable, detail)
    }

    pub(super) fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(InputErrorKind::UnsupportedMedia, detail)
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(InputErrorKind::TooLarge, detail)
    }

    pub(super) fn too_many_images() -> Self {
        Self::too_large(format!("more than {IMAGES_MAX} images in one request"))
    }

    /// The same fault, at this place of the JSON body.
    pub(super) fn at(self, pointer: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), ..self }
    }
}
