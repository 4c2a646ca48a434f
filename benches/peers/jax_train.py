"""JAX's training throughput.

`--mode step` compiles one step; `--mode scan` many steps over resident data into one call.
"""
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

import common
import nets


def parameters(net, key):
    """Initial weights and biases of each layer that has some, by its index."""
    made = {}
    for index, layer in enumerate(nets.layers(net)):
        if layer["type"] == "affine":
            shape = (math.prod(layer["input"]), layer["units"])
        elif layer["type"] == "conv2d":
            shape = (layer["kernel"], layer["kernel"], layer["input"][0], layer["filters"])
        else:
            continue
        key, draw = random.split(key)
        scale = math.sqrt(2 / math.prod(shape[:-1]))
        made[index] = (random.normal(draw, shape) * scale, jnp.zeros(shape[-1]))
    return made


def forward(net, weights, x, key):
    """Scores [N, 10]; images are [N, H, W, C], the layout that XLA likes on the CPU."""
    for index, layer in enumerate(nets.layers(net)):
        kind = layer["type"]
        if kind == "relu":
            x = jax.nn.relu(x)
        elif kind == "affine":
            w, b = weights[index]
            x = x.reshape(len(x), -1) @ w + b
        elif kind == "conv2d":
            w, b = weights[index]
            padding = [(layer["padding"],) * 2] * 2
            axes = ("NHWC", "HWIO", "NHWC")
            x = lax.conv_general_dilated(x, w, (layer["stride"],) * 2, padding, dimension_numbers=axes) + b
        elif kind == "max_pool2d":
            n, h, w, c = x.shape
            k = layer["kernel"]
            x = x[:, : h // k * k, : w // k * k].reshape(n, h // k, k, w // k, k, c).max((2, 4))
        elif kind == "dropout":
            key, draw = random.split(key)
            x = jnp.where(random.bernoulli(draw, 1 - layer["rate"], x.shape), x / (1 - layer["rate"]), 0.0)
        else:
            raise ValueError(f"no function for the layer {kind}")
    return x


def updater(net):
    """A function from state, bytes and labels to the state after one step."""
    rate, adam = net["optimizer"]["learning_rate"], net["optimizer"]["type"] == "adam"
    shape = (-1, *net["input"][1:], net["input"][0]) if nets.is_convolutional(net) else (-1, math.prod(net["input"]))
    tree = jax.tree_util.tree_map

    def loss(weights, x, y, key):
        scores = jax.nn.log_softmax(forward(net, weights, x, key))
        return -jnp.take_along_axis(scores, y[:, None], 1).mean()

    def update(state, inputs, y):
        weights, m, v, t, key = state
        key, draw = random.split(key)
        x = (inputs.astype(jnp.float32) * (1 / 255)).reshape(shape)
        gradients = jax.grad(loss)(weights, x, y, draw)
        if not adam:
            return tree(lambda w, g: w - rate * g, weights, gradients), m, v, t, key
        t = t + 1
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
        scaled = rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weights = tree(lambda w, m, v: w - scaled * m / (jnp.sqrt(v) + 1e-8), weights, m, v)
        return weights, m, v, t, key

    return update


def main():
    args = common.arguments(__doc__, mode="scan")
    net = common.net(args)
    x, y, name = common.samples(math.prod(net["input"]))
    y, rng, size = y.astype(np.int32), np.random.default_rng(0), net["batch_size"]
    batches = common.batches(size, lambda: rng.permutation(len(x)).astype(np.int32))
    weights = parameters(net, random.PRNGKey(0))
    zeros = jax.tree_util.tree_map(jnp.zeros_like, weights)
    # Two of them: a donated buffer may not be given twice.
    state = weights, zeros, jax.tree_util.tree_map(jnp.zeros_like, weights), jnp.float32(0), random.PRNGKey(1)
    update = updater(net)
    if args.mode == "scan":
        # So many steps a call that a call is not much longer than a window.
        steps = 20 if nets.is_convolutional(net) else 100
        resident = jnp.asarray(x), jnp.asarray(y)
        call = jax.jit(
            lambda state, x, y, indices: lax.scan(lambda s, i: (update(s, x[i], y[i]), 0), state, indices)[0],
            donate_argnums=0,
        )

        def step():
            nonlocal state
            state = call(state, *resident, np.stack([next(batches) for _ in range(steps)]))
    else:
        steps, call = 1, jax.jit(update, donate_argnums=0)

        def step():
            nonlocal state
            batch = next(batches)
            state = call(state, x[batch], y[batch])

    rates = common.throughput(step, steps * size, args.seconds, lambda: jax.block_until_ready(state))
    common.print_training(f"jax-{args.mode}", jax.__version__, args, rates, data=name)


if __name__ == "__main__":
    main()
