#!/usr/bin/env python3
"""make_ort_goldens.py OUT [NAME ...] - small models, most of com.microsoft's and ai.onnx.ml's operators, with ONNX Runtime's answers.

One folder per case under OUT, as ONNX's own tests have them. Inputs and weights are random with a fixed seed. Run by
`scripts/onnx-python models`; what it made is checked in under data/ort.
"""

import os
import shutil
import sys
import zlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper, numpy_helper

MS, ML = "com.microsoft", "ai.onnx.ml"
CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


class Model:
    """Nodes whose outputs are all outputs of the model."""

    def __init__(self, name):
        self.r = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.inputs, self.weights, self.outputs = [], {}, {}, []
        self.later = {}  # attributes of all nodes that ONNX Runtime does not see

    def input(self, value):
        name = f"x{len(self.inputs)}"
        self.inputs[name] = value
        return name

    def weight(self, value):
        name = f"w{len(self.weights)}"
        self.weights[name] = value
        return name

    def normal(self, *shape, scale=1.0):
        return (self.r.standard_normal(shape) * scale).astype(np.float32)

    def codes(self, *shape, dtype=np.uint8):
        i = np.iinfo(dtype)
        return self.r.integers(i.min, i.max + 1, shape).astype(dtype)

    def node(self, op, inputs, n_out=1, domain=MS, outputs=None, **attrs):
        names = outputs or [f"y{len(self.nodes)}_{i}" for i in range(n_out)]
        self.nodes.append(helper.make_node(op, inputs, names, domain=domain, **attrs))
        self.outputs += [n for n in names if n]
        return names

    def save(self, folder):
        def info(name, v):
            return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(v.dtype) if v.dtype != object else T.STRING, v.shape)

        graph = helper.make_graph(
            self.nodes, "g", [info(k, v) for k, v in self.inputs.items()],
            [onnx.ValueInfoProto(name=n) for n in self.outputs],
            [numpy_helper.from_array(v, k) for k, v in self.weights.items()])
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MS, 1), helper.make_opsetid(ML, 5 if any(n.op_type == "TreeEnsemble" for n in self.nodes) else 3)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        answers = session.run(self.outputs, self.inputs)
        for node in graph.node:
            node.attribute.extend(helper.make_attribute(k, v) for k, v in self.later.items())
        for out, a in zip(graph.output, answers):
            a = np.asarray(a)
            out.CopyFrom(info(out.name, a))
        data = os.path.join(folder, "test_data_set_0")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(data)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="")
        with open(os.path.join(folder, "model.onnx"), "wb") as f:
            f.write(model.SerializeToString())
        for kind, values in (("input", self.inputs.values()), ("output", answers)):
            for i, v in enumerate(values):
                with open(os.path.join(data, f"{kind}_{i}.pb"), "wb") as f:
                    f.write(numpy_helper.from_array(np.asarray(v)).SerializeToString())


# ---- com.microsoft ----


@case
def ms_gelu(m):
    x, b = m.input(m.normal(3, 16, scale=0.7)), m.weight(m.normal(16))
    m.node("BiasGelu", [x, b])
    m.node("Gelu", [x])
    m.node("FastGelu", [x])
    m.node("FastGelu", [x, b])
    m.node("QuickGelu", [x])
    m.node("QuickGelu", [x], alpha=1.3)


@case
def ms_norms(m):
    x, s, w = m.input(m.normal(2, 5, 16)), m.input(m.normal(2, 5, 16)), m.weight(m.normal(16))
    b, bias = m.weight(m.normal(16)), m.weight(m.normal(16))
    m.node("SkipLayerNormalization", [x, s, w, b])
    m.node("SkipLayerNormalization", [x, s, w], epsilon=1e-3)
    m.node("SkipLayerNormalization", [x, s, w, b, bias], outputs=["a", "", "", "sum"])
    m.node("SkipSimplifiedLayerNormalization", [x, s, w], epsilon=1e-5)
    m.node("SkipSimplifiedLayerNormalization", [x, s, w, bias], epsilon=1e-5, outputs=["c", "", "", "rms_sum"])
    m.node("SimplifiedLayerNormalization", [x, w], domain="", axis=-1, epsilon=1e-5)


@case
def ms_embed_layer_norm(m):
    ids = m.input(m.r.integers(0, 11, (2, 5)).astype(np.int32))
    segments, mask = m.input(m.r.integers(0, 2, (2, 5)).astype(np.int32)), m.input(np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32))
    tables = [m.weight(m.normal(n, 8)) for n in (11, 6, 2)]
    w, b = m.weight(m.normal(8)), m.weight(m.normal(8))
    m.node("EmbedLayerNormalization", [ids, segments, *tables, w, b, mask], 2, epsilon=1e-5)


@case
def ms_fused_matmul(m):
    a, b, bt = m.input(m.normal(2, 3, 4, 5)), m.input(m.normal(2, 3, 5, 6)), m.input(m.normal(2, 3, 6, 5))
    m.node("FusedMatMul", [a, b], alpha=0.5)
    m.node("FusedMatMul", [a, bt], transB=1)
    m.node("FusedMatMul", [m.input(m.normal(2, 3, 5, 4)), b], transA=1, alpha=2.0)
    m.node("FusedMatMul", [m.input(m.normal(4, 2, 3, 5)), b], transBatchA=1)


@case
def ms_fused_gemm_conv(m):
    a, b, c = m.input(m.normal(3, 5)), m.weight(m.normal(4, 5)), m.weight(m.normal(4))
    m.node("FusedGemm", [a, b, c], transB=1, activation="LeakyRelu", activation_alpha=0.01)
    x, w, bias = m.input(m.normal(1, 4, 6, 6)), m.weight(m.normal(4, 4, 3, 3)), m.weight(m.normal(4))
    z = m.input(m.normal(1, 4, 6, 6))
    pads = [1, 1, 1, 1]
    m.node("FusedConv", [x, w, bias], activation="Relu", pads=pads)
    m.node("FusedConv", [x, w, bias, z], activation="Relu", pads=pads)
    m.node("FusedConv", [x, w], activation="Clip", activation_params=[-0.5, 0.5], pads=pads)
    m.node("FusedConv", [x, w, bias], activation="HardSigmoid", activation_params=[0.3, 0.4], pads=pads)


@case
def ms_rotary_embedding(m):
    x, x4 = m.input(m.normal(2, 3, 16)), m.input(m.normal(2, 2, 3, 8))
    cos, sin = m.weight(np.cos(m.normal(10, 4))), m.weight(np.sin(m.normal(10, 4)))
    at, first = m.input(m.r.integers(0, 10, (2, 3))), m.input(np.array([4], np.int64))
    m.node("RotaryEmbedding", [x, at, cos, sin])
    m.node("RotaryEmbedding", [x, first, cos, sin], interleaved=1)
    m.node("RotaryEmbedding", [x4, first, cos, sin])
    half = m.weight(np.cos(m.normal(10, 2))), m.weight(np.sin(m.normal(10, 2)))
    m.node("RotaryEmbedding", [x, at, *half], num_heads=2, rotary_embedding_dim=4)


@case
def ms_attention(m):
    x, w, b = m.input(m.normal(2, 4, 8)), m.weight(m.normal(8, 24, scale=0.5)), m.weight(m.normal(24))
    mask = m.input(np.array([[1, 1, 0, 0], [1, 1, 1, 1]], np.int32))
    ends = m.input(np.array([3, 4], np.int32))
    m.node("Attention", [x, w, b], num_heads=2)
    m.node("Attention", [x, w, b, mask], num_heads=2)
    m.node("Attention", [x, w, b, ends], num_heads=2)
    m.node("Attention", [x, w, b], num_heads=2, unidirectional=1)
    m.node("Attention", [x, w, b, "", m.input(m.normal(2, 2, 2, 3, 4))], 2, num_heads=2, unidirectional=1)
    m.node("Attention", [x, w, b, "", "", m.input(m.normal(2, 2, 4, 4))], num_heads=2, scale=0.3)


@case
def ms_multi_head_attention(m):
    q, k, v = m.input(m.normal(2, 3, 8)), m.input(m.normal(2, 5, 8)), m.input(m.normal(2, 5, 8))
    bias = m.weight(m.normal(24))
    padding = m.input(np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32))
    m.node("MultiHeadAttention", [q, k, v], num_heads=2)
    m.node("MultiHeadAttention", [q, k, v, bias, padding], num_heads=2)
    m.node("MultiHeadAttention", [q, k, v, "", "", m.input(m.normal(1, 2, 3, 5))], num_heads=2, scale=0.25)
    own_k, own_v = m.input(m.normal(2, 3, 8)), m.input(m.normal(2, 3, 8))
    past = [m.input(m.normal(2, 2, 4, 4)) for _ in range(2)]
    m.node("MultiHeadAttention", [q, own_k, own_v, "", "", "", *past], 3, num_heads=2)
    m.node("MultiHeadAttention", [q, own_k, own_v, "", "", "", *past], 3, num_heads=2, unidirectional=1)


def group_query(m, batch, n_new, past, lengths, **attrs):
    q, k, v = (m.input(m.normal(batch, n_new, h * 16)) for h in (4, 2, 2))
    old = ["", ""]
    if past:  # what lies behind the filled places is anything
        filled = np.arange(past)[None, None, :, None] < np.array(lengths)[:, None, None, None] - n_new
        old = [m.input(m.normal(batch, 2, past, 16) * filled.astype(np.float32)) for _ in range(2)]
    cos, sin = m.weight(np.cos(m.normal(16, 8))), m.weight(np.sin(m.normal(16, 8)))
    ends = m.weight(np.array(lengths, np.int32) - 1)
    m.node("GroupQueryAttention", [q, k, v, *old, ends, m.weight(np.array(max(lengths), np.int32)), cos, sin], 3, num_heads=4, kv_num_heads=2, **attrs)


@case
def ms_group_query_attention(m):
    group_query(m, 2, 5, 0, [5, 5])
    group_query(m, 1, 5, 0, [5], do_rotary=1)
    group_query(m, 1, 1, 6, [7], do_rotary=1)
    group_query(m, 1, 1, 6, [7], do_rotary=1, rotary_interleaved=1, softcap=2.0, scale=0.2)
    group_query(m, 1, 6, 0, [6], local_window_size=3)
    group_query(m, 2, 1, 8, [5, 7], do_rotary=1)
    packed = m.input(m.normal(1, 4, (4 + 2 * 2) * 16))
    m.node("GroupQueryAttention", [packed, "", "", "", "", m.weight(np.array([3], np.int32)), m.weight(np.array(4, np.int32))], 3, num_heads=4, kv_num_heads=2)


@case
def ms_matmul_nbits(m):
    a = m.input(m.normal(2, 3, 48))
    for bits, zeros in ((4, None), (4, "codes"), (4, "floats"), (8, "codes")):
        blocks, row = 3, 16 * bits // 8
        b = m.weight(m.codes(10, blocks, row))
        scales = m.weight(m.normal(10 * blocks, scale=0.1))
        z = []
        if zeros == "codes":
            z = [m.weight(m.codes(10 * ((blocks * bits + 7) // 8)))]
        if zeros == "floats":
            z = [m.weight(m.normal(10 * blocks, scale=4))]
        m.node("MatMulNBits", [a, b, scales, *z], K=48, N=10, bits=bits, block_size=16, accuracy_level=1)  # answers are of fp32


@case
def ms_matmul_nbits_codes(m):
    """Activations that are codes of 13 bits: the product with integers rounds none of them."""
    m.later = {"accuracy_level": 4}  # answers are of fp32
    a = m.r.integers(-4095, 4096, (2, 3, 200)).astype(np.float32)
    a[..., ::128] = 4095  # the largest of each block
    x = m.input(a)
    for bits, block, zeros in ((4, 32, True), (4, 128, False), (8, 64, True), (4, 256, True), (2, 16, False)):
        blocks = -(-200 // block)
        codes, scales = m.weight(m.codes(40, blocks, block * bits // 8)), m.weight(m.normal(40 * blocks, scale=0.1))
        z = [m.weight(m.codes(40 * ((blocks * bits + 7) // 8)))] if zeros else []
        m.node("MatMulNBits", [x, codes, scales, *z], K=200, N=40, bits=bits, block_size=block)


@case
def ms_gather_block_quantized(m):
    ids = m.input(np.array([[0, 3], [6, 1]], np.int64))
    data, scales = m.weight(m.codes(7, 16)), m.weight(m.normal(7, 2, scale=0.1))
    m.node("GatherBlockQuantized", [data, ids, scales], bits=4, block_size=16, gather_axis=0, quantize_axis=1)
    m.node("GatherBlockQuantized", [data, ids, scales, m.weight(m.codes(7, 1))], bits=4, block_size=16, gather_axis=0, quantize_axis=1)


@case
def ms_codes_products(m):
    a, b, b8 = m.input(m.codes(3, 8)), m.weight(m.codes(8, 5)), m.weight(m.codes(8, 5, dtype=np.int8))
    sa, sb = m.weight(np.float32(0.02)), m.weight(np.float32(0.03))
    za, zb = m.weight(np.uint8(120)), m.weight(np.uint8(131))
    m.node("MatMulIntegerToFloat", [a, b, sa, sb, za, zb, m.weight(m.normal(5))])
    m.node("MatMulIntegerToFloat", [a, b8, sa, m.weight(np.abs(m.normal(5))), za])
    x = m.input(m.normal(3, 8))
    m.node("DynamicQuantizeMatMul", [x, b8, sb])
    m.node("DynamicQuantizeMatMul", [x, b, sb, zb, m.weight(m.normal(5))])
    m.node("QGemm", [a, sa, za, b, sb, zb, m.weight(m.r.integers(-99, 99, 5).astype(np.int32))])


@case
def ms_qlinear(m):
    a, b = m.input(m.codes(2, 4, 6, 6)), m.input(m.codes(2, 4, 6, 6))
    one, two, three = ((m.weight(np.float32(s)), m.weight(np.uint8(z))) for s, z in ((0.0213, 128), (0.0307, 100), (0.0411, 110)))
    m.node("QLinearAdd", [a, *one, b, *two, *three])
    m.node("QLinearMul", [a, *one, b, *two, *three])
    m.node("QLinearConcat", [*three, a, *one, b, *two], axis=1)
    m.node("QLinearSigmoid", [a, *one, m.weight(np.float32(1 / 256)), m.weight(np.uint8(0))])
    m.node("QLinearLeakyRelu", [a, *one, *two], alpha=0.1)
    m.node("QLinearAveragePool", [a, *one, *two], kernel_shape=[2, 2], strides=[2, 2])
    m.node("QLinearGlobalAveragePool", [a, *one, *two], channels_last=0)
    m.node("QLinearSoftmax", [a, *one, m.weight(np.float32(1 / 256)), m.weight(np.uint8(0))], axis=-1, opset=13)
    m.node("NhwcMaxPool", [a], kernel_shape=[2, 2], strides=[2, 2])


@case
def qdq(m):
    """Operators between DequantizeLinear and QuantizeLinear: of codes of both types, with zero points, one scale or several."""
    def weight(shape, axis, several, dtype=np.int8):
        n = (shape[axis],) if several else ()
        zero = m.codes(*n, dtype=dtype) if dtype == np.uint8 else np.zeros(n, dtype)
        scale = np.float32(m.r.uniform(0.002, 0.02, n))
        return m.node("DequantizeLinear", [m.weight(m.codes(*shape, dtype=dtype)), m.weight(scale), m.weight(np.asarray(zero, dtype))],
                      domain="", axis=axis)[0]

    def codes(*shape, dtype=np.uint8, zero=117, scale=0.013):
        s, z = m.weight(np.float32(scale)), m.weight(dtype(zero))
        return m.node("DequantizeLinear", [m.input(m.codes(*shape, dtype=dtype)), s, z], domain="")[0], s, z

    x, s, z = codes(2, 6, 9, 8)
    bias = m.node("DequantizeLinear", [m.weight(m.r.integers(-9999, 9999, 10).astype(np.int32)), m.weight(np.float32(1e-4))], domain="")[0]
    y = m.node("Conv", [x, weight((10, 6, 3, 3), 0, True), bias], domain="", pads=[1, 1, 0, 2], strides=[1, 2])[0]
    m.node("QuantizeLinear", [m.node("Relu", [y], domain="")[0], m.weight(np.float32(0.37)), m.weight(np.uint8(0))], domain="")
    m.node("Conv", [x, weight((9, 2, 1, 1), 0, False, np.uint8)], domain="", group=3)
    m.node("Conv", [codes(1, 1, 5, 70, dtype=np.int8, zero=-3)[0], weight((3, 1, 2, 5), 0, True)], domain="", dilations=[2, 1])
    a = codes(5, 7)[0]
    m.node("MatMul", [a, weight((7, 11), 1, True)], domain="")
    m.node("MatMul", [codes(2, 3, 7, dtype=np.int8, zero=9)[0], weight((7, 11), 1, False, np.uint8)], domain="")
    m.node("Gemm", [a, weight((4, 7), 0, True), m.weight(m.normal(4))], domain="", transB=1, alpha=0.5, beta=2.0)
    m.node("MatMul", [a, weight((7, 3), 0, True)], domain="")  # scales along k: as it is written
    m.node("MatMul", [codes(2, 5, 7)[0], codes(2, 7, 6, dtype=np.int8, zero=4)[0]], domain="")
    pooled = m.node("MaxPool", [x], domain="", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])[0]
    m.node("QuantizeLinear", [pooled, s, z], domain="")  # the codes themselves
    m.node("QuantizeLinear", [x, s, m.weight(np.uint8(116))], domain="")  # the codes next to them
    m.node("QuantizeLinear", [x, m.weight(np.float32(0.0131)), z], domain="")
    m.node("MaxPool", [codes(1, 2, 6, 5, dtype=np.int8, zero=5, scale=-0.02)[0]], domain="", kernel_shape=[2, 2])  # falls


@case
def f64_products(m):
    a, b = m.input(m.r.standard_normal((2, 8, 16))), m.input(m.r.standard_normal((2, 16, 6)))
    m.node("MatMul", [a, b], domain="")
    m.node("MatMul", [a, m.weight(m.r.standard_normal((16, 5)))], domain="")


# ---- ai.onnx.ml ----


def random_trees(r, n_trees, n_features, depth, modes=("BRANCH_LEQ",)):
    """Nodes of trees in the form of opset 1: each either a leaf or with two children behind it."""
    nodes = {k: [] for k in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids", "missing_value_tracks_true")}
    leaves = []
    for tree in range(n_trees):
        count = [0]

        def grow(level, tree=tree, count=count):
            own = count[0]
            count[0] += 1
            leaf = level == depth or (level > 0 and r.random() < 0.2)
            at = len(nodes["treeids"])
            nodes["treeids"].append(tree)
            nodes["nodeids"].append(own)
            nodes["featureids"].append(0 if leaf else int(r.integers(n_features)))
            nodes["values"].append(0.0 if leaf else float(np.float32(r.standard_normal())))
            nodes["modes"].append("LEAF" if leaf else str(r.choice(modes)))
            nodes["missing_value_tracks_true"].append(0 if leaf else int(r.integers(2)))
            nodes["truenodeids"].append(0)
            nodes["falsenodeids"].append(0)
            if leaf:
                leaves.append((tree, own))
            else:
                nodes["truenodeids"][at] = grow(level + 1)
                nodes["falsenodeids"][at] = grow(level + 1)
            return own

        grow(0)
    return {f"nodes_{k}": v for k, v in nodes.items()}, leaves


def weights_of(r, kind, leaves, targets, positive=False):
    out = {f"{kind}_{k}": [] for k in ("treeids", "nodeids", "ids", "weights")}
    for tree, node in leaves:
        for t in targets:
            w = float(np.float32(r.standard_normal() * 0.3))
            for k, v in (("treeids", tree), ("nodeids", node), ("ids", t), ("weights", abs(w) if positive else w)):
                out[f"{kind}_{k}"].append(v)
    return out


@case
def ml_tree_regressor(m):
    rows = m.normal(6, 5)
    rows[1, 2] = rows[3] = np.nan
    x = m.input(rows)
    for aggregate, post in (("SUM", "NONE"), ("AVERAGE", "NONE"), ("MIN", "NONE"), ("MAX", "NONE")):  # LOGISTIC of one target ONNX Runtime leaves out
        nodes, leaves = random_trees(m.r, 7, 5, 4)
        m.node("TreeEnsembleRegressor", [x], domain=ML, n_targets=1, aggregate_function=aggregate, post_transform=post, base_values=[0.25], **nodes, **weights_of(m.r, "target", leaves, [0]))
    nodes, leaves = random_trees(m.r, 7, 5, 4, ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"))
    m.node("TreeEnsembleRegressor", [x], domain=ML, n_targets=3, **nodes, **weights_of(m.r, "target", leaves, [0, 2]))
    d = m.input(m.r.standard_normal((4, 5)))
    nodes, leaves = random_trees(m.r, 5, 5, 3)
    m.node("TreeEnsembleRegressor", [d], domain=ML, n_targets=1, **nodes, **weights_of(m.r, "target", leaves, [0]))


@case
def ml_tree_classifier(m):
    x = m.input(m.normal(9, 5))
    for classes, ids, post, positive, labels in (
        (3, [0, 1, 2], "SOFTMAX", False, "ints"), (3, [0, 1, 2], "NONE", True, "strings"), (2, [0], "LOGISTIC", False, "ints"),
        (2, [0], "NONE", True, "ints"), (2, [0], "NONE", False, "ints"), (4, [0, 1, 2, 3], "SOFTMAX_ZERO", False, "ints")):
        nodes, leaves = random_trees(m.r, 6, 5, 3)
        names = {"classlabels_int64s": list(range(10, 10 + classes))} if labels == "ints" else {"classlabels_strings": [f"c{i}" for i in range(classes)]}
        m.node("TreeEnsembleClassifier", [x], 2, domain=ML, post_transform=post, **names, **nodes, **weights_of(m.r, "class", leaves, ids, positive))


@case
def ml_linear(m):
    x = m.input(m.normal(5, 4))
    coefficients = [float(v) for v in m.normal(12)]
    m.node("LinearRegressor", [x], domain=ML, coefficients=coefficients, intercepts=[0.1, 0.2, 0.3], targets=3)
    m.node("LinearRegressor", [x], domain=ML, coefficients=coefficients[:4], targets=1)
    m.node("LinearClassifier", [x], 2, domain=ML, coefficients=coefficients, intercepts=[0.1, 0.2, 0.3], classlabels_ints=[5, 6, 7], post_transform="SOFTMAX", multi_class=1)
    m.node("LinearClassifier", [x], 2, domain=ML, coefficients=coefficients[:8], intercepts=[0.1, 0.2], classlabels_strings=["a", "b"], post_transform="LOGISTIC", multi_class=1)


@case
def ml_svm(m):
    x = m.input(m.normal(5, 4))
    for kernel, params in (("LINEAR", []), ("RBF", [0.3, 0.0, 3.0]), ("POLY", [0.4, 0.5, 3.0]), ("SIGMOID", [0.2, 0.1, 3.0])):
        attrs = {"kernel_type": kernel, "kernel_params": params or [0.0, 0.0, 3.0], "support_vectors": [float(v) for v in m.normal(28)]}
        m.node("SVMRegressor", [x], domain=ML, coefficients=[float(v) for v in m.normal(7)], rho=[0.2], n_supports=7, **attrs)
        m.node("SVMClassifier", [x], 2, domain=ML, coefficients=[float(v) for v in m.normal(14)], rho=[0.2, 0.1, -0.1], vectors_per_class=[3, 2, 2], classlabels_ints=[1, 2, 3], **attrs)
    m.node("SVMClassifier", [x], 2, domain=ML, coefficients=[float(v) for v in m.normal(14)], rho=[0.2, 0.1, -0.1], vectors_per_class=[3, 2, 2], classlabels_ints=[1, 2, 3], prob_a=[-1.2, -0.8, -1.1], prob_b=[0.1, 0.2, 0.0], **attrs)
    m.node("SVMRegressor", [x], domain=ML, coefficients=[float(v) for v in m.normal(7)], rho=[0.2], n_supports=7, one_class=1, **attrs)


@case
def ml_features(m):
    x, whole = m.input(m.normal(3, 4)), m.input(m.r.integers(0, 4, (3, 4)))
    m.node("Scaler", [x], domain=ML, offset=[0.1, 0.2, 0.3, 0.4], scale=[2.0, 3.0, 0.5, 1.0])
    m.node("Scaler", [whole], domain=ML, offset=[0.5], scale=[2.0])
    m.node("Binarizer", [x], domain=ML, threshold=0.2)
    for norm in ("MAX", "L1", "L2"):
        m.node("Normalizer", [x], domain=ML, norm=norm)
    gaps = m.normal(3, 4)
    gaps[0, 1] = gaps[2, 3] = np.nan
    m.node("Imputer", [m.input(gaps)], domain=ML, imputed_value_floats=[1.0, 2.0, 3.0, 4.0], replaced_value_float=float("nan"))
    m.node("Imputer", [whole], domain=ML, imputed_value_int64s=[7], replaced_value_int64=2)
    m.node("OneHotEncoder", [whole], domain=ML, cats_int64s=[0, 2, 3], zeros=1)
    m.node("ArrayFeatureExtractor", [x, m.weight(np.array([2, 0], np.int64))], domain=ML)
    m.node("FeatureVectorizer", [x, m.input(m.normal(3, 2))], domain=ML, inputdimensions=[4, 2])


@case
def ml_labels(m):
    words, ids = m.input(np.array([["a", "b"], ["c", "x"]], object)), m.input(np.array([[2, 7], [0, 1]], np.int64))
    floats = m.input(np.array([0.5, 2.0, np.nan], np.float32))
    m.node("LabelEncoder", [words], domain=ML, keys_strings=["a", "b", "c"], values_int64s=[5, 6, 7], default_int64=-4)
    m.node("LabelEncoder", [ids], domain=ML, keys_int64s=[0, 1, 2], values_strings=["zero", "one", "two"])
    m.node("LabelEncoder", [ids], domain=ML, keys_int64s=[0, 1, 2], values_floats=[0.5, 1.5, 2.5], default_float=-1.0)
    m.node("LabelEncoder", [floats], domain=ML, keys_floats=[float("nan"), 0.5], values_int64s=[1, 2], default_int64=9)
    m.node("CategoryMapper", [words], domain=ML, cats_int64s=[10, 20, 30], cats_strings=["a", "b", "c"], default_int64=-1)
    m.node("CategoryMapper", [ids], domain=ML, cats_int64s=[0, 1, 2], cats_strings=["a", "b", "c"])
    m.node("OneHotEncoder", [words], domain=ML, cats_strings=["a", "b", "c"], zeros=1)


def main():
    out, wanted = sys.argv[1], sys.argv[2:]
    for name, build in CASES.items():
        if wanted and name not in wanted:
            continue
        m = Model(name)
        build(m)
        m.save(os.path.join(out, "test_" + name))


if __name__ == "__main__":
    main()
