"""test_embeddings.py - `run --text`: tokenizer.json beside an encoder, pooling, what other files say, and files that lie."""

import json
import math
import os
import struct

import program
from onnx_file import blob, number, port
from program import MODEL_FILE, UNSUPPORTED, FolderTest, run

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "wa", "##der", "bird", "cafe", "北", "京", "!", "a"]
TABLE = [[float(i), float(i * i % 7), 1.0] for i in range(len(WORDS))]


def tokenizer(**changes):
    document = {
        "added_tokens": [{"id": i, "content": WORDS[i], "special": True} for i in range(4)], "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "padding": {"pad_id": 0}, "truncation": {"max_length": 6},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "[SEP]"}}],
                           "special_tokens": {"[CLS]": {"ids": [2]}, "[SEP]": {"ids": [3]}}},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {w: i for i, w in enumerate(WORDS)}}}
    document.update(changes)
    return json.dumps(document)


def encoder(ids="input_ids", output="last_hidden_state"):
    """states = table[ids]"""
    table = number(1, len(WORDS)) + number(1, 3) + number(2, 1) + blob(8, "table") + blob(9, b"".join(struct.pack("<3f", *row) for row in TABLE))
    graph = (blob(1, blob(1, "table") + blob(1, ids) + blob(2, output) + blob(4, "Gather")) + blob(5, table) + blob(11, port(ids, "b", "s", dtype=7))
             + blob(11, port("attention_mask", "b", "s", dtype=7)) + blob(12, port(output, "b", "s", 3)))
    return number(1, 8) + blob(7, graph) + blob(8, number(2, 17))


class Embeddings(FolderTest):
    def setUp(self):
        super().setUp()
        self.model = self.put("model.onnx", encoder())
        self.put("tokenizer.json", tokenizer())

    def embed(self, *texts, options=()):
        arguments = [a for t in texts for a in ("--text", t)]
        return self.json_of("run", self.model, *arguments, "--quiet", *options)["texts"]

    def near(self, got, wanted):
        self.assertEqual(len(got), len(wanted))
        for a, b in zip(got, wanted):
            self.assertAlmostEqual(a, b, delta=1e-6)

    def test_tokens(self):
        cases = {"Wader": [2, 4, 5, 3], "a  CAFÉ!": [2, 11, 7, 10, 3], "北京": [2, 8, 9, 3], "wader zebra": [2, 4, 5, 1, 3], "a a a a a a": [2, 11, 11, 11, 11, 3], "bird [SEP]": [2, 6, 3, 3]}
        for row, wanted in zip(self.embed(*cases), cases.values()):
            self.assertEqual(row["tokens"], wanted)

    def test_pooling(self):
        """What fills up the shorter text of a batch counts for nothing."""
        mean = [sum(c) / 3 for c in zip(TABLE[2], TABLE[6], TABLE[3])]
        length = math.sqrt(sum(v * v for v in mean))
        for texts in (("bird",), ("bird", "wader wader")):
            self.near(self.embed(*texts)[0]["embedding"], [v / length for v in mean])
            self.near(self.embed(*texts, options=("--normalize", "no"))[0]["embedding"], mean)
            self.near(self.embed(*texts, options=("--normalize", "no", "--pooling", "cls"))[0]["embedding"], TABLE[2])
            self.near(self.embed(*texts, options=("--normalize", "no", "--pooling", "last"))[0]["embedding"], TABLE[3])

    def test_files_beside_the_model_say_how(self):
        self.put("1_Pooling/config.json", json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
        self.put("modules.json", json.dumps([{"type": "sentence_transformers.models.Transformer"}]))
        self.put("sentence_bert_config.json", json.dumps({"max_seq_length": 4}))
        (row,) = self.embed("bird bird bird bird")
        self.assertEqual(row["tokens"], [2, 6, 6, 3])
        self.near(row["embedding"], TABLE[2])
        self.put("modules.json", json.dumps([{"type": "sentence_transformers.models.Normalize"}]))
        (row,) = self.embed("bird", options=("--pooling", "mean"))
        self.assertAlmostEqual(sum(v * v for v in row["embedding"]), 1, delta=1e-6)
        self.put("1_Pooling/config.json", json.dumps({"pooling_mode_max_tokens": True}))
        self.assert_fails(run("run", self.model, "--text", "a"), UNSUPPORTED, "--pooling")

    def test_tokenizer_of_the_folder_above_or_named(self):
        self.model = self.put("onnx/model.onnx", encoder())
        self.assertEqual(self.embed("bird")[0]["tokens"], [2, 6, 3])
        other = self.put("other.json", tokenizer(post_processor={"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["!", 10]}))
        self.assertEqual(self.embed("bird", options=("--tokenizer", other))[0]["tokens"], [10, 6, 3])

    def test_unigram(self):
        """As XLM-RoBERTa's: pieces with scores, spaces as U+2581, <s> and </s> around a text."""
        pieces = [["<s>", 0], ["<pad>", 0], ["</s>", 0], ["<unk>", 0], ["\u2581bird", -5], ["\u2581", -3], ["b", -4], ["i", -4], ["rd", -4], ["\u2581wad", -5], ["er", -3], ["s", -3]]
        self.put("tokenizer.json", json.dumps({
            "added_tokens": [{"id": i, "content": pieces[i][0], "special": True} for i in range(4)], "normalizer": {"type": "NFKC"},
            "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"},
            "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}],
                               "special_tokens": {"<s>": {"ids": [0]}, "</s>": {"ids": [2]}}},
            "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces}}))
        for row, wanted in zip(self.embed("bird waders", "\uff42ird", "birdxyz"), [[0, 4, 9, 10, 11, 2], [0, 4, 2], [0, 4, 3, 2]]):
            self.assertEqual(row["tokens"], wanted)

    def test_summary_and_file(self):
        out = self.path("out")
        text = self.assert_ok(run("run", self.model, "--text", "bird", "--text", "wader", "--output", out))
        self.assertIn("2 embeddings of 3 numbers", text)
        self.assertRegex(text, r"3 tokens +1\.000 +0\.\d+ +bird")
        with open(os.path.join(out, "embedding.npy"), "rb") as file:
            self.assertIn(b"'shape': (2, 3)", file.read())

    def test_errors_say_what_is_wrong(self):
        def of(document, code, *words, model=None):
            path = self.put("wrong.json", document)
            with self.subTest(words):
                self.assert_fails(run("run", model or self.model, "--text", "a", "--tokenizer", path), code, *words)
        of(tokenizer()[:-9], MODEL_FILE, "wrong.json", "is no tokenizer.json")
        of("{}", MODEL_FILE, "it has no model")
        of(tokenizer(model={"type": "WordLevel", "vocab": {}}), UNSUPPORTED, "model 'WordLevel' is not done")
        of(tokenizer(model={"type": "Unigram", "vocab": []}, normalizer=None, pre_tokenizer=None), MODEL_FILE, "its vocabulary is empty")
        of(tokenizer(model={"type": "WordPiece"}), MODEL_FILE, "no vocab")
        of(tokenizer(model={"type": "WordPiece", "vocab": {"a": 4000000000}}), MODEL_FILE, "no number of a vocabulary")
        of(tokenizer(model={"type": "WordPiece", "vocab": {"a": 4000000}}), MODEL_FILE, "leave most numbers out")
        of(tokenizer(model={"type": "WordPiece", "vocab": {"a": -1}}), MODEL_FILE, "no number of a vocabulary")
        of(tokenizer(normalizer={"type": "NFKC"}), UNSUPPORTED, "normalizer 'NFKC'")
        of(tokenizer(pre_tokenizer={"type": "Whitespace"}), UNSUPPORTED, "pre_tokenizer 'Whitespace'")
        of(tokenizer(post_processor={"type": "BertProcessing", "sep": ["x", 99], "cls": ["y", 2]}), MODEL_FILE, "names a token that is not there")
        of(tokenizer(post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]"}}]}), MODEL_FILE, "without ids")
        of("[" * 5000, MODEL_FILE, "is no tokenizer.json")
        of(tokenizer(), UNSUPPORTED, "input 'pixels'", model=self.put("a.onnx", encoder(ids="pixels")))
        os.remove(self.path("tokenizer.json"))
        self.assert_fails(run("run", self.model, "--text", "a"), MODEL_FILE, "no tokenizer.json beside it", "--tokenizer FILE")
        self.assert_fails(run("run", self.model, "--text", "a", "--tokenizer", "/none.json"), MODEL_FILE, "/none.json")


if __name__ == "__main__":
    program.main()
