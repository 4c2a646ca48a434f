"""Golden values of gradient clipping, made with PyTorch.

usage: clip.py > clip.json        (needs torch; regenerates the file beside this script)

`norm` is torch.nn.utils.clip_grad_norm_, `value` is clip_grad_value_, over two tensors that make up one gradient.
"""
import json

import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

torch.set_default_dtype(torch.float64)
SMALL = [0.25, -0.5, 0.125, 0.0, -0.0625]
LARGE = [3.0, -40.0, 0.5, 12.0, -0.001]


def clipped(gradient, clip):
    parts = [torch.zeros(2, requires_grad=True), torch.zeros(3, requires_grad=True)]
    parts[0].grad, parts[1].grad = torch.tensor(gradient[:2]), torch.tensor(gradient[2:])
    clip(parts)
    return torch.cat([p.grad for p in parts]).tolist()


out = []
for gradient in (SMALL, LARGE):
    for bound in (0.1, 1.0, 5.0):
        out.append({"clip": {"type": "norm", "max_norm": bound}, "gradient": gradient,
                    "clipped": clipped(gradient, lambda parts: clip_grad_norm_(parts, bound))})
        out.append({"clip": {"type": "value", "max_value": bound}, "gradient": gradient,
                    "clipped": clipped(gradient, lambda parts: clip_grad_value_(parts, bound))})
print(json.dumps(out, indent=1))
