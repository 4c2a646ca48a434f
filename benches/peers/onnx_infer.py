"""ONNX Runtime's predictions: one image's time, or a batch's throughput. The graph has random weights."""
import math

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import common
import nets

# The opset and the file version that any recent runtime reads.
OPSET, VERSION = 17, 8


def graph(net):
    """The net as a serialised ONNX model from `x` [n, …] to `y` [n, 10]."""
    rng, nodes, weights = np.random.default_rng(0), [], []
    value = "x"

    def add(kind, *inputs, **attributes):
        nonlocal value
        nodes.append(helper.make_node(kind, [value, *inputs], [f"v{len(nodes)}"], **attributes))
        value = nodes[-1].output[0]

    def weight(*shape):
        scale = math.sqrt(2 / math.prod(shape[1:] or shape))
        values = (rng.standard_normal(shape) * scale).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{len(weights)}"))
        return weights[-1].name

    for layer in nets.layers(net):
        kind, shape = layer["type"], layer["input"]
        if kind == "relu":
            add("Relu")
        elif kind == "affine":
            if len(shape) > 1:
                add("Flatten")
            add("Gemm", weight(layer["units"], math.prod(shape)), weight(layer["units"]), transB=1)
        elif kind == "conv2d":
            window = {"strides": [layer["stride"]] * 2, "pads": [layer["padding"]] * 4}
            filters, kernel = layer["filters"], layer["kernel"]
            add("Conv", weight(filters, shape[0], kernel, kernel), weight(filters), kernel_shape=[kernel] * 2, **window)
        elif kind == "max_pool2d":
            add("MaxPool", kernel_shape=[layer["kernel"]] * 2, strides=[layer["stride"]] * 2)
        elif kind != "dropout":
            raise ValueError(f"no node for the layer {kind}")
    shape = next(nets.layers(net))["input"]
    ends = [("x", ["n", *shape]), (value, ["n", *layer["output"]])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name, axes in ends)
    made = helper.make_graph(nodes, net["name"], [x], [y], weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=VERSION)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def main():
    args = common.arguments(__doc__, images=1)
    net = common.net(args)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
    session = onnxruntime.InferenceSession(graph(net), options, providers=["CPUExecutionProvider"])
    shape = next(nets.layers(net))["input"]
    x, name = common.inputs(shape, args.images)
    times = common.latency(lambda: session.run(None, {"x": next(x)}), args.seconds)
    common.print_inference("onnxruntime", onnxruntime.__version__, args, times, data=name)


if __name__ == "__main__":
    main()
