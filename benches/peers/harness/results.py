"""The measurements of a run: kept raw, written after each, asked for medians."""
import json
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A median of some measurements."""

    median: float
    least: float
    most: float
    # Whether too many of them were disturbed by other processes.
    noisy: bool
    # How many they are.
    count: int

    def text(self, scale=1.0, marked=True):
        """The median with the range if there is one; `~` where it is noisy, if that matters and is to be marked."""
        median, least, most = (number(value * scale) for value in (self.median, self.least, self.most))
        return f"{'~' if self.noisy and marked else ''}{median}{f' ({least}–{most})' if self.count > 1 else ''}"


def number(value):
    """Three figures, with k or M."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * limit:
            value, suffix = value / limit, unit
            break
    else:
        suffix = ""
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}{suffix}"


class Results:
    """All measurements and failures of a run."""

    def __init__(self, about, file):
        self.about, self.file = about, file
        self.measurements, self.failures = [], []

    def add(self, cell, round_, line):
        """Keeps a measurement."""
        self.measurements.append({"section": cell.section, "as": cell.peer, "round": round_, **line})
        self.write()

    def fail(self, cell, why):
        """Keeps a failure."""
        place = {"section": cell.section, "as": cell.peer, "net": cell.net, "threads": cell.threads}
        self.failures.append({**place, "images": cell.images, "why": why})
        self.write()

    def write(self):
        """Writes everything: an interrupted run leaves what it has."""
        whole = {"about": self.about, "measurements": self.measurements, "failures": self.failures}
        self.file.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def lines(self, section, peer, net=None, threads=None, images=0):
        """The measurements of one cell; of any number of threads if none is given."""
        return [
            line for line in self.measurements
            if (line["section"], line["as"], line["net"]) == (section, peer, net)
            and threads in (None, line["threads"]) and line.get("images", 0) == images
        ]

    def figure(self, key, section, peer, net=None, threads=None, images=0):
        """The median of one member of a cell's lines, None where there are none.

        Disturbed measurements are left out as long as at least half are not.
        """
        lines = [line for line in self.lines(section, peer, net, threads, images) if line.get(key) is not None]
        if not lines:
            return None
        quiet = [line for line in lines if not line["noisy"]]
        enough = 2 * len(quiet) >= len(lines)
        values = [line[key] for line in (quiet if enough else lines)]
        return Figure(statistics.median(values), min(values), max(values), not enough, len(values))

    def threads(self, section):
        """The numbers of threads that a section was measured on."""
        return sorted({line["threads"] for line in self.measurements if line["section"] == section})

    def nets(self, section):
        """The nets of a section, in the order in which they were measured."""
        return list(dict.fromkeys(line["net"] for line in self.measurements if line["section"] == section))

    def ceiling(self, threads):
        """Floating-point operations a second at most, None where it was not measured."""
        figure = self.figure("gflops", "ceiling", "dojang", threads=threads)
        return figure and figure.median * 1e9
