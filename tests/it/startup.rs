//! What is found wrong before anything is made, and signals that a server inherits or gets.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;

use crate::command_line::text;
use crate::harness::{Site, long_job, small_mnist};
use crate::process::{Process, command};

/// Starts a command that must fail, in this folder.
fn fails(folder: &Path, arguments: &[&str], variable: Option<(&str, &Path)>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dojang"));
    command.args(arguments).current_dir(folder).envs(variable);
    let Output { status, stdout, stderr } = command.output().expect("the binary starts");
    let message = text(&stderr);
    assert_eq!((status.code(), text(&stdout).as_str()), (Some(1), ""), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    assert!(fs::read_dir(folder).expect("a folder").next().is_none(), "it leaves something: {message}");
    message
}

#[test]
fn a_port_that_is_taken_is_found_before_anything_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("an address").to_string();
    let message = fails(folder.path(), &["serve", "--listen", &taken, "--data-dir", "a/b"], None);
    assert!(message.contains(&taken) && message.contains("--listen"), "{message}");
    let message = fails(folder.path(), &["serve", "--listen", "192.0.2.1:0", "--data-dir", "a/b"], None);
    assert!(message.contains("no such address"), "{message}");
}

#[test]
fn a_folder_without_its_dataset_is_an_error_at_the_start() {
    let (folder, data) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (file, empty, part) = (data.path().join("file"), data.path().join("empty"), small_mnist(data.path()));
    fs::write(&file, "x").expect("a file");
    fs::create_dir(&empty).expect("a folder");
    fs::remove_file(part.join("t10k-labels-idx1-ubyte")).expect("it was there");
    let none = data.path().join("none");
    for (given, fault) in [
        (&none, "there is no such folder"),
        (&file, "it is not a folder"),
        (&empty, "it lacks train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte"),
        (&part, "it lacks t10k-labels-idx1-ubyte"),
    ] {
        for (option, variable) in
            [("--mnist-dir", "DOJANG_MNIST_DIR"), ("--fashion-mnist-dir", "DOJANG_FASHION_MNIST_DIR")]
        {
            let path = given.to_str().expect("text");
            let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "a"];
            let messages = [
                fails(folder.path(), &[&serve[..], &[option, path]].concat(), None),
                fails(folder.path(), &serve, Some((variable, given))),
                fails(folder.path(), &["demo", "--until-done", "--listen", "127.0.0.1:0", option, path], None),
                fails(folder.path(), &["data", "list", "--data-dir", "a", option, path], None),
            ];
            for message in messages {
                assert!(message.contains(option) && message.contains(path) && message.contains(fault), "{message}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_that_is_not_here_is_not_available() {
    for fetch in [false, true] {
        let site = Site::start_with(|config| config.fetch = fetch).await;
        let datasets = site.client.get("/v1/datasets").await.1["data"].clone();
        let of =
            |name| datasets.as_array().expect("a list").iter().find(|one| one["name"] == name).expect("it").clone();
        for here in ["mnist", "digits", "xor"] {
            let one = of(here);
            assert_eq!(
                (&one["available"], &one["downloadable"], &one["detail"]),
                (&json!(true), &json!(false), &json!(null))
            );
        }
        let missing = of("fashion_mnist");
        assert_eq!((&missing["available"], &missing["downloadable"]), (&json!(false), &json!(fetch)));
        let detail = missing["detail"].as_str().expect("a reason");
        assert!(detail.contains(if fetch { "is downloaded at its first use" } else { "--no-fetch" }), "{detail}");
        if !fetch {
            let mut spec = long_job();
            spec["dataset"]["name"] = json!("fashion_mnist");
            let (status, problem) = site.client.post("/v1/jobs", &spec).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
            let error = &problem["errors"][0];
            assert_eq!(error["pointer"], "#/dataset/name");
            assert!(error["detail"].as_str().expect("text").contains("`fashion_mnist` is not available"), "{error}");
        }
        site.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_stops_in_order_and_one_that_is_ignored_does_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    small_mnist(folder.path());
    let process = Process::start(folder.path(), 1);
    let job = process.client.submit(&long_job()).await;
    // A terminal that goes sends it twice.
    process.signal(Signal::HUP);
    process.signal(Signal::HUP);
    assert_eq!(process.ended().await, Some(0));

    let serve = command(folder.path(), 1);
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(serve.get_program()).args(serve.get_args());
    let process = Process::of(nohup);
    for _ in 0..3 {
        process.signal(Signal::HUP);
        assert_eq!(process.client.get("/readyz").await.0, StatusCode::OK);
    }
    assert!(process.client.job(&job).await["status"] != "failed");
    assert_eq!(process.stop(Signal::TERM).await, Some(0));
}
