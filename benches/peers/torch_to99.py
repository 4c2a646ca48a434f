"""PyTorch's time to 99 % of MNIST's test images, training steps only; the evaluation is timed apart.

Three convolutions with batch normalisation, 0.6 epoch of batches of 100, a triangular learning rate to 0.012, label
smoothing 0.1, the fused Adam, channels_last. Needs DOJANG_MNIST_DIR.
"""
import copy
import os
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

import common

BATCH, EPOCHS, RATE, WARM, SMOOTHING = 100, 0.6, 0.012, 0.25, 0.1
MEAN, DEVIATION = 33.3, 78.6


def network():
    """The net, in the layout that is fastest."""
    blocks = [
        *(nn.Conv2d(1, 16, 5, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
    ]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(1024, 10)).to(memory_format=torch.channels_last)


def tensors(folder, part):
    """Images [N, 1, 28, 28] as bytes, and labels [N]."""
    x, y = common.mnist(folder, part)
    return torch.from_numpy(x).view(-1, 1, 28, 28), torch.from_numpy(y.astype("int64"))


def train(seed, x, y):
    """A trained net, and the seconds that its steps took."""
    torch.manual_seed(seed)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)

    def step(images, labels):
        inputs = images.float().sub_(MEAN).mul_(1 / DEVIATION).contiguous(memory_format=torch.channels_last)
        F.cross_entropy(model(inputs), labels, label_smoothing=SMOOTHING).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    # Warm up, then begin anew.
    initial = copy.deepcopy(model.state_dict())
    for _ in range(3):
        step(x[:BATCH], y[:BATCH])
    model.load_state_dict(initial)
    optimizer.state.clear()
    steps = int(EPOCHS * len(x) / BATCH)
    began, rising = time.perf_counter(), WARM * steps
    order = torch.randperm(len(x))
    for i in range(steps):
        rate = RATE * ((i + 1) / rising if i < rising else (steps - i) / (steps - rising))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = order[i * BATCH : (i + 1) * BATCH]
        step(x.index_select(0, batch), y.index_select(0, batch))
    return model, time.perf_counter() - began


def evaluate(model, x, y):
    """Share of the images that are read right, and the seconds that it took."""
    began = time.perf_counter()
    model.eval()
    with torch.inference_mode():
        parts = zip(x.split(1000), y.split(1000))
        right = sum((model((x.float() - MEAN) / DEVIATION).argmax(1) == y).sum().item() for x, y in parts)
    return right / len(x), time.perf_counter() - began


def main():
    args = common.arguments(__doc__, seeds="1,2,3,4,5,6")
    args.net = None
    torch.set_num_threads(args.threads)
    folder = os.environ.get("DOJANG_MNIST_DIR")
    if not folder:
        raise SystemExit("DOJANG_MNIST_DIR must name a folder with MNIST's files")
    (x, y), test = tensors(folder, "train"), tensors(folder, "t10k")
    seeds = [int(seed) for seed in args.seeds.split(",")]
    seconds, evaluations, accuracies = [], [], []
    for seed in seeds:
        model, took = train(seed, x, y)
        accuracy, evaluation = evaluate(model, *test)
        seconds.append(took)
        evaluations.append(evaluation)
        accuracies.append(accuracy)
    common.print_line(
        "torch", torch.__version__, args, seeds=seeds, train_seconds=seconds, evaluation_seconds=evaluations,
        accuracies=accuracies, median_train_seconds=statistics.median(seconds),
    )


if __name__ == "__main__":
    main()
