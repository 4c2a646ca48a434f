"""PyTorch's training throughput.

`--mode eager` is what a script gets that sets nothing. `--mode tuned` uses the fused optimizer, and channels_last where
it is faster; the memory allocator is tuned by the environment.
"""
import statistics

import torch
import torch.nn.functional as F

import common
import nets
import torch_nets


def optimizer(spec, parameters, fused):
    """The optimizer of a spec as dojang reads it."""
    kind, rate = spec["type"], spec["learning_rate"]
    more = {"fused": True} if fused else {}
    if kind in ("sgd", "momentum"):
        return torch.optim.SGD(parameters, lr=rate, momentum=spec.get("momentum", 0.0), **more)
    if kind == "adam":
        return torch.optim.Adam(parameters, lr=rate, **more)
    if kind == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=spec["weight_decay"], **more)
    raise ValueError(f"no optimizer {kind}")


def stepper(net, data, fused, channels_last):
    """A function that does one step: batch from bytes, forward, backward, update."""
    x, y = data
    torch.manual_seed(0)
    model = torch_nets.module(net)
    shape = (-1, *net["input"]) if nets.is_convolutional(net) else (-1, x.shape[1])
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    update = optimizer(net["optimizer"], model.parameters(), fused)
    batches = common.batches(net["batch_size"], lambda: torch.randperm(len(x)))

    def step():
        batch = next(batches)
        inputs = (x.index_select(0, batch).float() * (1 / 255)).view(shape)
        if channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(model(inputs), y.index_select(0, batch))
        update.zero_grad(set_to_none=True)
        loss.backward()
        update.step()

    return step


def main():
    args = common.arguments(__doc__, mode="tuned")
    torch.set_num_threads(args.threads)
    net = common.net(args)
    x, y, name = common.samples(torch.Size(net["input"]).numel())
    data = torch.from_numpy(x), torch.from_numpy(y.astype("int64"))
    resident = common.status("VmRSS")
    tuned = args.mode == "tuned"
    layouts = [False, True] if tuned and nets.is_convolutional(net) else [False]
    steppers = [stepper(net, data, tuned, channels_last) for channels_last in layouts]
    best = 0
    if len(steppers) > 1:
        tried = [common.throughput(step, net["batch_size"], args.seconds / 4) for step in steppers]
        best = max(range(len(tried)), key=lambda i: statistics.median(tried[i]))
    rates = common.throughput(steppers[best], net["batch_size"], args.seconds)
    common.print_training(
        f"torch-{args.mode}", torch.__version__, args, rates, data=name, channels_last=layouts[best],
        memory_bytes_before_training=resident,
    )


if __name__ == "__main__":
    main()
