"""The nets that are measured, read from the JSON that dojang's side reads, too: one definition for all peers.

Standard library only: the harness reads them before there is a virtual environment.
"""
import json
import math
from pathlib import Path

HERE = Path(__file__).resolve().parent
# P1 to P4; and the table of other shapes.
PEERS = HERE.parent / "nets" / "nets.json"
SHAPES = HERE / "shapes.json"


def read(file=PEERS):
    """All nets of a file, by their names, in its order."""
    return {net["name"]: net for net in json.loads(Path(file).read_text(encoding="utf-8"))}


def is_convolutional(net):
    """Whether its inputs are images [C, H, W] to it, or rows of values."""
    return any(isinstance(layer, dict) and layer["type"] == "conv2d" for layer in net["network"])


def layers(net):
    """Its layers with the defaults filled in, and with `input` and `output`: the shapes of what they take and give."""
    shape = tuple(net["input"]) if is_convolutional(net) else (math.prod(net["input"]),)
    for entry in net["network"]:
        layer = {"type": entry} if isinstance(entry, str) else dict(entry)
        kind = layer["type"]
        layer["input"] = shape
        if kind == "affine":
            shape = (layer["units"],)
        elif kind in ("conv2d", "max_pool2d", "avg_pool2d"):
            kernel = layer.setdefault("kernel", 2)
            stride = layer.setdefault("stride", 1 if kind == "conv2d" else kernel)
            padding = layer.setdefault("padding", 0)
            channels, *sides = shape
            sides = [(side + 2 * padding - kernel) // stride + 1 for side in sides]
            shape = (layer.get("filters", channels), *sides)
        elif kind == "global_avg_pool":
            shape = shape[:1]
        layer["output"] = shape
        yield layer


def flops(net):
    """Floating-point operations of a training step, a sample: those of the products alone.

    A product forward has two backward, for weights and inputs; the first layer needs no gradient of its inputs.
    """
    total, products = 0, 2
    for layer in layers(net):
        if layer["type"] == "affine":
            inputs = math.prod(layer["input"])
        elif layer["type"] == "conv2d":
            inputs = layer["input"][0] * layer["kernel"] ** 2
        else:
            continue
        total += 2 * products * inputs * math.prod(layer["output"])
        products = 3
    return total
