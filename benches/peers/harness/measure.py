"""Runs one measurement: a fresh process on cores of its own, with a look at who else used them."""
import json
import os
import resource
import subprocess
import time
from dataclasses import dataclass, field

from . import machine

# Share of one processor that others may take before a measurement counts as disturbed.
NOISE = 0.05
TIMEOUT = 600


@dataclass(frozen=True)
class Cell:
    """What is measured: a place in one of the tables."""

    section: str
    peer: str
    net: str | None
    threads: int
    command: tuple
    environment: dict = field(default_factory=dict, hash=False, compare=False)
    images: int = 0

    def label(self):
        """What the progress calls it."""
        images = f", batch {self.images}" if self.images else ""
        return f"{self.section}: {self.peer} {self.net or ''}{images}, threads {self.threads}"


class Failed(Exception):
    """A process ended without a measurement."""


def children():
    """Seconds of processor time of the processes that we have waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def once(cell):
    """One process's line, with `foreign`: the share of one processor that others took meanwhile."""
    processors = machine.chosen(cell.threads)
    if processors is None:
        raise Failed(f"there are only {len(machine.cores())} cores")
    before, own, began = machine.busy(processors), children(), time.monotonic()
    try:
        done = subprocess.run(
            cell.command, env={**os.environ, **cell.environment}, capture_output=True, text=True, timeout=TIMEOUT,
            check=False, preexec_fn=lambda: os.sched_setaffinity(0, processors),
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"took longer than {TIMEOUT} s") from error
    except OSError as error:
        raise Failed(f"cannot be started: {error.strerror}") from error
    seconds = time.monotonic() - began
    foreign = max(0.0, machine.busy(processors) - before - (children() - own)) / seconds
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"]
        raise Failed(lines[-1][:200])
    try:
        line = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise Failed("printed no line of JSON") from error
    return {**line, "foreign": foreign, "process_seconds": seconds}


def quiet(cell, retries):
    """The least disturbed of up to `1 + retries` attempts; the first one that is not disturbed ends them."""
    best = None
    for attempt in range(1 + retries):
        line = once(cell)
        if best is None or line["foreign"] < best["foreign"]:
            best = line
        if best["foreign"] <= NOISE:
            break
    return {**best, "attempts": attempt + 1, "noisy": best["foreign"] > NOISE}
