//! What a way of writing a digit is, and its parsing from the tables.

use std::sync::LazyLock;

use super::tables::DIGITS;

/// A point of the plane: `[x, y]`, x to the right, y down.
pub(super) type Point = [f64; 2];

/// One digit's row of the tables.
pub(super) struct Entry {
    /// Mean slant of this digit on top of everyone's: a 1 leans more than an 8.
    pub(super) slant: f64,
    /// Factor on its width.
    pub(super) width: f64,
    /// Factor on all that makes a hand untidy: a bent 1 is none.
    pub(super) liveliness: f64,
    /// The ways of writing it.
    pub(super) allographs: &'static [Allograph],
}

/// One way of writing a digit (an *allograph*), as the tables have it.
pub(super) struct Allograph {
    /// How many people write it so, relative to its siblings.
    pub(super) weight: f64,
    /// Per stroke its keyforms: variants of the same stroke, point by point, which are blended.
    pub(super) strokes: &'static [&'static [&'static str]],
}

/// A digit ready for drawing.
pub(super) struct Digit {
    pub(super) slant: f64,
    pub(super) width: f64,
    pub(super) liveliness: f64,
    pub(super) glyphs: Vec<Glyph>,
}

/// An allograph ready for drawing.
pub(super) struct Glyph {
    /// Share of all images of this digit up to and with this allograph; the last one is 1.
    pub(super) cumulative: f64,
    pub(super) strokes: Vec<Stroke>,
}

/// A stroke ready for drawing.
pub(super) struct Stroke {
    /// `keyforms` × `points`, in the unit square.
    pub(super) keyforms: Vec<Vec<Point>>,
    /// For each point, whether the pen may turn sharply there.
    pub(super) corners: Vec<bool>,
}

/// The ten digits, parsed once.
pub(super) static GLYPHS: LazyLock<Vec<Digit>> = LazyLock::new(|| {
    DIGITS
        .iter()
        .map(|entry| {
            let total: f64 = entry.allographs.iter().map(|allograph| allograph.weight).sum();
            let mut cumulative = 0.0;
            let glyphs = entry.allographs.iter().map(|allograph| {
                cumulative += allograph.weight / total;
                let strokes = allograph.strokes.iter().map(|keyforms| stroke(keyforms)).collect();
                Glyph { cumulative, strokes }
            });
            Digit { slant: entry.slant, width: entry.width, liveliness: entry.liveliness, glyphs: glyphs.collect() }
        })
        .collect()
});

/// Reads one stroke's keyforms. The corners are those marked in the first.
fn stroke(keyforms: &[&str]) -> Stroke {
    let parsed = keyforms.iter().map(|keyform| keyform.split(',').map(|text| point(text).0).collect()).collect();
    let corners = keyforms.first().map(|first| first.split(',').map(|text| point(text).1).collect());
    Stroke { keyforms: parsed, corners: corners.unwrap_or_default() }
}

/// Reads `x y` or `x y!` (a corner), in percent of the unit square.
fn point(text: &str) -> (Point, bool) {
    let (numbers, corner) = match text.trim().strip_suffix('!') {
        Some(numbers) => (numbers, true),
        None => (text.trim(), false),
    };
    let read = |text: &str| text.parse().ok().map(|percent: f64| percent / 100.0);
    let point = numbers.split_once(' ').and_then(|(x, y)| Some([read(x)?, read(y)?]));
    (point.expect("the tables are constants, and a test reads them all"), corner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_allograph_parses() {
        assert_eq!(GLYPHS.len(), 10);
        for digit in GLYPHS.iter() {
            assert!(!digit.glyphs.is_empty());
            assert!((digit.glyphs[digit.glyphs.len() - 1].cumulative - 1.0).abs() < 1e-9);
            for glyph in &digit.glyphs {
                let keyforms = glyph.strokes[0].keyforms.len();
                for stroke in &glyph.strokes {
                    assert_eq!(
                        stroke.keyforms.len(),
                        keyforms,
                        "strokes of one hand are blended with the same weights"
                    );
                    for form in &stroke.keyforms {
                        assert!(form.len() >= 3 && form.len() == stroke.corners.len(), "{form:?}");
                        assert!(form.iter().flatten().all(|percent| (-0.3..=1.3).contains(percent)), "{form:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_corner_is_marked_by_an_exclamation_mark() {
        assert_eq!(point(" 12 -8!"), ([0.12, -0.08], true));
        assert_eq!(point("100 0"), ([1.0, 0.0], false));
    }
}
