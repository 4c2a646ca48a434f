"""Golden values of the optimizers, made with PyTorch.

usage: optimizers.py > optimizers.json        (needs torch; regenerates the file beside this script)

Three parameters follow 60 steps of a gradient that depends on them and on the step: g = w·(1 + k/2) + sin(0.7·t + k).
PyTorch's SGD with momentum and dampening 0 is the book's with v replaced by −v/η, which is the same at a constant rate.
"""
import json
import math

import torch

torch.set_default_dtype(torch.float64)


def run(make):
    w = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    optimizer = make([w])
    trace = []
    for t in range(1, 61):
        w.grad = torch.tensor([w[k].item() * (1 + k / 2) + math.sin(0.7 * t + k) for k in range(3)])
        optimizer.step()
        if t in (1, 2, 3, 10, 60):
            trace.append({"step": t, "parameters": w.tolist()})
    return trace


CASES = [
    ({"type": "sgd", "learning_rate": 0.05}, lambda p: torch.optim.SGD(p, lr=0.05)),
    ({"type": "momentum", "learning_rate": 0.02, "momentum": 0.9}, lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9)),
    ({"type": "nesterov", "learning_rate": 0.02, "momentum": 0.9},
     lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True)),
    ({"type": "adagrad", "learning_rate": 0.1, "epsilon": 1e-7}, lambda p: torch.optim.Adagrad(p, lr=0.1, eps=1e-7)),
    ({"type": "rmsprop", "learning_rate": 0.01, "decay": 0.99, "epsilon": 1e-7},
     lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.99, eps=1e-7)),
    ({"type": "adam", "learning_rate": 0.05, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
     lambda p: torch.optim.Adam(p, lr=0.05)),
    ({"type": "adamw", "learning_rate": 0.05, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "weight_decay": 0.1},
     lambda p: torch.optim.AdamW(p, lr=0.05, betas=(0.9, 0.99), weight_decay=0.1)),
]
print(json.dumps([{"optimizer": spec, "trace": run(make)} for spec, make in CASES], indent=1))
