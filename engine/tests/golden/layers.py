"""Golden values of the layers, their gradients and running statistics, made with PyTorch.

usage: layers.py > layers.json        (needs torch; regenerates the file beside this script)

Everything is computed in float64 from numbers that float32 holds exactly, and written as float32 with 9 significant
digits. All arrays are flat, the last index fastest: x, dx [N, input…], y, dy [N, output…], W of conv2d [F, C, KH, KW],
W of affine [I, O] (the book's; PyTorch's transposed). A gradient is that of Σ y·dy: not divided by N.

One line a case:
  layer       the spec, every setting written out; pairs are [height, width]
  input, n    shape of a sample, number of samples;  mode: "train" or "eval"
  parameters  by name, {"shape", "values"};  gradients: by the same names, values only
  before      batch_norm: running_mean and running_var that the case starts with
  next_x      batch_norm in training: the batch of a second step (y, dx and gradients are the first's)
  after_one   batch_norm in training: running statistics after x
  after       batch_norm in training: running statistics after x, then next_x; in eval mode nothing changes
`stacks` holds cases with `layers`, several in a row, instead of `layer`.

Where definitions differ elsewhere, these cases follow PyTorch:
- conv2d "same" is for stride 1; of kernel − 1 cells of padding the odd one is after: at the bottom and the right.
- max_pool2d pads with −∞, and among equals in a window the first (row by row) gets the whole gradient.
- avg_pool2d divides by the cells inside the image (count_include_pad=False).
- pools take no window that is not full (floor mode); cells beyond the last window get no gradient.
- batch_norm's `momentum` is what is kept (PyTorch's is 1 − that); it normalises by the biased variance (÷ m) and keeps
  a running mean of the unbiased one (÷ (m − 1)), m = N·H·W values a channel. The book keeps the biased one.
"""
import json
import random

import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
draw = random.Random(20240229)


def numbers(tensor):
    """Flat list, rounded to float32, 9 significant digits; zero has no sign."""
    return [float(f"{value:.9g}") + 0.0 for value in tensor.detach().float().flatten().tolist()]


def grid(*shape, low=-2.0, high=2.0):
    """Multiples of 1/64, which float32 holds exactly; all different where there are enough of them."""
    size = 1
    for side in shape:
        size *= side
    levels = range(int(low * 64), int(high * 64))
    values = draw.sample(levels, size) if size <= len(levels) else draw.choices(levels, k=size)
    return torch.tensor(values).reshape(shape) / 64.0


def case(layer, f, x, parameters=None, mode="train", shape=None, **more):
    """One case: `f(x, **parameters)` forward and backward, with a drawn gradient from above."""
    x = x.float().double().requires_grad_()
    parameters = {name: value.float().double().requires_grad_() for name, value in (parameters or {}).items()}
    y = f(x, **parameters)
    dy = grid(*y.shape)
    if y.requires_grad:
        y.backward(dy)
    else:
        x.grad = torch.zeros_like(x)
    return {
        **({"layers": layer} if isinstance(layer, list) else {"layer": layer}),
        "input": list(shape or x.shape[1:]),
        "n": x.shape[0],
        "mode": mode,
        "parameters": {name: {"shape": list(p.shape), "values": numbers(p)} for name, p in parameters.items()},
        "x": numbers(x),
        "y": numbers(y),
        "dy": numbers(dy),
        "dx": numbers(x.grad),
        "gradients": {name: numbers(p.grad) for name, p in parameters.items()},
        **more,
    }


def conv2d(n, shape, filters, kernel, stride=(1, 1), padding=(0, 0)):
    stated = padding if padding == "same" else list(padding)
    layer = {"type": "conv2d", "filters": filters, "kernel": kernel, "stride": list(stride), "padding": stated}

    def f(x, W, b):
        y = F.conv2d(x, W, b, stride=tuple(stride), padding=padding if padding == "same" else tuple(padding))
        if padding == "same":  # witness of which side is padded: left, right, top, bottom
            h, w = (kernel[0] - 1, kernel[1] - 1)
            around = F.pad(x, (w // 2, w - w // 2, h // 2, h - h // 2))
            assert y.shape[2:] == x.shape[2:] and torch.allclose(y, F.conv2d(around, W, b), rtol=0, atol=1e-12)
        return y

    parameters = {"W": grid(filters, shape[0], *kernel, low=-1.0, high=1.0), "b": grid(filters)}
    return case(layer, f, grid(n, *shape), parameters)


def pool(kind, n, shape, kernel, stride, padding=(0, 0), x=None):
    layer = {"type": kind, "kernel": list(kernel), "stride": list(stride), "padding": list(padding)}
    settings = {"kernel_size": tuple(kernel), "stride": tuple(stride), "padding": tuple(padding)}
    if kind == "avg_pool2d":
        return case(layer, lambda x: F.avg_pool2d(x, **settings, count_include_pad=False), grid(n, *shape))
    return case(layer, lambda x: F.max_pool2d(x, **settings), grid(n, *shape) if x is None else x)


def batch_norm(x, mode, momentum=0.9, epsilon=1e-5, drawn_before=False, next_x=None):
    layer = {"type": "batch_norm", "momentum": momentum, "epsilon": epsilon}
    channels = x.shape[1]
    parameters = {"gamma": grid(channels, low=0.5, high=1.5), "beta": grid(channels)}
    mean, var = torch.zeros(channels), torch.ones(channels)
    if drawn_before:
        mean, var = grid(channels), grid(channels, low=0.25, high=3.0)

    def statistics():
        return {"running_mean": numbers(mean), "running_var": numbers(var)}

    def f(x, gamma, beta):
        return F.batch_norm(x, mean, var, gamma, beta, training=mode == "train", momentum=1 - momentum, eps=epsilon)

    before = statistics()
    found = case(layer, f, x, parameters, mode, before=before)
    if mode == "train":
        found["after_one"] = statistics()
        next_x = grid(*x.shape) if next_x is None else next_x
        F.batch_norm(next_x, mean, var, training=True, momentum=1 - momentum, eps=epsilon)
        found |= {"next_x": numbers(next_x), "after": statistics()}
    else:
        assert statistics() == before
    return found


def affine(n, shape, units):
    inputs = torch.Size(shape).numel()
    parameters = {"W": grid(inputs, units, low=-1.0, high=1.0), "b": grid(units)}
    return {"type": "affine", "units": units}, lambda x, W, b: x.flatten(1) @ W + b, grid(n, *shape), parameters


def softmax(x):
    return case({"type": "softmax"}, lambda x: F.softmax(x, dim=1), x)


CONVS = [
    conv2d(2, (1, 5, 5), 3, [3, 3]),
    conv2d(2, (1, 6, 6), 1, [5, 5], padding=(2, 2)),
    conv2d(3, (2, 5, 6), 3, [3, 3], padding=(1, 1)),
    conv2d(2, (3, 7, 6), 4, [3, 3], (2, 2), (1, 1)),
    conv2d(2, (3, 6, 7), 3, [3, 2], (2, 1), (1, 0)),
    conv2d(1, (2, 6, 5), 4, [2, 3], (1, 2), (0, 1)),
    conv2d(2, (1, 9, 8), 4, [5, 5]),
    conv2d(1, (5, 7, 7), 3, [3, 3], (2, 2), (2, 2)),
    conv2d(2, (2, 4, 4), 3, [3, 3], padding=(2, 2)),  # the output is larger than the input, as in deep_convnet
    conv2d(2, (1, 6, 6), 3, [3, 3], (2, 2)),  # the last row and column belong to no window
    conv2d(1, (2, 8, 5), 1, [2, 2], (3, 3)),  # gaps between windows
    conv2d(2, (2, 4, 3), 4, [4, 3]),  # the kernel is the image: an affine layer
    conv2d(1, (1, 3, 3), 3, [5, 5], padding=(1, 1)),  # the kernel is larger than the image
    conv2d(2, (5, 4, 3), 4, [1, 1]),
    conv2d(2, (5, 5, 4), 3, [1, 1], (2, 2)),
    conv2d(1, (2, 3, 3), 3, [1, 1], (2, 1), (1, 1)),  # windows wholly in the padding
    conv2d(1, (3, 1, 1), 4, [3, 3], padding=(1, 1)),
    conv2d(2, (2, 1, 9), 3, [1, 4], (1, 2), (0, 1)),
    conv2d(2, (1, 5, 5), 3, [3, 3], padding="same"),
    conv2d(1, (3, 4, 6), 4, [5, 5], padding="same"),
    conv2d(2, (2, 5, 4), 3, [2, 2], padding="same"),
    conv2d(1, (1, 6, 5), 3, [4, 4], padding="same"),
    conv2d(2, (2, 4, 5), 3, [2, 3], padding="same"),
    conv2d(1, (5, 5, 5), 1, [3, 4], padding="same"),
    conv2d(2, (1, 4, 5), 4, [1, 5], padding="same"),
    conv2d(1, (1, 2, 3), 3, [6, 4], padding="same"),  # larger than the image
    conv2d(2, (3, 3, 4), 4, [1, 1], padding="same"),
]
ties = torch.tensor(draw.choices([-1.0, 0.0, 1.0], k=2 * 2 * 6 * 6)).reshape(2, 2, 6, 6)
POOLS = [pool(kind, *settings) for kind in ("max_pool2d", "avg_pool2d") for settings in (
    (2, (2, 6, 4), (2, 2), (2, 2)),
    (2, (1, 7, 5), (2, 2), (2, 2)),  # odd sides: the last row and column belong to no window
    (2, (2, 7, 7), (3, 3), (2, 2)),
    (1, (3, 6, 8), (3, 3), (2, 2)),  # floor mode with overlapping windows
    (2, (2, 7, 6), (3, 3), (2, 2), (1, 1)),
    (2, (2, 6, 5), (2, 1), (2, 1)),
    (1, (2, 5, 5), (3, 3), (1, 1), (1, 1)),
    (1, (1, 8, 7), (2, 3), (3, 2), (1, 0)),  # gaps in one direction, overlap in the other
    (2, (2, 4, 4), (2, 2), (1, 1), (1, 1)),
    (2, (3, 3, 3), (3, 3), (3, 3)),  # the window is the image
)] + [
    pool("max_pool2d", 2, (2, 6, 6), (2, 2), (2, 2), x=ties),
    pool("max_pool2d", 2, (2, 6, 6), (3, 3), (2, 2), (1, 1), x=ties),
    pool("max_pool2d", 1, (1, 4, 4), (3, 3), (2, 2), (1, 1), x=torch.zeros(1, 1, 4, 4)),
    pool("max_pool2d", 1, (2, 5, 5), (3, 3), (2, 2), (1, 1), x=grid(1, 2, 5, 5, low=-2.0, high=-0.25)),  # all < 0
] + [case({"type": "global_avg_pool"}, lambda x: x.mean(dim=(2, 3)), grid(*s)) for s in ((2, 3, 4, 5), (1, 2, 1, 1))]
flat_channel = grid(3, 2, 2, 3)
flat_channel[:, 1] = 0.75
NORMS = [
    batch_norm(grid(6, 5), "train"),
    batch_norm(grid(2, 3), "train"),  # two values: the unbiased variance is twice the biased one
    batch_norm(grid(3, 2, 3, 4), "train"),
    batch_norm(grid(1, 3, 4, 3), "train"),  # one sample
    batch_norm(grid(4, 3, 2, 2), "train", momentum=0.75, epsilon=1e-3, drawn_before=True),
    batch_norm(grid(5, 4) + 64.0, "train", next_x=grid(5, 4) + 64.0),  # E[x²] − E[x]² would lose digits
    batch_norm(flat_channel, "train"),  # a channel without variance: ε alone divides
    batch_norm(grid(4, 5), "eval", drawn_before=True),
    batch_norm(grid(1, 3), "eval", drawn_before=True),
    batch_norm(grid(2, 3, 3, 2), "eval", epsilon=1e-3, drawn_before=True),
    batch_norm(grid(2, 2, 2, 2), "eval"),
]
OTHERS = [
    case({"type": "flatten"}, lambda x: x.flatten(1), grid(2, 2, 3, 2)),
    case(*affine(3, (7,), 4)),
    case(*affine(2, (2, 3, 2), 5)),  # an image is read in the order C, H, W
    softmax(torch.tensor([[0.3, 2.9, 4.0]])),  # the book's §3.5.2
    softmax(grid(3, 10)),
    softmax(torch.tensor([[1010.0, 1000.0, 990.0], [-1000.0, 0.0, -1000.5]])),  # e^y alone overflows
    softmax(grid(2, 1)),
    case({"type": "step"}, lambda x: (x > 0).double(), torch.tensor([[-2.0, -0.015625, 0.0, 0.015625, 3.0]])),
]
layer, f, x, parameters = affine(2, (3, 2, 2), 4)
STACKS = [case([{"type": "flatten"}, layer], f, x, parameters)]


def lines(cases):
    return ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases)


print(f'{{"cases":[\n{lines(CONVS + POOLS + NORMS + OTHERS)}\n],"stacks":[\n{lines(STACKS)}\n]}}')
