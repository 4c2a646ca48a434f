"""The machine: what it is, which of its cores are measured on, and who else uses them."""
import os
import platform
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def processor():
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def vectors():
    """The vector instructions that matter here."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    return [flag for flag in ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile") if flag in flags]


def description():
    """What a reader of the figures must know."""
    return {
        "processor": processor(), "vectors": vectors(), "cores": len(cores()), "kernel": platform.release(),
        "system": platform.system(), "architecture": platform.machine(), "python": platform.python_version(),
    }


def cores():
    """The processors that we may use, one of each physical core first."""
    def siblings(core):
        file = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        try:
            return file.read_text(encoding="ascii").strip()
        except OSError:
            return str(core)

    firsts, others, seen = [], [], set()
    for core in sorted(os.sched_getaffinity(0)):
        (others if siblings(core) in seen else firsts).append(core)
        seen.add(siblings(core))
    return firsts + others


def chosen(threads):
    """The processors for so many threads, None if they are too few; for one the last, where least else happens."""
    there = cores()
    if threads > len(there):
        return None
    return [there[-1]] if threads == 1 else there[:threads]


def busy(processors):
    """Seconds that these processors have worked since the start, for whomever, or were taken from a virtual machine."""
    wanted, ticks = {f"cpu{core}" for core in processors}, 0
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *fields = line.split()
        if name in wanted:
            # user, nice, system, idle, waiting, interrupts, soft interrupts, stolen; guests are in user.
            user, nice, system, _, _, *rest = map(int, fields[:8])
            ticks += user + nice + system + sum(rest)
    return ticks / TICKS
