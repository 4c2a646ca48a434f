"""Golden values of the activations and their derivatives, made with PyTorch.

usage: activations.py > activations.json        (needs torch; regenerates the file beside this script)
"""
import json

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
X = [-20.0, -6.0, -2.5, -1.0, -0.3, -0.01, 0.02, 0.4, 1.0, 2.0, 5.0, 15.0]
CASES = [
    ({"type": "relu"}, F.relu),
    ({"type": "leaky_relu", "slope": 0.01}, F.leaky_relu),
    ({"type": "leaky_relu", "slope": 0.3}, lambda x: F.leaky_relu(x, 0.3)),
    ({"type": "elu", "alpha": 1.0}, F.elu),
    ({"type": "elu", "alpha": 0.5}, lambda x: F.elu(x, 0.5)),
    ({"type": "gelu"}, F.gelu),
    ({"type": "silu"}, F.silu),
    ({"type": "softplus"}, F.softplus),
    ({"type": "sigmoid"}, torch.sigmoid),
    ({"type": "tanh"}, torch.tanh),
    ({"type": "identity"}, lambda x: x * 1),
]
out = []
for spec, f in CASES:
    x = torch.tensor(X, requires_grad=True)
    y = f(x)
    y.sum().backward()
    out.append({"layer": spec, "x": X, "y": y.tolist(), "slope": x.grad.tolist()})
print(json.dumps(out, indent=1))
