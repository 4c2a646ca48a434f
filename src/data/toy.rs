//! Small datasets of points in the plane, each of which shows one thing that a network can or cannot do.
//!
//! | name | points | what it shows |
//! | --- | --- | --- |
//! | `and`, `or`, `nand` | the four corners of the unit square | one line separates them: a perceptron is enough |
//! | `xor` | the same | no line separates them: a hidden layer is needed |
//! | `spiral` | three arms, 100 points each | curved boundaries, which a single affine layer cannot draw |
//! | `moons` | two interleaving half circles | the same, with noise to overfit on |
//!
//! The gates are those of *Deep Learning from Scratch* (K. Saitoh), chapter 2; `spiral` has the formula of volume 2,
//! chapter 1; `moons` that of scikit-learn's `make_moons`. Points are drawn by [`Rng`], so they are the same everywhere.

use super::source::{Availability, DataError, Source};
use super::{Dataset, DatasetInfo, Dtype, Split, Values};
use crate::engine::rng::{Purpose, Rng};
use crate::engine::shape::Shape;

/// The seed of the points that everyone gets. Changing it changes every result ever computed on them.
const SEED: u64 = 1984;

/// All of them, in the order in which they are listed.
pub const TOYS: [Toy; 6] = [
    Toy {
        name: "and",
        description: "The AND gate: 1 only where both inputs are 1. One line separates it: a perceptron solves it.",
        points: Points::Gate([0, 0, 0, 1]),
    },
    Toy {
        name: "or",
        description: "The OR gate: 1 where any input is 1. One line separates it: a perceptron solves it.",
        points: Points::Gate([0, 1, 1, 1]),
    },
    Toy {
        name: "nand",
        description: "The NAND gate: 0 only where both inputs are 1. One line separates it: a perceptron solves it.",
        points: Points::Gate([1, 1, 1, 0]),
    },
    Toy {
        name: "xor",
        description: "The XOR gate: 1 where the inputs differ. No line separates it: a perceptron cannot solve it, a \
                      network with a hidden layer can.",
        points: Points::Gate([0, 1, 1, 0]),
    },
    Toy {
        name: "spiral",
        description: "Three arms of a spiral, 100 points each: what a single affine layer cannot tell apart and one \
                      hidden layer can.",
        points: Points::Spiral,
    },
    Toy {
        name: "moons",
        description: "Two interleaving half circles with noise: a curved boundary, and points on its wrong side that \
                      are better not learned by heart.",
        points: Points::Moons,
    },
];

/// A dataset of points; needs no file and no network.
#[derive(Debug, Clone, Copy)]
pub struct Toy {
    name: &'static str,
    description: &'static str,
    points: Points,
}

/// Where the points lie.
#[derive(Debug, Clone, Copy)]
enum Points {
    /// At (0, 0), (0, 1), (1, 0), (1, 1), with these labels.
    Gate([u16; 4]),
    Spiral,
    Moons,
}

/// Which part of a dataset; their random streams are independent.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
enum Part {
    Train = 0,
    Test = 1,
}

impl Points {
    fn classes(self) -> usize {
        match self {
            Self::Gate(_) | Self::Moons => 2,
            Self::Spiral => ARMS,
        }
    }

    /// Number of points. A gate has four, and is tested on what it has learned: there are no others.
    fn count(self, part: Part) -> usize {
        match (self, part) {
            (Self::Gate(_), _) => 4,
            (Self::Spiral, _) => ARMS * ARM_POINTS,
            (Self::Moons, Part::Train) => 500,
            (Self::Moons, Part::Test) => 200,
        }
    }

    fn draw(self, part: Part) -> Split {
        let mut points = Vec::new();
        let mut labels = Vec::new();
        // The first number is part of every point ever drawn: add new ones, never change one.
        let rng = |dataset| Rng::new(SEED, Purpose::Toy, dataset, part as u64);
        let (mut spiral_rng, mut moons_rng) = (rng(0), rng(1));
        for index in 0..self.count(part) {
            let (point, label) = match self {
                Self::Gate(outputs) => ([(index / 2) as f64, (index % 2) as f64], outputs[index]),
                Self::Spiral => spiral(index, &mut spiral_rng),
                Self::Moons => moon(index, &mut moons_rng),
            };
            points.extend(point.map(|coordinate| coordinate as f32));
            labels.push(label);
        }
        Split { inputs: Values::Floats(points.into()), labels }
    }
}

/// Arms of the spiral, one a class.
const ARMS: usize = 3;
/// Points of an arm.
const ARM_POINTS: usize = 100;

/// Point `index` of the spiral: radius `r` = 0 … 1 from the middle out, at the angle 4j + 4r + 0.2·N(0, 1) of arm `j`.
///
/// The book goes along one arm after the other. Here they take turns, so that the first so many points, which is what
/// `train_limit` takes, are of all classes.
fn spiral(index: usize, rng: &mut Rng) -> ([f64; 2], u16) {
    let (arm, step) = (index % ARMS, index / ARMS);
    let radius = step as f64 / ARM_POINTS as f64;
    let angle = 4.0 * arm as f64 + 4.0 * radius + 0.2 * rng.normal();
    ([radius * libm::sin(angle), radius * libm::cos(angle)], arm as u16)
}

/// Standard deviation of the noise on the moons' points.
const MOON_NOISE: f64 = 0.15;

/// Point `index` of the moons, which take turns: on the upper half of the unit circle, or on the lower half of one that
/// is moved by (1, 0.5).
fn moon(index: usize, rng: &mut Rng) -> ([f64; 2], u16) {
    let angle = rng.uniform_in(0.0, std::f64::consts::PI);
    let (x, y) = (libm::cos(angle), libm::sin(angle));
    let moon = index % 2;
    let point = if moon == 0 { [x, y] } else { [1.0 - x, 0.5 - y] };
    (point.map(|coordinate| coordinate + MOON_NOISE * rng.normal()), moon as u16)
}

impl Source for Toy {
    fn info(&self) -> DatasetInfo {
        let classes = self.points.classes();
        DatasetInfo {
            name: self.name.into(),
            description: self.description.into(),
            input: Shape::new(&[2]),
            dtype: Dtype::Float32,
            classes,
            class_names: (0..classes).map(|class| class.to_string()).collect(),
            train_samples: self.points.count(Part::Train),
            test_samples: self.points.count(Part::Test),
        }
    }

    fn availability(&self) -> Availability {
        Availability::Ready
    }

    fn load(&self) -> Result<Dataset, DataError> {
        let (train, test) = (self.points.draw(Part::Train), self.points.draw(Part::Test));
        Ok(Dataset { info: self.info(), train, test })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str) -> Dataset {
        TOYS.iter().find(|toy| toy.name == name).unwrap().load().unwrap()
    }

    fn points(split: &Split) -> Vec<[f32; 2]> {
        let Values::Floats(values) = &split.inputs else { panic!("points are numbers") };
        values.chunks_exact(2).map(|point| [point[0], point[1]]).collect()
    }

    #[test]
    fn gates_are_their_truth_tables() {
        type Gate = fn(bool, bool) -> bool;
        let and: Gate = |a, b| a & b;
        let gates: [(&str, Gate); 4] =
            [("and", and), ("or", |a, b| a | b), ("nand", |a, b| !(a & b)), ("xor", |a, b| a ^ b)];
        for (name, gate) in gates {
            let dataset = load(name);
            assert_eq!((dataset.train.len(), &dataset.train), (4, &dataset.test));
            for (point, label) in points(&dataset.train).into_iter().zip(&dataset.train.labels) {
                assert_eq!(u16::from(gate(point[0] == 1.0, point[1] == 1.0)), *label, "{name} of {point:?}");
            }
        }
    }

    #[test]
    fn every_toy_is_what_it_announces_and_always_the_same() {
        for toy in TOYS {
            let dataset = toy.load().unwrap();
            let info = toy.info();
            assert_eq!(dataset.info, info);
            let samples = info.train_samples + info.test_samples;
            assert_eq!(info.memory_bytes(), Some(samples * (2 * 4 + 2)), "numbers take four bytes");
            for (split, samples) in [(&dataset.train, info.train_samples), (&dataset.test, info.test_samples)] {
                assert_eq!((split.len(), split.inputs.len()), (samples, 2 * samples));
                for class in 0..info.classes {
                    let of_class = split.labels.iter().filter(|label| usize::from(**label) == class).count();
                    assert!(of_class > 0, "{}: nothing of class {class}", toy.name);
                }
                assert!(split.labels.iter().all(|label| usize::from(*label) < info.classes));
            }
            assert_eq!(dataset.train, toy.load().unwrap().train);
        }
    }

    #[test]
    fn an_arm_winds_outwards() {
        let spiral = load("spiral");
        for (index, point) in points(&spiral.train).into_iter().enumerate() {
            let radius = f64::from(point[0]).hypot(f64::from(point[1]));
            assert!((radius - (index / 3) as f64 / 100.0).abs() < 1e-6, "{index}: {point:?}");
        }
        assert_ne!(spiral.train, spiral.test);
    }

    #[test]
    fn moons_lie_about_their_half_circles() {
        let moons = load("moons");
        let far = |(point, label): ([f32; 2], &u16)| {
            let [x, y] = point.map(f64::from);
            let [x, y] = if *label == 0 { [x, y] } else { [1.0 - x, 0.5 - y] };
            (x.hypot(y) - 1.0).abs() > 5.0 * MOON_NOISE || y < -5.0 * MOON_NOISE
        };
        assert!(!points(&moons.train).into_iter().zip(&moons.train.labels).any(far));
    }

    /// Share of the test points that lie nearest to the curve of their own class.
    fn nearest_curve_accuracy(name: &str, curve: impl Fn(usize, f64) -> [f64; 2]) -> f64 {
        let dataset = load(name);
        let distance = |point: [f32; 2], class: usize| {
            let at = |step: i32| {
                let [x, y] = curve(class, f64::from(step) / 1000.0);
                (f64::from(point[0]) - x).hypot(f64::from(point[1]) - y)
            };
            (0..=1000).map(at).fold(f64::INFINITY, f64::min)
        };
        let nearest = |point: [f32; 2]| {
            (0..dataset.info.classes).min_by(|&a, &b| distance(point, a).total_cmp(&distance(point, b)))
        };
        let labels = &dataset.test.labels;
        let right = points(&dataset.test)
            .into_iter()
            .zip(labels)
            .filter(|(point, label)| nearest(*point) == Some(usize::from(**label)));
        right.count() as f64 / labels.len() as f64
    }

    /// The accuracy that the noise of the points leaves to a classifier that knows their curves.
    #[test]
    fn noise_bounds_the_accuracy_on_spiral_and_moons() {
        let spiral = nearest_curve_accuracy("spiral", |arm, t| {
            let angle = 4.0 * arm as f64 + 4.0 * t;
            [t * libm::sin(angle), t * libm::cos(angle)]
        });
        let moons = nearest_curve_accuracy("moons", |moon, t| {
            let (x, y) = (libm::cos(t * std::f64::consts::PI), libm::sin(t * std::f64::consts::PI));
            if moon == 0 { [x, y] } else { [1.0 - x, 0.5 - y] }
        });
        assert_eq!(format!("{spiral:.3} {moons:.3}"), "0.993 0.985");
    }

    /// A witness of the stream: these points may never change.
    #[test]
    fn points_never_change_under_us() {
        assert_eq!(points(&load("spiral").train)[4], [-0.006_549_623, -0.007_556_615_4]);
        assert_eq!(points(&load("moons").train)[0], [0.046_253_208, 1.080_420_1]);
    }
}
