#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write efficientnet_lite0.onnx: the EfficientNet-Lite0 graph, its weights left in the .pth file.

    export.py WEIGHTS.pth OUT.onnx [--check GOLDEN.safetensors]

Needs `onnx` and `numpy`; `--check` also needs `onnxruntime`. torch is not used. The .pth is in
torch's old format: five pickles (magic, version, system, tensor index, storage keys), then for
each key an 8-byte element count and the little-endian array. The index is read with an unpickler
that builds nothing but tuples; every weight becomes an ONNX external-data initializer that names
the byte range of the array inside the .pth.

Most arrays keep the axis order of the TensorFlow checkpoint they came from (height, width, input,
output), so the graph transposes them; a runtime folds that once, when it loads the graph.
"""
import argparse
import collections
import json
import os
import pickle
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 224
BN_EPS = 1e-3
# kernel, stride of the first block, expansion, blocks
STAGES = ((3, 1, 1, 1), (3, 2, 6, 2), (5, 2, 6, 2), (3, 2, 6, 3), (5, 1, 6, 3), (5, 2, 6, 4), (3, 1, 6, 1))
Weight = collections.namedtuple("Weight", "offset shape perm")  # shape as stored; perm = Transpose


class _IndexUnpickler(pickle.Unpickler):
    """Reads a torch tensor index without running any code named in it."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *args: args
        if (module, name) in (("torch", "FloatStorage"), ("torch", "LongStorage")):
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")

    def persistent_load(self, pid):
        return pid


def stored_order(shape, strides):
    """Axes from slowest to fastest; axes of length 1 go wherever, their stride means nothing."""
    order = sorted(range(len(shape)), key=lambda a: (shape[a] != 1, -strides[a]))
    step = 1
    for axis in reversed(order):
        assert shape[axis] == 1 or strides[axis] == step, (shape, strides)
        step *= shape[axis]
    return order


def read_index(path):
    """name -> Weight of every f32 tensor."""
    with open(path, "rb") as f:
        _magic, _version, _system, tensors, keys = (_IndexUnpickler(f).load() for _ in range(5))
        sizes = {t[0][2]: (4 if t[0][1] == "FloatStorage" else 8) for t in tensors.values()}
        start = {}
        for key in keys:
            (count,) = struct.unpack("<q", f.read(8))
            start[key] = f.tell()
            f.seek(count * sizes[key], os.SEEK_CUR)
        assert f.tell() == os.path.getsize(path)
    weights = {}
    for name, ((_, kind, key, *_), first, shape, strides, *_) in tensors.items():
        if kind != "FloatStorage":
            continue  # num_batches_tracked
        order = stored_order(shape, strides)
        weights[name] = Weight(
            start[key] + 4 * first, [shape[a] for a in order], [order.index(a) for a in range(len(order))])
    return weights


class Graph:
    """Collects nodes and initializers; `op` returns the name of the node's output."""

    def __init__(self, weights, location):
        self.weights, self.location = weights, location
        self.nodes, self.initializers, self.consts = [], [], {}

    def weight(self, name):
        """External initializer, transposed to the order of its axes in torch."""
        offset, shape, perm = self.weights[name]
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (
            ("location", self.location),
            ("offset", offset),
            ("length", 4 * int(np.prod(shape))),
        ):
            tensor.external_data.add(key=key, value=str(value))
        self.initializers.append(tensor)
        return name if perm == sorted(perm) else self.op("Transpose", name, perm=perm)

    def const(self, value, dtype=np.int64):
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.consts:
            self.consts[key] = f"const_{len(self.consts)}"
            self.initializers.append(numpy_helper.from_array(array, self.consts[key]))
        return self.consts[key]

    def op(self, kind, *inputs, name=None, **attributes):
        name = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def conv(self, x, conv, norm, kernel=1, stride=1, group=1, relu=True):
        """Convolution with TensorFlow's SAME padding (the odd pixel goes to the end), batch norm, ReLU6."""
        x = self.op("Conv", x, self.weight(conv + ".weight"), kernel_shape=[kernel, kernel],
                    strides=[stride, stride], group=group, auto_pad="SAME_UPPER")
        params = [self.weight(f"{norm}.{p}") for p in ("weight", "bias", "running_mean", "running_var")]
        x = self.op("BatchNormalization", x, *params, epsilon=BN_EPS)
        return self.op("Clip", x, self.const(0, np.float32), self.const(6, np.float32)) if relu else x


def build(weights, location):
    g = Graph(weights, location)
    x = g.conv("pixels", "_conv_stem", "_bn0", kernel=3, stride=2)
    block = 0
    for kernel, first_stride, expansion, count in STAGES:
        for i in range(count):
            prefix = f"_blocks.{block}."
            stride = first_stride if i == 0 else 1
            y = x
            if expansion != 1:
                y = g.conv(y, prefix + "_expand_conv", prefix + "_bn0")
            (group,) = weights[prefix + "_bn1.weight"].shape
            y = g.conv(y, prefix + "_depthwise_conv", prefix + "_bn1", kernel, stride, group)
            y = g.conv(y, prefix + "_project_conv", prefix + "_bn2", relu=False)
            x = g.op("Add", y, x) if i > 0 else y  # only the first block changes the shape
            block += 1
    x = g.conv(x, "_conv_head", "_bn1")
    pooled = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
    g.op("LpNormalization", pooled, name="embedding", axis=1, p=2)
    # stored as [1280, 1000]: used as it lies, without a transpose
    assert weights["_fc.weight"].perm == [1, 0]
    weights["_fc.weight"] = weights["_fc.weight"]._replace(perm=[0, 1])
    g.op("Gemm", pooled, g.weight("_fc.weight"), g.weight("_fc.bias"), name="logits")

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        g.nodes, "efficientnet_lite0",
        [value("pixels", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [value("embedding", TensorProto.FLOAT, ["batch", 1280]), value("logits", TensorProto.FLOAT, ["batch", 1000])],
        g.initializers,
    )
    return helper.make_model(
        graph, producer_name="framewright", ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def read_safetensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    types = {"F32": "<f4", "U8": "u1"}
    return {
        name: np.frombuffer(data[slice(*t["data_offsets"])], types[t["dtype"]]).reshape(t["shape"])
        for name, t in header.items() if name != "__metadata__"
    }


def check(model, weights_path, golden_path):
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime as ort

    golden = read_safetensors(golden_path)
    options = ort.SessionOptions()
    # the graph is given as bytes: this says where the .pth lies
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.path.dirname(os.path.abspath(weights_path)))
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    pixels = (golden["images"].transpose(0, 3, 1, 2).astype(np.float32) - 127) / 128
    for name, got in zip(("embedding", "logits"), session.run(["embedding", "logits"], {"pixels": pixels})):
        print(f"{name}: max abs difference {np.abs(got - golden[name]).max():.2e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("out")
    parser.add_argument("--check", metavar="GOLDEN")
    args = parser.parse_args()
    model = build(read_index(args.weights), os.path.basename(args.weights))
    onnx.save(model, args.out)
    print(f"{args.out}: {os.path.getsize(args.out)} bytes")
    if args.check:
        check(model, args.weights, args.check)


if __name__ == "__main__":
    main()
