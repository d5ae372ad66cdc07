"""test_model_files.py - files given as models: odd ones that are fine, broken ones, and other things; exit codes and words."""

import array
import os
import random
import struct
import tempfile

import program
from gguf_variant import ARRAY, STRING, U32, pack
from program import MODEL_FILE, OK, UNSUPPORTED, ProgramTest, run

F32, U64 = 6, 10
WIDTH = 32
TOKENS = [b"<unk>", b"<s>", b"</s>"] + [b"<0x%02X>" % i for i in range(256)] + [b"a"]
KINDS = [2, 3, 3] + [6] * 256 + [1]
SHAPES = {"token_embd.weight": (len(TOKENS), WIDTH), "output_norm.weight": (WIDTH,), "blk.0.attn_norm.weight": (WIDTH,),
          "blk.0.attn_q.weight": (WIDTH, WIDTH), "blk.0.attn_k.weight": (WIDTH // 2, WIDTH), "blk.0.attn_v.weight": (WIDTH // 2, WIDTH),
          "blk.0.attn_output.weight": (WIDTH, WIDTH), "blk.0.ffn_norm.weight": (WIDTH,), "blk.0.ffn_gate.weight": (WIDTH, WIDTH),
          "blk.0.ffn_up.weight": (WIDTH, WIDTH), "blk.0.ffn_down.weight": (WIDTH, WIDTH)}


def gguf(keys=(), shapes=(), without=False):
    """The bytes of a tiny random llama; `keys` and `shapes` are added, `without`: no tensor of its own."""
    entries = {"general.architecture": (STRING, b"llama"), "llama.block_count": (U32, 1), "llama.embedding_length": (U32, WIDTH),
               "llama.feed_forward_length": (U32, WIDTH), "llama.context_length": (U32, 64), "llama.attention.head_count": (U32, 2),
               "llama.attention.head_count_kv": (U32, 1), "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
               "tokenizer.ggml.model": (STRING, b"llama"), "tokenizer.ggml.tokens": (ARRAY, (STRING, TOKENS)),
               "tokenizer.ggml.token_type": (ARRAY, (U32, KINDS)), "tokenizer.ggml.scores": (ARRAY, (F32, [0.0] * len(TOKENS))),
               **dict(keys)}
    shapes = {**({} if without else SHAPES), **dict(shapes)}
    rng, infos, data = random.Random(3), b"", b""
    for name, shape in shapes.items():
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        infos += pack(STRING, name.encode()) + struct.pack("<I", len(shape))
        infos += b"".join(struct.pack("<Q", d) for d in reversed(shape)) + struct.pack("<IQ", 0, len(data))
        data += array.array("f", [1.0] * n if len(shape) == 1 else [rng.uniform(-0.3, 0.3) for _ in range(n)]).tobytes()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(entries))
    head += b"".join(pack(STRING, key.encode()) + struct.pack("<I", kind) + pack(kind, value) for key, (kind, value) in entries.items())
    head += infos
    return head + b"\0" * (-len(head) % 32) + data


class Files(ProgramTest):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, content, name="model.gguf"):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def hashes(self, content):
        return self.json_of("run", self.path(content), "-p", "aaa", "-n", 2, "--ignore-end", "--logits-hash")["logits_hashes"]

    def test_large_numbers_nobody_reads_are_fine(self):
        want = self.hashes(gguf())
        self.assertEqual(self.hashes(gguf({"general.source.hash": (U64, 2**63 + 5)})), want)
        self.assertEqual(self.hashes(gguf({"x.hashes": (ARRAY, (U64, [1, 2**64 - 1]))})), want)
        shown = self.json_of("inspect", self.path(gguf({"x.hash": (U64, 2**64 - 1)})), "--metadata")
        self.assertIn(str(2**64 - 1), str(shown))
        self.assert_fails(run("run", self.path(gguf({"llama.block_count": (U64, 2**63)})), "-p", "a"), MODEL_FILE,
                          "'llama.block_count' is an integer beyond the range of int64")

    def test_a_broken_template_is_the_files_fault(self):
        template = lambda text: self.path(gguf({"tokenizer.chat_template": (STRING, text)}))
        for text in (b"{% for m in messages %}", b"{{ x", b"{% endif %}", b"\xff"):
            self.assert_fails(run("run", template(text), "--chat", "-p", "s"), MODEL_FILE, "model.gguf", "tokenizer.chat_template")
            self.assertEqual(run("run", template(text), "-p", "s", "-n", 1).returncode, OK)
        for text in (b"{{ messages|groupby('role') }}", b"{% unheard_of %}"):
            self.assert_fails(run("run", template(text), "--chat", "-p", "s"), UNSUPPORTED, "chat template line 1")

    def test_what_would_be_left_out_is_named(self):
        self.assert_fails(run("run", self.path(gguf(shapes={"blk.0.attn_q_norm.weight": (16,)})), "-p", "a"), UNSUPPORTED,
                          "tensor 'blk.0.attn_q_norm.weight'", "'llama'")
        self.assert_fails(run("run", self.path(gguf({"llama.logit_scale": (F32, 0.5)})), "-p", "a"), UNSUPPORTED,
                          "metadata 'llama.logit_scale'", "'llama'")

    def test_other_files_are_named(self):
        whole = gguf()
        cases = [(b"", MODEL_FILE, "file is empty"),
                 (whole[: len(whole) // 2], MODEL_FILE, "download it again"),
                 (b"<!doctype html><html>", MODEL_FILE, "a web page"),
                 (b'{"error":"Invalid username or password."}', MODEL_FILE, "a JSON text"),
                 (b"version https://git-lfs.github.com/spec/v1\noid", MODEL_FILE, "git lfs pull"),
                 (b"\x40\0\0\0\0\0\0\0" + b'{"a":{"dtype":"F32"}}', UNSUPPORTED, "a safetensors file"),
                 (b"\x08\x08\x12\x07pytorch", MODEL_FILE, "has no graph"),
                 (b"tjgg\3\0\0\0", UNSUPPORTED, "an old GGML file"),
                 (gguf({"general.type": (STRING, b"adapter")}), UNSUPPORTED, "a LoRA adapter"),
                 (gguf({"general.type": (STRING, b"imatrix")}), UNSUPPORTED, "an importance matrix"),
                 (gguf({"general.architecture": (STRING, b"clip")}), UNSUPPORTED, "(mmproj)"),
                 (gguf(without=True), UNSUPPORTED, "a vocabulary and no weights")]
        for content, code, words in cases:
            with self.subTest(words):
                self.assert_fails(run("run", self.path(content), "-p", "a"), code, "model.gguf", words)
        self.assert_fails(run("run", self.folder.name, "-p", "a"), MODEL_FILE, "is a folder", "give its file")
        part = gguf({"split.no": (U32, 1), "split.count": (U32, 2)})
        self.assert_fails(run("run", self.path(part, "m-00002-of-00002.gguf"), "-p", "a"), MODEL_FILE,
                          "part 1 of 2 of the model is missing", "put all parts in one folder")


if __name__ == "__main__":
    program.main()
