//! How well a network tells classes apart: accuracy, the confusion matrix, precision, recall and F1 of each class (C. J. van
//! Rijsbergen, *Information retrieval*, 1979, ch. 7; as scikit-learn's `classification_report` has them), and the worst
//! mistakes.

use serde::{Deserialize, Serialize};

use super::loss::Score;

/// How many of the worst mistakes are kept.
pub const WORST_MISTAKES: usize = 20;

/// What is gathered over the samples of an evaluation, in memory that their number does not change.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    classes: usize,
    score: Score,
    /// `[classes, classes]`: rows are true classes, columns predicted ones.
    confusion: Vec<u64>,
    /// Worst first, at most [`WORST_MISTAKES`].
    worst: Vec<Mistake>,
}

/// One sample and what the network made of it.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// Its index in the dataset.
    pub index: u64,
    /// Its class.
    pub label: u16,
    /// The class that its outputs speak for: [`Loss::predicted_class`](super::loss::Loss::predicted_class).
    pub predicted: usize,
    /// `[classes]`: [`Loss::predictions`](super::loss::Loss::predictions).
    pub predictions: &'a [f32],
    /// Its loss.
    pub loss: f64,
}

/// A sample taken for another class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mistake {
    /// Its index in the dataset.
    pub index: u64,
    /// Its class.
    pub label: u16,
    /// The class it was taken for.
    pub predicted: u16,
    /// What the network gave the class it was taken for, of most losses a probability.
    pub predicted_probability: f32,
    /// What the network gave its true class.
    pub label_probability: f32,
    /// Its loss.
    pub loss: f64,
}

/// The results of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Number of samples.
    pub samples: u64,
    /// Mean loss of a sample; `None` if there is none.
    pub loss: Option<f64>,
    /// Share of correct samples; `None` if there is none.
    pub accuracy: Option<f64>,
    /// Mean F1 of the classes that occur, as true or as predicted ones; 0 if there is none.
    pub macro_f1: f64,
    /// Of each class.
    pub classes: Vec<ClassReport>,
    /// `[classes][classes]` numbers of samples: rows are true classes, columns predicted ones.
    pub confusion: Vec<Vec<u64>>,
    /// The wrong samples of largest loss, the worst first.
    pub worst: Vec<Mistake>,
}

/// How well one class is told from the others; what would be 0 / 0 is 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassReport {
    /// Samples of the class.
    pub support: u64,
    /// Of the samples taken for it, the share that are of it.
    pub precision: f64,
    /// Of its samples, the share that are taken for it.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
}

impl Evaluation {
    /// An evaluation without samples yet.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            score: Score::default(),
            confusion: vec![0; classes * classes],
            worst: Vec::with_capacity(WORST_MISTAKES + 1),
        }
    }

    /// Bytes that an evaluation takes, about; `None` where it overflows.
    pub fn bytes(classes: usize) -> Option<usize> {
        let worst = (WORST_MISTAKES + 1) * size_of::<Mistake>();
        classes.checked_mul(classes)?.checked_mul(size_of::<u64>())?.checked_add(worst)
    }

    /// Adds a sample. Allocates nothing.
    ///
    /// # Panics
    /// If one of its classes is not one of the evaluation's.
    pub fn record(&mut self, sample: Judged<'_>) {
        let label = usize::from(sample.label);
        assert!(label < self.classes && sample.predicted < self.classes, "a class that is not evaluated");
        let correct = sample.predicted == label;
        self.score.add(Score { loss: sample.loss, correct: u64::from(correct), samples: 1 });
        self.confusion[label * self.classes + sample.predicted] += 1;
        if !correct {
            self.keep(Mistake {
                index: sample.index,
                label: sample.label,
                predicted: sample.predicted as u16,
                predicted_probability: sample.predictions[sample.predicted],
                label_probability: sample.predictions[label],
                loss: sample.loss,
            });
        }
    }

    /// Adds the samples of another evaluation of the same classes. Sums of losses depend on the order in the last digits:
    /// merge parts in the order of their samples.
    ///
    /// # Panics
    /// If the numbers of classes differ.
    pub fn merge(&mut self, later: &Self) {
        assert_eq!(self.classes, later.classes, "evaluations of different classes");
        self.score.add(later.score);
        for (count, more) in self.confusion.iter_mut().zip(&later.confusion) {
            *count += more;
        }
        for mistake in &later.worst {
            self.keep(*mistake);
        }
    }

    /// Puts a mistake into its place among the worst, of equal ones the smaller index first.
    fn keep(&mut self, mistake: Mistake) {
        let worse = |kept: &Mistake| kept.loss.total_cmp(&mistake.loss).then(mistake.index.cmp(&kept.index)).is_gt();
        let place = self.worst.partition_point(worse);
        if place < WORST_MISTAKES {
            self.worst.insert(place, mistake);
            self.worst.truncate(WORST_MISTAKES);
        }
    }

    /// Sums of loss and hits.
    pub fn score(&self) -> Score {
        self.score
    }

    /// The results so far.
    pub fn report(&self) -> Report {
        let classes: Vec<_> = (0..self.classes).map(|class| self.class(class)).collect();
        let occurring = (0..self.classes).filter(|&class| self.of(class) + self.taken_for(class) > 0);
        let (sum, count) = occurring.fold((0.0, 0u32), |(sum, count), class| (sum + classes[class].f1, count + 1));
        Report {
            samples: self.score.samples,
            loss: self.score.mean_loss(),
            accuracy: self.score.accuracy(),
            macro_f1: sum / f64::from(count.max(1)),
            classes,
            confusion: self.confusion.chunks(self.classes.max(1)).map(<[u64]>::to_vec).collect(),
            worst: self.worst.clone(),
        }
    }

    /// Samples of a class.
    fn of(&self, class: usize) -> u64 {
        self.confusion[class * self.classes..][..self.classes].iter().sum()
    }

    /// Samples taken for a class.
    fn taken_for(&self, class: usize) -> u64 {
        self.confusion[class..].iter().step_by(self.classes).sum()
    }

    fn class(&self, class: usize) -> ClassReport {
        let ratio = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let (hits, support, taken) =
            (self.confusion[class * self.classes + class], self.of(class), self.taken_for(class));
        ClassReport {
            support,
            precision: ratio(hits, taken),
            recall: ratio(hits, support),
            f1: ratio(2 * hits, support + taken),
        }
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
