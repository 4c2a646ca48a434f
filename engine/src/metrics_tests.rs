//! The figures against those that scikit-learn's documentation shows, and merging against gathering at once.

use proptest::prelude::*;

use super::*;

fn judged<'a>(index: u64, label: u16, predicted: usize, predictions: &'a [f32], loss: f64) -> Judged<'a> {
    Judged { index, label, predicted, predictions, loss }
}

fn evaluation(classes: usize, pairs: &[(u16, usize)]) -> Evaluation {
    let mut evaluation = Evaluation::new(classes);
    let predictions = vec![0.25; classes];
    for (index, &(label, predicted)) in (0..).zip(pairs) {
        evaluation.record(judged(index, label, predicted, &predictions, 0.5));
    }
    evaluation
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-12
}

/// The example of `sklearn.metrics.classification_report`.
#[test]
fn figures_are_those_of_scikit_learn() {
    let report = evaluation(3, &[(0, 0), (1, 0), (2, 2), (2, 2), (2, 1)]).report();
    assert_eq!((report.samples, report.accuracy, report.loss), (5, Some(0.6), Some(0.5)));
    let expected = [(1, 0.5, 1.0, 2.0 / 3.0), (1, 0.0, 0.0, 0.0), (3, 1.0, 2.0 / 3.0, 0.8)];
    for (class, (support, precision, recall, f1)) in report.classes.iter().zip(expected) {
        assert_eq!(class.support, support);
        assert!(close(class.precision, precision) && close(class.recall, recall) && close(class.f1, f1), "{class:?}");
    }
    assert!(close(report.macro_f1, (2.0 / 3.0 + 0.8) / 3.0));
    assert_eq!(report.confusion, [[1, 0, 0], [1, 0, 0], [0, 1, 2]]);
}

/// The example of `sklearn.metrics.f1_score`: `average="macro"` gives 0.2667 there.
#[test]
fn macro_f1_leaves_out_classes_that_do_not_occur() {
    let pairs = [(0, 0), (1, 2), (2, 1), (0, 0), (1, 0), (2, 1)];
    for classes in [3, 7] {
        assert!(close(evaluation(classes, &pairs).report().macro_f1, 0.8 / 3.0), "{classes} classes");
    }
}

#[test]
fn nothing_judged_is_no_figure() {
    for classes in [0, 4] {
        let report = Evaluation::new(classes).report();
        assert_eq!((report.samples, report.loss, report.accuracy, report.macro_f1), (0, None, None, 0.0));
        assert_eq!(report.confusion.len(), classes);
    }
}

#[test]
fn the_worst_mistakes_come_first_and_hits_are_none() {
    let mut evaluation = Evaluation::new(2);
    for index in 0..100u64 {
        // Losses go up and down; every third sample is right.
        let loss = ((index * 37) % 50) as f64;
        let predicted = usize::from(!index.is_multiple_of(3));
        evaluation.record(judged(index, 0, predicted, &[0.1, 0.9], loss));
    }
    let report = evaluation.report();
    assert_eq!(report.worst.len(), WORST_MISTAKES);
    assert!(report.worst.iter().all(|m| m.index % 3 != 0 && m.predicted == 1 && m.label == 0));
    assert!(report.worst.is_sorted_by(|a, b| a.loss > b.loss || (a.loss == b.loss && a.index < b.index)));
    let worst = report.worst[0];
    assert_eq!((worst.loss, worst.predicted_probability, worst.label_probability), (49.0, 0.9, 0.1));
}

#[test]
fn a_report_comes_back_from_json() {
    let report = evaluation(3, &[(0, 0), (1, 0), (2, 2)]).report();
    let text = serde_json::to_string(&report).expect("plain data");
    assert_eq!(serde_json::from_str::<Report>(&text).expect("what we print we read"), report);
}

#[test]
fn memory_is_known_beforehand() {
    assert_eq!(Evaluation::bytes(10), Some(800 + 21 * size_of::<Mistake>()));
    assert_eq!(Evaluation::bytes(usize::MAX), None);
}

proptest! {
    #[test]
    fn parts_merged_are_the_whole(
        samples in proptest::collection::vec((0u16..4, 0usize..4, 0u8..30), 0..200),
        cut in 0usize..200,
    ) {
        // Whole numbers as losses: their sums do not depend on the order.
        let gather = |from: usize, to: usize| {
            let mut part = Evaluation::new(4);
            for (index, (label, predicted, loss)) in samples.iter().enumerate().take(to).skip(from) {
                part.record(judged(index as u64, *label, *predicted, &[0.1, 0.2, 0.3, 0.4], f64::from(*loss)));
            }
            part
        };
        let cut = cut.min(samples.len());
        let mut merged = gather(0, cut);
        merged.merge(&gather(cut, samples.len()));
        let whole = gather(0, samples.len());
        prop_assert_eq!(merged.report(), whole.report());
        prop_assert_eq!(merged.score(), whole.score());
        prop_assert_eq!(whole.report().confusion.concat().iter().sum::<u64>(), samples.len() as u64);
    }
}
