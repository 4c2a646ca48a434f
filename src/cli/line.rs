//! Lines about a training that fit a terminal: what matters least goes first, and nothing wraps.

use super::format::{loss, percent, rate, span};
use super::out::Paint;
use crate::job::event::{Epoch, Metrics};

/// Widest and narrowest bar, in columns.
const BAR: std::ops::RangeInclusive<usize> = 5..=24;
/// Eighths of a column, from none to all.
const EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// How far a training is, as the line with the bar shows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProgressLine {
    pub(crate) epoch: u64,
    pub(crate) epochs: u64,
    pub(crate) fraction: f64,
    /// Figures, or a word on what goes on; the last ones are left out first.
    pub(crate) parts: Vec<String>,
    /// Time left, which always stays.
    pub(crate) left: Option<String>,
}

impl ProgressLine {
    /// The line of a metrics event.
    pub(crate) fn of(metrics: &Metrics, epochs: u64) -> Self {
        let mut parts = vec![format!("loss {}", loss(metrics.loss)), format!("accuracy {}", percent(metrics.accuracy))];
        parts.extend(metrics.samples_per_second.map(rate));
        Self { epoch: metrics.epoch, epochs, fraction: metrics.fraction, parts, left: time_left(metrics) }
    }

    /// The line with its bar. A narrow terminal has a shorter bar, then fewer parts, then no bar, then no epoch.
    pub(crate) fn fit(&self, columns: usize, paint: Paint) -> String {
        let share = self.fraction.clamp(0.0, 1.0);
        let head = format!("epoch {}/{}", self.epoch, self.epochs);
        let percent = format!("{:>3} %", (share * 100.0).floor());
        for count in (0..=self.parts.len()).rev() {
            let rest: Vec<_> = [&percent].into_iter().chain(&self.parts[..count]).chain(&self.left).cloned().collect();
            let rest = rest.join("  ");
            let room = columns.saturating_sub(width(&head) + width(&rest) + 2).min(*BAR.end());
            if room >= *BAR.start() {
                return format!("{head} {} {rest}", paint.cyan(&bar(share, room)));
            }
        }
        let bare: Vec<_> = [&percent].into_iter().chain(&self.left).cloned().collect();
        let bare = bare.join("  ");
        let whole = format!("{head} {bare}");
        cut(if width(&whole) <= columns { whole } else { bare.trim_start().to_owned() }, columns)
    }

    /// The same without a bar, for what is no terminal.
    pub(crate) fn plain(&self) -> String {
        let share = format!("{:.1} %", self.fraction.clamp(0.0, 1.0) * 100.0);
        let parts: Vec<_> = [&share].into_iter().chain(&self.parts).chain(&self.left).cloned().collect();
        format!("epoch {}/{}  {}", self.epoch, self.epochs, parts.join("  "))
    }
}

/// Time left, as far as it is known.
fn time_left(metrics: &Metrics) -> Option<String> {
    let at_most = if metrics.eta_at_most { "at most " } else { "" };
    metrics.eta_seconds.map(|seconds| format!("{at_most}{} left", span(seconds)))
}

fn bar(share: f64, columns: usize) -> String {
    let eighths = (share * (columns * 8) as f64) as usize;
    (0..columns).map(|column| EIGHTHS[eighths.saturating_sub(column * 8).min(8)]).collect()
}

/// The line of an epoch that was evaluated.
pub(crate) fn epoch_line(epoch: &Epoch, epochs: u64, columns: usize, paint: Paint) -> String {
    let number = format!("{:>width$}/{epochs}", epoch.epoch, width = epochs.to_string().len());
    let [train_loss, test_loss] = [epoch.train_loss, epoch.test_loss].map(loss);
    let [train, test] = [epoch.train_accuracy, epoch.test_accuracy].map(percent);
    let seconds = format!("({})", span(epoch.seconds));
    let lines = |paint: Paint| {
        let (test, seconds, bar) = (paint.bold(&test), paint.dim(&seconds), paint.dim("│"));
        [
            format!(
                "epoch {number}  train loss {train_loss}  accuracy {train}  {bar} test loss {test_loss}  accuracy {test}  {seconds}"
            ),
            format!("epoch {number}  train {train_loss}  {train}  {bar} test {test_loss}  {test}  {seconds}"),
            format!("epoch {number}  train {train_loss}  {train}  {bar} test {test_loss}  {test}"),
            format!("epoch {number}  test {test_loss}  {test}"),
            format!("{number}  {test}"),
        ]
    };
    // Colours take no room.
    let fits = lines(Paint::without_colours()).iter().position(|line| width(line) <= columns);
    let mut lines = lines(paint).into_iter();
    fits.and_then(|place| lines.nth(place)).unwrap_or_else(|| cut(number, columns))
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: String, columns: usize) -> String {
    if width(&text) <= columns { text } else { text.chars().take(columns).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics {
            step: 100,
            epoch: 1,
            loss: Some(0.31234),
            accuracy: None,
            learning_rate: 0.1,
            samples_per_second: Some(81234.5),
            fraction: 0.1,
            eta_seconds: Some(9.1),
            eta_at_most: false,
        }
    }

    fn epoch() -> Epoch {
        Epoch {
            epoch: 3,
            step: 600,
            train_loss: Some(0.5),
            train_accuracy: Some(0.87),
            validation_loss: None,
            validation_accuracy: None,
            test_loss: Some(0.3),
            test_accuracy: Some(0.915),
            seconds: 0.9,
        }
    }

    const PLAIN: Paint = Paint::without_colours();

    #[test]
    fn lines_hold_their_figures() {
        let line = ProgressLine::of(&metrics(), 20);
        assert_eq!(line.plain(), "epoch 1/20  10.0 %  loss 0.3123  accuracy –  81.2k samples/s  9.1 s left");
        assert_eq!(
            epoch_line(&epoch(), 20, usize::MAX, PLAIN),
            "epoch  3/20  train loss 0.5000  accuracy 87.00 %  │ test loss 0.3000  accuracy 91.50 %  (0.9 s)"
        );
    }

    #[test]
    fn in_a_narrow_terminal_the_bar_shrinks_and_the_time_left_stays() {
        let long =
            Metrics { accuracy: Some(0.97), eta_seconds: Some(125.0), eta_at_most: true, fraction: 0.5, ..metrics() };
        let line = ProgressLine::of(&Metrics { epoch: 10, ..long }, 20);
        assert_eq!(
            [120, 100, 80, 60, 40, 30, 27].map(|columns| line.fit(columns, PLAIN)),
            [
                "epoch 10/20 ████████████              50 %  loss 0.3123  accuracy 97.00 %  81.2k samples/s  at most 2 min 05 s left",
                "epoch 10/20 ████▌      50 %  loss 0.3123  accuracy 97.00 %  81.2k samples/s  at most 2 min 05 s left",
                "epoch 10/20 ███     50 %  loss 0.3123  accuracy 97.00 %  at most 2 min 05 s left",
                "epoch 10/20 ████████▌          50 %  at most 2 min 05 s left",
                "50 %  at most 2 min 05 s left",
                "50 %  at most 2 min 05 s left",
                "50 %  at most 2 min 05 s le",
            ]
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for epochs in [1, 20, 100_000, 1_000_000] {
            for columns in 0..200 {
                for (figure, seconds) in [(0.5, 9.1), (123.456, 3599.0), (1e30, 1e9), (f64::NAN, f64::NAN)] {
                    let metrics = Metrics {
                        epoch: epochs,
                        loss: Some(figure),
                        accuracy: Some(1.0),
                        samples_per_second: Some(figure),
                        fraction: figure,
                        eta_seconds: Some(seconds),
                        eta_at_most: true,
                        ..metrics()
                    };
                    let line = ProgressLine::of(&metrics, epochs).fit(columns, PLAIN);
                    assert!(width(&line) <= columns, "{columns}: {line}");
                    assert!(columns < 60 || line.ends_with(" left"), "{columns}: {line}");
                    let epoch =
                        Epoch { epoch: epochs, train_loss: Some(figure), test_loss: Some(figure), seconds, ..epoch() };
                    let line = epoch_line(&epoch, epochs, columns, PLAIN);
                    assert!(width(&line) <= columns, "{columns}: {line}");
                }
            }
        }
        // The usual ones lose their words at 80 columns, and no figure.
        let line = epoch_line(&epoch(), 100_000, 80, PLAIN);
        assert_eq!(line, "epoch      3/100000  train 0.5000  87.00 %  │ test 0.3000  91.50 %  (0.9 s)");
    }
}
