//! The header of a JPEG, as far as it says how much memory its decoder takes.
//!
//! A baseline picture whose scan has all components is decoded line by line. Of any other (progressive ones, and those with a
//! scan for each component) the coefficients of all pixels are kept until the last scan has come (ITU-T T.81).

/// Most components of a picture.
const COMPONENTS_MAX: u64 = 4;

/// Coefficients that a decoder keeps of each pixel until the end: none, or one for each component. Where the header is not
/// plain it is as many as there can be.
pub(super) fn coefficients_per_pixel(bytes: &[u8]) -> u64 {
    read(bytes).unwrap_or(COMPONENTS_MAX)
}

/// Reads segments up to the first scan; `None` where they are not as expected.
fn read(bytes: &[u8]) -> Option<u64> {
    let mut frame: Option<(bool, u8)> = None;
    // After the marker of the start.
    let mut rest = bytes.get(2..)?;
    loop {
        let &[0xff, marker, high, low, ref after @ ..] = rest else { return None };
        let length = usize::from(u16::from_be_bytes([high, low])).checked_sub(2)?;
        let (segment, next) = after.split_at_checked(length)?;
        match marker {
            // Tables of Huffman codes, and of arithmetic coding, have numbers among those of frames.
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf if frame.is_none() => frame = Some((marker <= 0xc1, *segment.get(5)?)),
            0xda => {
                let (baseline, components) = frame?;
                let whole = segment.first() == Some(&components);
                return Some(if baseline && whole { 0 } else { u64::from(components).min(COMPONENTS_MAX) });
            }
            // A second frame, and markers without a segment.
            0xc0..=0xcf | 0x00..=0x01 | 0xd0..=0xd9 | 0xff => return None,
            _ => {}
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with a frame of this marker, and a scan of as many components.
    fn header(frame: u8, components: u8, in_scan: u8) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2];
        bytes.extend([0xff, frame, 0, 8 + 3 * components, 8, 0, 8, 0, 8, components]);
        bytes.extend(vec![0x11; 3 * usize::from(components)]);
        bytes.extend([0xff, 0xc4, 0, 3, 0, 0xff, 0xda, 0, 3 + 2 * in_scan, in_scan]);
        bytes.extend(vec![0; 2 * usize::from(in_scan)]);
        bytes
    }

    #[test]
    fn whole_baseline_scans_keep_nothing() {
        assert_eq!(coefficients_per_pixel(&header(0xc0, 3, 3)), 0);
        assert_eq!(coefficients_per_pixel(&header(0xc1, 1, 1)), 0);
        assert_eq!(coefficients_per_pixel(&header(0xc0, 3, 1)), 3);
        assert_eq!(coefficients_per_pixel(&header(0xc2, 3, 3)), 3);
        assert_eq!(coefficients_per_pixel(&header(0xc2, 1, 1)), 1);
    }

    #[test]
    fn what_is_not_plain_keeps_as_many_as_there_can_be() {
        let sound = header(0xc0, 3, 3);
        for length in 0..sound.len() - 7 {
            assert_eq!(coefficients_per_pixel(&sound[..length]), COMPONENTS_MAX, "{length} bytes");
        }
        let twice = [&sound[..8], &header(0xc2, 3, 3)[8..27], &sound[8..]].concat();
        assert_eq!(coefficients_per_pixel(&twice), COMPONENTS_MAX);
        assert_eq!(coefficients_per_pixel(&[&sound[..2], &[0], &sound[2..]].concat()), COMPONENTS_MAX);
    }
}
