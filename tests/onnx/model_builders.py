"""model_builders.py - ONNX models as exporters write them, for check_models.py and bench/onnx_speed.py.

MiniLM has its real weights; a ViT, a detector, an encoder and a decoder of Whisper's shape and a language model have
random ones, the same each time."""

import json
import struct

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper


def safetensors(path):
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(n))
        data = f.read()
    return {k: np.frombuffer(data[v["data_offsets"][0] : v["data_offsets"][1]], {"F32": "<f4", "I64": "<i8"}[v["dtype"]]).reshape(v["shape"])
            for k, v in header.items() if k != "__metadata__"}


class Graph:
    """Nodes with one output each."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def constant(self, value):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind, *inputs, domain="", outputs=None, **attrs):
        names = outputs or [f"v{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, [i if isinstance(i, str) else self.constant(i) for i in inputs], names, domain=domain, **attrs))
        return names[0]

    def save(self, path, inputs, outputs):
        infos = [[helper.make_tensor_value_info(n, t, s) for n, t, s in ports] for ports in (inputs, outputs)]
        graph = helper.make_graph(self.nodes, "g", *infos, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)], ir_version=9)
        onnx.save(model, path)


def bert(w, layers, heads, path, pooled=True):
    """An encoder as exporters write it, with the mean of the words' vectors, of length 1; else the words' vectors."""
    g = Graph()

    def linear(x, name):
        return g.op("Add", g.op("MatMul", x, w[name + ".weight"].T), w[name + ".bias"])

    def norm(x, name):
        return g.op("LayerNormalization", x, w[name + ".weight"], w[name + ".bias"], epsilon=1e-12)

    def split(x):
        return g.op("Transpose", g.op("Reshape", x, np.array([0, 0, heads, -1], np.int64)), perm=[0, 2, 1, 3])

    keep = g.op("Cast", "attention_mask", to=T.FLOAT)
    bias = g.op("Mul", g.op("Sub", np.float32(1), g.op("Unsqueeze", keep, np.array([1, 2], np.int64))), np.float32(-1e4))
    steps = g.op("Slice", w["embeddings.position_embeddings.weight"], np.array([0], np.int64), g.op("Slice", g.op("Shape", "input_ids"), np.array([1], np.int64), np.array([2], np.int64)), np.array([0], np.int64))
    x = g.op("Add", g.op("Gather", w["embeddings.word_embeddings.weight"], "input_ids"), steps)
    x = norm(g.op("Add", x, w["embeddings.token_type_embeddings.weight"][0]), "embeddings.LayerNorm")
    d = x and w["embeddings.word_embeddings.weight"].shape[1] // heads
    for i in range(layers):
        at = f"encoder.layer.{i}."
        q, k, v = (split(linear(x, at + "attention.self." + n)) for n in ("query", "key", "value"))
        s = g.op("Div", g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2])), np.float32(np.sqrt(d)))
        y = g.op("MatMul", g.op("Softmax", g.op("Add", s, bias), axis=-1), v)
        y = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), np.array([0, 0, heads * d], np.int64))
        x = norm(g.op("Add", linear(y, at + "attention.output.dense"), x), at + "attention.output.LayerNorm")
        y = linear(x, at + "intermediate.dense")
        y = g.op("Mul", g.op("Mul", y, g.op("Add", g.op("Erf", g.op("Div", y, np.float32(np.sqrt(2)))), np.float32(1))), np.float32(0.5))
        x = norm(g.op("Add", linear(y, at + "output.dense"), x), at + "output.LayerNorm")
    if not pooled:
        g.op("Identity", x, outputs=["last_hidden_state"])
        return g.save(path, [("input_ids", T.INT64, ["b", "s"]), ("attention_mask", T.INT64, ["b", "s"])], [("last_hidden_state", T.FLOAT, ["b", "s", heads * d])])
    keep = g.op("Unsqueeze", keep, np.array([2], np.int64))
    mean = g.op("Div", g.op("ReduceSum", g.op("Mul", x, keep), np.array([1], np.int64), keepdims=0), g.op("ReduceSum", keep, np.array([1], np.int64), keepdims=0))
    g.op("LpNormalization", mean, p=2, axis=1, outputs=["embedding"])
    g.save(path, [("input_ids", T.INT64, ["b", "s"]), ("attention_mask", T.INT64, ["b", "s"])], [("embedding", T.FLOAT, ["b", heads * d])])


def normal(g, rng, *shape, scale=None):
    return g.constant((rng.standard_normal(shape) * (scale or 1 / np.sqrt(shape[-2] if len(shape) > 1 else 1))).astype(np.float32))


def ints(*values):
    return np.array(values, np.int64)


def gelu(g, y):
    return g.op("Mul", g.op("Mul", y, g.op("Add", g.op("Erf", g.op("Div", y, np.float32(np.sqrt(2)))), np.float32(1))), np.float32(0.5))


def split_heads(g, v, heads, width):
    return g.op("Transpose", g.op("Reshape", v, ints(0, 0, heads, width // heads)), perm=[0, 2, 1, 3])


def answer(g, rng, q, k, v, heads, width, bias=None):
    """Heads of queries, keys and values, joined and projected."""
    s = g.op("Mul", g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2])), np.float32((width // heads) ** -0.5))
    y = g.op("MatMul", g.op("Softmax", g.op("Add", s, bias) if bias else s, axis=-1), v)
    y = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), ints(0, 0, width))
    return g.op("Add", g.op("MatMul", y, normal(g, rng, width, width)), normal(g, rng, width, scale=0.1))


def attention(g, rng, x, heads, width, keys=None, values=None, bias=None):
    """What x asks of itself, and of the keys and values given, which come before its own; gives these, too."""
    q, k, v = (split_heads(g, g.op("MatMul", x, normal(g, rng, width, width)), heads, width) for _ in range(3))
    if keys:
        k, v = g.op("Concat", keys, k, axis=2), g.op("Concat", values, v, axis=2)
    return answer(g, rng, q, k, v, heads, width, bias), k, v


def layer_norm(g, rng, x, width):
    return g.op("LayerNormalization", x, (1 + 0.1 * rng.standard_normal(width)).astype(np.float32), normal(g, rng, width, scale=0.1), epsilon=1e-6)


def gelu_mlp(g, rng, x, width):
    y = g.op("Add", g.op("MatMul", x, normal(g, rng, width, 4 * width)), normal(g, rng, 4 * width, scale=0.1))
    y = gelu(g, y)
    return g.op("Add", g.op("MatMul", y, normal(g, rng, 4 * width, width)), normal(g, rng, width, scale=0.1))


def block(g, rng, x, heads, width):
    x = g.op("Add", x, attention(g, rng, layer_norm(g, rng, x, width), heads, width)[0])
    return g.op("Add", x, gelu_mlp(g, rng, layer_norm(g, rng, x, width), width))


def packed_weights(g, rng, n, k, block=32):
    """Codes of 4 bits, scales and zero points of n rows of k."""
    codes = rng.integers(0, 256, (n, k // block, block // 2)).astype(np.uint8)
    scales = (np.abs(rng.standard_normal(n * k // block)) * 0.02 + 0.005).astype(np.float32)
    zeros = rng.integers(0, 256, n * ((k // block + 1) // 2)).astype(np.uint8)
    return [g.constant(codes), g.constant(scales), g.constant(zeros)], {"K": k, "N": n, "bits": 4, "block_size": block}


def small_llm(path, layers=2, width=128, heads=4, kv_heads=2, d=32, inner=256, vocab=200, positions=64, accuracy_level=0):
    rng, g = np.random.default_rng(0), Graph()

    def product(x, n, k):
        inputs, attrs = packed_weights(g, rng, n, k)
        return g.op("MatMulNBits", x, *inputs, domain="com.microsoft", accuracy_level=accuracy_level, **attrs)

    def ones():
        return (1 + 0.1 * rng.standard_normal(width)).astype(np.float32)

    angles = np.arange(positions)[:, None] / 10000 ** (np.arange(d // 2) / (d // 2))
    cos, sin = g.constant(np.cos(angles).astype(np.float32)), g.constant(np.sin(angles).astype(np.float32))
    x = g.op("Gather", rng.standard_normal((vocab, width)).astype(np.float32), "input_ids")
    total = g.op("Cast", g.op("Gather", g.op("Shape", "attention_mask"), np.array(1, np.int64)), to=T.INT32)
    ends = g.op("Cast", g.op("Sub", g.op("ReduceSum", "attention_mask", np.array([1], np.int64), keepdims=0), np.array(1, np.int64)), to=T.INT32)
    y = g.op("SimplifiedLayerNormalization", x, ones(), axis=-1, epsilon=1e-5)
    present = []
    for i in range(layers):
        q, k, v = product(y, heads * d, width), product(y, kv_heads * d, width), product(y, kv_heads * d, width)
        names = [f"a{i}", f"present.{i}.key", f"present.{i}.value"]
        g.op("GroupQueryAttention", q, k, v, f"past_key_values.{i}.key", f"past_key_values.{i}.value", ends, total, cos, sin, domain="com.microsoft", outputs=names, num_heads=heads, kv_num_heads=kv_heads, do_rotary=1)
        present += names[1:]
        a = product(names[0], width, heads * d)
        y = g.op("SkipSimplifiedLayerNormalization", x, a, ones(), domain="com.microsoft", outputs=[f"n{i}", "", "", f"r{i}"], epsilon=1e-5)
        gate, up = product(y, inner, width), product(y, inner, width)
        m = product(g.op("Mul", g.op("Mul", gate, g.op("Sigmoid", gate)), up), width, inner)
        y = g.op("SkipSimplifiedLayerNormalization", f"r{i}", m, ones(), domain="com.microsoft", outputs=[f"n{i}b", "", "", f"r{i}b"], epsilon=1e-5)
        x = f"r{i}b"
    inputs, attrs = packed_weights(g, rng, vocab, width)
    g.op("MatMulNBits", y, *inputs, domain="com.microsoft", outputs=["logits"], accuracy_level=accuracy_level, **attrs)
    cache = ["b", kv_heads, "p", d]
    past = [(f"past_key_values.{i}.{k}", T.FLOAT, cache) for i in range(layers) for k in ("key", "value")]
    g.save(path, [("input_ids", T.INT64, ["b", "s"]), ("attention_mask", T.INT64, ["b", "t"]), *past], [("logits", T.FLOAT, ["b", "s", vocab]), *((n, T.FLOAT, ["b", kv_heads, "t", d]) for n in present)])
    return [n for n, _, _ in past], kv_heads, d


def vit(path, layers=4, width=192, heads=3, side=96, patch=16):
    rng, g, n = np.random.default_rng(0), Graph(), (side // patch) ** 2
    x = g.op("Conv", "pixels", normal(g, rng, width, 3, patch, patch, scale=0.05), normal(g, rng, width, scale=0.1), strides=[patch, patch])
    x = g.op("Transpose", g.op("Reshape", x, ints(0, width, -1)), perm=[0, 2, 1])
    batch = g.op("Slice", g.op("Shape", "pixels"), ints(0), ints(1))
    token = g.op("Expand", normal(g, rng, 1, 1, width), g.op("Concat", batch, ints(1, width), axis=0))
    x = g.op("Add", g.op("Concat", token, x, axis=1), normal(g, rng, 1, n + 1, width, scale=0.1))
    for _ in range(layers):
        x = block(g, rng, x, heads, width)
    x = g.op("Reshape", g.op("Gather", layer_norm(g, rng, x, width), ints(0), axis=1), ints(-1, width))
    g.op("Gemm", x, normal(g, rng, 100, width, scale=0.1), normal(g, rng, 100, scale=0.1), transB=1, outputs=["logits"])
    g.save(path, [("pixels", T.FLOAT, ["n", 3, side, side])], [("logits", T.FLOAT, ["n", 100])])


def detector(path, side=128, classes=5):
    """YOLO's shape: convolutions with SiLU, split and joined stages, a pyramid, boxes decoded in the graph, then suppression."""
    rng, g = np.random.default_rng(0), Graph()

    def conv(x, i, o, k=3, stride=1):
        y = g.op("Conv", x, normal(g, rng, o, i, k, k, scale=1.4 / np.sqrt(i * k * k)), normal(g, rng, o, scale=0.1), strides=[stride] * 2, pads=[k // 2] * 4)
        return g.op("Mul", y, g.op("Sigmoid", y))

    def stage(x, c):
        a, b = g.op("Split", conv(x, c, c, 1), axis=1, outputs=[f"a{len(g.nodes)}", f"b{len(g.nodes)}"]), f"b{len(g.nodes) - 1}"
        return conv(g.op("Concat", a, b, g.op("Add", b, conv(conv(b, c // 2, c // 2), c // 2, c // 2)), axis=1), 3 * c // 2, c, 1)

    p3 = stage(conv(conv(conv("images", 3, 16, stride=2), 16, 32, stride=2), 32, 64, stride=2), 64)
    p4 = stage(conv(p3, 64, 128, stride=2), 128)
    pooled = g.op("MaxPool", p4, kernel_shape=[5, 5], pads=[2] * 4, strides=[1, 1])
    p4 = conv(g.op("Concat", p4, pooled, axis=1), 256, 128, 1)
    up = g.op("Resize", p4, "", np.array([1, 1, 2, 2], np.float32), mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    p3 = conv(g.op("Concat", up, p3, axis=1), 192, 64, 1)
    boxes, scores = [], []
    for x, c, step in ((p3, 64, 8), (p4, 128, 16)):
        n = side // step
        y, x0 = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
        grid = np.stack([x0, y], -1).reshape(1, -1, 2).astype(np.float32) * step
        flat = g.op("Transpose", g.op("Reshape", g.op("Conv", x, normal(g, rng, 4 + classes, c, 1, 1, scale=0.5)), ints(1, 4 + classes, -1)), perm=[0, 2, 1])
        xy = g.op("Add", g.op("Mul", g.op("Sigmoid", g.op("Slice", flat, ints(0), ints(2), ints(2))), np.float32(step)), grid)
        wh = g.op("Mul", g.op("Exp", g.op("Tanh", g.op("Slice", flat, ints(2), ints(4), ints(2)))), np.float32(2 * step))
        boxes.append(g.op("Concat", xy, wh, axis=2))
        scores.append(g.op("Sigmoid", g.op("Slice", flat, ints(4), ints(4 + classes), ints(2))))
    boxes = g.op("Concat", *boxes, axis=1, outputs=["boxes"])
    scores = g.op("Transpose", g.op("Concat", *scores, axis=1), perm=[0, 2, 1], outputs=["scores"])
    found = g.op("NonMaxSuppression", boxes, scores, ints(10), np.array([0.5], np.float32), np.array([0.6], np.float32), center_point_box=1, outputs=["found"])
    g.op("Gather", boxes, g.op("Gather", found, ints(2), axis=1), axis=1, outputs=["kept"])
    outputs = [("boxes", T.FLOAT, None), ("scores", T.FLOAT, None), ("found", T.INT64, ["k", 3]), ("kept", T.FLOAT, None)]
    g.save(path, [("images", T.FLOAT, [1, 3, side, side])], outputs)


def whisper_encoder(path, layers=2, width=64, heads=4, mels=40, steps=500):
    """Of Whisper's shape: from a spectrum to states, and to the keys and values that each layer of the decoder asks."""
    rng, g = np.random.default_rng(0), Graph()
    x = gelu(g, g.op("Conv", "mel", normal(g, rng, width, mels, 3, scale=0.1), normal(g, rng, width, scale=0.1), pads=[1, 1]))
    x = gelu(g, g.op("Conv", x, normal(g, rng, width, width, 3, scale=0.1), normal(g, rng, width, scale=0.1), pads=[1, 1], strides=[2]))
    x = g.op("Transpose", x, perm=[0, 2, 1])
    n = g.op("Slice", g.op("Shape", x), ints(1), ints(2))
    x = g.op("Add", x, g.op("Slice", normal(g, rng, steps, width, scale=0.1), ints(0), n, ints(0)))
    for _ in range(layers):
        x = block(g, rng, x, heads, width)
    x = layer_norm(g, rng, x, width)
    outputs = []
    for i in range(layers):
        for name in (f"cross_key_{i}", f"cross_value_{i}"):
            g.op("Identity", split_heads(g, g.op("MatMul", x, normal(g, rng, width, width)), heads, width), outputs=[name])
            outputs.append((name, T.FLOAT, None))
    g.save(path, [("mel", T.FLOAT, ["n", mels, "frames"])], outputs)


def whisper_decoder(path, layers=2, width=64, heads=4, vocab=120, steps=64):
    """Of Whisper's shape: it goes on from the keys and values of its earlier steps, and asks those of the encoder."""
    rng, g = np.random.default_rng(1), Graph()
    table = g.constant(rng.standard_normal((vocab, width)).astype(np.float32))
    past = g.op("Slice", g.op("Shape", "past_key_0"), ints(2), ints(3))
    now = g.op("Slice", g.op("Shape", "ids"), ints(1), ints(2))
    total = g.op("Add", past, now)
    x = g.op("Add", g.op("Gather", table, "ids"), g.op("Slice", normal(g, rng, steps, width, scale=0.1), past, total, ints(0)))
    mask = g.constant(np.triu(np.full((steps, steps), -1e4, np.float32), 1))
    mask = g.op("Slice", g.op("Slice", mask, past, total, ints(0)), ints(0), total, ints(1))
    cache, outputs = ["n", heads, "p", width // heads], [("logits", T.FLOAT, None)]
    inputs = [("ids", T.INT64, ["n", "s"])]
    for i in range(layers):
        y, k, v = attention(g, rng, layer_norm(g, rng, x, width), heads, width, f"past_key_{i}", f"past_value_{i}", bias=mask)
        for name, value in ((f"key_{i}", k), (f"value_{i}", v)):
            g.op("Identity", value, outputs=[f"present_{name}"])
            inputs += [(f"past_{name}", T.FLOAT, cache), (f"cross_{name}", T.FLOAT, ["n", heads, "t", width // heads])]
            outputs.append((f"present_{name}", T.FLOAT, None))
        x = g.op("Add", x, y)
        q = split_heads(g, g.op("MatMul", layer_norm(g, rng, x, width), normal(g, rng, width, width)), heads, width)
        x = g.op("Add", x, answer(g, rng, q, f"cross_key_{i}", f"cross_value_{i}", heads, width))
        x = g.op("Add", x, gelu_mlp(g, rng, layer_norm(g, rng, x, width), width))
    g.op("MatMul", layer_norm(g, rng, x, width), g.op("Transpose", table, perm=[1, 0]), outputs=["logits"])
    g.save(path, inputs, outputs)
