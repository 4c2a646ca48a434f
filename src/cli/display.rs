//! How a training looks: a bar and a line for each epoch on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::format::{loss, percent, rate, span};
use super::out::{Paint, say, tame};
use crate::job::event::{Done, Epoch, Event, EventBody, Metrics, State};
use crate::job::status::{Status, StopReason};
use crate::job::view::Job;

/// Trainings of more epochs do not get a line for each.
const MANY_EPOCHS: u64 = 100;
/// The least time between two lines about mini-batches, where there is no bar.
const PLAIN_PAUSE: Duration = Duration::from_secs(5);
/// The least time between two lines about epochs, where there are many.
const EPOCH_PAUSE: Duration = Duration::from_secs(1);

/// Shows one job.
#[derive(Debug)]
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    paint: Paint,
    epochs: u64,
    last_metrics: Instant,
    last_epoch: Option<Instant>,
}

impl Display {
    /// Begins to show a job on stderr.
    pub(crate) fn new(job: &Job) -> Self {
        let paint = Paint::stderr();
        let bar = (std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb"))
            .then(|| bar(job, paint));
        Self { bar, paint, epochs: job.progress.epochs, last_metrics: Instant::now(), last_epoch: None }
    }

    /// Shows an event.
    pub(crate) fn event(&mut self, event: &Event) {
        match &event.body {
            EventBody::State(state) => self.state(state),
            EventBody::Metrics(metrics) => self.metrics(metrics),
            EventBody::Epoch(epoch) => self.epoch(epoch),
            EventBody::Alert(alert) => {
                self.line(&self.paint.yellow(&format!("{}: {}", tame(&alert.code), tame(&alert.detail))));
            }
            EventBody::Checkpoint(_) | EventBody::Done(_) => {}
        }
    }

    /// Says something between the events.
    pub(crate) fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => say(line),
        }
    }

    /// Removes the bar; what it said last is said by whoever ends the display.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn state(&self, state: &State) {
        if let Some(bar) = &self.bar {
            bar.set_message(match state.status {
                Status::Queued => "waits in the queue",
                Status::Paused => "is paused",
                _ => "begins",
            });
        }
        let detail = state.detail.as_ref().map_or_else(String::new, |detail| format!(": {}", tame(detail)));
        let again = if state.attempt > 1 && state.status == Status::Running {
            format!(" again (attempt {})", state.attempt)
        } else {
            String::new()
        };
        // An end is told by whoever shows the job, with its figures.
        if !state.status.is_final() {
            self.line(&self.paint.dim(&format!("{}{again}{detail}", state.status)));
        }
    }

    fn metrics(&mut self, metrics: &Metrics) {
        if let Some(bar) = &self.bar {
            bar.set_position((metrics.fraction.clamp(0.0, 1.0) * BAR_STEPS as f64) as u64);
            bar.set_prefix(format!("epoch {}/{}", metrics.epoch, self.epochs));
            bar.set_message(figures(metrics));
        } else if self.last_metrics.elapsed() >= PLAIN_PAUSE {
            self.last_metrics = Instant::now();
            let share = metrics.fraction * 100.0;
            say(&format!("epoch {}/{}  {share:.1} %  {}", metrics.epoch, self.epochs, figures(metrics)));
        }
    }

    fn epoch(&mut self, epoch: &Epoch) {
        let due = self.last_epoch.is_none_or(|last| last.elapsed() >= EPOCH_PAUSE);
        if self.epochs > MANY_EPOCHS && !due && epoch.epoch < self.epochs {
            return;
        }
        self.last_epoch = Some(Instant::now());
        self.last_metrics = Instant::now();
        self.line(&epoch_line(epoch, self.epochs, self.paint));
    }
}

const BAR_STEPS: u64 = 10_000;

fn bar(job: &Job, paint: Paint) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(12);
    let bar = ProgressBar::with_draw_target(Some(BAR_STEPS), target);
    let colour = if paint.on() { ".cyan" } else { "" };
    let template = format!("{{prefix}} {{bar:24{colour}}} {{percent:>3}} %  {{wide_msg}}");
    // The template is constant and sound; if it were not, the default bar does as well.
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    bar.set_prefix(format!("epoch {}/{}", job.progress.epoch, job.progress.epochs));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn figures(metrics: &Metrics) -> String {
    let mut parts = vec![format!("loss {}", loss(metrics.loss)), format!("accuracy {}", percent(metrics.accuracy))];
    parts.extend(metrics.samples_per_second.map(rate));
    parts.extend(metrics.eta_seconds.map(|seconds| format!("{} left", span(seconds))));
    parts.join("  ")
}

fn epoch_line(epoch: &Epoch, epochs: u64, paint: Paint) -> String {
    let width = epochs.to_string().len();
    format!(
        "epoch {:>width$}/{epochs}  train loss {}  accuracy {}  {} test loss {}  accuracy {}  {}",
        epoch.epoch,
        loss(epoch.train_loss),
        percent(epoch.train_accuracy),
        paint.dim("│"),
        loss(epoch.test_loss),
        paint.bold(&percent(epoch.test_accuracy)),
        paint.dim(&format!("({})", span(epoch.seconds))),
    )
}

/// How a job ended, in a line or two.
pub(crate) fn summary(job: &Job, done: &Done, paint: Paint) -> String {
    let name = tame(&job.name);
    let figures = |test: &str| match done.test_accuracy {
        Some(_) => format!("{test} accuracy {}, loss {}", percent(done.test_accuracy), loss(done.test_loss)),
        None => String::new(),
    };
    let model = match (&done.model, done.model_version) {
        (Some(model), Some(version)) => format!("{}@{version}", tame(model)),
        _ => String::new(),
    };
    let error = done.error.as_deref().map(tame).unwrap_or_default();
    let reason = match done.stop_reason {
        Some(StopReason::MaxSeconds) => "its max_seconds were over",
        _ => "",
    };
    let parts: Vec<String> =
        [model, error, reason.into(), figures("test")].into_iter().filter(|part| !part.is_empty()).collect();
    let status = match done.status {
        Status::Succeeded => paint.green(done.status.as_str()),
        Status::Failed => paint.red(done.status.as_str()),
        _ => paint.yellow(done.status.as_str()),
    };
    let rest = if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) };
    let hash = done.weights_sha256.as_ref().map_or_else(String::new, |hash| format!("  weights sha256 {}", tame(hash)));
    format!("{name} {status}{rest}\n{}", paint.dim(&format!("job {}{hash}", job.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_their_figures() {
        let metrics = Metrics {
            step: 100,
            epoch: 1,
            loss: Some(0.31234),
            accuracy: None,
            learning_rate: 0.1,
            samples_per_second: Some(81234.5),
            fraction: 0.1,
            eta_seconds: Some(9.1),
        };
        assert_eq!(figures(&metrics), "loss 0.3123  accuracy –  81.2k samples/s  9.1 s left");
        let epoch = Epoch {
            epoch: 3,
            step: 600,
            train_loss: Some(0.5),
            train_accuracy: Some(0.87),
            validation_loss: None,
            validation_accuracy: None,
            test_loss: Some(0.3),
            test_accuracy: Some(0.915),
            seconds: 0.9,
        };
        assert_eq!(
            epoch_line(&epoch, 20, Paint::plain()),
            "epoch  3/20  train loss 0.5000  accuracy 87.00 %  │ test loss 0.3000  accuracy 91.50 %  (0.9 s)"
        );
    }
}
