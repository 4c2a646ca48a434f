//! An 8-hour job as the API, the command line and the page show it: what holds at every one of its reports.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::line::ProgressLine;
use super::out::Paint;
use crate::scheduler::replay::{Reported, assert_sound, eight_hours};

/// What the page is given for a report, and what must hold of its words.
struct Shown {
    job: Value,
    event: Value,
    true_speed: Option<f64>,
}

#[test]
fn every_report_of_eight_hours_is_sound_in_api_command_line_and_page() {
    let mut shown = Vec::new();
    let ended = eight_hours(&mut |reported| {
        api_is_sound(&reported);
        command_line_is_sound(&reported);
        let view = serde_json::to_value(&reported.job).expect("plain data");
        let members = ["status", "progress", "metrics", "cancel_requested", "pause_requested"];
        let job =
            members.iter().map(|name| ((*name).to_owned(), view[name].clone())).collect::<serde_json::Map<_, _>>();
        let mut event = serde_json::to_value(&reported.metrics).expect("plain data");
        event["type"] = json!("metrics");
        shown.push(Shown { job: job.into(), event, true_speed: reported.true_speed });
    });
    assert!(ended.progress.step > 150_000 && shown.len() > 15_000, "{:?}, {} reports", ended.progress, shown.len());
    page_is_sound(&shown);
}

/// 0 ≤ fraction ≤ 1, epoch ≤ epochs, time left ≤ what `max_seconds` leaves, speed within 20 % of the truth.
fn api_is_sound(reported: &Reported) {
    assert_sound(&reported.job);
    let view = serde_json::to_value(&reported.job).expect("plain data");
    let (progress, event) = (&view["progress"], serde_json::to_value(&reported.metrics).expect("plain data"));
    for name in ["step", "epoch", "fraction", "samples_per_second", "eta_seconds", "eta_at_most"] {
        assert_eq!(progress[name], event[name], "{name}");
    }
    assert_eq!(progress["eta_at_most"], true);
    assert_eq!((&view["metrics"]["loss"], &view["metrics"]["accuracy"]), (&event["loss"], &event["accuracy"]));
    // The first mini-batch says nothing of the speed.
    if progress["step"].as_u64() > Some(1) {
        let eta = progress["eta_seconds"].as_f64().expect("known from the second mini-batch on");
        assert!(eta <= reported.allowed + 1e-6, "{eta} of {}", reported.allowed);
        is_near(progress["samples_per_second"].as_f64(), reported.true_speed);
    }
    // A mini-batch of three seconds cannot be helped; neither can one with the warm-up of a run.
    assert!(reported.silence <= 5.1, "{}", reported.silence);
}

fn is_near(speed: Option<f64>, truth: Option<f64>) {
    let speed = speed.expect("known from the first report on");
    assert!(truth.is_none_or(|truth| (speed / truth - 1.0).abs() <= 0.2), "{speed} instead of {truth:?}");
}

fn command_line_is_sound(reported: &Reported) {
    for columns in [80, 60] {
        let line =
            ProgressLine::of(&reported.metrics, reported.job.progress.epochs).fit(columns, Paint::without_colours());
        let has_time = reported.metrics.eta_seconds.is_none() || line.ends_with(" left");
        assert!(line.chars().count() <= columns && has_time, "{line}");
        let of = line.strip_prefix("epoch ").and_then(|rest| rest.split_once(' ')).expect("the epoch").0;
        let (epoch, epochs) = of.split_once('/').expect("two numbers");
        assert!(epoch.parse::<u64>().expect("a number") <= epochs.parse().expect("a number"), "{line}");
        let percent = line.split(" %").next().and_then(|head| head.rsplit(' ').next()).expect("a share");
        assert!(percent.parse::<u64>().expect("a number") <= 100, "{line}");
    }
}

/// Where Node is, or `None` where there is none and that is allowed.
fn node() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|folder| folder.join("node")).find(|path| path.is_file());
    if found.is_none() {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!ci, "no Node found, and CI is true: install the package `nodejs`");
        eprintln!("\n*** NO NODE FOUND: what the page says was NOT tested. Install the package `nodejs`. ***\n");
    }
    found
}

const SCRIPT: &str = "
import { createInterface } from 'node:readline';
import { applyEvent, paceOf } from './progress.js';
for await (const line of createInterface({ input: process.stdin })) {
  const { job, event } = JSON.parse(line);
  console.log(paceOf(applyEvent(job, event)));
}
";

fn page_is_sound(shown: &[Shown]) {
    let Some(node) = node() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("static").join(name);
    for name in ["progress.js", "format.js"] {
        std::fs::copy(file(name), folder.path().join(name)).expect("a copy");
    }
    std::fs::write(folder.path().join("package.json"), "{\"type\": \"module\"}").expect("a file");
    std::fs::write(folder.path().join("main.js"), SCRIPT).expect("a file");
    let mut child = Command::new(node)
        .arg(folder.path().join("main.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let lines: Vec<_> = shown.iter().map(|one| json!({"job": one.job, "event": one.event}).to_string()).collect();
    let writer = std::thread::spawn(move || lines.iter().try_for_each(|line| writeln!(stdin, "{line}")));
    let output = child.wait_with_output().expect("node ends");
    writer.join().expect("no panic").expect("all is read");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.lines().count(), shown.len());
    for (line, one) in text.lines().zip(shown) {
        let parts: Vec<_> = line.split(" · ").collect();
        let [share, epoch, _, ref rest @ ..] = parts[..] else { panic!("{line}") };
        assert!(
            share.strip_suffix('%').is_some_and(|share| share.parse::<u64>().is_ok_and(|share| share <= 100)),
            "{line}"
        );
        let (epoch, epochs) =
            epoch.strip_prefix("Epoch ").and_then(|rest| rest.split_once(" of ")).expect("two numbers");
        assert!(epoch.parse::<u64>().expect("a number") <= epochs.parse().expect("a number"), "{line}");
        if rest.is_empty() && one.event["samples_per_second"].is_null() {
            continue;
        }
        let [speed, left] = rest[..] else { panic!("{line}") };
        assert!(left.starts_with("at most ") && left.ends_with(" left"), "{line}");
        let speed = speed.strip_suffix(" samples/s").expect("a speed");
        let speed = match speed.strip_suffix('k') {
            Some(thousands) => thousands.parse::<f64>().map(|thousands| thousands * 1e3),
            None => speed.parse(),
        };
        is_near(speed.ok(), one.true_speed);
    }
}
