#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write transnet_v2.onnx: the TransNetV2 graph, with its weights left in the .pth file.

    export.py WEIGHTS.pth OUT.onnx [--check GOLDEN.safetensors]

Needs `onnx` and `numpy`; `--check` also needs `onnxruntime`. torch is not used. The .pth is a
zip of uncompressed little-endian arrays and a pickled index. The index is read with an unpickler
that builds nothing but tuples; every weight becomes an ONNX external-data initializer that names
the byte range of the array inside the .pth.

Layout. Conv3d is slow on CPU runtimes, so the graph has 2-D convolutions only. The 100 frames of
a window are stacked into one tall image [batch, channels, 100*(H+1), W]; every frame is followed
by one zero row. A 3x3 convolution with padding 1 then never mixes two frames, and a temporal
convolution with dilation d is a (3,1) convolution with row dilation d*(H+1). Convolutions write
rubbish into the separator rows, which is harmless until the next 3x3 convolution: before it, a
huge negative number is added to those rows, and the ReLU turns them into zeros. (ONNX Runtime
fuses convolution, norm, sum and ReLU into one kernel and keeps its blocked layout; a product with
a mask would leave it.) Average pooling halves H+1 = 28, 14 to 14, 7: the separator stays the
last row of its frame.
"""
import argparse
import collections
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FRAMES, HEIGHT, WIDTH = 100, 27, 48
LOOKUP = 101  # frames seen by the similarity heads: 50 on each side
BINS = 512  # colour histogram: 3 bits per channel
BN_EPS = 1e-3
BLANK = -1e9  # added to the separator rows before a ReLU
DILATIONS = (1, 2, 4, 8)
Weight = collections.namedtuple("Weight", "offset shape")


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


def read_index(path):
    """name -> Weight(byte offset in the file, shape) of every f32 tensor."""
    weights = {}
    with zipfile.ZipFile(path) as archive, open(path, "rb") as raw:
        root = next(n for n in archive.namelist() if n.endswith("/data.pkl"))[: -len("data.pkl")]
        with archive.open(root + "data.pkl") as index:
            tensors = _IndexUnpickler(index).load()
        for name, (storage, first, shape, strides, *_) in tensors.items():
            _, kind, key, *_ = storage
            if kind != "FloatStorage":
                continue  # num_batches_tracked
            entry = archive.getinfo(f"{root}data/{key}")
            assert entry.compress_type == zipfile.ZIP_STORED, name
            contiguous = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
            assert tuple(strides) == contiguous, name
            raw.seek(entry.header_offset)
            header = raw.read(30)
            assert header[:4] == b"PK\x03\x04", name
            name_len, extra_len = struct.unpack("<HH", header[26:30])
            offset = entry.header_offset + 30 + name_len + extra_len + 4 * first
            weights[name] = Weight(offset, tuple(shape))
    return weights


class Graph:
    """Collects nodes and initializers; `op` returns the name of the node's output."""

    def __init__(self, weights, location):
        self.weights, self.location = weights, location
        self.nodes, self.initializers, self.known, self.consts = [], [], set(), {}

    def weight(self, name, shape=None, part=None):
        """External initializer. `shape` drops axes of length 1; `part` = (start, count) on axis 0."""
        offset, full = self.weights[name]
        shape = list(shape or full)
        assert np.prod(shape) == np.prod(full), name
        label = name
        if part:
            start, count = part
            offset += 4 * start * int(np.prod(shape[1:]))
            shape[0] = count
            label = f"{name}[{start}]"
        if label not in self.known:
            self.known.add(label)
            tensor = TensorProto(name=label, data_type=TensorProto.FLOAT, dims=shape)
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (
                ("location", self.location),
                ("offset", offset),
                ("length", 4 * int(np.prod(shape))),
            ):
                tensor.external_data.add(key=key, value=str(value))
            self.initializers.append(tensor)
        return label

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

    def reshape(self, x, *shape):
        return self.op("Reshape", x, self.const(shape))

    def linear(self, x, name):
        return self.op("Gemm", x, self.weight(name + ".weight"), self.weight(name + ".bias"), transB=1)


def cell(g, x, prefix, rows, blank=None):
    """Four (spatial 3x3, temporal 3) branches, batch norm, ReLU. The norm is split per branch so
    that the runtime folds it into the convolution before it. `blank` zeroes the separators."""
    branches = []
    for i, dilation in enumerate(DILATIONS):
        conv = f"{prefix}.Conv3D_{dilation}.layers."
        mid, inner, _, _, _ = g.weights[conv + "0.weight"].shape
        out = g.weights[conv + "1.weight"].shape[0]
        step = dilation * rows
        kernel = g.weight(conv + "0.weight", (mid, inner, 3, 3))
        if inner == 3:  # the marker plane beside RGB has weight zero
            kernel = g.op("Pad", kernel, g.const([0, 0, 0, 0, 0, 1, 0, 0]))
        y = g.op("Conv", x, kernel, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        y = g.op("Conv", y, g.weight(conv + "1.weight", (out, mid, 3, 1)),
                 kernel_shape=[3, 1], dilations=[step, 1], pads=[step, 0, step, 0])
        norm = [g.weight(f"{prefix}.bn.{p}", part=(i * out, out))
                for p in ("weight", "bias", "running_mean", "running_var")]
        y = g.op("BatchNormalization", y, *norm, epsilon=BN_EPS)
        branches.append(g.op("Relu", g.op("Add", y, blank) if blank else y))
    return g.op("Concat", *branches, axis=1)


def add_marker(g, x, rows, cols):
    """RGB [b,3,100*rows,cols] -> a fourth plane that is 1 in the separator rows and 0 elsewhere."""
    frame = np.arange(rows).reshape(1, 1, rows, 1) == rows - 1
    tall = g.op("Tile", g.const(frame, np.float32), g.const([1, 1, FRAMES, cols]))
    batch = g.op("Slice", g.op("Shape", x), g.const([0]), g.const([1]))
    shape = g.op("Concat", batch, g.const([1, 1, 1]), axis=0)
    return g.op("Concat", x, g.op("Expand", tall, shape), axis=1)


def widen(g, blank, before, after):
    """`blank` holds the same plane in each channel; give it `after` channels."""
    value = numpy_helper.from_array(np.array([1 / before], np.float32))
    kernel = g.op("ConstantOfShape", g.const([after, before, 1, 1]), value=value)
    return g.op("Conv", blank, kernel, kernel_shape=[1, 1])


def similarity_window(g, vectors, fc):
    """[b,100,k] -> unit vectors -> cosine of each frame with its 101 neighbours -> fc -> [b*100,128]."""
    unit = g.op("LpNormalization", vectors, axis=2, p=2)
    cosine = g.op("MatMul", unit, g.op("Transpose", unit, perm=[0, 2, 1]))
    half = LOOKUP // 2
    padded = g.op("Pad", cosine, g.const([0, 0, half, 0, 0, half]))  # [b,100,200]
    # element (t, t+k) of rows of 200 is element (t, k) of rows of 201: no gather needed
    row = FRAMES + 2 * half
    flat = g.op("Pad", g.reshape(padded, 0, FRAMES * row), g.const([0, 0, 0, FRAMES]))
    skewed = g.reshape(flat, -1, row + 1)
    window = g.op("Slice", skewed, g.const([0]), g.const([LOOKUP]), g.const([1]))
    return g.op("Relu", g.linear(window, fc))


def colour_histogram(g, planes):
    """u8 [b,3,100,27,48] -> f32 [b,100,512] counts."""
    top = g.op("BitShift", planes, g.const(5, np.uint8), direction="RIGHT")
    place = g.const(np.reshape([64, 8, 1], (3, 1, 1, 1)), np.float32)
    index = g.op("Mul", g.op("Cast", top, to=TensorProto.FLOAT), place)
    index = g.op("ReduceSum", index, g.const([1]), keepdims=0)
    index = g.reshape(g.op("Cast", index, to=TensorProto.INT32), -1, HEIGHT * WIDTH)
    shape = g.op("Shape", index)
    ones = g.op("Expand", g.const(1, np.float32), shape)
    count = g.op("Gather", shape, g.const([0]))
    empty = g.op("ConstantOfShape", g.op("Concat", count, g.const([BINS]), axis=0))
    counts = g.op("ScatterElements", empty, index, ones, axis=1, reduction="add")
    return g.reshape(counts, -1, FRAMES, BINS)


def build(weights, location):
    g = Graph(weights, location)
    planes = g.op("Transpose", "frames", perm=[0, 4, 1, 2, 3])
    x = g.op("Cast", planes, to=TensorProto.FLOAT)
    x = g.op("Div", x, g.const(255, np.float32))
    x = g.op("Pad", x, g.const([0, 0, 0, 0, 0, 0, 0, 0, 1, 0]))
    rows, cols = HEIGHT + 1, WIDTH
    x = add_marker(g, g.reshape(x, 0, 3, FRAMES * rows, cols), rows, cols)
    marker = np.zeros((16, 4, 1, 1))
    marker[:, 3] = BLANK
    blank = g.op("Conv", x, g.const(marker, np.float32), kernel_shape=[1, 1])  # 16 = a branch
    means = []
    for stage in range(3):
        prefix = f"SDDCNN.{stage}.DDCNN."
        first = cell(g, x, prefix + "0", rows, blank)
        x = g.op("Add", cell(g, first, prefix + "1", rows), first)
        channels = 64 << stage
        if stage == 2:  # 7 rows do not halve: drop the separator
            x = g.reshape(x, 0, channels, FRAMES, rows, cols)
            x = g.op("Slice", x, g.const([0]), g.const([rows - 1]), g.const([3]))
            rows -= 1
            x = g.reshape(x, 0, channels, FRAMES * rows, cols)
        x = g.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        rows, cols = rows // 2, cols // 2
        real = rows
        if stage < 2:
            blank = g.op("AveragePool", blank, kernel_shape=[2, 2], strides=[2, 2])
            x = g.op("Relu", g.op("Add", x, widen(g, blank, channels // 4, channels)))
            blank = widen(g, blank, channels // 4, channels // 2)
            real = rows - 1
        mean = g.op("AveragePool", x, kernel_shape=[rows, cols], strides=[rows, cols])
        if real != rows:
            mean = g.op("Mul", mean, g.const(rows / real, np.float32))
        means.append(g.reshape(mean, 0, channels, FRAMES))
    features = g.reshape(x, 0, channels, FRAMES, rows, cols)
    features = g.op("Transpose", features, perm=[0, 2, 3, 4, 1])
    features = g.reshape(features, -1, rows * cols * channels)

    pooled = g.op("Transpose", g.op("Concat", *means, axis=1), perm=[0, 2, 1])
    pooled = g.reshape(pooled, -1, 64 + 128 + 256)
    projected = g.reshape(g.linear(pooled, "frame_sim_layer.projection"), -1, FRAMES, 128)
    frame_sim = similarity_window(g, projected, "frame_sim_layer.fc")
    colour_sim = similarity_window(g, colour_histogram(g, planes), "color_hist_layer.fc")

    hidden = g.op("Concat", colour_sim, frame_sim, features, axis=1)
    hidden = g.op("Relu", g.linear(hidden, "fc1"))
    for head, name in (("cls_layer1", "single"), ("cls_layer2", "all")):
        g.op("Sigmoid", g.reshape(g.linear(hidden, head), -1, FRAMES), name=name)

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        g.nodes, "transnet_v2",
        [value("frames", TensorProto.UINT8, ["batch", FRAMES, HEIGHT, WIDTH, 3])],
        [value(n, TensorProto.FLOAT, ["batch", FRAMES]) for n in ("single", "all")],
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
    for name, got in zip(("single", "all"), session.run(["single", "all"], {"frames": golden["windows"]})):
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
