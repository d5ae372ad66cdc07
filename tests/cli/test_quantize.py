"""test_quantize.py - `quantize` and `calibrate`: what is written, what it says of errors, what it refuses."""

import os
import random

import byte_model
import program
from program import IO, MODEL_FILE, OK, UNSUPPORTED, USAGE, FolderTest, run

TYPES = "q4_k q5_k q6_k q8_0 q3_k q2_k q4_0 q4_1 q5_0 q5_1 iq4_nl iq4_xs mxfp4 f16 bf16 f32".split()


class Quantize(FolderTest):
    def setUp(self):
        super().setUp()
        self.model = self.path("model.gguf")
        byte_model.write(self.model, weights=random.Random(5).gauss)

    def tensors(self, path):
        return {t["name"]: t for t in self.json_of("inspect", path, "--tensors")["tensors"]}

    def test_every_type(self):
        """Rows have 32 elements: types of 256 are replaced by those of 32."""
        small = {"q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0", "q3_k": "iq4_nl", "q2_k": "iq4_nl", "iq4_xs": "iq4_nl"}
        for name in TYPES:
            out = self.path(name + ".gguf")
            table = self.json_of("quantize", self.model, out, "--type", name)
            rows = {row["name"]: row for row in table["weights"]}
            tensors = self.tensors(out)
            self.assertEqual(tensors["blk.0.attn_q.weight"]["dtype"], small.get(name, name))
            self.assertEqual(tensors["blk.0.attn_norm.weight"]["dtype"], "f32")
            self.assertEqual(tensors["output.weight"]["dtype"], name if name in ("f16", "bf16", "f32", "q8_0") else "q8_0")
            self.assertEqual(table["bytes_after"], os.path.getsize(out))
            error = rows["blk.0.attn_q.weight"]["relative_error"]
            self.assertTrue(0 < error < 0.2 or name == "f32", (name, error))
            self.assert_ok(run("run", out, "-p", "ab", "-n", "2"))

    def test_result_does_not_depend_on_threads(self):
        files = []
        for threads in ("1", "3"):
            files.append(self.path(threads))
            self.assert_ok(run("quantize", self.model, files[-1], "--type", "q4_0", "--threads", threads))
        with open(files[0], "rb") as a, open(files[1], "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_calibrated(self):
        importance, plain, weighed = self.path("importance.gguf"), self.path("plain.gguf"), self.path("weighed.gguf")
        self.assert_ok(run("calibrate", self.model, importance, stdin="The whimbrel is a wader. " * 40))
        self.assert_ok(run("quantize", self.model, plain, "--type", "q4_0"))
        self.assert_ok(run("quantize", self.model, weighed, "--type", "q4_0", "--importance", importance))
        hashes = [self.json_of("inspect", p, "--tensors", "--hashes")["tensors"] for p in (plain, weighed)]
        same = {a["name"]: a["hash"] == b["hash"] for a, b in zip(*hashes)}
        self.assertFalse(same["blk.0.ffn_down.weight"])
        self.assertTrue(same["token_embd.weight"])  # looked up, not multiplied with
        self.assert_fails(run("quantize", self.model, weighed, "--importance", self.model + "x"), MODEL_FILE, "no such file")
        other = self.path("other.gguf")
        byte_model.write(other, layers=2)
        self.assert_ok(run("quantize", other, weighed, "--importance", importance))  # what it knows is used

    def test_perplexity_before_and_after(self):
        text = self.path("text")
        with open(text, "w") as file:
            file.write("The whimbrel is a small wader of the Arctic. " * 30)
        result = self.json_of("quantize", self.model, self.path("out.gguf"), "--type", "q8_0", "--eval", text, "--chunks", "2")
        self.assertGreater(result["perplexity_before"], 1)
        self.assertAlmostEqual(result["perplexity_after"] / result["perplexity_before"], 1, delta=0.1)
        self.assertIn("perplexity", self.assert_ok(run("quantize", self.model, self.path("b"), "--eval", text)))

    def test_a_table_that_nobody_reads_ends_it(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        with os.fdopen(write_end, "w") as closed:
            self.assert_fails(run("quantize", self.model, self.path("out.gguf"), stdout=closed), IO, "standard output", "Broken pipe")
        self.assertFalse(os.path.exists(self.path("out.gguf")))

    def test_what_is_read_last_is_looked_at_first(self):
        missing = self.path("none.txt")
        self.assert_fails(run("quantize", self.model, self.path("out.gguf"), "--eval", missing), MODEL_FILE, missing)
        self.assertFalse(os.path.exists(self.path("out.gguf")))
        self.assert_fails(run("calibrate", self.model, self.path("i.gguf"), stdin=""), USAGE, "the text is empty")
        self.assertFalse(os.path.exists(self.path("i.gguf")))

    def test_refusals(self):
        out = self.path("out.gguf")
        self.assert_ok(run("quantize", self.model, out, "--type", "q8_0"))
        self.assert_fails(run("quantize", out, self.path("again")), UNSUPPORTED, "q8_0 already", "--requantize")
        self.assertFalse(os.path.exists(self.path("again")))
        self.assert_ok(run("quantize", out, self.path("again"), "--requantize"))
        self.assert_fails(run("quantize", self.model, self.model), USAGE, "the model itself")
        self.assert_fails(run("quantize", self.model, out, "--type", "q9"), USAGE, "q9")
        self.assert_fails(run("quantize", self.model), USAGE)
        self.assert_fails(run("quantize", self.path("missing"), out), MODEL_FILE, "missing")
        self.assertEqual(run("quantize", self.model, self.path("no/folder")).returncode, IO)
        byte_model.write(self.model, weights=lambda *_: float("nan"))
        self.assert_fails(run("quantize", self.model, self.path("nan")), MODEL_FILE, "not finite")
        self.assertFalse(os.path.exists(self.path("nan")))


if __name__ == "__main__":
    program.main()
