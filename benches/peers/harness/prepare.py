"""What must be there before anything is measured: the virtual environment, dojang's side, the peers in Rust."""
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

PEERS = Path(__file__).resolve().parent.parent
ROOT = PEERS.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
WORK = TARGET / "peers"
REQUIREMENTS = PEERS / "requirements.txt"


def say(text):
    """Progress goes to stderr."""
    print(text, file=sys.stderr, flush=True)


def environment(folder):
    """The Python of a virtual environment with the peers; what cannot be installed is said, and found missing later."""
    if folder is not None:
        return Path(folder) / "bin" / "python"
    folder = WORK / "venv"
    python, mark = folder / "bin" / "python", folder / "installed.txt"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return python
    say(f"making the virtual environment {folder}; this downloads a few gigabytes once")
    try:
        # With links it completes one that was left half made.
        venv.create(folder, symlinks=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"the virtual environment cannot be made, the peers in Python will be missing: {error}")
        return python
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", str(REQUIREMENTS)]
    if subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=False).returncode == 0:
        mark.write_text(wanted, encoding="utf-8")
        return python
    # One by one: a package that is not to be had for this machine must not stop the others.
    for line in wanted.splitlines():
        name = line.partition("#")[0].strip()
        if name and subprocess.run([*pip, name], check=False).returncode != 0:
            say(f"{name} cannot be installed; its peers will be missing")
    return python


def versions(python):
    """The versions of the peers' packages that are installed, by name."""
    names = [line.partition("==")[0] for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if "==" in line]
    script = (
        "import json, sys\nfrom importlib.metadata import PackageNotFoundError, version\nfound = {}\n"
        "for name in sys.argv[1:]:\n try: found[name] = version(name)\n except PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    try:
        done = subprocess.run([python, "-c", script, *names], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return json.loads(done.stdout)


def built(command, folder, name):
    """Builds with cargo and returns the executable of this name, None if that fails."""
    command = ["cargo", *command, "--locked", "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        return None
    messages = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    # A bench brings the package's binary along, in either order.
    made = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == name]
    return made[-1] if made else None


def dojang():
    """dojang's side."""
    say("building dojang")
    return built(["build", "--release", "--bench", "peer"], ROOT, "peer")


def rust_peer(name):
    """A peer in Rust, a workspace of its own."""
    say(f"building {name}")
    return built(["build", "--release", "--target-dir", str(WORK / "rust")], PEERS / name, f"dojang-bench-{name}")


def commit():
    """dojang's commit, with a plus where the tree has been changed since; empty outside a repository."""
    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""
