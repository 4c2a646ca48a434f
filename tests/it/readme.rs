//! README: its commands run as they stand, against a real server, and print what it says.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::Site;
use crate::printed::{Numbers, difference, is_printed};
use crate::process::Process;
use crate::uploads::blobs;

/// Read when the test runs: whoever changes a word of it compiles nothing.
static README: LazyLock<String> =
    LazyLock::new(|| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md"));

/// Blocks that are not run, by something that they hold, and why.
const SKIPPED: [(&str, &str); 4] = [
    ("cargo test", "it is this test"),
    ("cargo install", "it takes minutes, and changes the user's installed programs"),
    ("docker compose", "it needs Docker, and a build of its own"),
    ("import torch", "it needs PyTorch"),
];
/// The longest that anything may take: a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// A fenced block of code.
struct Block {
    line: usize,
    language: &'static str,
    code: String,
    /// What it prints, where the next block says that.
    printed: Option<String>,
}

fn blocks() -> Vec<Block> {
    let mut found: Vec<Block> = vec![];
    let mut lines = README.lines().enumerate();
    while let Some((line, text)) = lines.next() {
        let Some(language) = text.strip_prefix("```") else { continue };
        let code: Vec<_> = lines.by_ref().map(|(_, text)| text).take_while(|text| *text != "```").collect();
        let code = code.join("\n");
        match found.last_mut() {
            Some(before) if language == "text" => before.printed = Some(code),
            _ => found.push(Block { line: line + 1, language, code, printed: None }),
        }
    }
    found
}

/// A process that does not outlive the test, and the file that it prints to.
struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    fn printed(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // By a signal that it can act upon: the demo removes its data.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), Signal::TERM);
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < Duration::from_secs(15) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the commands run, and what they run against.
struct Session {
    folder: tempfile::TempDir,
    server: Option<Process>,
    secret: String,
    receiver: Option<(Running, u16)>,
    numbers: Numbers,
}

impl Session {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let docs = folder.path().join("docs");
        fs::create_dir(&docs).expect("a folder");
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/digit.png"), docs.join("digit.png")).expect("a copy");
        let session = Self { folder, server: None, secret: String::new(), receiver: None, numbers: Numbers::Exact };
        session.write_commands();
        session
    }

    /// `dojang` and `cargo run --release -- …` are the binary of this test. `curl` shows no progress bar, and before it
    /// asks a model or reads one waits for all jobs, as a reader of the page does.
    fn write_commands(&self) {
        let bin = self.folder.path().join("bin");
        fs::create_dir(&bin).expect("a folder");
        let dojang = env!("CARGO_BIN_EXE_dojang");
        let scripts = [
            ("dojang", format!("exec '{dojang}' \"$@\"")),
            ("cargo", format!("[ \"$1 $2 $3\" = 'run --release --' ] || exit 9; shift 3; exec '{dojang}' \"$@\"")),
            (
                "curl",
                "PATH=${PATH#*:}\n\
                 case \"$*\" in */predict*|*/v1/models*)\n\
                 for status in queued running; do\n\
                 until curl -sS \"$BASE/v1/jobs?status=$status\" | grep -q '\"data\":\\[\\]'; do sleep 0.1; done\n\
                 done;; esac\n\
                 exec curl -sS --fail-with-body \"$@\""
                    .into(),
            ),
        ];
        for (name, script) in scripts {
            use std::os::unix::fs::PermissionsExt as _;
            let path = bin.join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a permission");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn base(&self) -> String {
        self.server.as_ref().map_or_else(String::new, |server| server.client.base().to_owned())
    }

    /// A command in the folder, whose output is one file.
    fn start(&self, program: &str, arguments: &[&str]) -> Running {
        let output = tempfile::NamedTempFile::new_in(self.folder.path()).expect("a file").into_temp_path();
        let output = output.keep().expect("a file");
        let file = File::create(&output).expect("a file");
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").expect("a PATH"));
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("BASE", self.base())
            .env("DOJANG_LISTEN", "127.0.0.1:0")
            .env("DOJANG_SERVER", self.base())
            .env("DOJANG_WEBHOOK_SECRET", &self.secret)
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
        Running { child, output }
    }

    /// Runs a command to its end, which must be a good one, and returns what it printed.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut running = self.start(program, arguments);
        let status = poll(|| running.child.try_wait().expect("a child"));
        let printed = running.printed();
        assert!(status.success(), "{arguments:?} ended with {status}: {printed}");
        printed
    }

    fn serve(&mut self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dojang"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--no-fetch", "--log-format", "json"]).args(arguments);
        command.current_dir(self.folder.path()).env("DOJANG_WEBHOOK_SECRET", &self.secret);
        if self.secret.is_empty() {
            command.env_remove("DOJANG_WEBHOOK_SECRET");
        }
        self.server = Some(Process::of(command));
    }

    /// Code with this session's server, receiver, and newest job.
    async fn filled(&self, code: &str) -> String {
        let code = code.replace("http://127.0.0.1:8080", &self.base());
        let code = match &self.receiver {
            Some((_, port)) => code.replace("127.0.0.1:9000", &format!("127.0.0.1:{port}")),
            None => code,
        };
        if !code.contains("/jobs/ID") {
            return code;
        }
        let server = self.server.as_ref().expect("a server");
        let (_, jobs) = server.client.get("/v1/jobs?limit=1").await;
        code.replace("/jobs/ID", &format!("/jobs/{}", jobs["data"][0]["id"].as_str().expect("a job")))
    }

    async fn python(&mut self, block: &Block) -> String {
        if block.code.contains("HTTPServer(") {
            let port = free_port();
            let code = block.code.replace("9000", &port.to_string());
            self.receiver = Some((self.start("python3", &["-c", &code]), port));
            return String::new();
        }
        if block.code.contains("import numpy") && !has_numpy() {
            eprintln!("SKIPPED: README line {}: NumPy is not installed; its archive is written otherwise", block.line);
            fs::write(self.path("blobs.npz"), blobs()).expect("a file");
            return String::new();
        }
        let code = self.filled(&block.code).await;
        self.run("python3", &["-c", &code])
    }

    async fn shell(&mut self, block: &Block) -> String {
        let code = &block.code;
        if code == "cargo run --release -- serve" {
            self.serve(&[]);
            return String::new();
        }
        if let Some(secret) = code.strip_suffix("\ndojang serve --webhook-allow-private") {
            self.secret = self.run("bash", &["-ec", &format!("{secret}\nprintf %s \"$DOJANG_WEBHOOK_SECRET\"")]);
            self.stop().await;
            self.serve(&["--webhook-allow-private"]);
            return String::new();
        }
        if code == "cargo run --release -- demo" {
            let demo = self.start("bash", &["-ec", code]);
            // It serves on until somebody has enough.
            return poll(|| Some(demo.printed()).filter(|text| text.contains("Ctrl-C ends the demo")));
        }
        if let Some((before, after)) = code.split_once(" && dojang serve --data-dir restored") {
            let printed = self.run("bash", &["-ec", before]);
            let (_, jobs) = self.server.as_ref().expect("a server").client.get("/v1/jobs").await;
            let mut other = Self { server: None, receiver: None, secret: String::new(), ..Self::new() };
            let restored = self.path("restored");
            other.serve(&["--data-dir", restored.to_str().expect("text")]);
            let (_, copied) = other.server.as_ref().expect("a server").client.get("/v1/jobs").await;
            assert_eq!(copied["data"], jobs["data"], "a backup has all jobs");
            other.stop().await;
            return printed + &self.run("bash", &["-ec", after]);
        }
        let code = self.filled(code).await;
        // A refusal is an error only where README does not show it.
        let refused = block.printed.as_ref().is_some_and(|printed| printed.contains("\"status\":4"));
        let code = if refused { format!("! {{ {code}\n}} 2>/dev/null") } else { code };
        let printed = self.run("bash", &["-eo", "pipefail", "-c", &code]);
        match (&self.receiver, code.contains("\"webhook\"")) {
            (Some((receiver, _)), true) => poll(|| Some(receiver.printed()).filter(|text| text.contains(" 204 "))),
            _ => printed,
        }
    }

    async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            assert_eq!(server.stop(Signal::TERM).await, Some(0));
        }
    }
}

/// Waits for something that comes in time.
fn poll<T>(mut there: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = there() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "it comes in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn has_numpy() -> bool {
    let found = Command::new("python3").args(["-c", "import numpy"]).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Tools without which nothing of the page can be run.
fn missing_tool() -> Option<&'static str> {
    ["bash", "curl", "python3", "base64"].into_iter().find(|tool| {
        let version = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        !version.is_ok_and(|status| status.success())
    })
}

/// The kernels that README says its output is of.
fn stated_kernels() -> &'static str {
    let (_, after) = README.split_once("with its `").expect("README says with which kernels it was printed");
    after.split_once("` kernels").expect("the name of kernels").0
}

#[tokio::test(flavor = "multi_thread")]
async fn its_commands_print_what_it_says() {
    if let Some(tool) = missing_tool() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{tool} is needed");
        eprintln!("SKIPPED: {tool} is not installed: README's commands were not run");
        return;
    }
    let kernels = dojang::engine::processor::check().expect("kernels");
    let mut session = Session::new();
    if kernels != stated_kernels() {
        session.numbers = Numbers::Places;
        eprintln!(
            "README was printed with the kernels {}, these are {kernels}: numbers are not compared",
            stated_kernels()
        );
    }
    let (mut ran, mut wrong) = (0, vec![]);
    for block in blocks() {
        if let Some((_, why)) = SKIPPED.iter().find(|(word, _)| block.code.contains(word)) {
            eprintln!("SKIPPED: README line {}: {why}", block.line);
            continue;
        }
        let printed = match block.language {
            "sh" => session.shell(&block).await,
            "python" => session.python(&block).await,
            other => panic!("README line {}: nobody knows how to run `{other}`", block.line),
        };
        ran += 1;
        let numbers = session.numbers;
        // All that is wrong at once: a run takes a while.
        if let Some(expected) = block.printed.filter(|expected| !is_printed(expected, &printed, numbers)) {
            wrong.push(format!("README line {}:\n{}", block.line, difference(&expected, &printed, numbers)));
        }
    }
    session.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(ran >= 15, "only {ran} blocks were run");
}

/// Rows of the table of limits, and a request just within and just beyond each.
#[tokio::test(flavor = "multi_thread")]
async fn its_limits_are_those_of_the_server() {
    let site = Site::start_with(|config| config.max_queued = 1000).await;
    let status = async |method: &str, path: &str, body: Vec<u8>| {
        let request = site.client.request(method, path).body(body);
        request.send().await.expect("an answer").status().as_u16()
    };
    let spaces = |bytes: usize| vec![b' '; bytes];
    let row = |row: &str| assert!(README.contains(row), "README: {row}");
    row("| body of a request; a JSON document, such as a spec | 16 MiB; 1 MiB | 413 |");
    assert_eq!(status("POST", "/predict", spaces((16 << 20) + 1)).await, 413);
    assert_eq!(status("POST", "/v1/jobs", spaces((1 << 20) + 1)).await, 413);
    assert_eq!(status("POST", "/v1/jobs", spaces(1 << 20)).await, 422, "an empty spec");
    row("| a page of a list | `limit` 1 to 200, by default 50 (events 10,000 and 500, samples 100 and 20) | 400 |");
    for (path, most) in
        [("/v1/jobs", 200), ("/v1/models", 200), ("/v1/datasets", 200), ("/v1/datasets/mnist/samples", 100)]
    {
        assert_eq!(status("GET", &format!("{path}?limit={most}"), vec![]).await, 200, "{path}");
        assert_eq!(status("GET", &format!("{path}?limit={}", most + 1), vec![]).await, 400, "{path}");
    }
    row("| epochs, steps, batch size | 1,000,000; 1,000,000,000; 1,048,576 | 422 |");
    for (member, most) in [("epochs", 1_000_000_u64), ("steps", 1_000_000_000), ("batch_size", 1_048_576)] {
        for (value, expected) in [(most, 200), (most + 1, 422)] {
            let spec = format!("{{\"recipe\": \"perceptron_and\", \"{member}\": {value}}}");
            assert_eq!(status("POST", "/v1/jobs?dry_run=true", spec.into()).await, expected, "{member} {value}");
        }
    }
    row("| `/predict` | 1024 inputs | 413 |");
    let id = site.client.submit(&serde_json::json!({"recipe": "perceptron_and"})).await;
    site.client.finished(&id).await;
    for (count, expected) in [(1024, 200), (1025, 413)] {
        let points = vec!["[0,1]"; count].join(",");
        assert_eq!(status("POST", "/predict", format!("[{points}]").into()).await, expected, "{count} inputs");
    }
    row("| `Idempotency-Key` | 255 characters, remembered for 24 hours | 400 |");
    for (length, expected) in [(255, 422), (256, 400)] {
        let request = site.client.request("POST", "/v1/jobs").header("idempotency-key", "k".repeat(length)).body("{}");
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), expected, "{length}");
    }
    row("| upload of a dataset or of weights | 512 MiB, 32 parts, 256 KiB a text field | 413, 400, 422 |");
    for path in ["/v1/datasets", "/v1/models"] {
        let parts = |count| vec![("x", false, &b"x"[..]); count];
        assert_eq!(site.client.post_form(path, &parts(31)).await.0, 422);
        assert_eq!(site.client.post_form(path, &parts(33)).await.0, 400);
    }
    row("| connections | 2048 at once |");
    row("| a request's header; a pause within its body | 30 s; 20 s |");
    let limits = dojang::app::Config::new(PathBuf::from("x")).limits;
    assert_eq!((limits.connections, limits.header_timeout.as_secs(), limits.write_stall.as_secs()), (2048, 30, 20));
    site.stop().await;
}
