"""The peers: one entry each, and the cells of the tables that they fill."""
from dataclasses import dataclass

import nets

from .measure import Cell
from .prepare import PEERS

NETS = ("P1", "P2", "P3", "P4")
# Nets whose predictions are measured.
INFERENCE = ("P1", "P3", "P4")
# PyTorch's allocations of a step are large: glibc is told to keep them.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "2000000000",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS",
)
# XLA takes all cores that it may use; of one it is told.
XLA_ONE = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


@dataclass(frozen=True)
class Peer:
    """Who is measured, and by what: a script, or an executable that cargo builds."""

    name: str
    title: str
    train: tuple = ()
    infer: tuple = ()
    to99: tuple = ()
    nets: tuple = NETS
    tuned_malloc: bool = False
    # Built only where --rust-peers asks for it.
    rust: bool = False
    # Why it has not all nets.
    note: str = ""


ALL = (
    Peer("dojang", "dojang, the engine alone", train=("train",), infer=("infer",), to99=("to99",)),
    Peer("torch", "PyTorch, tuned", ("torch_train.py", "--mode", "tuned"), ("torch_infer.py",), ("torch_to99.py",),
         tuned_malloc=True),
    Peer("torch-eager", "PyTorch, eager default", ("torch_train.py", "--mode", "eager")),
    Peer("jax-scan", "JAX, many steps in one compiled scan", ("jax_train.py", "--mode", "scan"),
         nets=("P1", "P2", "P3"), note="a scan over P4 takes minutes"),
    Peer("jax-step", "JAX, one compiled step", ("jax_train.py", "--mode", "step")),
    Peer("numpy", "NumPy, the book's way", ("numpy_train.py",)),
    Peer("sklearn", "scikit-learn", ("sklearn_train.py",), nets=("P1", "P2"), note="it has no convolutions"),
    Peer("onnxruntime", "ONNX Runtime", infer=("onnx_infer.py",)),
    Peer("burn", "burn", ("burn",), rust=True),
    Peer("candle", "candle", ("candle",), rust=True),
)


class Bench:
    """Makes the cells of the run that the options ask for."""

    def __init__(self, options, python, dojang, rust):
        self.options, self.python, self.dojang, self.rust = options, python, dojang, rust
        self.peers = [peer for peer in ALL if peer.name in options.peers and (not peer.rust or peer.name in rust)]

    def command(self, peer, how, arguments):
        """A peer's command line."""
        if peer.name == "dojang":
            return (self.dojang, *how, *arguments)
        if peer.rust:
            return (self.rust[peer.name], *arguments)
        return (str(self.python), str(PEERS / how[0]), *how[1:], *arguments)

    def cell(self, section, peer, how, net, threads, more=()):
        """A cell; `more` are further arguments."""
        seconds = () if section == "to99" else ("--seconds", str(self.options.seconds))
        named = ("--net", net) if net else ()
        arguments = (*named, "--threads", str(threads), *seconds, *map(str, more))
        environment = dict.fromkeys(THREADS, str(threads)) | {"PYTHONDONTWRITEBYTECODE": "1"}
        if threads == 1 and peer.name.startswith("jax"):
            environment["XLA_FLAGS"] = XLA_ONE
        if peer.tuned_malloc:
            environment |= MALLOC
        images = more[more.index("--images") + 1] if "--images" in more else 0
        return Cell(section, peer.name, net, threads, self.command(peer, how, arguments), environment, images)

    def ceiling(self):
        """The processor's rate of fused multiply-adds."""
        if self.dojang is None:
            return []
        return [self.cell("ceiling", ALL[0], ("ceiling",), None, threads) for threads in self.options.threads]

    def training(self):
        """Samples a second of P1 to P4."""
        return [
            self.cell("train", peer, peer.train, net, threads)
            for net in self.options.only for threads in self.options.threads
            for peer in self.peers if peer.train and net in peer.nets
        ]

    def inference(self):
        """One image on one thread, and 256 of them on each number of threads."""
        sizes = [(1, 1), *((256, threads) for threads in self.options.threads)]
        return [
            self.cell("infer", peer, peer.infer, net, threads, ("--images", images))
            for net in self.options.only if net in INFERENCE for images, threads in sizes
            for peer in self.peers if peer.infer
        ]

    def jobs(self):
        """The way of a job beside the bare loop, and two jobs at once, on all threads that are asked for."""
        limit = ("--train-limit", 1000) if self.options.quick else ()
        threads = max(self.options.threads)
        dojang = [peer for peer in self.peers if peer.name == "dojang"]
        return [
            self.cell(how, peer, (how,), net, threads, limit)
            for peer in dojang for net in self.options.only
            for how in (("job", "two-jobs") if net == "P1" else ("job",))
        ]

    def shapes(self):
        """Other nets than P1 to P4."""
        file = ("--file", str(nets.SHAPES))
        return [
            self.cell("shapes", peer, peer.train, net, max(self.options.threads), file)
            for net in nets.read(nets.SHAPES)
            for peer in self.peers if peer.name in ("dojang", "torch")
        ]

    def to99(self):
        """Time to 99 % of MNIST."""
        return [
            self.cell("to99", peer, peer.to99, None, threads)
            for threads in self.options.threads for peer in self.peers if peer.to99
        ]
