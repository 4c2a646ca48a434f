"""PyTorch's modules of a net, used by its training and its predictions."""
import math

from torch import nn

import nets

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}


def module(net):
    """The net's module. Its input is [N, C, H, W] for a convolutional net, otherwise [N, D]."""
    return nn.Sequential(*(part for layer in nets.layers(net) for part in parts(layer)))


def parts(layer):
    """The modules of a layer."""
    kind, shape = layer["type"], layer["input"]
    if kind in ACTIVATIONS:
        return [ACTIVATIONS[kind]()]
    if kind == "affine":
        flatten = [nn.Flatten()] if len(shape) > 1 else []
        return [*flatten, nn.Linear(math.prod(shape), layer["units"])]
    if kind == "dropout":
        return [nn.Dropout(layer["rate"])]
    if kind == "batch_norm":
        return [nn.BatchNorm2d(shape[0]) if len(shape) > 1 else nn.BatchNorm1d(shape[0])]
    if kind == "global_avg_pool":
        return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    window = {name: layer[name] for name in ("stride", "padding")}
    if kind == "conv2d":
        return [nn.Conv2d(shape[0], layer["filters"], layer["kernel"], **window)]
    if kind == "max_pool2d":
        return [nn.MaxPool2d(layer["kernel"], **window)]
    if kind == "avg_pool2d":
        return [nn.AvgPool2d(layer["kernel"], **window, count_include_pad=False)]
    raise ValueError(f"no module for the layer {kind}")
