"""How well models trained on `digits` read the real MNIST test set.

usage: transfer.py SERVER MNIST_DIR MODEL [MODEL ...]

Sends the 10,000 test images as raw bytes to POST /predict of a running server and counts the hits. For the figures in the
README, train these specs first (POST /v1/jobs), then ask for the models `two-layer`, `d256` and `transfer`:

{"model": "two-layer", "dataset": {"name": "digits"}, "network": [{"type": "affine", "units": 50}, "relu",
 {"type": "affine", "units": 10}], "optimizer": {"type": "sgd", "learning_rate": 0.1}, "epochs": 17}
{"model": "d256", "dataset": {"name": "digits"}, "network": [{"type": "affine", "units": 256}, "relu",
 {"type": "affine", "units": 10}], "epochs": 8}
{"model": "transfer", "recipe": "simple_convnet", "dataset": {"name": "digits"}, "epochs": 5, "init": "he",
 "schedule": null, "weight_decay": 0}
"""
import gzip
import json
import sys
import urllib.request

if len(sys.argv) < 4:
    sys.exit(__doc__)
server, folder, models = sys.argv[1], sys.argv[2], sys.argv[3:]
images = gzip.open(f"{folder}/t10k-images-idx3-ubyte.gz").read()[16:]
labels = gzip.open(f"{folder}/t10k-labels-idx1-ubyte.gz").read()[8:]
for model in models:
    hits = 0
    for first in range(0, 10_000, 1000):
        request = urllib.request.Request(
            f"{server}/predict?model={model}",
            data=images[first * 784:(first + 1000) * 784],
            headers={"content-type": "application/octet-stream"},
        )
        answers = json.load(urllib.request.urlopen(request))["predictions"]
        hits += sum(answer["label"] == labels[first + i] for i, answer in enumerate(answers))
    print(f"{model}: {hits / 100:.2f} %")
