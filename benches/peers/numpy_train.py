"""NumPy's training throughput, the way of *Deep Learning from Scratch*: layers as objects, convolution by im2col."""
import math

import numpy as np

import common
import nets

F = np.float32
RNG = np.random.default_rng(0)


def initial(*shape, inputs):
    """He's initial weights."""
    return (RNG.standard_normal(shape) * math.sqrt(2 / inputs)).astype(F)


class Affine:
    def __init__(self, layer):
        inputs = math.prod(layer["input"])
        self.w, self.b = initial(inputs, layer["units"], inputs=inputs), np.zeros(layer["units"], F)

    def forward(self, x):
        self.shape, self.x = x.shape, x.reshape(len(x), -1)
        return self.x @ self.w + self.b

    def backward(self, dy):
        self.dw, self.db = self.x.T @ dy, dy.sum(0)
        return (dy @ self.w.T).reshape(self.shape)


class Relu:
    def __init__(self, layer):
        pass

    def forward(self, x):
        self.mask = x <= 0
        y = x.copy()
        y[self.mask] = 0
        return y

    def backward(self, dy):
        dy[self.mask] = 0
        return dy


class Dropout:
    def __init__(self, layer):
        self.rate = layer["rate"]

    def forward(self, x):
        self.mask = RNG.random(x.shape, dtype=F) > self.rate
        return x * self.mask

    def backward(self, dy):
        return dy * self.mask


def im2col(x, kernel, stride, padding):
    """Windows of images [N, C, H, W] as rows [N·OH·OW, C·K·K], and OH and OW."""
    n, c, h, w = x.shape
    oh, ow = (h + 2 * padding - kernel) // stride + 1, (w + 2 * padding - kernel) // stride + 1
    image = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    columns = np.zeros((n, c, kernel, kernel, oh, ow), F)
    for i in range(kernel):
        for j in range(kernel):
            columns[:, :, i, j] = image[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]
    return columns.transpose(0, 4, 5, 1, 2, 3).reshape(n * oh * ow, -1), oh, ow


def col2im(columns, shape, kernel, stride, padding):
    """Sums rows of windows up to images: what `im2col` takes apart."""
    n, c, h, w = shape
    oh, ow = (h + 2 * padding - kernel) // stride + 1, (w + 2 * padding - kernel) // stride + 1
    columns = columns.reshape(n, oh, ow, c, kernel, kernel).transpose(0, 3, 4, 5, 1, 2)
    image = np.zeros((n, c, h + 2 * padding, w + 2 * padding), F)
    for i in range(kernel):
        for j in range(kernel):
            image[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride] += columns[:, :, i, j]
    return image[:, :, padding : h + padding, padding : w + padding]


class Convolution:
    def __init__(self, layer):
        self.window = layer["kernel"], layer["stride"], layer["padding"]
        inputs = layer["input"][0] * layer["kernel"] ** 2
        shape = layer["filters"], layer["input"][0], layer["kernel"], layer["kernel"]
        self.w, self.b = initial(*shape, inputs=inputs), np.zeros(layer["filters"], F)

    def forward(self, x):
        self.shape = x.shape
        self.columns, oh, ow = im2col(x, *self.window)
        self.matrix = self.w.reshape(len(self.w), -1).T
        return (self.columns @ self.matrix + self.b).reshape(len(x), oh, ow, -1).transpose(0, 3, 1, 2)

    def backward(self, dy):
        dy = dy.transpose(0, 2, 3, 1).reshape(-1, len(self.w))
        self.dw, self.db = (self.columns.T @ dy).T.reshape(self.w.shape), dy.sum(0)
        return col2im(dy @ self.matrix.T, self.shape, *self.window)


class MaxPool:
    def __init__(self, layer):
        self.window = layer["kernel"], layer["stride"], layer["padding"]

    def forward(self, x):
        self.shape = n, c, _, _ = x.shape
        columns, oh, ow = im2col(x, *self.window)
        columns = columns.reshape(-1, self.window[0] ** 2)
        self.largest = columns.argmax(1)
        return columns.max(1).reshape(n, oh, ow, c).transpose(0, 3, 1, 2)

    def backward(self, dy):
        dy = dy.transpose(0, 2, 3, 1)
        columns = np.zeros((dy.size, self.window[0] ** 2), F)
        columns[np.arange(dy.size), self.largest] = dy.ravel()
        return col2im(columns.reshape(math.prod(dy.shape[:3]), -1), self.shape, *self.window)


LAYERS = {"affine": Affine, "relu": Relu, "dropout": Dropout, "conv2d": Convolution, "max_pool2d": MaxPool}


class Sgd:
    def __init__(self, rate, layers):
        self.rate, self.layers = F(rate), layers

    def update(self):
        for layer in self.layers:
            layer.w -= self.rate * layer.dw
            layer.b -= self.rate * layer.db


class Adam:
    def __init__(self, rate, layers):
        self.rate, self.layers, self.t = rate, layers, 0
        self.moments = [[(np.zeros_like(w), np.zeros_like(w)) for w in (layer.w, layer.b)] for layer in layers]

    def update(self):
        self.t += 1
        rate = F(self.rate * math.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t))
        for layer, moments in zip(self.layers, self.moments):
            for (w, g), (m, v) in zip(((layer.w, layer.dw), (layer.b, layer.db)), moments):
                m += F(0.1) * (g - m)
                v += F(0.001) * (g * g - v)
                w -= rate * m / (np.sqrt(v) + F(1e-7))


def main():
    args = common.arguments(__doc__)
    net = common.net(args)
    x, y, name = common.samples(math.prod(net["input"]))
    shape = (-1, *net["input"]) if nets.is_convolutional(net) else (-1, x.shape[1])
    layers = [LAYERS[layer["type"]](layer) for layer in nets.layers(net)]
    learned = [layer for layer in layers if hasattr(layer, "w")]
    size, spec = net["batch_size"], net["optimizer"]
    optimizer = {"sgd": Sgd, "adam": Adam}[spec["type"]](spec["learning_rate"], learned)
    batches = common.batches(size, lambda: RNG.permutation(len(x)))

    def step():
        batch = next(batches)
        values, labels = (x[batch].astype(F) / F(255)).reshape(shape), y[batch]
        for layer in layers:
            values = layer.forward(values)
        exp = np.exp(values - values.max(1, keepdims=True))
        gradient = exp / exp.sum(1, keepdims=True)
        # The book computes the loss at every step, too.
        -np.log(gradient[np.arange(size), labels] + F(1e-7)).mean()
        gradient[np.arange(size), labels] -= 1
        gradient /= F(size)
        for layer in reversed(layers):
            gradient = layer.backward(gradient)
        optimizer.update()

    rates = common.throughput(step, size, args.seconds)
    common.print_training("numpy", np.__version__, args, rates, data=name)


if __name__ == "__main__":
    main()
