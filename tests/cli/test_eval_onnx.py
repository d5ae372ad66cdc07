"""test_eval_onnx.py - `eval` of an ONNX decoder whose logits are known: they follow from a token, its position, the mask, which
must be whole, and the cache, which must be empty."""

import json
import math
import struct

import program
from onnx_file import blob, number, port
from program import MODEL_FILE, UNSUPPORTED, USAGE, FolderTest, run

LETTERS = "abcdefgh"
BOS = len(LETTERS)
SIZE = BOS + 1
POSITIONS = 512
BY_TOKEN = [[(7 * a + 3 * b * b) % 11 / 4 for b in range(SIZE)] for a in range(SIZE)]
BY_POSITION = [[(i + b) % 5 / 8 for b in range(SIZE)] for i in range(POSITIONS)]
TEXT = "".join(LETTERS[(i * i + i // 5) % len(LETTERS)] for i in range(70))


def node(op, inputs, output, **ints):
    attributes = b"".join(blob(5, blob(1, k) + number(3, v) + number(20, 2)) for k, v in ints.items())
    return blob(1, b"".join(blob(1, i) for i in inputs) + blob(2, output) + blob(4, op) + attributes)


def table(name, rows):
    return blob(5, number(1, len(rows)) + number(1, len(rows[0])) + number(2, 1) + blob(8, name)
                + blob(9, b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)))


def decoder(size=SIZE, extra=b"", heads="past_key_values.0.key"):
    """logits = (by token + by position) least(mask) exp(sum(exp(cache))), times the unit matrix"""
    nodes = (node("Gather", ["tokens", "input_ids"], "t") + node("Gather", ["places", "position_ids"], "p") + node("Add", ["t", "p"], "both")
             + node("Cast", ["attention_mask"], "m", to=1) + node("ReduceMin", ["m"], "least", keepdims=0) + node("Mul", ["both", "least"], "masked")
             + node("Exp", [heads], "e") + node("ReduceSum", ["e"], "s", keepdims=0) + node("Exp", ["s"], "f") + node("Mul", ["masked", "f"], "scaled")
             + node("MatMul", ["scaled", "unit"], "logits"))
    inputs = b"".join(blob(11, port(name, "b", "s", dtype=7)) for name in ("input_ids", "attention_mask", "position_ids"))
    inputs += blob(11, port(heads, "b", 2, "past", 4)) + extra
    tables = table("unit", [[float(a == b) for b in range(size)] for a in range(size)]) + table("tokens", [row[:size] for row in BY_TOKEN]) + table("places", [row[:size] for row in BY_POSITION])
    return number(1, 8) + blob(7, nodes + tables + inputs + blob(12, port("logits", "b", "s", size))) + blob(8, number(2, 17))


def tokenizer(bos=True):
    document = {"added_tokens": [{"id": BOS, "content": "<s>", "special": True}], "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
                "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {c: i for i, c in enumerate(LETTERS)}, "merges": []}}
    if bos:
        document["post_processor"] = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
                                      "special_tokens": {"<s>": {"ids": [BOS]}}}
    return json.dumps(document)


def expected(chunk, bos):
    """The definition of cli/perplexity.h."""
    ids, scores = [LETTERS.index(c) for c in TEXT], []
    for begin in range(0, len(ids) - chunk + 1, chunk):
        piece = ids[begin:begin + chunk]
        for i in range(chunk // 2, chunk - 1):
            row = [a + b for a, b in zip(BY_TOKEN[BOS if bos and i == 0 else piece[i]], BY_POSITION[i])]
            scores.append(math.log(sum(math.exp(v) for v in row)) - row[piece[i + 1]])
    return math.exp(sum(scores) / len(scores)), len(scores)


class EvalOnnx(FolderTest):
    def setUp(self):
        super().setUp()
        self.model = self.put("model.onnx", decoder())
        self.text = self.put("text.txt", TEXT.encode())
        self.put("tokenizer.json", tokenizer())

    def test_perplexity(self):
        for chunk, bos in ((20, True), (20, False), (7, True), (32, True)):
            self.put("tokenizer.json", tokenizer(bos))
            want, n = expected(chunk, bos)
            found = self.json_of("eval", self.model, "-f", self.text, "--ctx", chunk)
            self.assertAlmostEqual(found["perplexity"], want, delta=1e-5 * want)
            self.assertEqual((found["tokens_scored"], found["chunk_tokens"]), (n, chunk))
        self.assertEqual(self.json_of("eval", self.model, "-f", self.text, "--ctx", 7, "--chunks", 2)["chunks"], 2)
        self.assertIn("perplexity ", self.assert_ok(run("eval", self.model, "-f", self.text, "--ctx", "20", "--isa", "ref", "-t", "1")))

    def test_a_tokenizer_that_lies_elsewhere(self):
        model = self.put("alone/model.onnx", decoder())
        self.put("alone/none.txt", b"")
        other = self.put("other.json", tokenizer())
        self.assert_ok(run("eval", model, "-f", self.text, "--ctx", "20", "--tokenizer", other))

    def test_before_and_after_quantising(self):
        text = self.put("long.txt", (TEXT * 8).encode())
        found = self.json_of("quantize", self.model, self.path("small.onnx"), "--type", "int8", "--eval", text)
        before = self.json_of("eval", self.model, "-f", text)["perplexity"]
        self.assertEqual(found["perplexity_before"], before)
        self.assertNotEqual(found["perplexity_after"], before)
        self.assertAlmostEqual(found["perplexity_after"], before, delta=1e-2 * before)

    def test_what_is_no_decoder_is_refused(self):
        self.put("model.onnx", decoder(extra=blob(11, port("pictures", "b", 3))))
        self.assert_fails(run("eval", self.model, "-f", self.text, "--ctx", "20"), UNSUPPORTED, "'pictures'", "a decoder of tokens has no others")
        self.put("model.onnx", decoder(size=3))
        self.assert_fails(run("eval", self.model, "-f", self.text, "--ctx", "20"), MODEL_FILE, "none of the model's 3 logits")

    def test_texts_and_tokenizers_that_do_not_do(self):
        self.assert_fails(run("eval", self.model, "-f", self.text), USAGE, "the text has 70 tokens but a chunk has 512")
        self.assert_fails(run("eval", self.model, "-f", self.text, "--ctx", "3"), USAGE, "nothing to score")
        self.assert_fails(run("eval", self.model, "-f", self.path("none.txt"), "--ctx", "20"), MODEL_FILE, "none.txt")
        self.put("tokenizer.json", "{")
        self.assert_fails(run("eval", self.model, "-f", self.text, "--ctx", "20"), MODEL_FILE, "tokenizer.json")
        self.assert_fails(run("eval", "model.gguf", "-f", self.text, "--tokenizer", self.text), USAGE, "--tokenizer is for ONNX")


if __name__ == "__main__":
    program.main()
