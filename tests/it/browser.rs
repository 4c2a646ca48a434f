//! A page in a real Chromium, driven over a pipe by the Chrome DevTools Protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>): JSON messages, a zero byte after each.
//!
//! The crates that know the whole protocol take minutes to compile; six of its methods are needed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long Chromium may take to answer, or a page to become what is expected.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a Chromium is, or `None` where there is none and that is allowed.
pub(crate) fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.is_file());
    if found.is_none() {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!ci, "no Chromium found, and CI is true: install the package `chromium`");
        eprintln!("\n*** NO CHROMIUM FOUND: the dashboard was NOT tested. Install the package `chromium`. ***\n");
    }
    found
}

/// The two ends of the pipe.
struct Pipe {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// Of the last message that was sent.
    id: u64,
    /// What the page threw and nobody caught.
    thrown: Vec<Value>,
}

impl Pipe {
    /// Sends a command and waits for what comes of it.
    async fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Result<Value, String> {
        self.id += 1;
        let mut message = json!({"id": self.id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).await.map_err(|error| error.to_string())?;
        loop {
            let mut answer = self.next().await?;
            if answer["id"] == self.id {
                let error = answer.get("error").map(Value::to_string);
                return error.map_or_else(|| Ok(answer["result"].take()), Err);
            }
            if answer["method"] == "Runtime.exceptionThrown" {
                self.thrown.push(answer["params"].take());
            }
        }
    }

    /// The next message: an answer or an event.
    async fn next(&mut self) -> Result<Value, String> {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).await.map_err(|error| error.to_string())?;
        if message.pop() != Some(0) {
            return Err("Chromium is gone".into());
        }
        serde_json::from_slice(&message).map_err(|error| error.to_string())
    }
}

/// The one page of a Chromium of its own, which ends with it.
pub(crate) struct Page {
    pipe: Mutex<Pipe>,
    session: String,
    child: Child,
    _profile: TempDir,
}

impl Page {
    /// Starts a Chromium and opens an empty page.
    pub(crate) async fn open(chromium: &Path) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        // It reads commands from the file descriptor 3 and answers on 4.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#])
            .arg(chromium)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(["--remote-debugging-pipe", "--headless", "--no-sandbox", "--window-size=1280,900"])
            .args(["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "about:blank"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Chromium starts");
        let (to, from) = child.stdin.take().zip(child.stdout.take()).expect("pipes");
        let mut pipe = Pipe { to, from: BufReader::new(from), id: 0, thrown: Vec::new() };
        let session = timeout(PATIENCE, Self::attach(&mut pipe)).await.expect("Chromium answers").expect("a page");
        Self { pipe: Mutex::new(pipe), session, child, _profile: profile }
    }

    async fn attach(pipe: &mut Pipe) -> Result<String, String> {
        let page = pipe.call(None, "Target.createTarget", json!({"url": "about:blank"})).await?;
        let target = json!({"targetId": page["targetId"], "flatten": true});
        let attached = pipe.call(None, "Target.attachToTarget", target).await?;
        let session = attached["sessionId"].as_str().ok_or("no session")?.to_owned();
        pipe.call(Some(&session), "Runtime.enable", json!({})).await?;
        Ok(session)
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, String> {
        let mut pipe = self.pipe.lock().await;
        let answer = timeout(PATIENCE, pipe.call(Some(&self.session), method, params)).await;
        answer.unwrap_or_else(|_| panic!("Chromium does not answer to {method}"))
    }

    /// Goes to an address.
    pub(crate) async fn navigate(&self, url: &str) {
        self.call("Page.navigate", json!({"url": url})).await.expect("the page is there");
    }

    /// The value of a JavaScript expression.
    async fn evaluate(&self, expression: &str) -> Result<Value, String> {
        let params = json!({"expression": expression, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", params).await?;
        let thrown = answer.get("exceptionDetails").map(Value::to_string);
        thrown.map_or_else(|| Ok(answer["result"]["value"].take()), Err)
    }

    /// Runs JavaScript that must not throw.
    pub(crate) async fn run(&self, script: &str) {
        self.evaluate(script).await.expect("a script that does not throw");
    }

    /// The value of an expression that has one.
    pub(crate) async fn value<T: DeserializeOwned>(&self, expression: &str) -> T {
        let value = self.evaluate(expression).await.expect("an expression that does not throw");
        serde_json::from_value(value).expect("a value of that type")
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&self, what: &str, expression: &str) {
        let wait = async {
            // While a page loads there may be nothing to ask.
            while self.evaluate(expression).await != Ok(Value::Bool(true)) {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        };
        if timeout(PATIENCE, wait).await.is_err() {
            let text = self.evaluate("document.body.innerText").await;
            panic!("{what} did not come; the page says:\n{text:?}");
        }
    }

    /// Presses (`mousePressed`), moves or releases the left button of the mouse.
    pub(crate) async fn mouse(&self, event: &str, x: f64, y: f64) {
        let params = json!({"type": event, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1});
        self.call("Input.dispatchMouseEvent", params).await.expect("the page takes it");
    }

    /// Ends the Chromium. Returns what the page threw and nobody caught.
    pub(crate) async fn close(mut self) -> Vec<Value> {
        let end = async {
            // It may be gone before it answers.
            let _ = self.pipe.get_mut().call(None, "Browser.close", json!({})).await;
            self.child.wait().await
        };
        timeout(PATIENCE, end).await.expect("Chromium ends").expect("an end");
        self.pipe.into_inner().thrown
    }
}
