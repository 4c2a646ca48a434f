//! A random hand: which way of writing, which blend of its keyforms, how sure, and how the plane is deformed.
//!
//! A stroke's keyforms are the same stroke as different people write it, with as many control points. A random hand is
//! a random blend of them, so that all between them can be written too, and then it trembles, slants, stretches, bends
//! and wobbles (smooth random displacement fields, as in P. Simard, D. Steinkraus, J. Platt, *Best practices for
//! convolutional neural networks applied to visual document analysis*, 2003).
//!
//! The deformations must vary much, for a model to read what it has never seen; but what is strange in many ways at once
//! is no digit any more. So every normal variate is cut ([`LIMIT`]), and so is their joint tail ([`STRANGENESS`]), by
//! drawing again. Measured once each, on one seed: a tight joint cut (17) halved what a convnet misreads here, and cost it
//! 0.1 % of MNIST; cutting every variate at 2 sds instead cost about half a percent of MNIST.

use std::f64::consts::TAU;

use super::glyph::{Digit, Glyph, Point, Stroke};
use super::pen::Ink;
use crate::engine::rng::Rng;

/// The most that the squares of a plane map's deviations, in sds, may add up to; there are thirteen.
const STRANGENESS: f64 = 24.0;
/// Where the normal distributions are cut.
const LIMIT: f64 = 2.5;
// Lengths are in units of the glyphs' unit square, angles in radians, and "sd" is a standard deviation.
/// Mean and sd of the slant, as horizontal shift per height.
const SLANT: (f64, f64) = (0.13, 0.21);
/// Sd of the rotation.
const ROTATION: f64 = 0.13;
/// Sd of the logarithm of the width.
const STRETCH: f64 = 0.22;
/// Sd of the logarithm of one factor on all that makes a hand untidy.
const UNTIDINESS: f64 = 0.3;
/// Sd of the jitter of each control point.
const JITTER: f64 = 0.026;
/// Sd of the amplitude of the elastic wobble, which is two sine waves through the plane.
const WOBBLE: f64 = 0.045;
/// Sd of the quadratic bend of the axes.
const BEND: f64 = 0.10;
/// Sd of the taper: how the width changes with the height.
const TAPER: f64 = 0.13;
/// Sd of the proportion between upper and lower half.
const PROPORTION: f64 = 0.16;
/// Sd of the lengthening or shortening of a stroke's ends, in spans.
const OVERSHOOT: f64 = 0.22;
/// Sd of the place of a stroke relative to the others.
const MISPLACEMENT: f64 = 0.02;
/// Blend weights are exponential variates to this power: the higher, the nearer to a single keyform.
const CONCENTRATION: f64 = 2.1;
/// How far a blend may lie outside of the keyforms' convex hull.
const EXTRAPOLATION: f64 = 0.15;
/// Chance that the later part of a stroke follows a blend of its own.
const CHANGE_OF_MIND: f64 = 0.5;
/// Corners are rounded up to this.
const SOFTNESS: f64 = 0.6;
/// Mean and sd of the logarithm of the pen's radius.
const RADIUS: (f64, f64) = (-2.69, 0.32);
/// Width of a line's edge in pixels.
const BLUR: (f64, f64) = (0.7, 1.1);

/// Memory for one image's control points, used again for the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    early: Vec<f64>,
    late: Vec<f64>,
    points: Vec<Point>,
}

/// Writes one random instance of `digit` into `ink`; returns the width of its lines' edges.
pub(super) fn write(digit: &Digit, rng: &mut Rng, scratch: &mut Scratch, ink: &mut Ink) -> f64 {
    let glyph = choose(digit, rng);
    let keyforms = glyph.strokes[0].keyforms.len();
    blend(rng, keyforms, &mut scratch.early);
    blend(rng, keyforms, &mut scratch.late);
    if rng.uniform() >= CHANGE_OF_MIND {
        scratch.late.clone_from(&scratch.early);
    }
    let change = rng.uniform_in(0.2, 0.8);
    let (map, untidiness) = PlaneMap::draw(digit, rng);
    let softness = digit.liveliness * rng.uniform_in(0.0, SOFTNESS);
    let radius = libm::exp(RADIUS.0 + RADIUS.1 * normal(rng));
    ink.clear();
    for stroke in &glyph.strokes {
        control_points(stroke, change, scratch);
        jitter(&mut scratch.points, glyph.strokes.len() > 1, untidiness, rng);
        for point in &mut scratch.points {
            *point = map.apply(*point);
        }
        ink.stroke(&scratch.points, &stroke.corners, softness, radius, rng);
    }
    rng.uniform_in(BLUR.0, BLUR.1)
}

/// One of the digit's glyphs, as often as people use it.
fn choose<'a>(digit: &'a Digit, rng: &mut Rng) -> &'a Glyph {
    let drawn = rng.uniform();
    let last = digit.glyphs.len() - 1;
    digit.glyphs[..last].iter().find(|glyph| drawn < glyph.cumulative).unwrap_or(&digit.glyphs[last])
}

/// Random weights of `count` keyforms, with the sum 1.
fn blend(rng: &mut Rng, count: usize, weights: &mut Vec<f64>) {
    weights.clear();
    weights.extend((0..count).map(|_| libm::pow(-libm::log(1.0 - rng.uniform()), CONCENTRATION)));
    let total: f64 = weights.iter().sum();
    for weight in weights {
        *weight = *weight / total * (1.0 + EXTRAPOLATION) - EXTRAPOLATION / count as f64;
    }
}

/// Blends the keyforms of `stroke`, with the early weights before `change` (0–1 along the stroke), and the late after.
fn control_points(stroke: &Stroke, change: f64, scratch: &mut Scratch) {
    let count = stroke.corners.len();
    scratch.points.clear();
    scratch.points.extend((0..count).map(|i| {
        let late = ((i as f64 / (count - 1) as f64 - change) / 0.4 + 0.5).clamp(0.0, 1.0);
        let weights = scratch.early.iter().zip(&scratch.late).map(|(a, b)| a * (1.0 - late) + b * late);
        weights
            .zip(&stroke.keyforms)
            .fold([0.0; 2], |sum, (weight, keyform)| [sum[0] + weight * keyform[i][0], sum[1] + weight * keyform[i][1]])
    }));
}

/// Moves each point a little, one of several strokes as a whole, and lengthens or shortens its ends.
fn jitter(points: &mut [Point], several: bool, untidiness: f64, rng: &mut Rng) {
    let place = if several { [MISPLACEMENT * normal(rng), MISPLACEMENT * normal(rng)] } else { [0.0; 2] };
    for point in points.iter_mut() {
        for (coordinate, shift) in point.iter_mut().zip(place) {
            *coordinate += JITTER * untidiness * normal(rng) + shift;
        }
    }
    let last = points.len() - 1;
    for (end, next) in [(0, 1), (last, last - 1)] {
        let more = OVERSHOOT * normal(rng);
        points[end] = [0, 1].map(|axis| points[end][axis] + more * (points[end][axis] - points[next][axis]));
    }
}

/// A smooth map of the plane about the centre of the unit square, the same for all strokes of a digit.
struct PlaneMap {
    waves: [Wave; 4],
    taper: [f64; 2],
    bend: [f64; 2],
    proportion: [f64; 2],
    width: f64,
    shear: f64,
    cosine: f64,
    sine: f64,
}

/// One sine wave through the plane; even ones shift horizontally, odd ones vertically.
struct Wave {
    amplitude: f64,
    frequency: [f64; 2],
    phase: f64,
}

impl PlaneMap {
    /// A random map that is not too strange, and how untidy it is. Each parameter alone may be far from the usual, but
    /// a digit with many such is illegible: it is drawn again.
    fn draw(digit: &Digit, rng: &mut Rng) -> (Self, f64) {
        loop {
            let untidiness = digit.liveliness * libm::exp(UNTIDINESS * normal(rng));
            let (map, strangeness) = Self::attempt(digit, untidiness, rng);
            if strangeness <= STRANGENESS {
                return (map, untidiness);
            }
        }
    }

    /// Any random map, and its strangeness: the sum of the squares of its normal variates.
    fn attempt(digit: &Digit, untidiness: f64, rng: &mut Rng) -> (Self, f64) {
        let mut strangeness = 0.0;
        let mut deviate = |sd: f64, factor: f64, rng: &mut Rng| {
            let deviation = factor * normal(rng);
            strangeness += deviation * deviation;
            sd * deviation
        };
        let shear = SLANT.0 + digit.slant + deviate(SLANT.1, 1.0, rng);
        let (sine, cosine) = libm::sincos(deviate(ROTATION, 1.0, rng));
        let width = digit.width * libm::exp(deviate(STRETCH, 1.0, rng));
        let [bend, taper, proportion] =
            [BEND, TAPER, PROPORTION].map(|sd| [0; 2].map(|_| deviate(sd, untidiness, rng)));
        let waves = [0; 4].map(|_| Wave {
            amplitude: deviate(WOBBLE, untidiness, rng),
            frequency: [4.0 * normal(rng), 4.0 * normal(rng)],
            phase: rng.uniform_in(0.0, TAU),
        });
        (Self { waves, taper, bend, proportion, width, shear, cosine, sine }, strangeness)
    }

    fn apply(&self, point: Point) -> Point {
        let [x0, y0] = point.map(|value| value - 0.5);
        let mut at = [x0, y0];
        for (i, wave) in self.waves.iter().enumerate() {
            let angle = wave.frequency[0] * x0 + wave.frequency[1] * y0 + wave.phase;
            at[i % 2] += wave.amplitude * libm::sin(angle);
        }
        let [x, y] = at;
        let (x, y) = (x * (1.0 + 2.0 * self.taper[0] * y), y * (1.0 + 2.0 * self.taper[1] * x));
        let (x, y) = (x + self.bend[0] * (4.0 * y * y - 0.5), y + self.bend[1] * (4.0 * x * x - 0.2));
        let y = y + self.proportion[0] * (0.5 - 2.0 * y * y);
        let x = x + self.proportion[1] * (0.5 - 2.0 * x * x);
        let x = x * self.width - self.shear * y;
        [self.cosine * x - self.sine * y, self.sine * x + self.cosine * y]
    }
}

/// Standard normal, without its tail.
fn normal(rng: &mut Rng) -> f64 {
    loop {
        let value = rng.normal();
        if value.abs() <= LIMIT {
            return value;
        }
    }
}
