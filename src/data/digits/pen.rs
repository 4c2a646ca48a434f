//! From control points to ink: a smooth curve, and the pen's pressure along it.

use super::glyph::Point;
use crate::engine::rng::Rng;

/// A place of the pen: where it is and how broad.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Nib {
    pub(super) at: Point,
    pub(super) radius: f64,
}

/// Straight pieces per span between two control points; at 20 pixels' height they are a pixel or two long.
const PIECES: usize = 4;

/// How the pressure varies along a stroke: a trend and one wave.
const PRESSURE: f64 = 0.18;

/// The strokes of one image: rows of nibs, joined by straight pieces.
#[derive(Debug, Default)]
pub(super) struct Ink {
    pub(super) nibs: Vec<Nib>,
    /// Index one past each stroke's last nib.
    pub(super) ends: Vec<usize>,
}

impl Ink {
    /// Takes the ink away, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.nibs.clear();
        self.ends.clear();
    }

    /// Draws a curve through `points`: a cubic Hermite spline whose tangents are those of Catmull and Rom (E. Catmull,
    /// R. Rom, *A class of local interpolating splines*, 1974), and at a corner partly those of the polygon:
    /// `softness` 0 is a sharp corner, 1 none.
    pub(super) fn stroke(&mut self, points: &[Point], corners: &[bool], softness: f64, radius: f64, rng: &mut Rng) {
        let spans = points.len() - 1;
        let trend = PRESSURE * rng.normal();
        let wave = PRESSURE * rng.normal();
        let phase = rng.uniform_in(0.0, std::f64::consts::TAU);
        let nib = |at, t: f64| {
            let pressure = 1.0 + trend * (2.0 * t - 1.0) + wave * libm::cos(std::f64::consts::TAU * t + phase);
            Nib { at, radius: radius * pressure.max(0.3) }
        };
        for span in 0..spans {
            let (from, to) = (points[span], points[span + 1]);
            let leaving = tangent(points, corners, span, span, softness);
            let arriving = tangent(points, corners, span + 1, span, softness);
            for piece in 0..PIECES {
                let t = piece as f64 / PIECES as f64;
                let at = [0, 1].map(|axis| hermite(t, from[axis], leaving[axis], to[axis], arriving[axis]));
                self.nibs.push(nib(at, (span as f64 + t) / spans as f64));
            }
        }
        self.nibs.push(nib(points[spans], 1.0));
        self.ends.push(self.nibs.len());
    }
}

/// The tangent at `points[i]`, as the curve in `span` (which starts or ends there) sees it.
fn tangent(points: &[Point], corners: &[bool], i: usize, span: usize, softness: f64) -> Point {
    let last = points.len() - 1;
    let chord = |from: usize, axis: usize| points[from + 1][axis] - points[from][axis];
    [0, 1].map(|axis| {
        let smooth = |i: usize| (points[i + 1][axis] - points[i - 1][axis]) / 2.0;
        let cornered = |i: usize, span| {
            if corners[i] { softness * smooth(i) + (1.0 - softness) * chord(span, axis) } else { smooth(i) }
        };
        // The ends have one neighbour only: the natural choice there is no curvature.
        if i == 0 {
            1.5 * chord(0, axis) - 0.5 * smooth(1)
        } else if i == last {
            1.5 * chord(last - 1, axis) - 0.5 * smooth(last - 1)
        } else {
            cornered(i, span)
        }
    })
}

/// The cubic from `from` to `to` with the given slopes, at `t` of its unit interval.
fn hermite(t: f64, from: f64, leaving: f64, to: f64, arriving: f64) -> f64 {
    let (t2, t3) = (t * t, t * t * t);
    (2.0 * t3 - 3.0 * t2 + 1.0) * from
        + (t3 - 2.0 * t2 + t) * leaving
        + (3.0 * t2 - 2.0 * t3) * to
        + (t3 - t2) * arriving
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rng::Purpose;

    #[test]
    fn the_curve_goes_through_its_points_and_lifts_the_pen_between_strokes() {
        let points = [[0.0, 0.0], [1.0, 0.5], [0.5, 1.0], [0.0, 0.5]];
        let mut ink = Ink::default();
        let mut rng = Rng::new(1, Purpose::Digits, 0, 0);
        ink.stroke(&points, &[false, true, false, false], 0.5, 0.1, &mut rng);
        ink.stroke(&points[..3], &[false; 3], 0.5, 0.1, &mut rng);
        assert_eq!(ink.ends, [3 * PIECES + 1, 5 * PIECES + 2]);
        for (i, point) in points.iter().enumerate() {
            assert_eq!(ink.nibs[i * PIECES].at, *point);
        }
        assert!(ink.nibs.iter().all(|nib| nib.radius > 0.0));
    }

    #[test]
    fn a_straight_row_of_points_is_a_straight_line() {
        let points = [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]];
        let mut ink = Ink::default();
        ink.stroke(&points, &[false; 4], 0.5, 0.1, &mut Rng::new(1, Purpose::Digits, 0, 0));
        for nib in &ink.nibs {
            assert!((nib.at[0] - nib.at[1]).abs() < 1e-12, "{nib:?}");
        }
    }
}
