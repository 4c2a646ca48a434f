//! The binary as a user runs it.

use std::process::{Command, Output};

use crate::harness::{Site, Stream, long_job, quick_job};

pub(crate) fn dojang(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dojang")).args(arguments).output().expect("the binary starts")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_names_every_command_and_wrong_usage_is_told() {
    let help = dojang(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for command in
        ["serve", "demo", "train", "watch", "cancel", "pause", "resume", "predict", "data", "backup", "doctor"]
    {
        assert!(text(&help.stdout).contains(command), "{command}");
        assert_eq!(dojang(&[command, "--help"]).status.code(), Some(0));
    }
    for wrong in [
        &["serv"][..],
        &["serve", "--listen", "x"],
        &["serve", "--slots", "0"],
        &["train"],
        &["train", "x.json", "--recipe", "x"],
    ] {
        let output = dojang(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty());
    }
}

#[test]
fn kernels_that_are_none_are_wrong_usage() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dojang"));
    let output = command.args(["data", "--help"]).env("DOJANG_KERNELS", "mmx").output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(0), "help needs no kernels");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dojang"));
    let output = command.args(["data", "list"]).env("DOJANG_KERNELS", "mmx").output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("DOJANG_KERNELS=mmx") && message.contains("portable"), "{message}");
}

#[test]
fn an_unreachable_server_is_an_error_not_a_panic() {
    // Port 9 of loopback: nobody listens there.
    let output = dojang(&["watch", "01890000-0000-7000-8000-000000000000", "--server", "http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("127.0.0.1:9") && !message.contains("panicked"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_paused_resumed_and_cancelled() {
    let site = Site::start().await;
    let job = site.client.submit(&long_job()).await;
    let mut stream = Stream::open(&site.client, &job, None).await;
    stream.until_state("running").await;
    for (command, said, then) in [
        ("pause", &["pausing", "paused"][..], "paused"),
        ("resume", &["queued", "running"], "running"),
        ("cancel", &["stopping", "cancelled"], "cancelled"),
    ] {
        let arguments = [command, &job, "--server", &site.base].map(str::to_owned);
        let run = move || dojang(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let output = tokio::task::spawn_blocking(run).await.expect("no panic");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(said.contains(&text(&output.stdout).trim()), "{}", text(&output.stdout));
        stream.until_state(then).await;
    }
    let arguments = ["pause".to_owned(), job, "--server".into(), site.base.clone()];
    let run = move || dojang(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(run).await.expect("no panic");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the job is cancelled"), "{}", text(&output.stderr));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn train_submits_watches_and_saves_the_weights() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (spec, weights) = (folder.path().join("spec.json"), folder.path().join("out.safetensors"));
    std::fs::write(&spec, quick_job().to_string()).expect("a file");
    let arguments: Vec<String> =
        ["train", &spec.to_string_lossy(), "--server", &site.base, "--output", &weights.to_string_lossy()]
            .map(str::to_owned)
            .to_vec();
    let run = move || dojang(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(run).await.expect("no panic");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let (_, jobs) = site.client.get("/v1/jobs").await;
    assert_eq!(jobs["data"][0]["status"], "succeeded");
    let bytes = std::fs::read(&weights).expect("the weights");
    assert!(safetensors::SafeTensors::deserialize(&bytes).is_ok());

    // A recipe, and one that there is not.
    for (recipe, code, word) in [("two_layer_net", 0, "Two-layer net"), ("two_layer_nte", 1, "did you mean")] {
        let arguments = ["train", "--recipe", recipe, "--server", &site.base].map(str::to_owned);
        let run = move || dojang(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let output = tokio::task::spawn_blocking(run).await.expect("no panic");
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(word), "{}", text(&output.stderr));
    }

    // A wrong spec: every fault with its pointer, and nothing submitted.
    std::fs::write(&spec, "{\n  \"dataset\": {\"name\": \"mnits\"},\n  \"network\": [\"relu\"]\n}").expect("a file");
    let arguments = ["train".to_owned(), spec.to_string_lossy().into_owned(), "--server".into(), site.base.clone()];
    let run = move || dojang(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(run).await.expect("no panic");
    assert_eq!(output.status.code(), Some(1));
    let message = text(&output.stderr);
    assert!(message.contains("dataset/name") && message.contains("mnist"), "{message}");
    assert_eq!(site.client.get("/v1/jobs").await.1["data"].as_array().map(Vec::len), Some(2));
    site.stop().await;
}
