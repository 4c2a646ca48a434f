"""scikit-learn's training throughput: `MLPClassifier`, whole epochs over all samples, of bytes turned to numbers."""
import time
import warnings

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier

import common
import nets


def classifier(net):
    """The net's classifier: one epoch at a time, without weight decay."""
    hidden = tuple(layer["units"] for layer in nets.layers(net) if layer["type"] == "affine")[:-1]
    spec = net["optimizer"]
    solver = {"solver": spec["type"]}
    if spec["type"] == "sgd":
        solver |= {"momentum": 0.0, "nesterovs_momentum": False}
    return MLPClassifier(
        hidden, batch_size=net["batch_size"], learning_rate_init=spec["learning_rate"], alpha=0, max_iter=1, **solver
    )


def main():
    args = common.arguments(__doc__)
    net = common.net(args)
    x, y, name = common.samples(int(np.prod(net["input"])))
    # That one epoch does not converge is no surprise.
    warnings.simplefilter("ignore")

    def epoch(samples):
        classifier(net).fit(x[:samples].astype(np.float32) / np.float32(255), y[:samples])

    epoch(1000)
    rates, began = [], time.perf_counter()
    while not rates or time.perf_counter() - began < args.seconds:
        start = time.perf_counter()
        epoch(len(x))
        rates.append(len(x) / (time.perf_counter() - start))
    common.print_training("sklearn", sklearn.__version__, args, rates, data=name)


if __name__ == "__main__":
    main()
