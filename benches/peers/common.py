"""What the peers' scripts share: arguments, data, the stopwatch, and the line of JSON that each prints.

The numbers of threads of the libraries are set by the environment, before the scripts start: see harness/peers.py.
"""
import argparse
import gzip
import itertools
import json
import math
import os
import statistics
import time
from pathlib import Path

import nets

SAMPLES = 60_000
# Windows that the measured time is cut into, and fewest of them.
WINDOWS = 10
FEWEST = 3


def arguments(text, **more):
    """The command line's arguments; `more` are further ones with their defaults."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--net", default="P1", help="the net's name")
    parser.add_argument("--file", default=nets.PEERS, help="the JSON file that has the net")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds to measure, about")
    for name, default in more.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    return parser.parse_args()


def net(args):
    """The net that the arguments name."""
    return nets.read(args.file)[args.net]


def idx(folder, name, header):
    """The values of one of MNIST's files, gzip-compressed or not."""
    import numpy as np

    path = Path(folder) / name
    content = path.read_bytes() if path.exists() else gzip.decompress(path.with_name(f"{name}.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=header).copy()


def mnist(folder, part):
    """Images [N, 784] as bytes and labels [N] of `train` or `t10k`."""
    images = idx(folder, f"{part}-images-idx3-ubyte", 16).reshape(-1, 784)
    return images, idx(folder, f"{part}-labels-idx1-ubyte", 8)


def samples(width):
    """Samples [N, width] as bytes, labels [N] and their name: MNIST's where it fits and DOJANG_MNIST_DIR names its
    folder, otherwise random ones, four fifths of them zeros, as of handwriting."""
    import numpy as np

    folder = os.environ.get("DOJANG_MNIST_DIR")
    if folder and width == 784:
        return *mnist(folder, "train"), "mnist"
    rng = np.random.default_rng(1)
    x = np.empty((SAMPLES, width), np.uint8)
    # Part by part: the peak of memory is to be the training's.
    for part in np.array_split(x, 100):
        kept = rng.integers(0, 5, part.shape, dtype=np.uint8) == 0
        part[:] = rng.integers(0, 256, part.shape, dtype=np.uint8) * kept
    return x, (np.arange(SAMPLES) % 10).astype(np.uint8), "random"


def inputs(shape, images):
    """Without end, inputs [images, *shape] of predictions as floats, 4096 images by turns, and the images' name."""
    import numpy as np

    x, _, name = samples(math.prod(shape))
    calls = max(4096 // images, 1)
    taken = np.take(x, np.arange(calls * images), axis=0, mode="wrap").astype(np.float32) / 255
    return itertools.cycle(np.ascontiguousarray(taken.reshape(calls, images, *shape))), name


def batches(size, shuffle):
    """Without end, indices of mini-batches; `shuffle` gives all indices in another order for each epoch."""
    while True:
        order = shuffle()
        for first in range(0, len(order) - size + 1, size):
            yield order[first : first + size]


def throughput(step, samples, seconds, finish=lambda: None):
    """Samples a second of repeated steps of so many samples: of each window, after a warm-up of a quarter of the time.

    `finish` waits for what a step has only begun.
    """
    began, steps = time.perf_counter(), 0
    while steps < 3 or time.perf_counter() - began < seconds / 4:
        if steps == 1:
            # The first one compiles and allocates.
            finish()
            began = time.perf_counter()
        step()
        steps += 1
    finish()
    pace = (steps - 1) / (time.perf_counter() - began)
    stride = max(1, int(pace * seconds / WINDOWS))
    began, rates = time.perf_counter(), []
    while len(rates) < FEWEST or time.perf_counter() - began < seconds:
        window = time.perf_counter()
        for _ in range(stride):
            step()
        finish()
        rates.append(stride * samples / (time.perf_counter() - window))
    return rates


def latency(call, seconds):
    """Seconds of each of repeated calls, after a warm-up of a quarter of the time."""
    began = time.perf_counter()
    while time.perf_counter() - began < seconds / 4:
        call()
    began, times = time.perf_counter(), []
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def status(field):
    """Bytes that Linux gives a field of this process's memory, such as VmHWM, its peak; None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def print_line(peer, version, args, **measured):
    """Prints the measurement."""
    line = {"peer": peer, "version": version, "net": args.net, "threads": args.threads, **measured}
    print(json.dumps(line), flush=True)


def print_training(peer, version, args, rates, **more):
    """Prints a measured training."""
    median = statistics.median(rates)
    print_line(peer, version, args, samples_per_second=median, windows=rates, peak_memory_bytes=status("VmHWM"), **more)


def print_inference(peer, version, args, times, **more):
    """Prints measured predictions of `args.images` images each."""
    times = sorted(times)
    typical = statistics.median(times)
    print_line(
        peer, version, args, images=args.images, images_per_second=args.images / typical,
        p50_microseconds=typical * 1e6, p99_microseconds=times[min(len(times) - 1, int(len(times) * 0.99))] * 1e6,
        **more,
    )
