"""Golden values of the losses, made with PyTorch.

usage: losses.py > losses.json        (needs torch; regenerates the file beside this script)

`losses` are those of each row, `gradient` that of their mean. How ours map to PyTorch's:
  softmax_cross_entropy  F.cross_entropy with its label_smoothing
  mean_squared_error     half of F.mse_loss(reduction="sum") of a row; targets one-hot, of one output the label
  binary_cross_entropy   F.binary_cross_entropy_with_logits(reduction="sum") of a row; targets likewise
  perceptron             F.relu(-s·t) with t = ±1 (nowhere at its kink)
"""
import json

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
MANY = [[0.5, -1.0, 2.0, 0.25], [12.0, -7.5, 3.0, 11.5], [-0.125, 0.0, 0.75, -3.0], [100.0, -100.0, 40.0, 2.0]]
TWO = [[0.5, -1.0], [-2.5, 6.0], [30.0, 29.0]]
ONE = [[0.75], [-0.25], [3.5], [-14.0], [60.0], [-60.0]]


def targets(y, labels):
    if y.shape[1] == 1:
        return labels.unsqueeze(1).double()
    return F.one_hot(labels, y.shape[1]).double()


def softmax(smoothing):
    return lambda y, labels: F.cross_entropy(y, labels, reduction="none", label_smoothing=smoothing)


def squared(y, labels):
    return F.mse_loss(y, targets(y, labels), reduction="none").sum(1) / 2


def binary(y, labels):
    return F.binary_cross_entropy_with_logits(y, targets(y, labels), reduction="none").sum(1)


def perceptron(y, labels):
    return F.relu(-y[:, 0] * (2 * labels - 1))


def of_two(p):
    return torch.cat([1 - p, p], 1) if p.shape[1] == 1 else p


PROBABILITIES = {
    "softmax_cross_entropy": lambda y: torch.softmax(y, 1),
    "binary_cross_entropy": lambda y: of_two(torch.sigmoid(y)),
    "mean_squared_error": of_two,
    "perceptron": lambda y: of_two((y > 0).double()),
}
CASES = [
    ({"type": "softmax_cross_entropy", "label_smoothing": 0.0}, softmax(0.0), MANY, [2, 1, 0, 3]),
    ({"type": "softmax_cross_entropy", "label_smoothing": 0.1}, softmax(0.1), MANY, [2, 1, 0, 3]),
    ({"type": "softmax_cross_entropy", "label_smoothing": 0.75}, softmax(0.75), TWO, [0, 0, 1]),
    ({"type": "mean_squared_error"}, squared, MANY, [2, 1, 0, 3]),
    ({"type": "mean_squared_error"}, squared, ONE, [1, 0, 1, 1, 0, 0]),
    ({"type": "binary_cross_entropy"}, binary, ONE, [1, 0, 1, 1, 0, 0]),
    ({"type": "binary_cross_entropy"}, binary, TWO, [0, 0, 1]),
    ({"type": "binary_cross_entropy"}, binary, MANY, [2, 1, 0, 3]),
    ({"type": "perceptron"}, perceptron, ONE, [1, 0, 1, 1, 0, 0]),
]
out = []
for spec, loss, rows, labels in CASES:
    y = torch.tensor(rows, requires_grad=True)
    losses = loss(y, torch.tensor(labels))
    losses.mean().backward()
    out.append({"loss": spec, "outputs": rows, "labels": labels, "losses": losses.tolist(),
                "gradient": y.grad.tolist(), "predictions": PROBABILITIES[spec["type"]](y.detach()).tolist()})
print(json.dumps(out, indent=1))
