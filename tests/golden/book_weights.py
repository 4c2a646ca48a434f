"""Accuracy of the book's published weights on the 10,000 test images of MNIST, with NumPy alone.

usage: DOJANG_BOOK_DIR=… DOJANG_MNIST_DIR=… book_weights.py

DOJANG_BOOK_DIR holds three_layer_sigmoid.safetensors and simple_convnet.safetensors, DOJANG_MNIST_DIR the IDX files
t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz. Everything is done the book's way (*Deep Learning from
Scratch*, §3.6 and §7.5): pixels divided by 255, convolution by im2col; the numbers are the witness for the engine's.
"""
import gzip
import json
import os
import struct
import sys

import numpy as np

CHUNK = 500  # images at a time: im2col of 10,000 would take 600 MB


def safetensors(path):
    """Tensors by name: 8 bytes of header length, a JSON header, then the data its offsets point into."""
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    tensors = {}
    for name, entry in json.loads(content[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "F32":
            sys.exit(f"{path}: {name} is {entry['dtype']}, not F32")
        first, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(content[first:end], dtype="<f4").reshape(entry["shape"])
    return tensors


def idx(path):
    """An IDX file of bytes: two zero bytes, type 8, the number of dimensions, each as a big-endian u32, the values."""
    with gzip.open(path) as file:
        content = file.read()
    if content[:3] != b"\0\0\x08":
        sys.exit(f"{path}: not an IDX file of bytes")
    sides = struct.unpack(f">{content[3]}I", content[4 : 4 + 4 * content[3]])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sides)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(0, x)


def softmax(x):
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def im2col(x, height, width, stride):
    """[N, C, H, W] to [N·OH·OW, C·height·width]: a row holds what one window sees."""
    n, c, h, w = x.shape
    rows, columns = (h - height) // stride + 1, (w - width) // stride + 1
    windows = np.empty((n, c, height, width, rows, columns), x.dtype)
    for i in range(height):
        for j in range(width):
            windows[:, :, i, j] = x[:, :, i : i + stride * rows : stride, j : j + stride * columns : stride]
    return windows.transpose(0, 4, 5, 1, 2, 3).reshape(n * rows * columns, -1), (rows, columns)


def convolution(x, w, b):
    windows, (rows, columns) = im2col(x, *w.shape[2:], stride=1)
    y = windows @ w.reshape(len(w), -1).T + b
    return y.reshape(len(x), rows, columns, -1).transpose(0, 3, 1, 2)


def pooling(x, size):
    windows, (rows, columns) = im2col(x, size, size, stride=size)
    y = windows.reshape(-1, size * size).max(axis=1)
    return y.reshape(len(x), rows, columns, -1).transpose(0, 3, 1, 2)


def three_layer_sigmoid(p, x):
    x = sigmoid(x.reshape(len(x), -1) @ p["W1"] + p["b1"])
    x = sigmoid(x @ p["W2"] + p["b2"])
    return softmax(x @ p["W3"] + p["b3"])


def simple_convnet(p, x):
    x = pooling(relu(convolution(x, p["W1"], p["b1"])), 2)
    x = relu(x.reshape(len(x), -1) @ p["W2"] + p["b2"])
    return softmax(x @ p["W3"] + p["b3"])


if "DOJANG_BOOK_DIR" not in os.environ or "DOJANG_MNIST_DIR" not in os.environ:
    sys.exit(__doc__)
book, mnist = os.environ["DOJANG_BOOK_DIR"], os.environ["DOJANG_MNIST_DIR"]
images = idx(f"{mnist}/t10k-images-idx3-ubyte.gz").astype(np.float32)[:, None] / np.float32(255)
labels = idx(f"{mnist}/t10k-labels-idx1-ubyte.gz")
for network in (three_layer_sigmoid, simple_convnet):
    parameters = safetensors(f"{book}/{network.__name__}.safetensors")
    for dtype in (np.float32, np.float64):
        typed = {name: values.astype(dtype) for name, values in parameters.items()}
        hits, closest = 0, 1.0
        for first in range(0, len(images), CHUNK):
            y = network(typed, images[first : first + CHUNK].astype(dtype))
            hits += int((y.argmax(axis=1) == labels[first : first + CHUNK]).sum())
            second, best = np.sort(y, axis=1)[:, -2:].T
            closest = min(closest, float((best - second).min()))
        # How near the closest decision is says how safe the count is from rounding.
        print(f"{network.__name__} in {dtype.__name__}: {hits} of {len(labels)} (closest decision {closest:.1e})")
