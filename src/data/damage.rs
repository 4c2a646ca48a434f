//! Errors of streams as sentences: a library's own text names its parts ("failed to fill whole buffer").

use std::io::{self, ErrorKind};

/// The way in which a stream cannot be read, to follow "cannot be read: ".
pub(super) fn of_stream(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::UnexpectedEof => "it ends too early",
        ErrorKind::InvalidData | ErrorKind::InvalidInput => "its compressed data or its checksum is damaged",
        ErrorKind::PermissionDenied => "the server may not read the file",
        ErrorKind::NotFound => "the file is gone",
        _ => "the server's disk failed",
    }
}

/// The kind of file that begins with these bytes, where it is one that people take for another.
pub(super) fn kind_of_file(start: &[u8]) -> &'static str {
    let text = || start.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..));
    match start {
        [] => "the file is empty",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            "it is a single array (.npy); np.savez_compressed(\"set.npz\", x=x, y=y) makes an archive"
        }
        [b'P', b'K', ..] => "it is a ZIP archive without files, or its first bytes are damaged",
        [0x1f, 0x8b, ..] => "it is compressed by gzip",
        [0x89, b'H', b'D', b'F', ..] => "it is an HDF5 file",
        [0x80, 2..=5, ..] => "it is a Python pickle",
        [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] => "it is a picture",
        [0, 0, 8, 1..=4, ..] => "it is an IDX file, which is sent as `train_images`, `train_labels` and so on",
        [b'{' | b'[', ..] if text() => "it is text, perhaps JSON",
        _ if text() => "it is text, perhaps CSV",
        _ => "it begins with other bytes than one",
    }
}
