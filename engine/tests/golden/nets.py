"""50 steps of training of the book's networks (and one with batch normalisation), made with PyTorch.

usage: nets.py > nets.json        (needs torch; regenerates the file beside this script; some 15 seconds on one core)

Weights and batches are not in the file: they follow from integers. Value k of stream s is
    u(s, k) = splitmix64((s << 32) + k)
where splitmix64(x) is the output of S. Vigna's generator at state x: z = x + 0x9e3779b97f4a7c15,
z = (z ^ z >> 30) · 0xbf58476d1ce4e5b9, z = (z ^ z >> 27) · 0x94d049bb133111eb, z ^ z >> 31, all modulo 2⁶⁴.
`hash_examples` in the file lists [s, k, u as hexadecimal].

Parameters: tensor number t (`stream` in the file: from 0, in the order of the network, W before b, gamma before beta)
has W[k] = f32(((u(t, k) >> 40) as f64 / 2²³ − 1) · sqrt(6 / fan_in)),    fan_in = I of affine, C·KH·KW of conv2d
with k the flat index in the shape given in the file: W of affine [I, O] (the book's), W of conv2d [F, C, KH, KW].
b and beta start at 0, gamma at 1; they use up a number all the same.

Batch of step t = 0, 1, … 49, ten samples i with the pixels p = row · 28 + column:
    byte  = u(1000 + t, i · 784 + p) >> 56
    label = (u(2000 + t, i) >> 60) % 10         (16 values: labels 0–5 come twice as often)
and the 6×6 square from row 4 + 9·(label / 4) and column 1 + 7·(label % 4) has the byte 255; all fit: the last ones end
with row and column 27. A pixel is f32(byte) / f32(255); the float64 run uses the same pixels and weights.

Per net: losses_f32 and losses_f64, the mean softmax cross-entropy of each step's batch before its update, without the
penalty of weight decay, in runs of float32 and of float64 throughout. penalties_f64: ½·λ·ΣW², which the book adds to
the loss (0 without weight decay; biases, gamma and beta do not decay). final_abs_sum_f32 / _f64: Σ|W| of each tensor
after the 50 steps. The bias of a convolution or affine layer before batch_norm has no influence: its gradient is 0 but
for rounding, and so is its final sum; compare those absolutely.

How far rounding alone drifts, as the largest relative difference from losses_f64 in any step: `drift` of losses_f32,
and `drift_replicas`, the worst of that and of six more float32 runs whose initial weights are moved by −1, 0 or 1 parts
in 2²³. One run alone says little: two runs agree to 1e-6 until a ReLU or a pool somewhere decides differently between
nearly equal numbers, and at which step that happens is a matter of luck. The script refuses a net that drifts by over
5e-4. deep_convnet with Adam at 0.001 drifts by 3e-2. At 0.0005 the plain run drifts by 1.5e-4 only, but 9 of 20
replicas by over 5e-4, up to 9e-2. It therefore runs at 0.00002, where 20 replicas stay below 1e-4; the other nets keep
their rates.
"""
import json
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
STEPS, BATCH, MAX_DRIFT, REPLICAS = 50, 10, 5e-4, 6


def splitmix64(x):
    """Of an array of uint64; numpy's integers wrap."""
    z = x + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def stream(s, count):
    return splitmix64((np.uint64(s) << np.uint64(32)) + np.arange(count, dtype=np.uint64))


def weights(s, shape, fan_in, replica=0):
    """Initial weights; those of a replica other than 0 are moved by a rounding error."""
    uniform = (stream(s, math.prod(shape)) >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0
    values = (uniform * math.sqrt(6.0 / fan_in)).astype(np.float32)
    if replica:
        parts = (stream(10_000 * replica + s, values.size) % np.uint64(3)).astype(np.float32) - 1
        values *= 1 + parts * np.float32(2.0**-23)
    return torch.from_numpy(values.reshape(shape))


def batch(step):
    labels = (stream(2000 + step, BATCH) >> np.uint64(60)).astype(np.int64) % 10
    images = (stream(1000 + step, BATCH * 784) >> np.uint64(56)).astype(np.float32).reshape(BATCH, 1, 28, 28)
    for image, label in zip(images, labels):
        row, column = 4 + 9 * (label // 4), 1 + 7 * (label % 4)
        image[0, row : row + 6, column : column + 6] = 255
    return torch.from_numpy(images / np.float32(255)), torch.from_numpy(labels)


def conv(filters, kernel, padding):
    kernel, padding = [kernel, kernel], [padding, padding]
    return {"type": "conv2d", "filters": filters, "kernel": kernel, "stride": [1, 1], "padding": padding}


def affine(units):
    return {"type": "affine", "units": units}


def dropout():
    """The book's deep network has 0.5 here; every program draws masks of its own, so the trace goes without."""
    return {"type": "dropout", "rate": 0.0}


RELU = {"type": "relu"}
POOL = {"type": "max_pool2d", "kernel": [2, 2], "stride": [2, 2], "padding": [0, 0]}
BATCH_NORM = {"type": "batch_norm", "momentum": 0.9, "epsilon": 1e-5}
ADAM = {"type": "adam", "learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
NETS = [
    ("two_layer_net", [affine(50), RELU, affine(10)], {"type": "sgd", "learning_rate": 0.1}, 0.0),
    ("multi_layer_net", [affine(100), RELU] * 4 + [affine(10)], {"type": "sgd", "learning_rate": 0.01}, 0.1),
    ("simple_convnet", [conv(30, 5, 0), RELU, POOL, affine(100), RELU, affine(10)], ADAM, 0.0),
    (
        "deep_convnet",
        [conv(16, 3, 1), RELU, conv(16, 3, 1), RELU, POOL]
        + [conv(32, 3, 1), RELU, conv(32, 3, 2), RELU, POOL]
        + [conv(64, 3, 1), RELU, conv(64, 3, 1), RELU, POOL]
        + [affine(50), RELU, dropout(), affine(10), dropout()],
        ADAM | {"learning_rate": 0.00002},
        0.0,
    ),
    (
        "batch_norm_convnet",
        [conv(8, 3, 1), BATCH_NORM, RELU, POOL, affine(32), BATCH_NORM, RELU, affine(10)],
        {"type": "momentum", "learning_rate": 0.05, "momentum": 0.9},
        0.0,
    ),
]


def forward(layers, parameters, x, replica=0):
    """The outputs; where `parameters` is empty, it is filled with the initial ones, as the shapes come by."""
    rest, first = iter(list(parameters)), not parameters

    def parameter(name, shape, fan_in=None):
        if not first:
            return next(rest)["tensor"]
        s = len(parameters)
        start = torch.full(shape, float(name == "gamma")) if fan_in is None else weights(s, shape, fan_in, replica)
        parameters.append({"name": name, "stream": s, "tensor": start.to(x.dtype).requires_grad_()})
        return parameters[-1]["tensor"]

    for layer in layers:
        match layer["type"]:
            case "affine":
                x = x.flatten(1)
                inputs, units = x.shape[1], layer["units"]
                x = x @ parameter("W", (inputs, units), inputs) + parameter("b", (units,))
            case "conv2d":
                shape = (layer["filters"], x.shape[1], *layer["kernel"])
                w, b = parameter("W", shape, math.prod(shape[1:])), parameter("b", shape[:1])
                x = F.conv2d(x, w, b, stride=layer["stride"], padding=layer["padding"])
            case "batch_norm":
                gamma, beta = parameter("gamma", (x.shape[1],)), parameter("beta", (x.shape[1],))
                x = F.batch_norm(x, None, None, gamma, beta, training=True, eps=layer["epsilon"])
            case "max_pool2d":
                x = F.max_pool2d(x, layer["kernel"], layer["stride"], layer["padding"])
            case "relu":
                x = F.relu(x)
            case "dropout":
                x = F.dropout(x, layer["rate"])
            case other:
                raise ValueError(other)
    return x


def optimizer_of(spec, groups):
    rate = spec["learning_rate"]
    match spec["type"]:
        case "sgd":
            return torch.optim.SGD(groups, lr=rate)
        case "momentum":
            return torch.optim.SGD(groups, lr=rate, momentum=spec["momentum"])
        case "adam":
            return torch.optim.Adam(groups, lr=rate, betas=(spec["beta1"], spec["beta2"]), eps=spec["epsilon"])
        case other:
            raise ValueError(other)


def train(layers, spec, weight_decay, dtype, replica=0):
    """Losses and penalties of 50 steps, and the parameters after them."""
    parameters = []
    forward(layers, parameters, torch.zeros(2, 1, 28, 28, dtype=dtype), replica)
    decayed = [p["tensor"] for p in parameters if p["name"] == "W"]
    others = [p["tensor"] for p in parameters if p["name"] != "W"]
    # PyTorch's weight_decay of SGD adds λW to the gradient: the derivative of the book's ½λW².
    optimizer = optimizer_of(spec, [{"params": decayed, "weight_decay": weight_decay}, {"params": others}])
    losses, penalties = [], []
    for step in range(STEPS):
        x, labels = batch(step)
        y = forward(layers, parameters, x.to(dtype))
        losses.append(F.cross_entropy(y.detach().double(), labels).item())
        penalties.append(0.5 * weight_decay * sum((w.detach().double() ** 2).sum().item() for w in decayed))
        optimizer.zero_grad()
        F.cross_entropy(y, labels).backward()
        optimizer.step()
    return losses, penalties, parameters


def trace(name, layers, spec, weight_decay):
    losses32, _, parameters32 = train(layers, spec, weight_decay, torch.float32)
    losses64, penalties, parameters64 = train(layers, spec, weight_decay, torch.float64)

    def drift_of(losses):
        return max(abs(a - b) / abs(b) for a, b in zip(losses, losses64))

    drift = drift_of(losses32)
    replicas = (train(layers, spec, weight_decay, torch.float32, k)[0] for k in range(1, REPLICAS + 1))
    worst = max(drift, *map(drift_of, replicas))
    fall = f"loss {losses64[0]:.3f} to {losses64[-1]:.3f}"
    print(f"{name}: {fall}, drift {drift:.1e}, of replicas {worst:.1e}", file=sys.stderr)
    if worst > MAX_DRIFT:
        sys.exit(f"{name}: rounding alone drifts by {worst:.1e}: lower the learning rate")

    def sums(parameters):
        return [p["tensor"].detach().double().abs().sum().item() for p in parameters]

    return {
        "name": name,
        "input": [1, 28, 28],
        "batch_size": BATCH,
        "network": layers,
        "optimizer": spec,
        "weight_decay": weight_decay,
        "parameters": [
            {"name": p["name"], "stream": p["stream"], "shape": list(p["tensor"].shape)} for p in parameters64
        ],
        "drift": drift,
        "drift_replicas": worst,
        "losses_f32": losses32,
        "losses_f64": losses64,
        "penalties_f64": penalties,
        "final_abs_sum_f32": sums(parameters32),
        "final_abs_sum_f64": sums(parameters64),
    }


examples = [[s, k, f"{stream(s, k + 1)[k]:016x}"] for s, k in ((0, 0), (0, 1), (2, 499), (1000, 7839), (2049, 9))]
nets = [json.dumps(trace(*net)) for net in NETS]
print(f'{{"hash_examples": {json.dumps(examples)},\n"nets": [\n' + ",\n".join(nets) + "\n]}")
