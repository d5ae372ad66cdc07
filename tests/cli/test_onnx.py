"""test_onnx.py - `run` and `inspect` of an ONNX model: inputs from .npy files or random, outputs as .npy files, errors."""

import os
import signal
import struct
import subprocess
import time
import zipfile

import program
from onnx_file import blob, npy, number, port
from program import INTERRUPTED, IO, LIMIT, MODEL_FILE, OK, UNSUPPORTED, USAGE, FolderTest, run


def model(op="Mul"):
    """y[n, 2] = x[n, 2] * w[2]"""
    node = blob(1, "x") + blob(1, "w") + blob(2, "y") + blob(3, "scale it") + blob(4, op)
    weight = number(1, 2) + number(2, 1) + blob(8, "w") + blob(9, struct.pack("<2f", 2, -3))
    graph = blob(1, node) + blob(2, "scaler") + blob(5, weight) + blob(11, port("x", "n", 2)) + blob(12, port("y", "n", 2))
    return number(1, 8) + blob(2, "test") + blob(7, graph) + blob(8, number(2, 13))


def unary(ops):
    """Each op, and output, of x[n, m]; their attributes are whole numbers."""
    nodes = b"".join(blob(1, blob(1, "x") + blob(2, name) + blob(4, op) + b"".join(
        blob(5, blob(1, key) + number(3, value) + number(20, 2)) for key, value in attributes.items())) for op, name, attributes in ops)
    ports = b"".join(blob(12, port(name, "n", "m", dtype=attributes.get("to", 1))) for _, name, attributes in ops)
    return number(1, 8) + blob(7, nodes + blob(2, "unary") + blob(11, port("x", "n", "m")) + ports) + blob(8, number(2, 17))


def two_programs():
    """exp of x[n, 2]'s places that are not 0, and x's shape."""
    nodes = b"".join(blob(1, blob(1, i) + blob(2, o) + blob(4, op) + b"".join(blob(5, blob(1, k) + number(3, v) + number(20, 2)) for k, v in attributes))
                     for i, o, op, attributes in (("x", "a", "Abs", ()), ("a", "z", "NonZero", ()), ("z", "f", "Cast", (("to", 1),)), ("f", "y", "Exp", ()), ("x", "s", "Shape", ())))
    graph = nodes + blob(2, "two") + blob(11, port("x", "n", 2)) + blob(12, port("y", 2, "k")) + blob(12, port("s", 2, dtype=7))
    return number(1, 8) + blob(7, graph) + blob(8, number(2, 17))


def endless():
    """A loop whose body asks for one more each time."""
    again = blob(1, "go") + blob(2, "more") + blob(4, "Identity")
    body = blob(1, again) + blob(11, blob(1, "k")) + blob(11, blob(1, "go")) + blob(12, blob(1, "more")) + blob(12, blob(1, "k"))
    attribute = blob(1, "body") + blob(6, body) + number(20, 5)
    loop = blob(1, "") + blob(1, "") + blob(2, "out") + blob(3, "forever") + blob(4, "Loop") + blob(5, attribute)
    return number(1, 8) + blob(7, blob(1, loop) + blob(12, blob(1, "out"))) + blob(8, number(2, 17))


FEW_BITS_K = 32
FEW_BITS_CODES = [k * 7 % 16 for k in range(FEW_BITS_K)]


def few_bits(**level):
    """y[n, 1] = x[n, 32] and 32 codes of 4 bits, whose scale is 0.3 and zero point 8."""
    ints = {"K": FEW_BITS_K, "N": 1, "bits": 4, "block_size": 32, **level}
    attrs = b"".join(blob(5, blob(1, k) + number(3, v) + number(20, 2)) for k, v in ints.items())
    codes = bytes(a | b << 4 for a, b in zip(FEW_BITS_CODES[::2], FEW_BITS_CODES[1::2]))
    weights = (blob(5, number(1, 1) + number(1, 1) + number(1, 16) + number(2, 2) + blob(8, "b") + blob(9, codes))
               + blob(5, number(1, 1) + number(2, 1) + blob(8, "s") + blob(9, struct.pack("<f", 0.3))))
    node = blob(1, "x") + blob(1, "b") + blob(1, "s") + blob(2, "y") + blob(4, "MatMulNBits") + attrs + blob(7, "com.microsoft")
    graph = blob(1, node) + weights + blob(11, port("x", "n", FEW_BITS_K)) + blob(12, port("y", "n", 1))
    return number(1, 8) + blob(7, graph) + blob(8, number(2, 17)) + blob(8, blob(1, "com.microsoft") + number(2, 1))


def attribute(name, v=None):
    """An integer; without one what the caller of the function gives."""
    return blob(5, blob(1, name) + number(20, 2) + (blob(21, name) if v is None else number(3, v)))


def few_bits_of_a_device():
    """As few_bits(accuracy_level=4), with scales that are exp(e)."""
    ints = {"K": FEW_BITS_K, "N": 1, "bits": 4, "block_size": 32, "accuracy_level": 4}
    codes = bytes(a | b << 4 for a, b in zip(FEW_BITS_CODES[::2], FEW_BITS_CODES[1::2]))
    nodes = (blob(1, blob(1, "e") + blob(2, "s") + blob(4, "Exp"))
             + blob(1, blob(1, "x") + blob(1, "b") + blob(1, "s") + blob(2, "y") + blob(4, "MatMulNBits")
                    + b"".join(attribute(k, v) for k, v in ints.items()) + blob(7, "com.microsoft")))
    weights = blob(5, number(1, 1) + number(1, 1) + number(1, 16) + number(2, 2) + blob(8, "b") + blob(9, codes))
    graph = nodes + weights + blob(11, port("x", "n", FEW_BITS_K)) + blob(11, port("e", 1)) + blob(12, port("y", "n", 1))
    return number(1, 8) + blob(7, graph) + blob(8, number(2, 17)) + blob(8, blob(1, "com.microsoft") + number(2, 1))


def few_bits_in_a_function(codes, n):
    """One node for two calls: y[n, N] of codes of 4 bits, z of the same bytes as codes of 8."""
    names = ("K", "N", "bits", "block_size")
    body = (blob(1, "x") + blob(1, "b") + blob(1, "s") + blob(2, "y") + blob(4, "MatMulNBits") + b"".join(map(attribute, names))
            + blob(7, "com.microsoft"))
    function = (blob(1, "F") + blob(4, "x") + blob(4, "b") + blob(4, "s") + blob(5, "y") + b"".join(blob(6, k) for k in names)
                + blob(7, body) + blob(9, number(2, 17)) + blob(9, blob(1, "com.microsoft") + number(2, 1)) + blob(10, "own"))

    def call(x, y, *values):
        return blob(1, blob(1, x) + blob(1, "b") + blob(1, "s") + blob(2, y) + blob(4, "F")
                    + b"".join(attribute(k, v) for k, v in zip(names, values)) + blob(7, "own"))

    weights = (blob(5, number(1, n) + number(1, 2) + number(1, 16) + number(2, 2) + blob(8, "b") + blob(9, codes))
               + blob(5, number(1, 2 * n) + number(2, 1) + blob(8, "s") + blob(9, struct.pack("<f", 1) * (2 * n))))
    graph = (call("x", "y", 64, n, 4, 32) + call("u", "z", 32, n, 8, 16) + weights + blob(11, port("x", 1, 64)) + blob(11, port("u", 1, 32))
             + blob(12, port("y", 1, n)) + blob(12, port("z", 1, n)))
    return (number(1, 8) + blob(7, graph) + blob(8, number(2, 17)) + blob(8, blob(1, "com.microsoft") + number(2, 1))
            + blob(8, blob(1, "own") + number(2, 1)) + blob(25, function))


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


class Onnx(FolderTest):
    def test_accuracy_of_few_bits(self):
        """What accuracy_level asks of the activations: codes of 13 bits (docs/NUMERICS.md, "matmul_blocks"), or f32."""
        x = [f32(((k * 37 + 11) % 101 - 50) / 7) for k in range(FEW_BITS_K)]
        top = max(map(abs, x))
        codes = [round(f32(v * f32(4095 / top))) for v in x]
        wide = f32(f32(f32(top / 4095) * f32(0.3)) * sum(q * (c - 8) for q, c in zip(codes, FEW_BITS_CODES)))
        exact = sum(v * (c - 8) for v, c in zip(x, FEW_BITS_CODES)) * f32(0.3)
        source, answers = self.put("x.npy", npy((1, FEW_BITS_K), x)), {}
        for level in (None, 0, 1, 2, 3, 4):
            path = self.put("m.onnx", few_bits(**({} if level is None else {"accuracy_level": level})))
            self.assert_ok(run("run", path, "--input", f"x={source}", "--output", self.path("out")))
            with open(self.path("out/y.npy"), "rb") as file:
                answers[level], = struct.unpack("<f", file.read()[-4:])
        self.assertNotEqual(wide, answers[1])
        self.assertAlmostEqual(answers[1], exact, delta=1e-5 * abs(exact))
        self.assertAlmostEqual(wide, exact, delta=2e-3 * abs(exact))
        self.assertEqual(answers, {None: answers[1], 0: answers[1], 1: answers[1], 2: answers[1], 3: wide, 4: wide})

    def test_few_bits_of_what_a_device_makes(self):
        """Scales that another node gives end a stage; and activations may have no elements."""
        x, e = self.put("x.npy", npy((1, FEW_BITS_K), [1] * FEW_BITS_K)), self.put("e.npy", npy((1,), [0]))
        self.assert_ok(run("run", self.put("m.onnx", few_bits_of_a_device()), "--input", f"x={x}", "--input", f"e={e}", "--output", self.path("out")))
        with open(self.path("out/y.npy"), "rb") as file:
            y, = struct.unpack("<f", file.read()[-4:])
        self.assertAlmostEqual(y, sum(c - 8 for c in FEW_BITS_CODES), delta=0.1)
        empty = self.put("empty.npy", npy((0, FEW_BITS_K), []))
        for level in (0, 4):
            result = run("run", self.put("m.onnx", few_bits(accuracy_level=level)), "--input", f"x={empty}")
            self.assert_ok(result)
            self.assertIn("f32[0, 1]", result.stdout)

    def test_few_bits_of_a_function(self):
        """The weights of one node in two forms, by the caller's attributes."""
        n = 256
        codes = bytes((i * 37 + i // 5 + 11) % 256 for i in range(32 * n))
        x, u = [k % 5 - 2 for k in range(64)], [k % 3 - 1 for k in range(32)]
        self.assert_ok(run("run", self.put("m.onnx", few_bits_in_a_function(codes, n)), "--input", f"x={self.put('x.npy', npy((1, 64), x))}",
                           "--input", f"u={self.put('u.npy', npy((1, 32), u))}", "--output", self.path("out")))
        rows = [codes[32 * i:32 * i + 32] for i in range(n)]
        y = [sum(a * ((row[k // 2] >> 4 * (k % 2) & 15) - 8) for k, a in enumerate(x)) for row in rows]
        z = [sum(a * (c - 128) for a, c in zip(u, row)) for row in rows]
        for name, want in (("y", y), ("z", z)):
            with open(self.path(f"out/{name}.npy"), "rb") as file:
                self.assertEqual(list(struct.unpack(f"<{n}f", file.read()[-4 * n:])), want)

    def test_tensors_in_and_out(self):
        path, x, out = self.put("m.onnx", model()), self.put("x.npy", npy((3, 2), [1, 2, 3, 4, 5, 6])), os.path.join(self.folder.name, "out")
        result = run("run", path, "--input", f"x={x}", "--output", out)
        self.assertEqual(result.returncode, OK, result.stderr)
        self.assertIn("y  f32[3, 2]", result.stdout)
        self.assertIn("least -18 at 5, largest 10 at 4", result.stdout)
        with open(os.path.join(out, "y.npy"), "rb") as file:
            data = file.read()
        self.assertIn(b"'shape': (3, 2)", data)
        self.assertEqual(struct.unpack("<6f", data[-24:]), (2, -6, 6, -12, 10, -18))

    def test_random_inputs_follow_the_seed(self):
        path = self.put("m.onnx", model())
        one, again, other = (run("run", path, "--random", "--dim", "n=4", "--random-seed", s).stdout for s in ("1", "1", "2"))
        self.assertIn("f32[4, 2]", one)
        self.assertEqual(one, again)
        self.assertNotEqual(one, other)

    def test_inspect(self):
        out = run("inspect", self.put("m.onnx", model())).stdout
        for words in ("ONNX", "scaler", "x  f32[n, 2]", "y  f32[n, 2]"):
            self.assertIn(words, out)

    def test_inspect_says_what_it_cannot_show(self):
        path = self.put("m.onnx", unary([("Neg", "y", {})]))
        self.assertIn("parameters    none among initializers", self.assert_ok(run("inspect", path)))
        result = run("inspect", path, "--graph", "--source")
        self.assert_fails(result, USAGE, "own graph is its file")
        self.assertEqual(result.stdout, "")
        self.assert_fails(run("inspect", path, "--plan", "--input", f"z={path}"), USAGE, "no such input")

    def test_inspect_shows_what_a_run_makes(self):
        path = self.put("m.onnx", two_programs())
        text = self.assert_ok(run("inspect", path, "--graph", "--plan", "--kernels", "--dim", "n=3"))
        for words in ("program 1 of 2", "program 2 of 2", "= abs(", "= exp(", "activations, planned", "kernels (1 instructions)",
                      "on the host:", "NonZero", "that one ends here", "Shape", "host has"):
            self.assertIn(words, text)
        self.assertNotIn("[n", text.split("program 1")[1])  # dims are numbers or symbols of the run
        found = self.json_of("inspect", path, "--graph", "--plan", "--kernels")
        self.assertEqual([[i["op"] for i in p["instructions"]] for p in found["programs"]], [["abs"], ["cast", "exp"]])
        self.assertTrue(all(i["kernel"] and i["reason"] for p in found["programs"] for i in p["instructions"]))
        self.assertTrue(all(p["graph"].startswith('graph "') and p["plan"] for p in found["programs"]))
        self.assertEqual({h["op"]: h["times"] for h in found["host_nodes"]}, {"NonZero": 1, "Cast": 1, "Shape": 1})
        self.assertNotIn("host_nodes", self.json_of("inspect", path, "--plan"))
        self.assertNotIn("programs", self.json_of("inspect", path))

    def test_labels(self):
        path, x = self.put("m.onnx", model()), self.put("x.npy", npy((2, 2), [1, 2, -3, -4]))
        labels = self.put("labels.txt", b"wader\r\ngull\n")
        lines = self.assert_ok(run("run", path, "--input", f"x={x}", "--labels", labels)).splitlines()
        self.assertEqual([line.split() for line in lines[1:]],
                         [["row", "0"], ["2", "wader"], ["-6", "gull"], ["row", "1"], ["12", "gull"], ["-6", "wader"]])
        wrong = self.put("wrong.txt", b"wader\n")
        self.assert_fails(run("run", path, "--input", f"x={x}", "--labels", wrong), USAGE, "1 labels", "no output")

    def test_example(self):
        example = os.environ.get("WH_EXAMPLE_ONNX")
        if not example:
            self.skipTest("WH_EXAMPLE_ONNX names no program")
        path, x = self.put("m.onnx", model()), self.put("x.npy", npy((1, 2), [1, 2]))
        result = subprocess.run([example, path, x], capture_output=True, text=True, timeout=60)
        self.assertEqual((result.returncode, result.stdout), (0, "y: 2 -6\n"), result.stderr)
        result = subprocess.run([example, path, path], capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn("is no .npy file", result.stderr)

    def test_bench(self):
        path = self.put("m.onnx", model())
        text = self.assert_ok(run("bench", path, "--dim", "n=4", "-r", "20"))
        for words in ("median", "quartiles", "of 20", "runs/s", "to open the model", "memory", "first one's bits"):
            self.assertIn(words, text)
        result, = self.json_of("bench", path, "--threads", "1", "--input", "x=" + self.put("x.npy", npy((1, 2), [1, 2])))["results"]
        times = result["run_seconds"]
        self.assertTrue(0 < times["min"] <= times["lower_quartile"] <= times["median"] <= times["upper_quartile"] <= times["max"])
        self.assertEqual(result["repetitions"], len(times["sorted_samples"]))
        self.assertEqual(result["device"]["threads"], 1)
        self.assertGreater(result["peak_bytes"], 0)

    def test_verify(self):
        path = self.put("m.onnx", model())
        result = self.json_of("verify", path, "--dim", "n=3")
        self.assertTrue(result["same"])
        self.assertGreaterEqual(result["outputs_compared"], 2)  # the product's, and the model's
        self.assertEqual((result["b"]["isa"], result["b"]["threads"]), ("ref", 1))
        self.assertIn("same: ", self.assert_ok(run("verify", path, "--isa", "ref", "--against", "--threads", "1")))

    def test_json(self):
        path, x, labels = self.put("m.onnx", model()), self.put("x.npy", npy((1, 2), [1, 2])), self.put("labels.txt", b"wader\ngull\n")
        result = self.json_of("run", path, "--input", f"x={x}", "--labels", labels, "--output", self.path("out"))
        self.assertEqual((result["model"]["format"], result["device"]["name"]), ("ONNX", "cpu"))
        y, = result["outputs"]
        self.assertEqual({k: y[k] for k in ("name", "type", "shape", "least", "least_at", "largest", "largest_at", "mean", "n_nan", "kept_as")},
                         {"name": "y", "type": "f32", "shape": [1, 2], "least": -6, "least_at": 1, "largest": 2, "largest_at": 0, "mean": -2,
                          "n_nan": 0, "kept_as": "y"})
        self.assertEqual(y["classes"], [[{"label": "wader", "value": 2}, {"label": "gull", "value": -6}]])
        self.assertTrue(os.path.exists(self.path("out/y.npy")))

    def test_no_output_takes_anothers_place(self):
        path, x = self.put("m.onnx", unary([("Neg", "a/b", {}), ("Abs", "a_b", {}), ("Neg", "A_B_2", {})])), self.put("x.npy", npy((1, 2), [1, 2]))
        for out in (self.path("out"), self.path("out.npz")):
            result = run("run", path, "--input", f"x={x}", "--output", out)
            self.assertEqual(result.returncode, OK, result.stderr)
            self.assertIn("output 'a_b' is kept as a_b_2", result.stderr)
            if out.endswith(".npz"):
                with zipfile.ZipFile(out) as z:
                    kept = {name: z.read(name) for name in z.namelist()}
                    self.assertEqual(len(kept), len(z.namelist()))
            else:
                kept = {}
                for name in os.listdir(out):
                    with open(os.path.join(out, name), "rb") as file:
                        kept[name] = file.read()
            self.assertEqual({name: struct.unpack("<2f", data[-8:]) for name, data in kept.items()},
                             {"a_b.npy": (-1, -2), "a_b_2.npy": (1, 2), "A_B_2_2.npy": (-1, -2)})

    def test_every_type_has_its_numbers(self):
        types = {"f16": 10, "bf16": 16, "f64": 11, "i16": 5, "u16": 4, "u32": 12, "u64": 13, "i8": 3}
        path = self.put("m.onnx", unary([("Cast", name, {"to": to}) for name, to in types.items()]))
        lines = self.assert_ok(run("run", path, "--input", "x=" + self.put("x.npy", npy((1, 2), [3, 5])))).splitlines()
        self.assertEqual(lines, [f"{name}  {name}[1, 2]  least 3 at 0, largest 5 at 1, mean 4" for name in types])
        halves = self.put("h.onnx", unary([("Cast", "y", {"to": 10})]))
        for value, said in ((-0.5, "-0.5"), (2.0**-24, "5.96046448e-08"), (65504, "65504")):
            line = self.assert_ok(run("run", halves, "--input", "x=" + self.put("x.npy", npy((1, 1), [value]))))
            self.assertIn(f"least {said} at 0", line)

    def test_infinities_hide_no_numbers(self):
        path = self.put("m.onnx", unary([("Log", "y", {})]))
        line = self.assert_ok(run("run", path, "--input", "x=" + self.put("x.npy", npy((1, 3), [0, 1, -1]))))
        self.assertEqual(line, "y  f32[1, 3]  least -inf at 0, largest 0 at 1, mean -inf, 1 NaN\n")
        line = self.assert_ok(run("run", path, "--input", "x=" + self.put("x.npy", npy((1, 1), [-1]))))
        self.assertEqual(line, "y  f32[1, 1]  1 NaN\n")

    def test_dims_are_checked(self):
        path = self.put("m.onnx", model())
        for dim, words in (("n=abc", "whole number"), ("n=", "whole number"), ("n=-4", "whole number"), ("n=" + "9" * 30, "whole number"),
                           ("n=3x", "whole number"), ("m=3", "no input has an open dimension"), ("2=3", "no input has an open dimension"),
                           ("n", "NAME=N")):
            for verb in (("run", path, "--random"), ("bench", path), ("verify", path)):
                self.assert_fails(run(*verb, "--dim", dim), USAGE, f"--dim {dim}", words)
        self.assert_fails(run("run", path, "--dim", "n=3"), USAGE, "--dim n=3", "--random")
        self.assert_fails(run("run", path, "--random", "--dim", "n=1000000000"), LIMIT, "input 'x'", "more than 268435456 elements")

    def test_options_of_the_other_kind_of_model_are_refused(self):
        path = self.put("m.onnx", model())
        for arguments in (["-p", "x"], ["--chat"], ["--temp", "1"], ["--lookup", "3"], ["--logits-hash"]):
            self.assert_fails(run("run", path, "--random", *arguments), USAGE, "is for language models", "--input")
        for option in ("--labels", "--pooling"):
            self.assert_fails(run("run", "m.gguf", "-p", "x", option, "cls"), USAGE, option, "(ONNX)")
        self.assert_fails(run("run", self.put("m.gguf", b"GGUF"), "--text", "x"), USAGE, "--text", "-p")
        self.assert_fails(run("run", self.path("none.onnx"), "--text", "x"), MODEL_FILE, "no such file", "m.onnx")

    def test_folders_with_such_models(self):
        path = self.put("m.onnx", model())
        self.assert_fails(run("run", self.folder.name, "--random"), MODEL_FILE, "is a folder", "give its file", path)
        self.assert_fails(run("inspect", self.path("n.onnx")), MODEL_FILE, "did you mean", path)

    def test_a_place_for_outputs_is_looked_at_before_the_run(self):
        path = self.put("m.onnx", endless())
        for out in ("/proc/none", "/dev/null/x.npz", path, "/dev/null"):
            self.assert_fails(run("run", path, "--output", out), IO, out)

    def test_verbs_of_language_models_say_so(self):
        path = self.put("m.onnx", model())
        self.assert_fails(run("chat", path), UNSUPPORTED, "`chat` is for language models")

    def test_endless_loops_end(self):
        path = self.put("m.onnx", endless())
        self.assert_fails(run("run", path, "--max-iterations", "500"), LIMIT, "node 'forever' (Loop)", "500 iterations")
        self.assert_fails(run("run", path), LIMIT, "1048576 iterations")

    def test_endless_loops_can_be_interrupted(self):
        path = self.put("m.onnx", endless())
        process = subprocess.Popen([program.WHIMBREL, "run", path, "--max-iterations", str(2**64 - 1)], stderr=subprocess.PIPE)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, INTERRUPTED, error)
        self.assertIn(b"interrupted", error)

    def test_errors_say_what_is_wrong(self):
        path, wrong = self.put("m.onnx", model()), self.put("x.npy", npy((3,), [1, 2, 3]))
        cases = [(("run", path), "input 'x' was never set"), (("run", path, "--input", "z=a.npy"), "no such input"),
                 (("run", path, "--input", f"x={wrong}"), "the graph wants f32[n, 2]"),
                 (("run", path, "--input", f"x={path}"), "is no .npy file"),
                 (("run", self.put("unknown.onnx", model("Frobnicate")), "--random"), "node 'scale it' (Frobnicate)"),
                 (("run", self.put("cut.onnx", model()[:-20]), "--random"), "protocol buffer|bytes end|no graph")]
        for arguments, words in cases:
            result = run(*arguments)
            self.assertNotEqual(result.returncode, OK, arguments)
            self.assertRegex(result.stderr, words.replace("(", r"\(").replace(")", r"\)").replace("[", r"\["))
        self.assertEqual(run("run", path, "--input", "z=a.npy").returncode, USAGE)
        self.assertEqual(run("run", self.put("cut.onnx", model()[:-20]), "--random").returncode, MODEL_FILE)


if __name__ == "__main__":
    program.main()
