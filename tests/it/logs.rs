//! A stderr that is closed, full, or never read: jobs are trained all the same, and the server stops when it is told to.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use crate::harness::small_mnist;
use crate::metrics::scrape;
use crate::process::Process;

/// The least pipe that there is, in bytes.
const LEAST_PIPE: usize = 4096;

/// A server in a folder of its own that takes the port which the variable names.
fn serve(folder: &Path, log: &str) -> Command {
    small_mnist(folder);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dojang"));
    command.args(["serve", "--no-fetch", "--threads", "1", "--log-format", "json"]).env("DOJANG_LOG", log);
    command.arg("--data-dir").arg(folder.join("data")).stdout(Stdio::null());
    command
}

fn xor() -> Value {
    json!({
        "dataset": {"name": "xor"}, "network": [{"type": "affine", "units": 8}, {"type": "tanh"}, {"type": "affine", "units": 2}],
        "batch_size": 4, "epochs": 20,
    })
}

/// A pipe that holds little and is not read unless somebody reads it.
fn small_pipe() -> (File, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    fcntl_setpipe_size(&writer, LEAST_PIPE).expect("a small pipe");
    (reader.into(), writer)
}

/// Trains some jobs; the server stays ready, and says that so many lines are missing in its log, or more.
async fn trains(process: &Process, least_dropped: f64) {
    for _ in 0..5 {
        let job = process.client.submit(&xor()).await;
        assert_eq!(process.client.finished(&job).await["status"], "succeeded");
    }
    assert_eq!(process.client.get("/readyz").await.0, StatusCode::OK);
    // Some lines more, until the queue is full; and its thread is behind by a little.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let dropped = scrape(&process.client).await["dojang_log_lines_dropped_total"];
        if dropped >= least_dropped {
            return;
        }
        assert!(Instant::now() < deadline, "{dropped} lines dropped");
        for _ in 0..20 {
            assert_eq!(process.client.get("/v1/jobs").await.0, StatusCode::OK);
        }
    }
}

/// SIGTERM ends it in order, and soon.
async fn stops(process: Process) {
    let began = Instant::now();
    assert_eq!(process.stop(Signal::TERM).await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_whose_reader_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (reader, writer) = small_pipe();
    let process = Process::unheard(serve(folder.path(), "info").stderr(writer)).await;
    drop(reader);
    // Each job has at least two lines.
    trains(&process, 10.0).await;
    stops(process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_that_nobody_drains() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let folder = tempfile::tempdir().expect("a folder");
        // As by `2>&1 | …`: both ends of the output go there.
        let (mut reader, writer) = small_pipe();
        let stdout = writer.try_clone().expect("another handle");
        let process = Process::unheard(serve(folder.path(), "trace").stderr(writer).stdout(stdout)).await;
        trains(&process, 1.0).await;
        // It waits for its last lines a moment, in vain.
        let began = Instant::now();
        assert_eq!(process.stop(signal).await, Some(0));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let mut text = Vec::new();
        reader.read_to_end(&mut text).expect("what the pipe holds");
        assert!(text.len() <= LEAST_PIPE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_that_is_drained_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (reader, writer) = small_pipe();
    let process = Process::unheard(serve(folder.path(), "trace").stderr(writer)).await;
    trains(&process, 1.0).await;
    let dropped = scrape(&process.client).await["dojang_log_lines_dropped_total"];
    let lines = std::thread::spawn(move || {
        let parse = |line: std::io::Result<String>| serde_json::from_str(&line.expect("text")).expect("a JSON line");
        BufReader::new(reader).lines().map(parse).collect::<Vec<Value>>()
    });
    trains(&process, dropped).await;
    stops(process).await;
    let lines = lines.join().expect("no panic");
    let missing: u64 = lines.iter().filter_map(|line| line["dropped"].as_u64()).sum();
    assert!(missing as f64 >= dropped, "{missing} lines are said to be missing, of {dropped}");
    assert_eq!(lines.last().expect("a line")["message"], "stopped", "the last lines are there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pty");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(&name, flags, rustix::fs::Mode::empty()).expect("its other side");
    let process = Process::unheard(serve(folder.path(), "info").stderr(terminal)).await;
    drop(master);
    trains(&process, 10.0).await;
    stops(process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "there is no /dev/full");
        return println!("skipped: there is no /dev/full");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let process = Process::unheard(serve(folder.path(), "info").stderr(full)).await;
    trains(&process, 10.0).await;
    stops(process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stderr_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let serve = serve(folder.path(), "info");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" >&- 2>&- <&-", "sh"]).arg(serve.get_program()).args(serve.get_args());
    command.env("DOJANG_LOG", "info");
    let process = Process::unheard(&mut command).await;
    trains(&process, 0.0).await;
    stops(process).await;
}

/// Runs a command with its output going somewhere, by the shell; returns its exit code and what came out all the same.
fn run(folder: &Path, arguments: &str, output: &str) -> (Option<i32>, String) {
    let line = format!("{{ \"$DOJANG\" {arguments}; echo $? >&3; }} 3>code {output}");
    let mut command = Command::new("sh");
    command.args(["-c", &line]).env("DOJANG", env!("CARGO_BIN_EXE_dojang")).current_dir(folder);
    let output = command.output().expect("a shell");
    let code = std::fs::read_to_string(folder.join("code")).expect("an exit code");
    (code.trim().parse().ok(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn commands_whose_output_is_not_wanted_end_quietly() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("xor.json"), xor().to_string()).expect("a file");
    let train = "train --local --no-fetch xor.json";
    let demo = "demo --until-done --no-fetch --listen 127.0.0.1:0";
    for (command, output) in [
        ("--help", "| true"),
        ("data list", "| head -1"),
        (train, "| true"),
        (train, "2>&1 | true"),
        (train, ">&- 2>&-"),
        (train, "2>/dev/full"),
        (demo, "2>&1 | head -1"),
    ] {
        let (code, text) = run(folder.path(), command, output);
        assert_eq!(code, Some(0), "{command} {output}: {text}");
        assert!(!text.contains("panicked"), "{command} {output}: {text}");
    }
    for command in [train, "data list"] {
        let (code, text) = run(folder.path(), command, ">/dev/full");
        assert!(code == Some(1) && text.contains("cannot write to stdout"), "{command}: {code:?}: {text}");
    }
}
