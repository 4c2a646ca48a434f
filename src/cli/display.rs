//! How a training looks: a bar and a line for each epoch on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::format::{loss, percent};
use super::line::{ProgressLine, epoch_line};
use super::out::{Paint, say, tame};
use crate::job::event::{Done, Epoch, Event, EventBody, Metrics, State};
use crate::job::status::{Status, StopReason};
use crate::job::view::{Job, Progress};

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
    /// What was shown last.
    last: ProgressLine,
    last_metrics: Instant,
    last_epoch: Option<Instant>,
}

impl Display {
    /// Begins to show a job on stderr.
    pub(crate) fn new(job: &Job) -> Self {
        let paint = Paint::stderr();
        let Progress { epoch, epochs, fraction, .. } = job.progress;
        let line = ProgressLine { epoch, epochs, fraction, ..ProgressLine::default() };
        let bar = (std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb"))
            .then(|| bar(paint, &line));
        Self { bar, paint, epochs, last: line, last_metrics: Instant::now(), last_epoch: None }
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
            let word = match state.status {
                Status::Queued => "waits in the queue",
                Status::Paused => "is paused",
                _ => "begins",
            };
            let line = ProgressLine { parts: vec![word.into()], left: None, ..self.last.clone() };
            bar.set_message(line.fit(columns(), self.paint));
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
        self.last = ProgressLine::of(metrics, self.epochs);
        if let Some(bar) = &self.bar {
            bar.set_message(self.last.fit(columns(), self.paint));
        } else if self.last_metrics.elapsed() >= PLAIN_PAUSE {
            self.last_metrics = Instant::now();
            say(&self.last.plain());
        }
    }

    fn epoch(&mut self, epoch: &Epoch) {
        let due = self.last_epoch.is_none_or(|last| last.elapsed() >= EPOCH_PAUSE);
        if self.epochs > MANY_EPOCHS && !due && epoch.epoch < self.epochs {
            return;
        }
        self.last_epoch = Some(Instant::now());
        self.last_metrics = Instant::now();
        self.line(&epoch_line(epoch, self.epochs, columns(), self.paint));
    }
}

fn bar(paint: Paint, line: &ProgressLine) -> ProgressBar {
    // The line is as wide as the terminal by itself: the bar is drawn with it.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(12));
    bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(line.fit(columns(), paint));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// Columns of the terminal that stderr is, less one, in which some terminals show their cursor; no bound on what is none.
fn columns() -> usize {
    let size = terminal_size::terminal_size_of(std::io::stderr());
    size.map_or(usize::MAX, |(width, _)| usize::from(width.0).saturating_sub(1))
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
