"""Golden standard deviations and bounds of the initial weights, made with PyTorch.

usage: inits.py > inits.json        (needs torch; regenerates the file beside this script)

`he` and `he_uniform` are kaiming_normal_ and kaiming_uniform_ with mode="fan_in", nonlinearity="relu". `xavier` and
`xavier_uniform` are the book's √(1 / fan_in), which PyTorch has as kaiming with nonlinearity="linear" (gain 1); its own
xavier_* divide by the mean of fan-in and fan-out. Weights as PyTorch lays them out: [outputs, inputs, kernel…].
"""
import json
import math

import torch
from torch.nn.init import _calculate_correct_fan, calculate_gain

SHAPES = [(50, 784), (10, 50), (1, 1), (30, 1, 5, 5), (64, 30, 3, 3)]
out = []
for shape in SHAPES:
    fan_in = _calculate_correct_fan(torch.empty(shape), "fan_in")
    for name, nonlinearity in (("he", "relu"), ("xavier", "linear")):
        std = calculate_gain(nonlinearity) / math.sqrt(fan_in)
        out.append({"init": {"type": name}, "fan_in": fan_in, "std": std})
        out.append({"init": {"type": name + "_uniform"}, "fan_in": fan_in, "bound": math.sqrt(3.0) * std})
print(json.dumps(out, indent=1))
