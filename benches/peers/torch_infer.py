"""PyTorch's predictions: one image's time, or a batch's throughput."""
import torch

import common
import nets
import torch_nets


def main():
    args = common.arguments(__doc__, images=1)
    torch.set_num_threads(args.threads)
    net = common.net(args)
    shape = net["input"] if nets.is_convolutional(net) else [torch.Size(net["input"]).numel()]
    model = torch_nets.module(net).eval()
    x, name = common.inputs(shape, args.images)
    with torch.inference_mode():
        times = common.latency(lambda: model(torch.from_numpy(next(x))), args.seconds)
    common.print_inference("torch", torch.__version__, args, times, data=name)


if __name__ == "__main__":
    main()
