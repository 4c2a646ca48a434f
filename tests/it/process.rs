//! The binary as a process that can be killed.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::Client;

/// A process that does not outlive a test that fails.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that serves.
pub(crate) struct Process {
    child: Owned,
    pub(crate) client: Client,
}

/// What starts a server on a folder in which `small_mnist` was made.
pub(crate) fn command(folder: &Path, threads: usize) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dojang"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--no-fetch", "--log-format", "json"])
        .args(["--threads", &threads.to_string()])
        .arg("--data-dir")
        .arg(folder.join("data"))
        .arg("--mnist-dir")
        .arg(folder.join("small-mnist"));
    command
}

impl Process {
    /// Starts a server and waits until it serves.
    pub(crate) fn start(folder: &Path, threads: usize) -> Self {
        Self::of(command(folder, threads))
    }

    /// As [`start`](Self::start), by this command.
    pub(crate) fn of(mut command: Command) -> Self {
        let spawned = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut child = Owned(spawned.expect("the binary starts"));
        let mut log = BufReader::new(child.0.stderr.take().expect("piped")).lines();
        let addr = loop {
            let line = log.next().expect("a line that says where it serves").expect("text");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            if let Some(addr) = line["fields"]["addr"].as_str().or_else(|| line["addr"].as_str()) {
                break addr.to_owned();
            }
        };
        // The pipe is read to its end, so that the server never waits for it.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, client: Client::new(&format!("http://{addr}")) }
    }

    /// Starts a server whose log nobody may be able to read, on a port that is free, and waits until it is ready.
    pub(crate) async fn unheard(command: &mut Command) -> Self {
        // Taken and given back: nobody else asks for it in the meantime, as the system hands out others first.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let child =
            Owned(command.env("DOJANG_LISTEN", format!("127.0.0.1:{port}")).spawn().expect("the binary starts"));
        let process = Self { child, client: Client::new(&format!("http://127.0.0.1:{port}")) };
        let deadline = Instant::now() + Duration::from_secs(30);
        while process.client.request("GET", "/readyz").send().await.is_err() {
            assert!(Instant::now() < deadline, "it does not serve");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process
    }

    /// Memory of the process in bytes, as Linux tells it by this name: `VmRSS` now, `VmHWM` at its peak.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.0.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(name)).expect("the line");
        let kibibytes: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        kibibytes * 1024
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub(crate) fn kill(mut self) {
        self.child.0.kill().expect("it runs");
        self.child.0.wait().expect("it ends");
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child.0);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Asks it to stop, and returns its exit code.
    #[cfg(unix)]
    pub(crate) async fn stop(self, signal: rustix::process::Signal) -> Option<i32> {
        self.signal(signal);
        self.ended().await
    }

    /// Waits for its end, which must come within the ten seconds that `docker stop` waits.
    pub(crate) async fn ended(mut self) -> Option<i32> {
        let ended = tokio::task::spawn_blocking(move || self.child.0.wait().expect("it ends").code());
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("it ends in time").expect("no panic")
    }
}
