"""test_quantize_onnx.py - `quantize` of ONNX models: the operators it writes, the errors it reports, what it leaves alone."""

import os
import random
import struct
import zipfile

import program
from onnx_file import blob, npy, number, port
from program import IO, MODEL_FILE, OK, UNSUPPORTED, USAGE, FolderTest, run

K, N, ROWS = 48, 40, 30


def numbers(seed, n):
    draw = random.Random(seed)
    return [draw.gauss(0, 0.2) for _ in range(n)]


def tensor(name, dims, values):
    return b"".join(number(1, d) for d in dims) + number(2, 1) + blob(8, name) + blob(9, struct.pack(f"<{len(values)}f", *values))


def node(op, inputs, outputs, **ints):
    attrs = b"".join(blob(5, blob(1, k) + number(3, v) + number(20, 2)) for k, v in ints.items())
    return blob(1, b"".join(blob(1, i) for i in inputs) + b"".join(blob(2, o) for o in outputs) + blob(4, op) + attrs)


def model(opset=17, extra=b"", constant=False):
    """y = gemm(relu(x w), v, bias) + a row of a table; x[n, K]"""
    w = tensor("w", (K, N), numbers(1, K * N))
    if constant:
        weight = blob(1, blob(2, "w") + blob(4, "Constant") + blob(5, blob(1, "value") + blob(5, w) + number(20, 4)))
    else:
        weight = blob(5, w)
    graph = (weight + node("MatMul", ("x", "w"), ("h",)) + node("MatMul", ("x", "w2"), ("h2",)) + node("Add", ("h", "h2"), ("s",)) + node("Relu", ("s",), ("r",))
             + node("Gemm", ("r", "v", "bias"), ("g",), transB=1) + node("Gather", ("table", "id"), ("t",)) + node("Add", ("g", "t"), ("y",)) + blob(2, "net")
             + blob(5, tensor("w2", (K, N), numbers(2, K * N))) + blob(5, tensor("v", (ROWS, N), numbers(3, ROWS * N))) + blob(5, tensor("bias", (ROWS,), numbers(4, ROWS)))
             + blob(5, tensor("table", (50, ROWS), numbers(5, 50 * ROWS))) + blob(5, number(2, 7) + blob(8, "id") + blob(9, struct.pack("<q", 7)))
             + extra + blob(11, port("x", "n", K)) + blob(12, port("y", "n", ROWS)))
    return number(1, 8) + blob(2, "test") + blob(7, graph) + blob(8, number(2, opset)) + blob(14, blob(1, "key") + blob(2, "kept"))


def convolution(opset):
    graph = node("Conv", ("x", "w"), ("y",)) + blob(5, tensor("w", (16, 8, 3, 3), numbers(1, 16 * 72))) + blob(11, port("x", 1, 8, 6, 6)) + blob(12, port("y", 1, 16, 4, 4))
    return number(1, 8) + blob(7, graph) + blob(8, number(2, opset))


class QuantizeOnnx(FolderTest):
    def bytes_of(self, path):
        with open(path, "rb") as file:
            return file.read()

    def quantized(self, data, kind, *arguments):
        source, result = self.put("in.onnx", data), self.path("out.onnx")
        dims = ["--dim", "n=5"] if port("x", "n", K) in data else []
        report = self.json_of("quantize", source, result, "--type", kind, "--random", *dims, *arguments)
        return report, self.bytes_of(result)

    def test_types(self):
        cases = {"int8-dynamic": (b"MatMulInteger", 0.02), "int8": (b"DequantizeLinear", 0.01), "int4": (b"MatMulNBits", 0.15)}
        names = {"w", "w2", "v", "table"}
        for constant in (False, True):
            for kind, (op, bound) in cases.items():
                with self.subTest(kind=kind, constant=constant):
                    data = model(constant=constant)
                    report, result = self.quantized(data, kind)
                    weights = {w["name"]: w for w in report["weights"]}
                    self.assertEqual({n for n, w in weights.items() if w["from"] != w["to"]}, names)
                    for name in names:
                        self.assertTrue(0 < weights[name]["relative_error"] < (0.12 if weights[name]["to"] == "i4" else 0.012), weights[name])
                    self.assertEqual(weights["bias"]["to"], "f32")
                    (y,) = report["outputs"]
                    self.assertTrue(0 < y["relative_error"] < bound, y)
                    self.assertLess(len(result), 0.5 * len(data))
                    self.assertEqual(result.count(op), 3, op)
                    self.assertIn(blob(14, blob(1, "key") + blob(2, "kept")), result)
                    self.assertIn(node("Relu", ("s",), ("r",)), result)
                    self.assertIn(blob(5, tensor("bias", (ROWS,), numbers(4, ROWS))), result)
                    self.assertEqual(result.count(b"DynamicQuantizeLinear"), 2 if kind == "int8-dynamic" else 0)  # x once for two products, and r
                    self.assertEqual(b"com.microsoft" in result, kind == "int4")

    def test_what_the_codes_say(self):
        """One row in, one column of 127ths: the product is exact, whatever the runtime."""
        w = [float((k * 7 + n) % 255 - 127) if k else 127.0 for k in range(K) for n in range(N)]
        graph = node("MatMul", ("x", "w"), ("y",)) + blob(5, tensor("w", (K, N), w)) + blob(11, port("x", "n", K)) + blob(12, port("y", "n", N))
        source = self.put("in.onnx", number(1, 8) + blob(7, graph) + blob(8, number(2, 13)))
        x = self.put("x.npy", npy((1, K), [float(k == 3) for k in range(K)]))
        report = self.json_of("quantize", source, self.path("out.onnx"), "--type", "int8", "--input", f"x={x}")
        self.assertEqual(report["weights"][0]["relative_error"], 0)
        self.assertEqual(report["outputs"][0]["largest_difference"], 0)

    def test_convolutions(self):
        for opset, op in ((11, b"Cast"), (13, b"DequantizeLinear")):
            report, result = self.quantized(convolution(opset), "int8")
            self.assertIn(op, result)
            self.assertLess(report["outputs"][0]["relative_error"], 0.01)
        source = self.put("in.onnx", convolution(13))
        self.assert_fails(run("quantize", source, self.path("out2.onnx")), UNSUPPORTED, "in.onnx", "int8 takes convolutions")
        self.assertFalse(os.path.exists(self.path("out2.onnx")))

    def test_the_file_is_the_same_each_time(self):
        source = self.put("in.onnx", model())
        for kind in ("int8-dynamic", "int8", "int4"):
            for name in ("a", "b"):
                self.assert_ok(run("quantize", source, self.path(name), "--type", kind))
            self.assertEqual(self.bytes_of(self.path("a")), self.bytes_of(self.path("b")))

    def test_weights_that_others_read_stay(self):
        report, _ = self.quantized(model(extra=node("Identity", ("v",), ("unused",))), "int8-dynamic")
        self.assertEqual({w["name"]: w["to"] for w in report["weights"]}["v"], "f32")
        report, _ = self.quantized(model(extra=node("Identity", ("v",), ("unused",))), "int8")
        self.assertEqual({w["name"]: w["to"] for w in report["weights"]}["v"], "i8")

    def test_names_that_are_taken(self):
        _, result = self.quantized(model(extra=node("Identity", ("x",), ("q0_w_codes",))), "int8-dynamic")
        self.assertIn(b"q1_w_codes", result)

    def test_data_beside_the_file_comes_into_it(self):
        values = struct.pack(f"<{K * N}f", *numbers(1, K * N))
        self.put("w.bin", values + struct.pack("<40f", *numbers(9, 40)))
        outer = lambda name, dims, at, size: blob(5, b"".join(number(1, d) for d in dims) + number(2, 1) + blob(8, name) + blob(13, blob(1, "location") + blob(2, "w.bin"))
                                                  + blob(13, blob(1, "offset") + blob(2, str(at))) + blob(13, blob(1, "length") + blob(2, str(size))) + number(14, 1))
        graph = node("MatMul", ("x", "w"), ("h",)) + node("Add", ("h", "b"), ("y",)) + outer("w", (K, N), 0, len(values)) + outer("b", (N,), len(values), 160) + blob(11, port("x", "n", K)) + blob(12, port("y", "n", N))
        source = self.put("in.onnx", number(1, 8) + blob(7, graph) + blob(8, number(2, 13)))
        os.mkdir(self.path("elsewhere"))
        result = os.path.join(self.path("elsewhere"), "out.onnx")
        report = self.json_of("quantize", source, result, "--random")
        self.assertLess(report["outputs"][0]["relative_error"], 0.02)
        self.assertIn(struct.pack("<40f", *numbers(9, 40)), self.bytes_of(result))

    def test_table_of_errors(self):
        source = self.put("in.onnx", model())
        text = self.assert_ok(run("quantize", source, self.path("out.onnx"), "--random"))
        for words in ("f32    -> i8", " w2", "out.onnx (", "output y: ", "largest difference"):
            self.assertIn(words, text)

    def test_inputs_of_an_archive_are_compared_on(self):
        with zipfile.ZipFile(self.path("in.npz"), "w") as z:
            z.writestr("x.npy", npy((2, K), numbers(6, 2 * K)))
        report = self.json_of("quantize", self.put("in.onnx", model()), self.path("out.onnx"), "--inputs", self.path("in.npz"))
        self.assertEqual([o["name"] for o in report["outputs"]], ["y"])
        self.assert_fails(run("quantize", self.path("in.onnx"), self.path("out.onnx"), "--dim", "n=2"), USAGE, "--dim n=2", "--random")

    def test_errors_say_what_is_wrong(self):
        source, out = self.put("in.onnx", model()), self.path("out.onnx")
        cut = self.put("cut.onnx", model()[:-30])
        old = self.put("old.onnx", model(opset=10))
        cases = [((source, out, "--type", "q4_k"), USAGE, "ONNX models"), ((source, out, "--type", "int9"), USAGE, "did you mean int8"), ((cut, out), MODEL_FILE, "cut.onnx"),
                 ((old, out), UNSUPPORTED, "opset is 10; what replaces its products needs 11"), ((source, source), USAGE, "is the model itself"),
                 ((source, out, "--eval", source), MODEL_FILE, "no tokenizer.json beside it"), ((source, out, "--importance", source), UNSUPPORTED, "importance is for GGUF"),
                 ((source, self.path("none/out.onnx")), IO, "none/out.onnx"), ((self.path("missing.onnx"), out), MODEL_FILE, "missing.onnx")]
        for arguments, code, words in cases:
            with self.subTest(words):
                self.assert_fails(run("quantize", *arguments), code, words)
                self.assertFalse(os.path.exists(out))
        self.assertEqual(run("quantize", old, out, "--type", "int8").returncode, OK)


if __name__ == "__main__":
    program.main()
