"""The tables, in Markdown."""
import math
import statistics

import nets

from .peers import ALL
from .results import number

TITLES = {peer.name: peer.title for peer in ALL}
# Shares of the ceiling that are thought achievable; on two cores.
ACHIEVABLE = {"P1": 0.55, "P2": 0.66, "P3": 0.65, "P4": 0.75}
# Least share of the bare loop's speed that a job is to have.
JOB = 0.97
LEGEND = (
    "Medians of the rounds (least–most); every measurement is a process of its own, pinned to its cores, all peers in "
    "turn. `~`: other processes took more than 5 % of a core too often. ×: how many times as fast dojang is. "
    "Compare within this run only."
)


def table(head, rows):
    """A table of texts."""
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)] + [""]


def against(ours, theirs, faster_is_more=True):
    """How many times as fast ours is."""
    if ours is None or theirs is None:
        return ""
    ratio = ours.median / theirs.median if faster_is_more else theirs.median / ours.median
    return f"×{ratio:.2f}"


def spaced(*texts):
    """The texts that there are."""
    return " · ".join(text for text in texts if text) or "–"


def training(results, threads):
    """Samples a second of P1 to P4 on so many threads."""
    names, all_nets = results.nets("train"), nets.read()
    ours = {net: results.figure("samples_per_second", "train", "dojang", net, threads) for net in names}
    rows, best = [], {}
    for peer in ALL:
        cells = []
        for net in names:
            figure = results.figure("samples_per_second", "train", peer.name, net, threads)
            ratio = "" if peer.name == "dojang" else against(ours[net], figure)
            cells.append(spaced(figure.text() if figure else "", ratio))
            if figure and ratio and figure.median > best.get(net, (0, ""))[0]:
                best[net] = (figure.median, peer.title)
        if any(cell != "–" for cell in cells):
            rows.append([f"**{peer.title}**" if peer.name == "dojang" else peer.title, *cells])
    ceiling = results.ceiling(threads)
    if ceiling and any(ours.values()):
        shares = [
            f"{ours[net].median * nets.flops(all_nets[net]) / ceiling:.0%} (achievable: {ACHIEVABLE[net]:.0%}, "
            f"{number(ACHIEVABLE[net] * ceiling / nets.flops(all_nets[net]))})" if ours[net] else "–" for net in names
        ]
        rows.append(["dojang's share of the FMA ceiling", *shares])
    goals = [
        f"{'yes' if ours[net].median > best[net][0] else 'no'}: "
        f"×{ours[net].median / best[net][0]:.2f} of {best[net][1]}"
        if ours[net] and net in best else "–" for net in names
    ]
    rows.append(["goal: ahead of every peer", *goals])
    at_most = f", the FMA ceiling {ceiling / 1e9:.0f} GFLOP/s" if ceiling else ""
    return [f"## Training, samples/s, threads {threads}{at_most}", "", *table(["", *names], rows)]


def inference(results):
    """Predictions: one image and batches."""
    peers = [peer.name for peer in ALL if peer.infer]
    rows = []
    for net in results.nets("infer"):
        measured = [line for line in results.measurements if line["section"] == "infer" and line["net"] == net]
        for images, threads in sorted({(line["images"], line["threads"]) for line in measured}):
            key = "p50_microseconds" if images == 1 else "images_per_second"
            figures = [results.figure(key, "infer", peer, net, threads, images) for peer in peers]
            cells = [figures[0].text() if figures[0] else "–"]
            for figure in figures[1:]:
                cells.append(spaced(figure.text() if figure else "", against(figures[0], figure, images > 1)))
            what = "one image, p50 µs" if images == 1 else f"{images} images, images/s"
            rows.append([f"{net}, {what}, threads {threads}", *cells])
    head = ["", *(TITLES[peer] if peer != "torch" else "PyTorch" for peer in peers)]
    head[1] = "**dojang**"
    return ["## Predictions", "", "Goal: ahead of both.", "", *table(head, rows)] if rows else []


def memory(results):
    """Peaks of memory while P4 trains."""
    rows = []
    for peer in ("dojang", "torch", "torch-eager"):
        threads = max(results.threads("train"), default=None)
        whole = results.figure("peak_memory_bytes", "train", peer, "P4", threads)
        before = results.figure("memory_bytes_before_training", "train", peer, "P4", threads)
        if whole and before:
            own = number((whole.median - before.median) / 2**20)
            rows.append([TITLES[peer], *(figure.text(2**-20, marked=False) for figure in (whole, before)), own])
    head = ["", "VmHWM, MiB", "before training, MiB", "training's own, MiB"]
    text = "The data, 47 MB of bytes, are in all of them. Tuned PyTorch holds memory back and tries two layouts."
    return ["## Memory: training P4, batch 100", "", text, "", *table(head, rows)] if rows else []


def jobs(results):
    """The way of a job beside the bare loop, and two jobs at once."""
    rows = []
    for net in results.nets("job"):
        keys = (
            "bare_samples_per_second", "bare_with_evaluation_samples_per_second", "samples_per_second", "share_of_bare",
        )
        figures = [results.figure(key, "job", "dojang", net) for key in keys]
        share = figures[-1]
        reached = f"{share.text(100)} %: {'yes' if share.median >= JOB else 'no'}"
        rows.append([net, *(figure.text() for figure in figures[:-1]), reached])
    head = ["", "bare loop", "with test evaluation", "job in the server", f"share, goal at least {JOB:.0%}"]
    text = (
        "Samples/s on all threads, from a job's first step to the end of its last epoch: with its evaluation after "
        "each epoch, events, checkpoints and looks inside. The share is against the bare loop that evaluates, too."
    )
    parts = ["## The way of a job", "", text, "", *table(head, rows)] if rows else []
    pair = [
        results.figure(key, "two-jobs", "dojang", "P1")
        for key in ("alone_samples_per_second", "samples_per_second", "share_of_alone")
    ]
    if all(pair):
        alone, together, share = pair
        head = ["P1", "one job alone", "two at once, together", "share"]
        parts += table(head, [["samples/s", alone.text(), together.text(), f"{share.text(100)} %"]])
    return parts


def shapes(results):
    """Other nets, against tuned PyTorch."""
    rows, ratios, all_nets = [], [], nets.read(nets.SHAPES)
    threads = max(results.threads("shapes"), default=None)
    ceiling = results.ceiling(threads)
    for name in results.nets("shapes"):
        ours, theirs = (
            results.figure("samples_per_second", "shapes", peer, name, threads) for peer in ("dojang", "torch")
        )
        net = all_nets[name]
        share = f"{ours.median * nets.flops(net) / ceiling:.0%}" if ours and ceiling else "–"
        if ours and theirs:
            ratios.append(ours.median / theirs.median)
        about = f"{net['title']}; batch {net['batch_size']}"
        texts = [figure.text() if figure else "–" for figure in (ours, theirs)]
        rows.append([f"{name}: {about}", *texts, against(ours, theirs) or "–", share])
    if not rows:
        return []
    parts = [f"## Other shapes: training, samples/s, threads {threads}", ""]
    if ratios:
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        ahead = sum(ratio > 1 for ratio in ratios)
        summary = f"Ahead in {ahead} of {len(ratios)}; least ×{min(ratios):.2f}, geometric mean ×{mean:.2f}."
        parts += [f"Goal: none behind. {summary}", ""]
    return parts + table(["", "dojang", "PyTorch, tuned", "×", "of the ceiling"], rows)


def to99(results):
    """Time to 99 % of MNIST."""
    rows = []
    for threads in results.threads("to99"):
        for peer in ("dojang", "torch"):
            for line in results.lines("to99", peer, threads=threads):
                seconds, accuracies = line["train_seconds"], line["accuracies"]
                times = f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})"
                name = "dojang, recipe `fast99`" if peer == "dojang" else "PyTorch, tuned"
                reached = sum(accuracy >= 0.99 for accuracy in accuracies)
                rows.append([
                    f"{name}, threads {threads}", f"{'~' if line['noisy'] else ''}{times}",
                    f"{statistics.median(line['evaluation_seconds']):.2f}",
                    f"{min(accuracies):.2%}–{max(accuracies):.2%}", f"{reached} of {len(accuracies)}",
                ])
    head = ["", "training, s", "evaluation, s", "test accuracy", "seeds at 99.0 %"]
    goal = "Goal: every seed at 99.0 %, in less time than PyTorch."
    return ["## Time to 99.0 % of MNIST's test images", "", goal, "", *table(head, rows)] if rows else []


def heading(results):
    """What was measured, where and how."""
    about, there = results.about, results.about["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items()) or "none"
    vectors = f" ({', '.join(there['vectors'])})" if there["vectors"] else ""
    facts = [
        ("date", about["date"]), ("dojang", about["commit"] or "no commit"), ("command", f"`{about['command']}`"),
        ("processor", f"{there['processor']}{vectors}, {there['cores']} cores"),
        ("system", f"{there['system']} {there['kernel']}, {there['architecture']}, Python {there['python']}"),
        ("peers", versions), ("data", about["data"]),
    ]
    return ["# dojang and its peers", "", *(f"- {name}: {value}" for name, value in facts), "", LEGEND, ""]


def missing(results):
    """What could not be measured, and why."""
    failed = [
        f"- {row['section']}: {TITLES[row['as']]} {row['net'] or ''}, threads {row['threads']}: {row['why']}"
        for row in results.failures
    ]
    skipped = [
        f"- train: {peer.title} without {', '.join(sorted({*results.nets('train')} - {*peer.nets}))}: {peer.note}"
        for peer in ALL if {*results.nets("train")} - {*peer.nets} and peer.name in results.about["peers"]
    ]
    return ["## Not measured", "", *failed, *skipped, ""] if failed or skipped else []


def markdown(results):
    """The whole page."""
    parts = heading(results)
    for threads in reversed(results.threads("train")):
        parts += training(results, threads)
    for section in (inference, memory, jobs, shapes, to99, missing):
        parts += section(results)
    return "\n".join(parts).rstrip() + "\n"
